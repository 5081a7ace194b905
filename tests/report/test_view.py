"""The place decides how a run is shown."""

import io

from rich.console import Console

from loraforge.report.live import LiveView
from loraforge.report.ndjson import NdjsonView
from loraforge.report.plain import PlainView
from loraforge.report.view import choose_view


def test_the_place_decides() -> None:
    """A program gets NDJSON, also on a terminal; people get the panel there and plain lines elsewhere."""
    terminal = Console(file=io.StringIO(), force_terminal=True)
    assert isinstance(choose_view(terminal, json=True), NdjsonView)
    assert isinstance(choose_view(Console(file=io.StringIO()), json=False), PlainView)
    live = choose_view(terminal, json=False)
    live.close()
    assert isinstance(live, LiveView)


def test_a_dumb_terminal_gets_lines() -> None:
    """Rich would draw nothing there from beginning to end."""
    dumb = Console(file=io.StringIO(), force_terminal=True, _environ={"TERM": "dumb"})
    assert isinstance(choose_view(dumb, json=False), PlainView)
