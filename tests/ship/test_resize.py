import numpy as np
import pytest
from fake_runs import lora_tensors

from loraforge.errors import ConfigError
from loraforge.ship.keys import name_faults, text_encoder_layers
from loraforge.ship.lora_file import DOWN, UP, Lora
from loraforge.ship.resize import resize


def _lora(rank=8, **change) -> Lora:
    tensors = {name: value.astype(np.float32) for name, value in lora_tensors(rank).items()}
    return Lora({**tensors, **change}, {})


def test_the_error_is_that_of_the_lost_singular_values():
    """For one layer the measured error equals what the decomposition of the full matrix says, up to rounding."""
    module = "lora_unet_double_blocks_0_img_attn_qkv"
    whole = _lora()
    lora = Lora({name: value for name, value in whole.tensors.items() if name.startswith(module)}, {})
    values = np.linalg.svd(lora.tensors[module + UP] @ lora.tensors[module + DOWN], compute_uv=False)
    expected = (np.square(values[3:]).sum() / np.square(values).sum()) ** 0.5
    smaller = resize(lora, 3)
    assert smaller.error == pytest.approx(expected, abs=0.005)
    assert smaller.floor < 0.005


def test_a_lora_of_lower_true_rank_loses_nothing():
    """What is already of rank 2 goes to rank 2 with the error of rounding alone; alpha is folded in."""
    lora = _lora(8)
    tensors = dict(lora.tensors)
    for module in lora.modules():
        tensors[module + UP] = tensors[module + UP] * (np.arange(8) < 2)
        tensors[module + ".alpha"] = np.array(4.0, np.float32)
    smaller = resize(Lora(tensors, {}), 2)
    assert smaller.error < 0.006
    assert {smaller.lora.tensors[module + DOWN].shape[0] for module in smaller.lora.modules()} == {2}
    assert all(smaller.lora.scale(module) == 1 for module in smaller.lora.modules())
    assert name_faults(smaller.lora) == []


@pytest.mark.parametrize("rank", [8, 9, 0])
def test_only_lower_ranks(rank):
    """The same or a higher rank is refused, and says what is possible."""
    with pytest.raises(ConfigError) as caught:
        resize(_lora(8), rank)
    assert "1 to 7" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lora_unet_double_blocks_0_img_attn_q.lora_down.weight": np.zeros((4, 4))}, "no loader looks for"),
        ({"transformer.x.lora_A.weight": np.zeros((4, 4))}, "no loader looks for"),
        ({"lora_unet_double_blocks_7_img_attn_qkv.lora_down.weight": np.zeros((4, 4))}, "one of its two"),
        ({"lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight": np.zeros((9, 3))}, "do not fit"),
        ({"lora_unet_double_blocks_0_img_attn_qkv.alpha": np.array(np.nan)}, "NaN"),
    ],
)
def test_names_that_no_loader_knows(change, says):
    """Foreign, half and unfitting layers are told."""
    assert any(says in fault for fault in name_faults(_lora(8, **change)))


def test_names_of_the_engine_are_known():
    """All layers of both kinds of block, and of text encoders."""
    text = {
        f"lora_te1_text_model_encoder_layers_0_mlp_fc1.{end}": np.ones((4, 4))
        for end in ("lora_up.weight", "lora_down.weight")
    }
    lora = _lora(8, **text)
    assert name_faults(lora) == []
    assert text_encoder_layers(lora) == 1
