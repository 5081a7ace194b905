"""Round trips: what is rendered, imported, loaded and rendered again is the same training."""

import shlex
import tempfile
import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from loraforge import presets
from loraforge.advice.importer import import_path, import_text
from loraforge.config.job import Job, contradictions
from loraforge.config.optimizer import OptimizerName, Schedule
from loraforge.config.profiles import profile_for, settled
from loraforge.engine.options import snapshot
from loraforge.engine.render import Ground, Rendered, render
from loraforge.engine.weights import Weights
from loraforge.errors import ConfigError
from loraforge.settings import load

_PICTURES = 7


def ground_in(folder: Path) -> Ground:
    """Return a ground with real (empty) pictures in `folder`."""
    staged = folder / "staged"
    staged.mkdir()
    for index in range(_PICTURES):
        (staged / f"{index}.png").touch()
    weights = Weights(*(folder / f"{name}.safetensors" for name in ("flux1-dev", "clip_l", "t5xxl", "ae")))
    return Ground(staged, folder / "out", folder / "dataset.toml", folder / "prompts.txt", weights, _PICTURES)


def write(rendered: Rendered, ground: Ground, folder: Path) -> Path:
    """Write the files of a rendered run; return its config."""
    (folder / "config.toml").write_text(rendered.config, encoding="utf-8")
    ground.dataset_file.write_text(rendered.dataset, encoding="utf-8")
    if rendered.prompts is not None:
        ground.prompts_file.write_text(rendered.prompts, encoding="utf-8")
    return folder / "config.toml"


def trip(job: Job, folder: Path) -> tuple[Job, Rendered, Rendered]:
    """Render a settled job, import it, load the forge.toml, and render that."""
    ground = ground_in(folder)
    before = render(job, ground)
    imported = import_path(write(before, ground, folder))
    (folder / "forge.toml").write_text(imported.toml(), encoding="utf-8")
    back = load(folder / "forge.toml", cwd=folder).job
    back = back.model_copy(update={"memory": settled(back.memory, profile_for(back.memory.profile, None))})
    return back, before, render(back, ground)


def carried(job: Job) -> dict[str, Any]:
    """Return what of a job survives rendering, as docs/import.md lists it."""
    values = job.model_dump(mode="json", exclude={"preset", "model", "launch"})
    values["memory"].pop("profile")
    values["engine"] = {"extra": values["engine"]["extra"]}
    values["dataset"].pop("images")
    for name in ("steps_per_picture", "min_steps", "max_steps"):
        values["training"].pop(name)
    values["output"].pop("dir")
    return values


@pytest.mark.parametrize("name", presets.names())
def test_a_preset_comes_back_from_its_rendering(name: str, tmp_path: Path) -> None:
    """What of a preset is rendered is imported again, value by value, and renders to the same bytes."""
    (tmp_path / "preset.toml").write_text(f'preset = "{name}"\n[dataset]\ntrigger = "zxq"\n', encoding="utf-8")
    job = load(tmp_path / "preset.toml", cwd=tmp_path).job
    job = job.model_copy(
        update={
            "training": job.training.model_copy(update={"steps": 420}),
            "memory": settled(job.memory, profile_for("auto", None)),
        }
    )
    back, before, after = trip(job, tmp_path)
    assert after == before
    assert carried(back) == carried(job)


_LINES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
_WORDS = st.from_regex(r"[a-z]{1,8}( [a-z]{1,8}){0,3}", fullmatch=True)
_NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_ -]{0,20}[A-Za-z0-9_]", fullmatch=True)
_SIDES = st.integers(8, 100).map(lambda n: n * 16)
_RATES = st.floats(1e-7, 9.0, allow_subnormal=False)
_SEEDS = st.integers(0, 2**32 - 1)
_FLAGS = st.booleans()
_ARGUMENTS = st.dictionaries(
    st.sampled_from(["weight_decay", "eps_x", "decouple", "betas", "mode", "n"]),
    _FLAGS
    | st.integers(0, 9)
    | st.floats(0.0, 1.0)
    | st.sampled_from(["fro", "a b"])
    | st.lists(st.floats(0.0, 1.0), min_size=1, max_size=3),
    max_size=3,
)
_EXTRA: dict[str, st.SearchStrategy[Any]] = {
    "lr_scheduler_power": st.floats(1.5, 3.0),
    "flip_aug": st.sampled_from([True]),
    "network_weights": st.just("a b.safetensors"),
    "base_weights": st.just(["x.safetensors", "y z.safetensors"]),
    "scale_weight_norms": st.floats(0.5, 2.0),
    "logit_mean": st.floats(0.1, 1.0),
}


def _optional(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


def _one(names: object) -> st.SearchStrategy[Any]:
    return st.sampled_from(get_args(names))


def _optimizer(draw: st.DrawFn, *, clip: bool) -> dict[str, Any]:
    schedule = draw(_one(Schedule))
    return {
        "name": draw(_one(OptimizerName)),
        "learning_rate": draw(_RATES),
        "text_encoder_learning_rate": draw(_optional(_RATES)) if clip else None,
        "schedule": schedule,
        "restarts": draw(_optional(st.integers(1, 9))) if schedule == "cosine_with_restarts" else None,
        "warmup_steps": draw(_optional(st.integers(1, 99))) if schedule != "constant" else None,
        "max_grad_norm": draw(_optional(st.floats(0.1, 10.0))),
        "args": draw(_ARGUMENTS),
    }


def _training(draw: st.DrawFn, every: int | None) -> dict[str, Any]:
    sampling = draw(st.sampled_from(["sigma", "uniform", "sigmoid", "shift", "flux_shift"]))
    factors = _optional(st.floats(0.1, 9.0))
    return {
        "steps": draw(st.integers(1, 5000)),
        "save_every_steps": every,
        "save_states": draw(_FLAGS) if every else False,
        "gradient_accumulation": draw(st.integers(1, 8)),
        "seed": draw(_SEEDS),
        "precision": draw(st.sampled_from(["bf16", "fp16", "no"])),
        "timestep_sampling": sampling,
        "discrete_flow_shift": draw(factors) if sampling in {"sigma", "shift"} else None,
        "sigmoid_scale": draw(factors) if sampling in {"sigmoid", "shift", "flux_shift"} else None,
        "guidance_scale": draw(st.floats(0.0, 10.0)),
        "model_prediction": draw(st.sampled_from(["raw", "additive", "sigma_scaled"])),
        "loss": draw(st.sampled_from(["l2", "l1", "huber", "smooth_l1"])),
        "t5_tokens": draw(_optional(st.integers(16, 512))),
        "t5_attention_mask": draw(_FLAGS),
        "workers": draw(st.integers(0, 16)),
    }


def _sampling(draw: st.DrawFn, prompts: list[str], unsaid: int) -> dict[str, Any]:
    every = draw(_optional(st.integers(1, 500).filter(lambda steps: steps != unsaid)))
    return {
        "prompts": prompts,
        "every_steps": every,
        "at_start": draw(_FLAGS),
        "width": draw(_SIDES),
        "height": draw(_SIDES),
        "steps": draw(st.integers(1, 50)),
        "guidance": draw(st.integers(0, 70)) / 10,
        "seed": draw(_SEEDS),
    }


def _output(draw: st.DrawFn, every: int | None) -> dict[str, Any]:
    name = draw(_NAMES)
    return {
        "name": name,
        "save_precision": draw(st.sampled_from(["bf16", "fp16", "float"])),
        "keep_last": draw(_optional(st.integers(1, 9))) if every else None,
        "metadata": {
            "title": draw(_optional(_WORDS.filter(lambda title: title != name))),
            "author": draw(_optional(_LINES)),
            "description": draw(_optional(_LINES)),
            "tags": draw(st.lists(_WORDS, max_size=3)),
        },
    }


def _buckets(draw: st.DrawFn) -> dict[str, Any]:
    if not draw(_FLAGS):
        return {"enabled": False}
    step = draw(st.sampled_from([64, 128]))
    return {"enabled": True, "upscale": draw(_FLAGS), "step": step, "min": step, "max": 2048}


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """Draw settled jobs, in the normal form that rendering leaves."""
    clip = draw(_FLAGS)
    t5 = clip and draw(_FLAGS)
    every = draw(_optional(st.integers(1, 500)))
    prompts = draw(st.lists(_WORDS.map(lambda text: f"{{trigger}}, {text}") | _WORDS, max_size=3))
    needs_trigger = any("{trigger}" in prompt for prompt in prompts)
    width, height = draw(_SIDES), draw(_SIDES)
    training = _training(draw, every)
    caches = st.sampled_from(["disk", "memory", "off"])
    values: dict[str, Any] = {
        "dataset": {
            "trigger": "qzx_1" if needs_trigger else draw(_optional(st.just("qzx_1"))),
            "resolution": width if width == height else [width, height],
            "batch_size": draw(st.integers(1, 8)),
            "repeats": draw(_optional(st.integers(1, 50))),
            "buckets": _buckets(draw),
        },
        "network": {
            "rank": draw(st.integers(1, 128)),
            "alpha": draw(st.floats(0.1, 128.0)),
            "dropout": draw(_optional(st.floats(0.01, 0.9))),
            "rank_dropout": draw(_optional(st.floats(0.01, 0.9))),
            "module_dropout": draw(_optional(st.floats(0.01, 0.9))),
            "lora_plus": draw(_optional(st.floats(1, 64))),
            "targets": draw(st.sampled_from(["all", "double", "single"])),
            "train_clip_l": clip,
            "train_t5xxl": t5,
        },
        "optimizer": _optimizer(draw, clip=clip),
        "training": training,
        "memory": {
            "profile": "24gb",
            "gradient_checkpointing": draw(_FLAGS),
            "fp8_base": training["precision"] != "no" and draw(_FLAGS),
            "blocks_to_swap": draw(_optional(st.integers(1, 35))),
            "cache_latents": draw(caches),
            "cache_text_encoders": "off" if t5 else draw(caches),
        },
        "sampling": _sampling(draw, prompts, every or training["steps"]) if prompts else {},
        "output": _output(draw, every),
        "engine": {"extra": draw(st.fixed_dictionaries({}, optional=_EXTRA))},
    }
    job = Job.model_validate(values)
    assert not list(contradictions(job))
    return job


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(jobs())
def test_any_settled_job_comes_back_from_its_rendering(job: Job) -> None:
    """Whatever is rendered is imported again, value by value, and renders to the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        back, before, after = trip(job, Path(folder))
    assert after == before
    ours, theirs = carried(job), carried(back)
    # A repeats of just one epoch comes back as none: it renders to the same.
    for values in (ours, theirs):
        values["dataset"].pop("repeats")
    assert theirs == ours


def as_command(config: str) -> str:
    """Write a config.toml as the command that blogs show: a comment behind every continuation."""
    lines = ["accelerate launch flux_train_network.py"]
    for table in tomllib.loads(config).values():
        for name, value in table.items():
            if isinstance(value, list):
                words = [f"--{name}", *value]
            else:  # joined by =, since a text may begin with a hyphen
                words = [f"--{name}" if value is True else f"--{name}={value}"]
            lines.append(shlex.join(map(str, words)))
    return " \\  # so it says\n  ".join(lines) + "\n"


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(jobs())
def test_the_same_run_as_a_broken_command_is_the_same_training(job: Job) -> None:
    """What the engine would be told in a file and on a command line imports alike, whatever comments break it."""
    with tempfile.TemporaryDirectory() as name:
        ground = ground_in(Path(name))
        before = render(job, ground)
        write(before, ground, Path(name))
        imported = import_text(as_command(before.config), name="it", base=Path(name), options=snapshot())
        back = Job.model_validate(imported.values)
        back = back.model_copy(update={"memory": settled(back.memory, profile_for(back.memory.profile, None))})
        assert render(back, ground) == before
    assert "comment-after-continuation" in {finding.code for finding in imported.findings}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is empty"),
        ("   \n\n", "is empty"),
        ("hello world", "no option"),
        ("{}", "no option"),
        ("[1, 2]", "no option"),
        ("--no_such_thing 1", "no option"),
        ('preset = "style"\n[network]\nrank = 8\n', "is a forge.toml already"),
        ("a = [1, 2\n", "Unclosed array"),
        ("x" * (1 << 20) + "--seed 1", "mebibyte"),
    ],
)
def test_what_is_no_recipe_is_refused_with_a_reason(text: str, part: str) -> None:
    """Nothing to import is a usage error that says why."""
    with pytest.raises(ConfigError) as caught:
        import_text(text, name="it", base=None, options=snapshot())
    assert part in caught.value.message
    assert caught.value.exit_code == 2
