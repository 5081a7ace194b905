"""What a supervisor watches for: a loss that left all bounds, an engine that fell silent, a disk that fills up."""

import math
import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loraforge.engine.events import Event, Measured, Phase, PhaseStarted, Problem, Step
from loraforge.run.ends import Verdict

# Seconds of silence after which something is wrong. Loading reads up to 35 GB from a disk that may be slow; hashing
# reads 24 GB without a word; a sample at 1024 x 1024 shows a bar of its own.
SILENCE: Mapping[Phase, float] = {
    "starting": 600.0,
    "loading": 1800.0,
    "caching-latents": 900.0,
    "caching-text": 1800.0,
    "hashing": 1800.0,
    "training": 900.0,
    "sampling": 1800.0,
    "saving": 900.0,
    "finishing": 600.0,
}
_STEPS_OF_SILENCE = 20  # a machine that is slow at each step may be silent for longer
_SETTLED = 20  # steps after which the engine's mean over the whole run no longer wanders
_WINDOW = 50  # steps whose exact losses make a mean that shows late what the engine's no longer does
_EXPLODED = 3.0  # times the lowest settled mean; one step must have been many times that
_NAMED = 4  # pictures of a batch, at most, that are named
_DISK_EVERY = 5.0  # seconds
_ASLEEP = 60.0  # seconds between two looks, which are half a second apart
_SPARE = 64 * 2**20  # bytes left to the rest of the machine


@dataclass(frozen=True, slots=True)
class Limits:
    """What the watch tolerates.

    Attributes:
        silence: seconds without output by phase.
        exploded: how many times its lowest the mean loss may become.
        spare: bytes that stay free beside the next save.
    """

    silence: Mapping[Phase, float] = field(default_factory=lambda: SILENCE)
    exploded: float = _EXPLODED
    spare: int = _SPARE


class Watch:
    """Looks at what happens and says when the engine has to be ended.

    Args:
        output: where the engine saves; None leaves the disk unwatched.
        rate: the learning rate at a step, to be told with a loss that explodes.
        limits: what is tolerated.
        free: bytes free on the disk of a folder.
    """

    def __init__(
        self,
        output: Path | None = None,
        *,
        rate: Callable[[int], float | None] = lambda _step: None,
        limits: Limits | None = None,
        free: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    ) -> None:
        self._output, self._rate, self._limits, self._free = output, rate, limits or Limits(), free
        self._phase: Phase = "starting"
        self._heard: float | None = None
        self._looked = math.inf
        self._warned = False
        self._pace = 0.0
        self._whole, self._late = _Lowest(), _Lowest()
        self._recent: deque[float] = deque(maxlen=_WINDOW)
        self._verdict: Verdict | None = None
        self._disk_at: float | None = None

    def take(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, PhaseStarted):
            self._phase = event.phase
        elif isinstance(event, Step):
            self._pace = event.seconds_per_step or self._pace
            if event.average_loss is not None:
                self._loss(event.step, event.average_loss, self._rate(event.step))
                if event.step >= _SETTLED:
                    self._mean(self._whole, event.step, event.average_loss, self._rate(event.step))
        elif isinstance(event, Measured):
            rate = event.learning_rate if event.learning_rate is not None else self._rate(event.step)
            self._loss(event.step, event.loss, rate, event.pictures)
            self._recent.append(event.loss)
            if len(self._recent) == _WINDOW:
                self._mean(self._late, event.step, sum(self._recent) / _WINDOW, rate)

    def heard(self, now: float) -> None:
        """Take note of output, whatever it says."""
        self._heard, self._warned = now, False

    def look(self, now: float) -> Verdict | Problem | None:
        """Return a verdict that ends the engine, a warning to be told, or None."""
        if self._verdict is not None:
            return self._verdict
        return self._silence(now) or self._disk(now)

    def _loss(self, step: int, loss: float, rate: float | None, pictures: Sequence[str] = ()) -> None:
        if math.isfinite(loss) or self._verdict is not None:
            return
        on = f" on {', '.join(pictures[:_NAMED])}" if pictures else ""
        seen = f"the loss became {loss} at step {step}{on}{_at(rate)}"
        if step == 1:
            seen += ": nothing was learnt before, so that the weights or the precision are at fault"
        self._verdict = Verdict("diverged", seen)

    def _mean(self, lowest: "_Lowest", step: int, mean: float, rate: float | None) -> None:
        if mean > lowest.mean * self._limits.exploded and self._verdict is None:
            rose = f"the mean loss rose from {lowest.mean:.3g} (step {lowest.step}) to {mean:.3g} at step {step}"
            self._verdict = Verdict("diverged", f"{rose}{_at(rate)}: the run is diverging")
        elif mean < lowest.mean:
            lowest.mean, lowest.step = mean, step

    def _silence(self, now: float) -> Verdict | Problem | None:
        asleep = now - self._looked
        self._looked = now
        if self._heard is None:
            self._heard = now
        elif asleep > _ASLEEP:  # the machine was, or loraforge itself was stopped: not the engine's silence
            self._heard = min(now, self._heard + asleep)
        silent = now - self._heard
        limit = self._limits.silence[self._phase]
        if self._phase == "training":
            limit = max(limit, self._pace * _STEPS_OF_SILENCE)
        if silent >= limit:
            self._verdict = Verdict("stalled", f"the engine said nothing for {silent:.0f} s while {self._phase}")
            return self._verdict
        if silent >= limit / 2 and not self._warned:
            self._warned = True
            rest = limit - silent
            return Problem("warning", f"no word from the engine for {silent:.0f} s; it is ended after {rest:.0f} more")
        return None

    def _disk(self, now: float) -> Verdict | None:
        if self._output is None or (self._disk_at is not None and now - self._disk_at < _DISK_EVERY):
            return None
        self._disk_at = now
        try:
            free, wanted = self._free(self._output), next_save(self._output) + self._limits.spare
        except OSError:
            return None
        if free >= wanted:
            return None
        cause = (
            f"{free / 1e6:.0f} MB are free and the next save needs {wanted / 1e6:.0f}: stopped before the disk is full"
        )
        self._verdict = Verdict("disk-full", cause)
        return self._verdict


@dataclass
class _Lowest:
    mean: float = math.inf
    step: int = 0


def _at(rate: float | None) -> str:
    return f" at a learning rate of {rate:.3g}" if rate is not None else ""


def next_save(output: Path) -> int:
    """Return the bytes of the next checkpoint and state, judged by the last ones; 0 before there are any."""
    loras = sorted(output.glob("*.safetensors"), key=lambda path: path.name)
    states = sorted(path for path in output.glob("*-state") if path.is_dir())
    lora = loras[-1].stat().st_size if loras else 0
    return lora + (sum(path.stat().st_size for path in states[-1].iterdir()) if states else 0)


def enough_space(folder: Path, needed: int, *, free: Callable[[Path], int] | None = None) -> str | None:
    """Say what is missing for a run before it starts; None if nothing is.

    Args:
        folder: where it will write; need not exist yet.
        needed: bytes that it writes at most.
        free: bytes free on the disk of a folder.
    """
    free = free or (lambda path: shutil.disk_usage(path).free)
    place = next(path for path in (folder, *folder.parents) if path.exists())
    there = free(place)
    if there >= needed + _SPARE:
        return None
    return f"{place}: {there / 1e9:.1f} GB are free, and the run writes up to {needed / 1e9:.1f} GB"
