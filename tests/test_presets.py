"""The shipped presets."""

import re
from pathlib import Path

import pytest

from loraforge.errors import ConfigError
from loraforge.presets import names, presets, read_preset
from loraforge.settings import load

ALL = names()


def test_the_promised_presets_are_there():
    """People and scripts rely on these names."""
    assert ALL == ["concept", "quick", "style", "style-strong", "style-subtle", "subject"]


@pytest.mark.parametrize("name", ALL)
def test_preset_is_a_valid_job(name):
    """Every preset loads by itself."""
    assert load(None, preset=name, cwd=Path.cwd()).job.preset == name


@pytest.mark.parametrize("preset", list(presets()), ids=ALL)
def test_every_value_has_its_reason_beside_it(preset):
    """A value without a comment is a value nobody can argue with."""
    for line in preset.text.split("\n"):
        if re.match(r"^[a-z_0-9]+ = [^\[]", line):
            assert "# " in line, f"{preset.name}: {line}"
    assert preset.purpose.endswith("."), preset.name


@pytest.mark.parametrize("name", ALL)
def test_rank_alpha_and_rate_are_set_together(name):
    """Their product is what counts, so no preset sets one without the others."""
    values = read_preset(name).values
    assert {"rank", "alpha"} <= values["network"].keys()
    assert "learning_rate" in values["optimizer"]


def test_the_style_preset_is_the_guides_recipe():
    """Rank 16, alpha 16, 1e-4, adafactor, 20 steps a picture within 300-600, a checkpoint each 100, at 1024."""
    job = load(None, preset="style", cwd=Path.cwd()).job
    assert (job.network.rank, job.network.alpha, job.optimizer.learning_rate) == (16, 16.0, 1e-4)
    assert (job.optimizer.name, job.dataset.resolution) == ("adafactor", 1024)
    training = job.training
    assert (training.steps_per_picture, training.min_steps, training.max_steps) == (20, 300, 600)
    assert training.save_every_steps == 100


def test_unknown_preset_names_the_nearest():
    """A typo leads to the right name."""
    with pytest.raises(ConfigError, match="did you mean style-subtle"):
        read_preset("style-sutle")
