"""Rendering: right by construction, and read back by the engine as it was meant."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import toml
from hypothesis import HealthCheck, given, settings
from jobs import WEIGHTS, ground, jobs

from loraforge.config.job import Job
from loraforge.engine.options import snapshot
from loraforge.engine.owned import OWNED
from loraforge.engine.render import config_tables, render, repeats, with_word
from loraforge.settings.schema import sections, settings as all_settings

HERE = Path("/runs/a run/it's")


def flat(text: str) -> dict:
    """Read a config.toml as the engine does: its own TOML library, one level of tables flattened."""
    values = {}
    for name, value in toml.loads(text).items():
        values.update(value if isinstance(value, dict) else {name: value})
    return values


def job(**sections_) -> Job:
    """Return a settled job with some values."""
    base = {"training": {"steps": 500}, "memory": {"profile": "24gb", "gradient_checkpointing": True, "fp8_base": True}}
    merged = {name: {**base.get(name, {}), **sections_.get(name, {})} for name in {*base, *sections_}}
    return Job.model_validate(merged)


def config(**sections_) -> dict:
    """Return the flattened config of a job."""
    return flat(render(job(**sections_), ground(HERE)).config)


def test_same_job_same_bytes():
    """Rendering is pure."""
    assert render(job(), ground(HERE)) == render(job(), ground(HERE))


def test_traps_are_closed_by_default():
    """What the engine's defaults do to FLUX in silence is always said explicitly."""
    values = config()
    expected = {
        "timestep_sampling": "flux_shift",
        "model_prediction_type": "raw",
        "guidance_scale": 1.0,
        "network_train_unet_only": True,
        "cache_latents": True,
        "cache_latents_to_disk": True,
        "cache_text_encoder_outputs": True,
        "cache_text_encoder_outputs_to_disk": True,
        "save_precision": "bf16",
        "mixed_precision": "bf16",
        "seed": 42,
        "network_module": "networks.lora_flux",
        "optimizer_args": ["relative_step=False", "scale_parameter=False", "warmup_init=False"],
        "max_grad_norm": 0.0,
    }
    assert {key: values.get(key) for key in expected} == expected


def test_warmup_is_a_whole_number():
    """A float would be read as a share of the run: 50.0 is fifty times its length."""
    values = config(optimizer={"schedule": "constant_with_warmup", "warmup_steps": 50})
    assert values["lr_warmup_steps"] == 50
    assert isinstance(values["lr_warmup_steps"], int)


def test_every_process_moves_the_schedule_on():
    """The engine stretches the whole of it for that, and not the warmup."""
    values = config(
        optimizer={"schedule": "constant_with_warmup", "warmup_steps": 50}, launch={"processes": 2, "gpu_ids": "0,1"}
    )
    assert values["lr_warmup_steps"] == 100


def test_dataset_has_txt_captions_and_true_area_buckets():
    """The engine's default extension finds no caption, its default bucket limit squeezes 3:2 pictures."""
    (dataset,) = toml.loads(render(job(), ground(HERE)).dataset)["datasets"]
    (subset,) = dataset["subsets"]
    assert subset["caption_extension"] == ".txt"
    assert (dataset["max_bucket_reso"], dataset["bucket_reso_steps"], dataset["enable_bucket"]) == (2048, 64, True)
    assert subset["num_repeats"] == 25  # 500 steps of 20 pictures: one epoch


@pytest.mark.parametrize(
    ("values", "pictures", "expected"),
    [({}, 20, 25), ({"batch_size": 4}, 20, 100), ({"repeats": 3}, 20, 3), ({}, 7, 72), ({}, 10_000, 1)],
)
def test_repeats_make_the_run_one_epoch(values, pictures, expected):
    """Batches of one epoch are at least the steps, unless the user sets repeats."""
    assert repeats(job(dataset=values), pictures) == expected


@pytest.mark.parametrize(
    ("values", "absent"),
    [
        ({}, {"discrete_flow_shift", "sigmoid_scale", "blocks_to_swap", "resume", "sample_prompts", "network_args"}),
        ({"timestep_sampling": "flux_shift", "discrete_flow_shift": 2.0}, {"discrete_flow_shift"}),
        ({"timestep_sampling": "uniform", "sigmoid_scale": 2.0}, {"sigmoid_scale"}),
    ],
)
def test_nothing_inert_is_rendered(values, absent):
    """An option that does nothing in this job is left out."""
    assert absent & config(training=values).keys() == set()


def test_huber_gets_a_schedule_that_exists():
    """The engine's default schedule of these losses is not implemented and crashes at step 1."""
    assert config(training={"loss": "huber"})["huber_schedule"] == "constant"


def test_a_run_that_goes_on_needs_not_what_it_began_with():
    """Its weights are in its state; the file may be gone by then."""
    begun = job(engine={"extra": {"network_weights": "begin.safetensors"}})
    assert flat(render(begun, ground(HERE)).config)["network_weights"] == "begin.safetensors"
    going_on = replace(ground(HERE), resume=HERE / "state")
    assert "network_weights" not in flat(render(begun, going_on).config)


def test_lists_stay_lists():
    """A string would be read character by character."""
    values = config(
        network={"targets": "double"}, optimizer={"name": "adamw", "args": {"betas": [0.9, 0.99], "eps": 1e-8}}
    )
    assert values["network_args"] == ["train_blocks=double"]
    assert values["optimizer_args"] == ["betas=0.9,0.99", "eps=1e-08"]


@pytest.mark.parametrize(
    ("prompt", "trigger", "expected"),
    [
        ("{trigger}, a boat", "zx", "zx, a boat"),
        ("{trigger}, a boat", None, "a boat"),
        ("photo of {trigger} on a beach", None, "photo of on a beach"),
        ("{trigger}", None, "a picture"),
    ],
)
def test_trigger_in_prompts(prompt, trigger, expected):
    """The place of the trigger is filled, or closes up."""
    assert with_word(prompt, trigger) == expected


def test_prompts_carry_every_flag_and_no_true_cfg():
    """Sizes, seed and guidance are explicit; --l would be true CFG on a guidance-distilled model."""
    text = render(job(sampling={"prompts": ["a boat"]}, dataset={"trigger": "zx"}), ground(HERE)).prompts
    assert text == "a boat --w 1024 --h 1024 --d 1 --s 20 --g 3.5\n"


def test_keep_last_keeps_that_many():
    """The engine counts in steps: of checkpoints every 100, keeping 3 means 200 steps back."""
    assert config(output={"keep_last": 3}, training={"save_every_steps": 100})["save_last_n_steps"] == 200


def test_every_key_is_one_of_the_engines():
    """All that can be rendered is known to the engine, and owned."""
    full = job(
        model={"tokenizers": "/t"},
        network={"dropout": 0.1, "targets": "double", "train_clip_l": True},
        optimizer={
            "schedule": "cosine_with_restarts",
            "restarts": 2,
            "warmup_steps": 5,
            "text_encoder_learning_rate": 1e-5,
        },
        training={
            "timestep_sampling": "shift",
            "discrete_flow_shift": 3.1,
            "sigmoid_scale": 1.1,
            "loss": "huber",
            "t5_tokens": 256,
        },
        memory={"blocks_to_swap": 4},
        sampling={"prompts": ["a"], "at_start": True},
        output={"keep_last": 2, "metadata": {"author": "a", "license": "b", "description": "c", "tags": ["d"]}},
    )
    rendered = {key for table in config_tables(full, ground(HERE)).values() for key in table}
    assert rendered <= snapshot().keys()
    assert rendered - {"huber_schedule"} <= OWNED.keys()


def test_owned_options_point_at_real_settings():
    """What is refused in [engine] extra names the setting to use instead."""
    known = {*all_settings(), *sections()}
    assert {setting for setting in OWNED.values() if setting not in known and not setting.startswith("the ")} == set()


@given(made=jobs())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_round_trip_through_the_engines_toml(made):
    """Whatever a job says arrives at the engine with its value and its type."""
    rendered = render(made, ground(HERE))
    values = flat(rendered.config)
    options = snapshot()
    assert values.keys() <= options.keys()
    for name, value in values.items():
        option = options[name]
        assert isinstance(value, list) == option.takes_list, name
        if option.type == "bool":
            assert value is True, name
    sent = {key: value for table in config_tables(made, ground(HERE)).values() for key, value in table.items()}
    assert values.keys() == sent.keys()
    for key, value in sent.items():
        equal = math.isclose(values[key], value) if isinstance(value, float) else values[key] == value
        assert equal, (key, value, values[key])
        assert type(values[key]) is type(value), key
    assert values["max_train_steps"] == made.training.steps
    assert toml.loads(rendered.dataset)["datasets"][0]["resolution"] == made.dataset.resolution
    assert values["ae"] == str(WEIGHTS.autoencoder)
