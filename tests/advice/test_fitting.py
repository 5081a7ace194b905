"""Memory settings that fit a card."""

import pytest

from loraforge.advice.cards import typical_card
from loraforge.advice.fitting import as_set, cheapest_change, decided, fits, training_size, with_change
from loraforge.advice.memory import predict_memory
from loraforge.config.job import Job, contradictions

PROMPTS = {"sampling": {"prompts": ["a cat"]}}


def settings(vram, **sections):
    """Return (checkpointing, fp8, swapped blocks) as profile auto decides them."""
    memory = decided(Job.model_validate(sections), 20, vram).memory
    return memory.gradient_checkpointing, memory.fp8_base, memory.blocks_to_swap


def estimate(job, **weights):
    """Predict for the full training area."""
    return predict_memory(job, training_size(job), **weights)


@pytest.mark.parametrize(
    ("vram", "expected"),
    [(80, (False, False, None)), (48, (True, False, None)), (32, (True, False, None)), (24, (True, True, None))],
)
def test_auto_takes_the_fastest_settings_that_fit(vram, expected):
    """Keep activations, else recompute them, else hold the base in 8 bits."""
    assert settings(vram) == expected


def test_auto_swaps_only_as_much_as_it_must():
    """One block fewer would not fit, on every card that needs swapping."""
    for vram in (12, 16):
        job = decided(Job.model_validate(PROMPTS), 20, vram)
        blocks = job.memory.blocks_to_swap
        assert fits(estimate(job), vram)
        assert not fits(estimate(with_change(job, {"memory.blocks_to_swap": blocks - 1})), vram)


def test_auto_follows_the_job_not_the_card_alone():
    """On 48 GB small pictures need no checkpointing; larger batches need more given up."""
    assert settings(48, dataset={"resolution": 512}) == (False, False, None)
    assert settings(80, dataset={"batch_size": 4}) == (True, False, None)


@pytest.mark.parametrize(
    "memory", [{"gradient_checkpointing": False}, {"fp8_base": False}, {"blocks_to_swap": 30}, {"fp8_base": True}]
)
def test_what_the_user_set_stays(memory):
    """Also where it does not fit."""
    job = decided(Job.model_validate({"memory": memory}), 20, 12)
    assert {name: getattr(job.memory, name) for name in memory} == memory


@pytest.mark.parametrize("vram", [2, 8, 10])
def test_a_card_too_small_still_gets_settings(vram):
    """Captions may not fit, but training is made to as far as it can be."""
    checkpointing, fp8, blocks = settings(vram, **PROMPTS)
    assert (checkpointing, fp8) == (True, True)
    assert blocks > 20


def test_named_profiles_and_no_card_take_the_profiles_values():
    """The predictor speaks only where it is asked to."""
    assert settings(80, memory={"profile": "12gb"}) == (True, True, 27)
    assert settings(None) == (True, True, None)


def test_samples_shrink_to_the_card_unless_their_size_is_set():
    """8 GB hold no sample of 1024 beside the model; what the user asks for stays."""
    sampling = decided(Job.model_validate({**PROMPTS, "memory": {"profile": "8gb"}}), 20, None).sampling
    assert sampling.width == sampling.height == 768
    assert decided(Job.model_validate(PROMPTS), 20, 8).sampling == sampling
    asked = {"sampling": {**PROMPTS["sampling"], "width": 1024}}
    assert decided(Job.model_validate(asked), 20, 8).sampling.width == 1024
    assert decided(Job.model_validate(PROMPTS), 20, 10).sampling.width == 1024


def test_the_embedded_engine_never_swaps():
    """It holds the model in bf16, whole."""
    assert settings(12, engine={"kind": "embedded"}) == (True, False, None)


FULL = {"training": {"precision": "no"}}
TWO = {"launch": {"processes": 2}}


@pytest.mark.parametrize("vram", [None, 12, 24, 80])
@pytest.mark.parametrize("profile", ["auto", "12gb"])
def test_full_precision_takes_no_8_bits(vram, profile):
    """The engine refuses fp8_base without mixed precision; blocks of fp32 can be swapped."""
    assert settings(vram, **FULL, memory={"profile": profile})[1] is False
    assert settings(24, **FULL)[2] > 20


@pytest.mark.parametrize("vram", [None, 12, 24])
@pytest.mark.parametrize("profile", ["auto", "12gb"])
def test_several_processes_swap_nothing(vram, profile):
    """Their blocks would end up on the wrong card."""
    assert settings(vram, **TWO, memory={"profile": profile}) == (True, True, None)


@pytest.mark.parametrize("sections", [FULL, TWO, {**FULL, **TWO}], ids=["full", "two", "both"])
@pytest.mark.parametrize("vram", [12, 24])
def test_the_cheapest_change_is_one_that_the_engine_takes(sections, vram):
    """No 8 bits without mixed precision, no swapping by several processes."""
    job = decided(Job.model_validate({**PROMPTS, **sections, "memory": {"gradient_checkpointing": True}}), 20, None)
    job = with_change(job, {"memory.blocks_to_swap": None})
    change = cheapest_change(job, (1024, 1024), typical_card(vram), vram)
    other = with_change(job, change)
    assert "dataset.resolution" not in change
    assert not list(contradictions(other))
    assert other.launch.processes == 1 or not other.memory.blocks_to_swap


@pytest.mark.parametrize(
    ("vram", "sections", "changed"),
    [
        (48, {"memory": {"gradient_checkpointing": False, "fp8_base": False}}, {"memory.gradient_checkpointing"}),
        (16, {"memory": {"gradient_checkpointing": True, "fp8_base": True}}, {"memory.blocks_to_swap"}),
    ],
)
def test_the_cheapest_change_fits_and_changes_no_more_than_needed(vram, sections, changed):
    """Memory settings alone where they are enough."""
    job = decided(Job.model_validate({**PROMPTS, **sections}), 20, None)
    change = cheapest_change(job, (1024, 1024), typical_card(vram), vram)
    assert change.keys() == changed
    assert fits(estimate(with_change(job, change)), vram)


def test_samples_shrink_before_training_does():
    """On 8 GB, T5 in 8 bits, the samples are what is too large, if their size is set."""
    job = decided(Job.model_validate({"sampling": {"prompts": ["a cat"], "width": 1024}}), 20, 8)
    change = cheapest_change(job, (1024, 1024), typical_card(8), 8, t5_fp8=True)
    assert change["sampling.width"] < 1024
    assert "dataset.resolution" not in change
    assert fits(estimate(with_change(job, change), t5_fp8=True), 8)


def test_caches_come_before_the_result_suffers():
    """The guide's flags on 12 GB: cache, and leave the text encoder alone, rather than train at less than 1024."""
    off = {"cache_latents": "off", "cache_text_encoders": "off", "gradient_checkpointing": True, "fp8_base": False}
    job = decided(Job.model_validate({"memory": off, "network": {"train_clip_l": True}}), 20, None)
    change = cheapest_change(job, (1024, 1024), typical_card(12), 12)
    assert change["memory.cache_latents"] == change["memory.cache_text_encoders"] == "disk"
    assert change["network.train_clip_l"] is False
    assert "dataset.resolution" not in change
    Job.model_validate(with_change(job, change).model_dump())


def test_where_nothing_helps_nothing_is_proposed():
    """T5 in 16 bits does not fit 8 GB, whatever is set."""
    job = decided(Job(), 20, 8)
    assert cheapest_change(job, (1024, 1024), typical_card(8), 8) is None


def test_a_change_is_written_as_it_is_typed():
    """As --set takes it."""
    change = {"memory.fp8_base": True, "memory.blocks_to_swap": 12}
    assert as_set(change) == "--set memory.fp8_base=true --set memory.blocks_to_swap=12"
