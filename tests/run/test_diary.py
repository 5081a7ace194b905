import io
import json

import pytest

from loraforge.engine.events import Line, PhaseStarted
from loraforge.run.diary import Diarist


class Seen:
    def __init__(self) -> None:
        self.events, self.ticks = [], []

    def handle(self, event):
        self.events.append(event)

    def tick(self, now):
        self.ticks.append(now)


def test_events_are_passed_on_and_written_with_their_time():
    """Each entry has the clock's time; plain lines are passed on but not written; memory is noted every 5 s."""
    view, file = Seen(), io.StringIO()
    diarist = Diarist(
        view,
        file,
        lambda event: {"event": event.phase},
        surroundings={"torch": "2"},
        gpu_gib=lambda: 7.5,
        clock=lambda: 9.0,
    )
    diarist.handle(PhaseStarted("loading"))
    diarist.handle(Line("hello", "stdout"))
    for now in (10.0, 12.0, 15.0):
        diarist.tick(now)
    assert [json.loads(line) for line in file.getvalue().splitlines()] == [
        {"event": "surroundings", "torch": "2", "at": 9.0},
        {"event": "loading", "at": 9.0},
        {"event": "memory", "gpu_gib": 7.5, "at": 9.0},
        {"event": "memory", "gpu_gib": 7.5, "at": 9.0},
    ]
    assert len(view.events) == 2
    assert view.ticks == [10.0, 12.0, 15.0]


def test_without_a_card_no_memory_is_noted():
    """None is not zero."""
    file = io.StringIO()
    diarist = Diarist(Seen(), file, lambda _: {}, surroundings={})
    diarist.tick(100.0)
    assert len(file.getvalue().splitlines()) == 1


def test_a_full_disk_ends_no_run():
    """What can't be written is left out; the view still hears of it."""

    class Full(io.StringIO):
        def write(self, _text):
            raise OSError(28, "No space left on device")

    view = Seen()
    Diarist(view, Full(), lambda _: {}, surroundings={}).handle(PhaseStarted("saving"))
    assert view.events == [PhaseStarted("saving")]


@pytest.mark.parametrize(("fault", "asked"), [(BrokenPipeError(), 1), (OSError(5, "Input/output error"), 0)])
def test_a_view_that_is_gone_is_left_alone(fault, asked):
    """A closed terminal ends no run by itself; a program that listened and ended asks for the end, once."""

    class Gone(Seen):
        def handle(self, event):
            super().handle(event)
            raise fault

    view, file, requests = Gone(), io.StringIO(), []
    diarist = Diarist(view, file, lambda _: {}, surroundings={}, unheard=lambda: requests.append(1))
    for phase in ("loading", "training"):
        diarist.handle(PhaseStarted(phase))
    diarist.tick(1.0)
    assert (len(view.events), len(view.ticks), len(requests)) == (1, 0, asked)
    assert len(file.getvalue().splitlines()) == 3
