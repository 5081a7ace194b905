"""Where a run stands, as far as its events have told; what the console views draw from."""

from dataclasses import dataclass, field
from pathlib import PurePath

from loraforge.engine.events import (
    CheckpointSaved,
    Event,
    Facts,
    Measured,
    Phase,
    PhaseStarted,
    Progress,
    SamplesStarted,
    StateSaved,
    Step,
)

# What a phase is called while it lasts; each reads well after "still".
DOING: dict[Phase, str] = {
    "starting": "starting the engine",
    "loading": "loading the models",
    "caching-latents": "caching the pictures' latents",
    "caching-text": "caching the captions' text encodings",
    "hashing": "hashing the base model",
    "training": "training",
    "sampling": "drawing samples",
    "saving": "saving",
    "finishing": "finishing",
}


@dataclass(slots=True)
class RunState:
    """Updated by `take`; times are those of the view's clock, in seconds.

    Attributes:
        visits: the phases in the order in which they began, each with the seconds of all its visits so far,
            without the current one's.
        losses: the engine's running mean after each step that told one.
        timed: steps whose exact time is known; from then on the pace is theirs, not that of the engine's bar.
        timed_seconds: of all of them but the first.
    """

    phase: Phase = "starting"
    since: float = 0.0
    done: int = 0
    of: int = 0
    step: int = 0
    steps: int = 0
    seconds_per_step: float | None = None
    learning_rate: float | None = None
    checkpoint: str | None = None
    state_step: int | None = None
    sample_step: int | None = None
    visits: dict[Phase, float] = field(default_factory=dict)
    losses: list[float] = field(default_factory=list)
    timed: int = 0
    timed_seconds: float = 0.0

    def take(self, event: Event, now: float) -> None:
        """Take one event that happened at `now`."""
        match event:
            case PhaseStarted(phase=phase):
                self.visits[self.phase] = self.visits.get(self.phase, 0.0) + now - self.since
                self.phase, self.since, self.done, self.of = phase, now, 0, 0
            case Progress(done=done, total=total):
                self.done, self.of = done, total
            case Facts(key="total-steps", value=value):
                self.steps = value
            case Step():
                self._step(event)
            case Measured(seconds=seconds):
                self._pace(seconds)
            case CheckpointSaved(path=path):
                self.checkpoint = PurePath(path).name
            case StateSaved(step=step):
                self.state_step = step
            case SamplesStarted(step=step):
                self.sample_step = step
            case _:
                pass

    @property
    def eta_seconds(self) -> float | None:
        """Seconds until the last step at the pace so far; None before there is a pace."""
        return None if self.seconds_per_step is None else self.seconds_per_step * (self.steps - self.step)

    def _pace(self, seconds: float) -> None:
        """Take the mean of the measured steps but the first, which warms up and compiles."""
        self.timed_seconds += seconds if self.timed else 0.0
        self.seconds_per_step = self.timed_seconds / self.timed if self.timed else seconds
        self.timed += 1

    def _step(self, event: Step) -> None:
        self.step, self.steps = event.step, event.total
        if not self.timed:
            self.seconds_per_step = event.seconds_per_step or self.seconds_per_step
        self.learning_rate = event.learning_rate or self.learning_rate
        if event.average_loss is not None:
            self.losses.append(event.average_loss)


def clock_text(seconds: float) -> str:
    """Return `14 s`, `3:05 min` or `1:02 h`."""
    whole = round(max(seconds, 0.0))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes}:{rest:02d} min" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d} h"


def pace_text(seconds_per_step: float) -> str:
    """Return `2.04 s/it`."""
    return f"{seconds_per_step:.2f} s/it" if seconds_per_step < 100 else f"{seconds_per_step:.0f} s/it"
