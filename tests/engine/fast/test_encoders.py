"""T5 comes when a caption needs it, and leaves its weights behind after the last."""

import pytest
import torch

from loraforge.engine.fast.encoders import _wait_for_call, fetch_t5_when_needed
from loraforge.engine.fast.part import Context, Refused

_HERE = torch.device("cpu")  # as the engine names its device; "cpu" is where it puts what it is done with


class _Encoder(torch.nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 4)
        self.moves: list[tuple[object, ...]] = []

    @property
    def device(self) -> torch.device:
        return self.weight.device

    def to(self, *where: object, **named: object) -> "_Encoder":
        self.moves.append(where)
        return super().to(*where, **named)


@pytest.fixture
def encoder() -> _Encoder:
    """Return a model that waits."""
    made = _Encoder()
    _wait_for_call(made)
    return made


def test_a_model_that_encodes_nothing_is_never_moved(encoder: _Encoder) -> None:
    """With all captions cached its weights are not even read."""
    assert encoder.to(_HERE) is encoder
    encoder.to("cpu")
    assert encoder.moves == [("meta",)]


def test_a_model_that_encodes_is_moved_first(encoder: _Encoder) -> None:
    """It gives what it would give without waiting, and after the last caption holds no memory."""
    tokens, weight, bias = torch.ones(1, 4), encoder.weight.clone(), encoder.bias.clone()
    encoder.to(_HERE)
    encoder.to(torch.float64)  # a change of type is not put off
    assert encoder.weight.dtype == torch.float64
    encoder.to(torch.float32)
    for _ in range(2):
        assert torch.equal(encoder(tokens), torch.nn.functional.linear(tokens, weight, bias))
    encoder.to("cpu")
    assert encoder.device.type == "meta"
    assert encoder.to(dtype=torch.bfloat16).weight.dtype == torch.bfloat16  # the engine casts what it will not use
    assert not encoder._forward_pre_hooks


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({}, "encoded at every step"),
        ({"cache_text_encoder_outputs": True, "validation_split": 0.1}, "encoded later"),
    ],
)
def test_conditions(options: dict[str, object], why: str) -> None:
    """Where T5 is needed again nothing is put off."""
    with pytest.raises(Refused, match=why):
        fetch_t5_when_needed(Context(options, say=lambda _: None))
