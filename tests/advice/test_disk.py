"""What a run writes."""

import pytest

from loraforge.advice.disk import run_bytes
from loraforge.config.job import Job

BARE = {"training": {"steps": 100, "save_states": False, "save_every_steps": None}}
OFF = {"memory": {"cache_latents": "off", "cache_text_encoders": "off"}}


def _bytes(**sections):
    return run_bytes(Job.model_validate({**BARE, **OFF, **sections}), 10)


def test_a_checkpoint_is_rank_times_the_layers():
    """Rank 16 over all blocks is 153 MB in bf16 and 306 MB in fp32, as the engine saves them."""
    assert _bytes() == pytest.approx(153e6, rel=0.01)
    assert _bytes(output={"save_precision": "float"}) == pytest.approx(306e6, rel=0.01)
    assert _bytes(network={"rank": 32}) == 2 * _bytes()


def test_targets_and_text_encoders_count():
    """Double and single blocks make up the whole; adapted encoders come on top."""
    parts = [_bytes(network={"targets": targets}) for targets in ("double", "single")]
    assert sum(parts) == _bytes()
    assert _bytes(network={"train_clip_l": True}) > _bytes()


def test_each_save_counts_and_old_ones_go():
    """A checkpoint every 100 of 500 steps and the end are six; keep_last bounds them."""
    training = {"steps": 500, "save_every_steps": 100, "save_states": False}
    assert _bytes(training=training) == 6 * _bytes()
    assert _bytes(training=training, output={"keep_last": 2}) == 3 * _bytes()


def test_states_hold_the_optimizer():
    """A state is fp32 weights and what the optimizer remembers: nearly nothing for adafactor, much for adamw."""
    states = {"training": {**BARE["training"], "save_states": True}}
    parameters = _bytes() / 2
    assert _bytes(**states) == pytest.approx(parameters * (2 + 4 + 0.25))
    assert _bytes(**states, optimizer={"name": "adamw"}) == pytest.approx(parameters * (2 + 4 + 8))


def test_old_states_are_removed():
    """However many checkpoints there are, three states stand beside each other at most."""
    steps = {"steps": 2000, "save_every_steps": 100}
    with_states, without = (_bytes(training={**steps, "save_states": states}) for states in (True, False))
    assert with_states - without == pytest.approx(3 * _bytes() / 2 * 4.25)


def test_caches_grow_with_pictures_and_area():
    """About 9.5 MB a picture at 1024 x 1024, the latents of it a quarter at 512."""
    both = _bytes(memory={}) - _bytes()
    assert both == pytest.approx(10 * 9.5e6, rel=0.02)
    small = _bytes(memory={}, dataset={"resolution": [512, 512]}) - _bytes()
    assert both - small == pytest.approx(10 * 1.05e6 * 0.75, rel=0.01)
