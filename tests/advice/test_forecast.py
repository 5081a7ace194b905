"""What check says of memory and time."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from loraforge.advice.facts import DatasetFacts, WeightFacts
from loraforge.advice.fitting import decided
from loraforge.advice.forecast import forecast
from loraforge.advice.measure import Measurement
from loraforge.config.job import Job
from loraforge.findings import Finding
from loraforge.machine.gpu import Gpu, GpuProcess

SOUND = WeightFacts()


def seen(vram, *, gpu=None, weights=SOUND, dataset=None, **sections):
    """Return the forecast for a card of so many GB."""
    card = vram if vram is not None else gpu.total_gib if gpu else None
    return forecast(decided(Job.model_validate(sections), 20, card), dataset, gpu, vram, weights)


def test_the_lines_name_phase_headroom_and_range():
    """What decides, what is left, what each phase takes, and that the time is an estimate."""
    memory, host, time = seen(24, sampling={"prompts": ["a cat"]}).lines()
    assert memory.startswith("memory: drawing samples decides with 18.3 GiB of 24, 4.8 to spare (")
    assert "caching captions 9.5" in memory
    assert "drawing samples of 1024 x 1024: 18.3" in memory
    assert "RAM" in host
    assert "an estimate for the RTX 4090" in time
    assert " to " in time


def test_the_largest_bucket_counts():
    """Small pictures take less than the resolution allows."""
    small = DatasetFacts(3, buckets={(512, 512): 2, (256, 512): 1})
    assert seen(24, dataset=small).size == (512, 512)
    assert seen(24).size == (1024, 1024)


@pytest.mark.parametrize("vram", [12, 16, 24, 32, 48, 80])
def test_what_auto_decides_fits(vram):
    """No finding for any common card from 12 GB on, samples included."""
    assert list(seen(vram, sampling={"prompts": ["a cat"]}).findings()) == []


def test_what_does_not_fit_is_an_error_with_the_change_that_does():
    """By name of the phase, with --set."""
    settings = {"gradient_checkpointing": False, "fp8_base": False}
    (finding,) = seen(24, memory=settings).findings()
    assert (finding.code, finding.severity) == ("memory-does-not-fit", "error")
    assert "Training needs about 71" in finding.message
    assert "--set memory.gradient_checkpointing=true" in finding.fix


def test_too_near_is_a_warning():
    """What the allocator might still squeeze in is not called impossible."""
    (finding,) = seen(27, memory={"gradient_checkpointing": True, "fp8_base": False}).findings()
    assert (finding.code, finding.severity) == ("memory-tight", "warning")


def test_captions_that_do_not_fit_ask_for_another_file():
    """T5's size is no setting; with its 8-bit file nothing is said of it."""
    (finding,) = seen(10).findings()
    assert "Caching captions" in finding.message
    assert "t5xxl_fp8_e4m3fn.safetensors" in finding.fix
    assert list(seen(10, weights=WeightFacts(t5_fp8=True)).findings()) == []


def test_no_card_no_verdict():
    """Without a card the peaks are told, and no finding is made of them."""
    unknown = seen(None)
    assert list(unknown.findings()) == []
    assert "spare" not in next(unknown.lines())


def test_the_card_that_is_here_is_known_by_its_name():
    """And not taken for the typical one of its size."""
    here = SimpleNamespace(name="NVIDIA GeForce RTX 3090", total_gib=24.0)
    assert seen(None, gpu=here).card.name == "RTX 3090"
    assert seen(None, gpu=SimpleNamespace(name="Some Card", total_gib=16.0)).card.vram_gib == 16


def test_a_card_that_others_hold_is_told():
    """It would do alone; who holds how much, what is needed, and what would make room are named."""
    browser = GpuProcess(42, "firefox", 9.0)
    here = Gpu(0, "NVIDIA GeForce RTX 3090", 24.0, 15.0, "580", (13, 0), (8, 6), (browser,))
    (finding,) = seen(None, gpu=here, memory={"gradient_checkpointing": True, "fp8_base": True}).findings()
    assert (finding.code, finding.severity) == ("memory-taken", "warning")
    assert finding.message.startswith(
        "firefox (42) hold 9.0 GiB of the card, and training needs about 16.9 of the 15.0"
    )
    assert "--set memory.blocks_to_swap=8" in finding.fix
    free = replace(here, free_gib=23.5, processes=())
    assert list(seen(None, gpu=free, memory={"gradient_checkpointing": True, "fp8_base": True}).findings()) == []


def test_a_measurement_takes_the_place_of_predictions():
    """Time comes from it, and its findings replace those of the predictor except for samples."""
    predicted = seen(24)
    measured = Measurement(predicted.job, {"memory.blocks_to_swap": 8}, 2.0, 20.0, 22.0)
    duration = measured.duration(predicted.duration, 400)
    assert (duration.seconds_per_step, duration.parts["steps"], duration.measured) == (2.0, 800.0, True)
    other = Finding("few-pictures", "warning", "the set", "", "")
    wrong = Finding("memory-does-not-fit", "error", "memory", "Training needs more.", "")
    samples = Finding("memory-does-not-fit", "error", "memory", "Drawing samples needs more.", "")
    codes = [finding.code for finding in measured.findings((other, wrong, samples))]
    assert codes == ["few-pictures", "memory-does-not-fit", "memory-measured"]
    assert "22.0 GiB" in measured.line()
