"""A LoRA at another rank and alpha is what it was, as far as it fits."""

import numpy as np
import pytest
from fake_runs import lora_tensors
from safetensors.numpy import load

from loraforge.ship.lora_file import ALPHA, DOWN, UP, Lora, difference
from loraforge.ship.refit import refit


def _lora(rank: int = 8, alpha: float | None = None) -> Lora:
    tensors = {name: value.astype(np.float32) for name, value in lora_tensors(rank).items()}
    lora = Lora(tensors, {})
    if alpha is not None:
        tensors |= {module + ALPHA: np.array(alpha, np.float32) for module in lora.modules()}
    return lora


def test_what_fits_is_left_alone():
    """At the run's own rank and alpha the file itself will do."""
    assert refit(_lora(8, 4.0), 8, 4.0, seed=1) is None


@pytest.mark.parametrize(("rank", "alpha"), [(8, 2.0), (12, 4.0), (12, 16.0)])
def test_a_larger_rank_or_another_alpha_changes_nothing_learnt(rank, alpha):
    """Update by update, under the new scale; the further rows can learn, since the lower ones are not zero."""
    lora = _lora(8, 4.0)
    made = refit(lora, rank, alpha, seed=1)
    assert made.ranks == (8,)
    assert made.error == 0
    assert difference(lora, made.lora) < 1e-6
    for module in made.lora.modules():
        down, up = made.lora.tensors[module + DOWN], made.lora.tensors[module + UP]
        assert down.shape[0] == up.shape[1] == rank
        assert float(made.lora.tensors[module + ALPHA]) == alpha
        assert np.abs(down[8:]).min(initial=1) > 0
        assert np.abs(down[8:]).max(initial=0) <= down.shape[1] ** -0.5
        assert not up[:, 8:].any()
    again = refit(lora, rank, alpha, seed=1)
    assert all((again.lora.tensors[name] == value).all() for name, value in made.lora.tensors.items())


def test_a_smaller_rank_keeps_the_most_and_says_what_is_lost():
    """The error is that of the singular values left out."""
    lora = _lora(8, 4.0)
    made = refit(lora, 3, 6.0, seed=1)
    lost = whole = 0.0
    for module in lora.modules():
        update = lora.tensors[module + UP] @ lora.tensors[module + DOWN] * lora.scale(module)
        values = np.linalg.svd(update, compute_uv=False)
        lost, whole = lost + np.square(values[3:]).sum(), whole + np.square(values).sum()
    assert made.error == pytest.approx((lost / whole) ** 0.5, rel=1e-3)
    assert {made.lora.tensors[module + DOWN].shape[0] for module in made.lora.modules()} == {3}


def test_it_is_a_file_of_float32():
    """As the engine reads it."""
    made = refit(_lora(8), 12, 12.0, seed=1)
    saved = load(made.to_bytes())
    assert {value.dtype for value in saved.values()} == {np.dtype("float32")}
    assert saved.keys() == made.lora.tensors.keys()


def test_an_alpha_that_was_rounded_is_the_same():
    """The engine stores it in bf16: 0.3 becomes 0.3008."""
    assert refit(_lora(8, 0.30078125), 8, 0.3, seed=1) is None
