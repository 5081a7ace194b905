"""A run's diary, events.ndjson: what happened and when, the memory it took, and where it ran."""

import importlib.metadata
import json
import platform
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Protocol

from loraforge import __version__
from loraforge.engine.events import Event, Line
from loraforge.machine.gpu import gpus
from loraforge.machine.host import host
from loraforge.run.plan import RunPlan

_PACKAGES = ("torch", "accelerate", "diffusers", "transformers", "safetensors", "bitsandbytes")
_MEMORY_EVERY = 5.0  # seconds


class _View(Protocol):
    def handle(self, event: Event) -> None: ...

    def tick(self, now: float) -> None: ...


class Diarist:
    """Passes events on to a view and writes each with its time; plain lines are in the raw log already.

    A view that fails, since its terminal was closed, is left alone from then on: the run goes on, or ends, in order.

    Args:
        view: shows the run.
        file: the open diary.
        as_json: makes an event's JSON form.
        surroundings: where the run takes place, written first.
        gpu_gib: memory in use on the card, written every few seconds.
        unheard: called when who listened to the view is gone.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        view: _View,
        file: IO[str],
        as_json: Callable[[Event], Mapping[str, object]],
        *,
        surroundings: Mapping[str, str],
        gpu_gib: Callable[[], float | None] = lambda: None,
        unheard: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._unheard, self._shows = unheard, True
        self._view, self._file, self._as_json, self._gpu_gib, self._clock = view, file, as_json, gpu_gib, clock
        self._looked = 0.0
        self._write({"event": "surroundings", **surroundings})

    def handle(self, event: Event) -> None:
        """Take an event."""
        if not isinstance(event, Line):
            self._write(self._as_json(event))
        self._show(lambda: self._view.handle(event))

    def tick(self, now: float) -> None:
        """Take note of passing time."""
        if now - self._looked >= _MEMORY_EVERY:
            self._looked = now
            gib = self._gpu_gib()
            if gib is not None:
                self._write({"event": "memory", "gpu_gib": round(gib, 3)})
        self._show(lambda: self._view.tick(now))

    def _show(self, act: Callable[[], None]) -> None:
        if not self._shows:
            return
        try:
            act()
        except BrokenPipeError:  # a program that has ended
            self._shows = False
            self._unheard()
        except OSError:  # a terminal; where that is to end the run, SIGHUP says so
            self._shows = False

    def _write(self, entry: Mapping[str, object]) -> None:
        with suppress(OSError):  # a full disk must not end a run, nor hide how it ended
            self._file.write(json.dumps({**entry, "at": round(self._clock(), 3)}) + "\n")
            self._file.flush()


def surroundings(plan: RunPlan) -> dict[str, str]:
    """Return where a run takes place, ready to be shown; names no user, host or folder."""
    home = plan.ready.home
    found = {"loraforge": __version__, "system": f"{platform.system()} {platform.machine()}"}
    if home is not None:
        found["sd-scripts"] = (home.commit or "not a git checkout") + (
            "" if home.is_pinned else " (not the tested one)"
        )
    else:
        found["engine"] = "embedded"
    if plan.job.engine.python is None:  # another Python's packages are not ours to see
        found["Python"] = platform.python_version()
        for name in _PACKAGES:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                continue
    found["memory"] = f"{host().ram_gib:.1f} GiB"
    for gpu in gpus() if plan.job.launch.device != "cpu" else ():
        found[f"GPU {gpu.index}"] = f"{gpu.name}, {gpu.total_gib:.1f} GiB, driver {gpu.driver}"
    return found
