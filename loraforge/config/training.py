"""[training]: how long, how often saved, and what is learnt at each step."""

from typing import Annotated, Literal

from pydantic import Field

from loraforge.config.base import Section, Seed, Steps


class Training(Section):
    """Length, checkpoints and objective of the run."""

    steps: Steps | None = None
    """Optimizer steps of the whole run; None takes steps_per_picture x pictures, within min_steps and max_steps."""

    steps_per_picture: Annotated[int, Field(ge=1, le=10_000)] = 20
    """Steps each picture earns when steps is None."""

    min_steps: Steps = 300
    """The fewest steps that a run of unstated length takes."""

    max_steps: Steps = 600
    """The most steps that a run of unstated length takes."""

    save_every_steps: Steps | None = 100
    """A checkpoint every so many steps, to choose from afterwards; None saves only the end."""

    save_states: bool = True
    """Keep the optimizer's state beside each checkpoint, so that an interrupted run can go on."""

    gradient_accumulation: Annotated[int, Field(ge=1, le=256)] = 1
    """Batches averaged before each optimizer step; a larger batch at the memory of a small one."""

    seed: Seed = 42
    """Seed of every random choice, 0 to 2^32 - 1; the same seed repeats the same run."""

    precision: Literal["bf16", "fp16", "no"] = "bf16"
    """Arithmetic of the run; fp16 gives NaN with FLUX for many, `no` loads 47 GB of fp32 weights."""

    timestep_sampling: Literal["sigma", "uniform", "sigmoid", "shift", "flux_shift"] = "flux_shift"
    """How noise levels are drawn; flux_shift follows the resolution as FLUX itself does."""

    discrete_flow_shift: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    """Shift of the `shift` and `sigma` samplings; None is the engine's 3.0. flux_shift ignores it."""

    sigmoid_scale: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    """Width of sigmoid, shift and flux_shift sampling; None is the engine's 1.0."""

    guidance_scale: Annotated[float, Field(ge=0.0, le=100.0)] = 1.0
    """Guidance fed to FLUX.1-dev while training; 1.0 is what the engine's documentation recommends."""

    model_prediction: Literal["raw", "additive", "sigma_scaled"] = "raw"
    """How the output becomes a prediction; raw is the one that matches FLUX's target."""

    loss: Literal["l2", "l1", "huber", "smooth_l1"] = "l2"
    """The loss function."""

    t5_tokens: Annotated[int, Field(ge=16, le=512)] | None = None
    """Length of the T5 prompt in tokens, 16 to 512; None is 512 for flux-dev and 256 for flux-schnell."""

    t5_attention_mask: bool = False
    """Mask padding in T5's attention; the same must then be done when the LoRA is used."""

    workers: Annotated[int, Field(ge=0, le=64)] = 1
    """Data-loading processes, 0 to 64; with both caches on one is plenty, and each costs memory."""
