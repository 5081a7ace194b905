"""What can happen while the engine runs: the words that the parser, the supervisor and the views share."""

from dataclasses import dataclass
from typing import Literal

from loraforge.engine.lines import Stream

Phase = Literal[
    "starting", "loading", "caching-latents", "caching-text", "hashing", "training", "sampling", "saving", "finishing"
]
FactKey = Literal["examples", "batches-per-epoch", "epochs", "total-steps"]


@dataclass(frozen=True, slots=True)
class Line:
    """Anything the engine said that is not a progress bar, without time stamps and padding."""

    text: str
    stream: Stream


@dataclass(frozen=True, slots=True)
class PhaseStarted:
    """The engine turned to something else."""

    phase: Phase


@dataclass(frozen=True, slots=True)
class Progress:
    """A progress bar other than the training's: pictures cached, or steps of one sample."""

    phase: Phase
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Facts:
    """A number from the header that the engine prints before training."""

    key: FactKey
    value: int


@dataclass(frozen=True, slots=True)
class Step:
    """Optimizer steps done, told as a step ends and once more when its loss is known.

    Attributes:
        step: counted from the start of the training, also when a run was resumed.
        total: the step at which training ends.
        seconds_per_step: what the engine's bar says, which takes out the time since it was last drawn whenever a step
            begins: right for steps of a second and more, far too little for a toy model's. `Measured` is exact.
        average_loss: the engine's own mean over the epoch so far, 3 digits; None while the bar still shows the
            figure of the step before. It is too coarse to recover the loss of one step from it.
        learning_rate: None unless the engine prints it; sd-scripts does not.
    """

    step: int
    total: int
    seconds_per_step: float | None
    average_loss: float | None
    learning_rate: float | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """Exact figures of one optimizer step, from inside the engine's process; only where the shim runs.

    Attributes:
        step: counted from the start of the training, also when a run was resumed.
        loss: of this step alone; the mean of its batches with gradient accumulation.
        learning_rate: the rate it was learnt with; None where the optimizer finds it itself.
        seconds: since the step before, samples and saves included.
        allocated_gib: most GPU memory held by tensors so far; None without a GPU.
        reserved_gib: most GPU memory taken from the card so far; None without a GPU.
        pictures: names of those that were learnt from; empty where the engine does not tell.
    """

    step: int
    loss: float
    learning_rate: float | None
    seconds: float
    allocated_gib: float | None = None
    reserved_gib: float | None = None
    pictures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """The file is complete: the engine went on to something else."""

    path: str


@dataclass(frozen=True, slots=True)
class StateSaved:
    """A state to resume from is complete."""

    step: int


@dataclass(frozen=True, slots=True)
class SamplesStarted:
    """Sample pictures are being drawn; no line of the engine names their files."""

    step: int


@dataclass(frozen=True, slots=True)
class Problem:
    """A warning or an error, or a traceback whole."""

    level: Literal["warning", "error", "traceback"]
    text: str


@dataclass(frozen=True, slots=True)
class ModelSaved:
    """The engine's only mark of success."""


@dataclass(frozen=True, slots=True)
class NoData:
    """The engine found no pictures; it will exit 0 without having trained."""


Event = (
    Line
    | PhaseStarted
    | Progress
    | Facts
    | Step
    | Measured
    | CheckpointSaved
    | StateSaved
    | SamplesStarted
    | Problem
    | ModelSaved
    | NoData
)
