"""[optimizer]: the update rule and the learning-rate schedule."""

from typing import Annotated, Literal

from pydantic import Field

from loraforge.config.base import Rate, Section

OptimizerName = Literal[
    "adafactor", "adamw", "adamw8bit", "paged-adamw8bit", "lion", "lion8bit", "prodigy", "adamw-schedule-free"
]
Schedule = Literal["constant", "constant_with_warmup", "linear", "cosine", "cosine_with_restarts", "polynomial"]
ArgValue = bool | int | float | str | list[float] | None


class Optimizer(Section):
    """How weights are updated and how the rate moves over the run."""

    name: OptimizerName = "adafactor"
    """The update rule; adafactor needs the least memory, adamw8bit and its kin need bitsandbytes and a GPU."""

    learning_rate: Rate = 1e-4
    """Step size, above 0; what counts is (alpha / rank) x learning_rate. Prodigy wants 1.0."""

    text_encoder_learning_rate: Rate | None = None
    """Step size of adapted text encoders; None uses learning_rate."""

    schedule: Schedule = "constant"
    """The course of the learning rate over the run."""

    restarts: Annotated[int, Field(ge=1, le=100)] | None = None
    """Cycles of cosine_with_restarts, 1 to 100; None is one cycle. Other schedules take none."""

    warmup_steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Steps over which the rate rises from zero; None starts at full rate. `constant` takes none."""

    max_grad_norm: Annotated[float, Field(gt=0.0, le=1000.0)] | None = None
    """Gradients are clipped to this norm; None clips nothing, the engine's advice for adafactor (it clips itself)."""

    args: dict[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")], ArgValue] = {}
    """Further arguments of the optimizer's constructor, for example { weight_decay = 0.01, betas = [0.9, 0.99] }."""
