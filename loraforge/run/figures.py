"""The exact figures that the shim writes, as events."""

import json
from collections.abc import Mapping
from pathlib import Path

from loraforge.engine.events import Measured

_GIB = 2**30


class Figures:
    """What has been measured since it was last asked.

    Args:
        path: the file that the shim appends to; it may not exist, and what it holds already is of an earlier start.
        first_step: steps done before this start, which the shim does not count.
        names: staged name -> name of the picture that the user knows.
    """

    def __init__(self, path: Path, *, first_step: int = 0, names: Mapping[str, str] | None = None) -> None:
        self._path, self._first_step, self._names = path, first_step, names or {}
        self._read = path.stat().st_size if path.exists() else 0

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
                pictures=tuple(self._names.get(name, name) for name in seen.get("pictures", ())),
            )
        except (ValueError, KeyError, TypeError):  # a line that a full disk cut short
            return None
