"""How many lines a second pass from the engine's process to a view, and whether one is lost.

A child writes a recorded training log again and again as fast as its pipe takes it; the lines go through the
process, the raw log, the parser and a view. usage: python benchmarks/streaming.py [--lines 100000]
"""

import argparse
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from loraforge.engine.events import Event
from loraforge.engine.lines import replayed
from loraforge.engine.parser import Parser
from loraforge.report.live import LiveView
from loraforge.report.ndjson import NdjsonView
from loraforge.report.plain import PlainView
from loraforge.report.view import View
from loraforge.run.process import EngineProcess
from loraforge.run.supervise import supervise

LOG = Path(__file__).parents[1] / "tests/engine/recorded/trained.log"
WRITE = """
import os, sys
data, times = open(sys.argv[1], "rb").read(), int(sys.argv[2])
for _ in range(times):
    left = memoryview(data)
    while left:
        left = left[os.write(2, left):]
    os.write(1, b"plain\\n" * int(sys.argv[3]))
"""
VIEWS: dict[str, Callable[[], View]] = {
    "NDJSON": lambda: NdjsonView(io.StringIO()),
    "plain": lambda: PlainView(io.StringIO()),
    "live": lambda: LiveView(Console(file=io.StringIO(), force_terminal=True, width=100)),
}


def counted(line) -> bool:
    """Leave out the nothing before the return that begins a progress bar."""
    return bool(line.text) or line.ended_by == "\n"


class Counting(Parser):
    """A parser that counts what it is fed."""

    lines = 0

    def feed(self, line) -> list[Event]:
        """Count one line."""
        self.lines += counted(line)
        return super().feed(line)


def measure(make_view: Callable[[], View], times: int, plain: int, expected: int) -> tuple[float, int]:
    """Return (lines a second, events) of one run; fails if a line was lost."""
    parser, view, events = Counting(), make_view(), 0

    def handle(event: Event) -> None:
        nonlocal events
        events += 1
        view.handle(event)

    with tempfile.TemporaryDirectory() as folder:
        argv = [sys.executable, "-S", "-c", WRITE, str(LOG), str(times), str(plain)]
        log = Path(folder, "raw.log")
        began = time.perf_counter()
        supervise(
            lambda: EngineProcess(argv, env=dict(os.environ), cwd=Path(folder), log_path=log),
            parser,
            handle,
            grace_seconds=1.0,
            on_tick=view.tick,
        )
        seconds = time.perf_counter() - began
        view.close()
        assert log.stat().st_size == times * (LOG.stat().st_size + 6 * plain), "the raw log is not whole"
    assert parser.lines == expected, f"{expected - parser.lines} lines were lost"
    return parser.lines / seconds, events


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    wanted = parser.parse_args().lines
    pieces = [line for line in replayed([LOG.read_bytes()]) if counted(line)]
    times = -(-wanted // (2 * len(pieces)))  # half of the lines on each stream
    expected = 2 * times * len(pieces)
    for name, make_view in VIEWS.items():
        rate, count = measure(make_view, times, len(pieces), expected)
        print(f"{name:7} {rate:9,.0f} lines/s, {expected:,} lines, {count:,} events, none lost")


if __name__ == "__main__":
    main()
