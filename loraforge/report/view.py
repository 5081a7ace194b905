"""What every view of a run can do, and which one suits the place."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from loraforge.engine.events import Event

if TYPE_CHECKING:
    from rich.console import Console


class View(Protocol):
    """Shows events; starts nothing and knows no process."""

    def handle(self, event: Event) -> None:
        """Take one event."""

    def tick(self, now: float) -> None:
        """Take note that time passes; called about twice a second with the clock that the view was given."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


def choose_view(
    console: "Console",
    *,
    json: bool,
    gpu_gib: Callable[[], float | None] = lambda: None,
    learning_rate: Callable[[int], float | None] = lambda _step: None,
) -> View:
    """Return NDJSON on stdout if asked for, a live panel on a terminal, else plain lines.

    Args:
        console: where people read.
        json: whether a program reads.
        gpu_gib: memory in use on the card in GiB, for the panel.
        learning_rate: the rate at a step, for the panel, where the schedule is known.
    """
    if json:
        import sys

        from loraforge.report.ndjson import NdjsonView

        return NdjsonView(sys.stdout)
    if console.is_interactive:  # no file, and no dumb terminal
        from loraforge.report.live import LiveView

        return LiveView(console, gpu_gib=gpu_gib, learning_rate=learning_rate)
    from loraforge.report.plain import PlainView

    return PlainView(console.file)
