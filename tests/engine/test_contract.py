"""The contract with sd-scripts: its real parser and dataset sanitizer read what is rendered."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest
from jobs import WEIGHTS, ground

from loraforge.config.definite import definite
from loraforge.config.profiles import PROFILES, settled
from loraforge.engine.render import render
from loraforge.presets import names
from loraforge.settings import load

PROBE = Path(__file__).with_name("contract_probe.py")
CASES = [(preset, profile.name) for preset, profile in product(names(), PROFILES)]


def settled_job(preset: str, profile: str):
    """Return a preset's job settled for a profile."""
    flags = {
        "dataset.images": ("test", "/pics"),
        "dataset.trigger": ("test", "zx_q"),
        "memory.profile": ("test", profile),
    }
    return definite(load(None, preset=preset, flags=flags, cwd=Path.cwd()).job, 20, None)


@pytest.fixture(scope="module")
def readings(engine_home, tmp_path_factory):
    """Let the engine read every preset at every profile: one child for all, since importing it takes seconds."""
    folder = tmp_path_factory.mktemp("contract")
    orders = []
    for preset, profile in CASES:
        home = folder / f"{preset} {profile}"  # a space in every path
        home.mkdir()
        rendered = render(settled_job(preset, profile), ground(home))
        for name, text in (("config.toml", rendered.config), ("dataset.toml", rendered.dataset)):
            (home / name).write_text(text, encoding="utf-8")
        orders.append({"config": str(home / "config.toml"), "dataset": str(home / "dataset.toml")})
    done = subprocess.run(
        [sys.executable, str(PROBE), str(engine_home.path)],
        input=json.dumps(orders),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(zip(CASES, json.loads(done.stdout), strict=True))


@pytest.mark.engine
@pytest.mark.parametrize(("preset", "profile"), CASES)
def test_the_engine_reads_what_the_job_says(readings, preset, profile):
    """No unknown key, no wrong type or choice, and the values are the job's."""
    reading, job = readings[preset, profile], settled_job(preset, profile)
    assert reading["faults"] == []
    args, dataset, subset = reading["args"], reading["dataset"], reading["subset"]
    assert (args["network_dim"], args["network_alpha"]) == (job.network.rank, job.network.alpha)
    assert (args["learning_rate"], args["lr_scheduler"]) == (job.optimizer.learning_rate, job.optimizer.schedule)
    assert (args["max_train_steps"], args["seed"]) == (job.training.steps, job.training.seed)
    assert (args["fp8_base"], args["gradient_checkpointing"]) == (
        job.memory.fp8_base,
        job.memory.gradient_checkpointing,
    )
    assert args["blocks_to_swap"] == job.memory.blocks_to_swap
    assert (args["timestep_sampling"], args["model_prediction_type"], args["guidance_scale"]) == (
        "flux_shift",
        "raw",
        1.0,
    )
    assert args["pretrained_model_name_or_path"] == str(WEIGHTS.transformer)
    assert dataset["resolution"] == [job.dataset.resolution] * 2
    assert (dataset["batch_size"], dataset["enable_bucket"], dataset["max_bucket_reso"]) == (1, True, 2048)
    assert (subset["caption_extension"], subset["num_repeats"] * 20 >= job.training.steps) == (".txt", True)


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_a_profile_settles_what_is_left_open(profile):
    """A profile decides every open memory setting; what the user set stays."""
    memory = load(None, preset="style", cwd=Path.cwd()).job.memory
    made = settled(memory, profile)
    assert (made.profile, made.gradient_checkpointing, made.fp8_base, made.blocks_to_swap) == (
        profile.name,
        profile.gradient_checkpointing,
        profile.fp8_base,
        profile.blocks_to_swap,
    )
    assert settled(memory.model_copy(update={"fp8_base": False}), profile).fp8_base is False
