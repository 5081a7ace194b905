"""One JSON object a line, for programs."""

import json
import math
import re
from dataclasses import fields
from typing import IO

from loraforge.engine.events import Event

_CAPITAL = re.compile(r"(?<!^)(?=[A-Z])")


class NdjsonView:
    """Writes each event as `{"event": "checkpoint-saved", "path": ...}`, at once.

    Args:
        stream: usually stdout.
    """

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def handle(self, event: Event) -> None:
        """Write one line."""
        self._stream.write(json.dumps(as_json(event)) + "\n")
        self._stream.flush()

    def tick(self, now: float) -> None:
        """Do nothing: a program has its own clock."""

    def close(self) -> None:
        """Do nothing: the stream is the caller's."""


def as_json(event: Event) -> dict[str, object]:
    """Return an event's JSON form; figures that JSON can't hold, such as a loss that is nan, become null."""
    name = _CAPITAL.sub("-", type(event).__name__).lower()
    return {"event": name} | {field.name: _plain(getattr(event, field.name)) for field in fields(event)}


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
