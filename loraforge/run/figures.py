"""The exact figures that the shim writes, as events."""

import json
from pathlib import Path
from typing import Protocol

from loraforge.engine.events import Event, Measured

_GIB = 2**30


class _View(Protocol):
    def handle(self, event: Event) -> None: ...

    def tick(self, now: float) -> None: ...


class Figures:
    """Passes events on to a view, and with each tick what has been measured since.

    Args:
        view: shows the run.
        path: the file that the shim appends to; it may not exist, and what it holds already is of an earlier start.
        first_step: steps done before this start, which the shim does not count.
    """

    def __init__(self, view: _View, path: Path, *, first_step: int = 0) -> None:
        self._view, self._path, self._first_step = view, path, first_step
        self._read = path.stat().st_size if path.exists() else 0

    def handle(self, event: Event) -> None:
        """Take an event."""
        self._view.handle(event)

    def tick(self, now: float) -> None:
        """Pass on what has been written since, and the time."""
        for event in self.fresh():
            self._view.handle(event)
        self._view.tick(now)

    def fresh(self) -> list[Measured]:
        """Return the steps whose lines are complete and have not been returned before."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                whole, newline, _ = file.read().rpartition(b"\n")
        except OSError:
            return []
        self._read += len(whole) + len(newline)
        return [event for line in whole.splitlines() if (event := self._event(line))]

    def _event(self, line: bytes) -> Measured | None:
        try:
            seen = json.loads(line)
            return Measured(
                step=self._first_step + seen["step"],
                loss=seen["loss"],
                learning_rate=seen["learning_rate"],
                seconds=seen["seconds"],
                allocated_gib=seen["allocated"] / _GIB if "allocated" in seen else None,
                reserved_gib=seen["reserved"] / _GIB if "reserved" in seen else None,
            )
        except (ValueError, KeyError, TypeError):  # a line that a full disk cut short
            return None
