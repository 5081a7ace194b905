"""Advice names the cause, the evidence and a difference of settings that loads."""

import shlex

import pytest

from loraforge.advice.diagnose import of_run, of_symptom
from loraforge.advice.rules.registry import as_flags
from loraforge.advice.symptoms import symptoms
from loraforge.engine.failures import signatures
from loraforge.errors import ConfigError
from loraforge.settings import load


@pytest.fixture
def make_job(tmp_path):
    """Return a maker of jobs from assignments over the style preset."""
    return lambda *assignments: load(None, preset="style", assignments=assignments, cwd=tmp_path).job


def test_run_gives_difference(make_job):
    """A run out of memory is advised the next rung, from the value it had, with the line that tells."""
    job = make_job("memory.gradient_checkpointing=true", "memory.fp8_base=true", "memory.blocks_to_swap=8")
    (advice,) = of_run("unet dtype: x\ntorch.OutOfMemoryError: CUDA out of memory.\n", 1, job)
    assert advice.settings == {"memory.blocks_to_swap": (8, 16)}
    assert advice.flags == "--set memory.blocks_to_swap=16"
    assert advice.evidence == ("line 2: torch.OutOfMemoryError: CUDA out of memory.",)
    assert advice.as_dict()["settings"] == {"memory.blocks_to_swap": {"from": 8, "to": 16}}


def test_sound_run_needs_nothing(make_job):
    """A run that saved its model draws no advice."""
    assert of_run("model saved.\n", 0, make_job()) == []


def ticks(means):
    """Return the bar of a run with these mean losses, one a step."""
    total = len(means)
    bars = (
        f"\rsteps:   1%| | {at}/{total} [00:01<00:02,  1.00s/it, avr_loss={mean}]" for at, mean in enumerate(means, 1)
    )
    return f"unet dtype: torch.bfloat16\n{''.join(bars)}\nmodel saved.\n"


@pytest.mark.parametrize(
    ("means", "codes"),
    [
        ([0.9 - at / 1000 for at in range(200)], []),
        ([0.3] * 5 + [0.6] * 195, []),
        ([0.5 - at / 1000 for at in range(100)] + [0.4 + at / 250 for at in range(100)], ["loss-rising"]),
    ],
    ids=["falling", "unsteady at first", "rising"],
)
def test_rising_loss(make_job, means, codes):
    """A mean loss that climbs for good is told, with its lowest step; what wanders at first is not."""
    found = of_run(ticks(means), 0, make_job())
    assert [advice.code for advice in found] == codes
    if codes:
        assert "step 101" in found[0].evidence[0] or "step 100" in found[0].evidence[0]
        assert found[0].flags == "--set optimizer.learning_rate=5e-05"


def test_symptom_gives_difference(make_job):
    """Deep-fried pictures halve the rate that the job has."""
    (advice,) = of_symptom("molten lava", make_job("optimizer.learning_rate=4e-4"))
    assert advice.settings == {"optimizer.learning_rate": (4e-4, 2e-4)}
    assert "guide" in advice.evidence[0]


def test_unknown_symptom_names_known_ones(make_job):
    """Words that fit nothing are refused, with the words that would fit."""
    with pytest.raises(ConfigError, match="fits no symptom") as fault:
        of_symptom("purple elephants", make_job())
    assert "molten lava" in fault.value.hint


@pytest.mark.parametrize("code", [symptom.code for symptom in symptoms()])
def test_symptom_settings_load(make_job, code):
    """The settings proposed for each cause of a symptom are accepted together with the job's own."""
    job = make_job("training.steps=2000", "network.rank=64", "network.alpha=64.0")
    symptom = next(symptom for symptom in symptoms() if symptom.code == code)
    for advice in of_symptom(symptom.says[0], job):
        assert make_job("training.steps=2000", *shlex.split(advice.flags)[1::2])


@pytest.mark.parametrize("code", [signature.code for signature in signatures()])
def test_failure_settings_load(make_job, code):
    """The settings proposed for each failure are accepted."""
    change = next(item for item in signatures() if item.code == code).remedy.settings(make_job())
    assert make_job(*shlex.split(as_flags(change))[1::2])
