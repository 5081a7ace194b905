"""Plain lines, for logs and pipes: few enough to read afterwards."""

import time
from collections.abc import Callable
from typing import IO

from loraforge.engine.events import (
    CheckpointSaved,
    Event,
    ModelSaved,
    NoData,
    PhaseStarted,
    Problem,
    SamplesStarted,
    Step,
)
from loraforge.report.state import DOING, RunState, clock_text, pace_text

_STEP_SHARE = 20  # a line every twentieth of the way ...
_STEP_SECONDS = 10.0  # ... but none sooner than this after the one before
_STILL_SECONDS = 60.0


class PlainView:
    """One line a phase, a checkpoint and a problem; training tells its steps now and then.

    Args:
        stream: receives the lines.
        clock: seconds, never going back.
    """

    def __init__(self, stream: IO[str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._state = RunState(since=clock())
        self._told_step = 0
        self._told_at = clock()
        self._seen: set[str] = set()

    def handle(self, event: Event) -> None:
        """Write what is worth a line."""
        now = self._clock()
        self._state.take(event, now)
        match event:
            case PhaseStarted(phase=phase) if phase not in {"sampling", "saving"}:  # each of these tells more below
                if phase not in self._seen:  # training comes back after every sample
                    self._write(DOING[phase])
                self._seen.add(phase)
            case Step(average_loss=float()):
                self._step(now)
            case SamplesStarted(step=step):
                self._write(f"drawing samples at step {step}")
            case CheckpointSaved(path=path):
                self._write(f"saved {path}")
            case Problem(level=level, text=text):
                self._write(f"{level}: {text}")
            case NoData():
                self._write("error: the engine found no pictures")
            case ModelSaved():
                self._write("the engine says: model saved")
            case _:
                pass

    def tick(self, now: float) -> None:
        """Write a line now and then while the engine is silent."""
        if now - self._told_at >= _STILL_SECONDS:
            self._write(f"still {DOING[self._state.phase]}, {clock_text(now - self._state.since)}")

    def close(self) -> None:
        """Do nothing: the stream is the caller's."""

    def _step(self, now: float) -> None:
        state = self._state
        share = (state.step - self._told_step) * _STEP_SHARE >= state.steps
        last = state.step == state.steps
        if not last and (not share or now - self._told_at < _STEP_SECONDS) and now - self._told_at < _STILL_SECONDS:
            return
        self._told_step = state.step
        pace, eta = state.seconds_per_step, state.eta_seconds
        parts = [f"step {state.step}/{state.steps}"]
        parts += [pace_text(pace)] if pace is not None else []
        parts += [f"{clock_text(eta)} left"] if eta else []
        parts += [f"average loss {state.losses[-1]:.4g}"]
        self._write(", ".join(parts))

    def _write(self, text: str) -> None:
        self._told_at = self._clock()
        self._stream.write(text + "\n")
        self._stream.flush()
