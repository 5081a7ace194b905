"""The predictor of memory, against what was measured on a real card."""

import sys
import time

import pytest
from measured import compared, tables

from loraforge.advice.memory import predict_memory, swapped_gib
from loraforge.config.job import Job

_, ROWS = compared()
CHECKPOINTED = {"gradient_checkpointing": True}
FP8 = {"gradient_checkpointing": True, "fp8_base": True}


def job(memory=None, **sections):
    """Return a job with rank 16, adafactor and both caches unless said."""
    return Job.model_validate({"memory": memory or CHECKPOINTED, **sections})


def test_enough_was_measured_and_half_of_it_only_predicted():
    """At least 24 configurations, and at most half of them calibrate."""
    calibrating = [row for row in ROWS if row.configuration.calibrates]
    assert len(ROWS) >= 24
    assert len(calibrating) * 2 <= len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.configuration))
def test_reserved_memory_is_within_5_percent_of_measured(row):
    """The bar that the benchmark sets, for every configuration measured as the engine runs it."""
    assert abs(row.reserved_error) <= 0.05
    assert abs(row.allocated_error) <= 0.05


@pytest.mark.parametrize(
    ("memory", "allocated", "reserved"),
    [
        (CHECKPOINTED, 25.11, 26.66),
        ({"gradient_checkpointing": False}, 62.70, 70.13),
        (FP8, 14.42, 15.91),
        ({**FP8, "blocks_to_swap": 28}, 6.18, 7.67),
    ],
)
def test_whole_runs_of_the_engine_are_met(memory, allocated, reserved):
    """What flux_train_network.py itself took at 1024, measured apart from the benchmark."""
    peak = predict_memory(job(memory), (1024, 1024)).phases["training"]
    assert peak.allocated_gib == pytest.approx(allocated, rel=0.05)
    assert peak.reserved_gib == pytest.approx(reserved, rel=0.05)


@pytest.mark.parametrize(
    "change",
    [
        {"dataset": {"batch_size": 2}},
        {"network": {"rank": 128}},
        {"network": {"train_clip_l": True}},
        {"optimizer": {"name": "adamw"}},
        {"training": {"gradient_accumulation": 2}},
        {"training": {"precision": "no"}},
        {"memory": {"gradient_checkpointing": False}},
        {"memory": {**CHECKPOINTED, "cache_text_encoders": "off"}},
        {"memory": {**CHECKPOINTED, "cache_latents": "off"}},
    ],
)
def test_what_asks_for_more_is_predicted_to_take_more(change):
    """Each setting known to cost memory raises the peak of training."""
    plain = predict_memory(job(), (1024, 1024)).phases["training"]
    greedy = predict_memory(job(**{"memory": None, **change}), (1024, 1024)).phases["training"]
    assert greedy.reserved_gib > plain.reserved_gib


def test_each_swapped_block_frees_what_the_engine_moves():
    """Half of the number as double blocks, twice the rest as single ones."""
    assert swapped_gib(None, 2) == 0
    assert [round(swapped_gib(blocks, 2), 2) for blocks in (8, 16, 28, 35)] == [4.64, 9.28, 16.24, 20.25]
    assert swapped_gib(28, 1) == pytest.approx(8.12, abs=0.01)


def test_only_the_phases_that_a_run_has_are_there():
    """Without caches nothing is cached, without prompts nothing is drawn."""
    off = {**CHECKPOINTED, "cache_latents": "off", "cache_text_encoders": "off"}
    assert list(predict_memory(job(off), (512, 512)).phases) == ["training"]
    drawn = predict_memory(job(sampling={"prompts": ["a cat"]}), (512, 512))
    assert list(drawn.phases) == ["latent-caching", "text-caching", "training", "sampling"]


def test_the_phase_that_needs_most_decides():
    """With much swapped away the text encoders are what does not fit, unless T5's file is in 8 bits."""
    swapped = job({**FP8, "blocks_to_swap": 35})
    assert predict_memory(swapped, (512, 512)).phase == "text-caching"
    small = predict_memory(swapped, (512, 512), t5_fp8=True)
    assert small.phases["text-caching"].reserved_gib < 6
    assert small.as_dict()["reserved_gib"] == max(entry["reserved_gib"] for entry in small.as_dict()["phases"].values())


def test_files_in_8_bits_halve_host_memory():
    """Loading needs RAM for the files as they are."""
    whole = predict_memory(job(FP8), (512, 512)).ram_gib
    assert predict_memory(job(FP8), (512, 512), transformer_fp8=True, t5_fp8=True).ram_gib < whole - 14


def test_predicting_takes_no_time():
    """A thousand predictions in well under a second, so that searches over settings stay instant."""
    settings, began = job(), time.process_time()
    for _ in range(1000):
        predict_memory(settings, (1024, 1024))
    assert time.process_time() - began < 1


@pytest.mark.skipif(sys.platform == "win32", reason="the tables are those of a machine that compiles")
def test_the_tables_are_those_of_the_record_and_the_predictors():
    """In the benchmark's page and in the README; `python benchmarks/memory.py --table` renews them."""
    for path, _, text in tables():
        assert text in path.read_text("utf-8"), path.name
