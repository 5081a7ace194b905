"""Jobs and grounds for rendering tests, and hypothesis strategies for them."""

from pathlib import Path

from hypothesis import strategies as st

from loraforge.config.job import Job, contradictions
from loraforge.engine.render import Ground
from loraforge.engine.weights import Weights

WEIGHTS = Weights(
    Path("/m/flux1-dev.safetensors"),
    Path("/m/clip_l.safetensors"),
    Path("/m/t5.safetensors"),
    Path("/m/ae.safetensors"),
)


def ground(folder: Path, pictures: int = 20) -> Ground:
    """Return a ground in a folder."""
    return Ground(
        dataset_dir=folder / "dataset",
        output_dir=folder / "output",
        dataset_file=folder / "dataset.toml",
        prompts_file=folder / "prompts.txt",
        weights=WEIGHTS,
        pictures=pictures,
    )


_LINES = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=30)
_PROMPTS = _LINES.filter(lambda text: not text.startswith(("#", "--")))
_STEPS = st.integers(1, 5000)


@st.composite
def jobs(draw: st.DrawFn) -> Job:
    """Draw a settled job that contradicts nothing."""
    schedule = draw(st.sampled_from(["constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts"]))
    buckets = draw(st.booleans())
    values = {
        "dataset": {
            "trigger": draw(st.none() | st.from_regex(r"\A[a-z]{3,8}_[a-z0-9]{1,4}\Z")),
            "resolution": draw(st.sampled_from([512, 768, 1024, [832, 1216]])),
            "batch_size": draw(st.integers(1, 8)),
            "repeats": draw(st.none() | st.integers(1, 50)),
            "buckets": {"enabled": buckets, "upscale": draw(st.booleans())},
        },
        "network": {
            "rank": draw(st.integers(1, 128)),
            "alpha": draw(st.floats(0.5, 128)),
            "dropout": draw(st.none() | st.floats(0.01, 0.9)),
            "rank_dropout": draw(st.none() | st.floats(0.01, 0.9)),
            "module_dropout": draw(st.none() | st.floats(0.01, 0.9)),
            "lora_plus": draw(st.none() | st.floats(1, 64)),
            "targets": draw(st.sampled_from(["all", "double", "single"])),
            "train_clip_l": draw(st.booleans()),
        },
        "optimizer": {
            "name": draw(st.sampled_from(["adafactor", "adamw", "adamw8bit", "prodigy", "lion"])),
            "learning_rate": draw(st.floats(1e-7, 1.0)),
            "schedule": schedule,
            "warmup_steps": None if schedule == "constant" else draw(st.none() | _STEPS),
            "restarts": draw(st.none() | st.integers(1, 9)) if schedule == "cosine_with_restarts" else None,
            "max_grad_norm": draw(st.none() | st.floats(0.1, 10)),
            "args": draw(
                st.fixed_dictionaries({}, optional={"weight_decay": st.floats(0, 1), "betas": st.just([0.9, 0.99])})
            ),
        },
        "training": {
            "steps": draw(_STEPS),
            "save_every_steps": draw(st.none() | _STEPS),
            "save_states": draw(st.booleans()),
            "gradient_accumulation": draw(st.integers(1, 8)),
            "seed": draw(st.integers(0, 2**32 - 1)),
            "timestep_sampling": draw(st.sampled_from(["sigma", "uniform", "sigmoid", "shift", "flux_shift"])),
            "discrete_flow_shift": draw(st.none() | st.floats(0.5, 10)),
            "guidance_scale": draw(st.floats(0, 10)),
            "loss": draw(st.sampled_from(["l2", "l1", "huber", "smooth_l1"])),
            "workers": draw(st.integers(0, 4)),
        },
        "memory": {
            "profile": "24gb",
            "gradient_checkpointing": draw(st.booleans()),
            "fp8_base": draw(st.booleans()),
            "blocks_to_swap": draw(st.none() | st.integers(1, 35)),
            "cache_latents": draw(st.sampled_from(["disk", "memory", "off"])),
            "cache_text_encoders": draw(st.sampled_from(["disk", "memory", "off"])),
        },
        "sampling": {"prompts": draw(st.lists(_PROMPTS, max_size=3)), "at_start": draw(st.booleans())},
        "output": {
            "name": draw(
                st.from_regex(r"\A[a-zA-Z0-9 äß'_-]{1,20}[a-z]\Z").filter(lambda name: not name.startswith(" "))
            ),
            "keep_last": draw(st.none() | st.integers(1, 9)),
            "metadata": {"title": draw(st.none() | _LINES), "tags": draw(st.lists(_LINES, max_size=3))},
        },
    }
    job = Job.model_validate(values)
    assert not list(contradictions(job))
    return job
