"""The live panel shows where a run stands, drawn from events and an injected clock."""

import io
import math

import pytest
from rich.console import Console

from loraforge.engine.events import (
    CheckpointSaved,
    Event,
    Facts,
    NoData,
    PhaseStarted,
    Problem,
    Progress,
    SamplesStarted,
    Step,
)
from loraforge.report.live import LiveView, sparkline


class _Panel:
    """A view on a terminal that is no terminal, and a clock that is set by hand."""

    def __init__(self, width: int = 100, **figures) -> None:
        self.now = 0.0
        self._out = io.StringIO()
        console = Console(file=self._out, force_terminal=True, width=width, color_system=None, legacy_windows=False)
        self.view = LiveView(console, clock=lambda: self.now, **figures)

    def feed(self, *events: Event) -> None:
        for event in events:
            self.view.handle(event)

    def drawn(self, at: float | None = None) -> str:
        """Return what one tick draws."""
        self.now = self.now if at is None else at
        self._out.seek(0)
        self._out.truncate()
        self.view.tick(self.now)
        return self._out.getvalue()


@pytest.fixture
def panel():
    """Return a panel, closed at the end."""
    panel = _Panel()
    yield panel
    panel.view.close()


def test_silence_has_a_heartbeat(panel: _Panel) -> None:
    """While the engine is silent the phase's time goes on, told as still going on after some seconds."""
    panel.feed(PhaseStarted("loading"), PhaseStarted("hashing"))
    assert "still" not in panel.drawn(at=2.0)
    text = panel.drawn(at=14.0)
    assert "still hashing the base model, 14 s" in text
    assert "✓ loading" in text
    assert "● hashing 14 s" in text


def test_caches_show_their_progress(panel: _Panel) -> None:
    """A bar of the engine shows as done of total."""
    panel.feed(PhaseStarted("caching-latents"), Progress("caching-latents", 7, 20))
    assert "caching the pictures' latents, 0 s  7/20" in panel.drawn()


def test_training_shows_its_figures() -> None:
    """Steps, pace, time left, loss with its line, rate, memory, the last checkpoint and samples all show."""
    panel = _Panel(gpu_gib=lambda: 21.34, learning_rate=lambda step: 1e-6 * step)
    panel.feed(Facts("total-steps", 500), PhaseStarted("training"))
    panel.feed(*(Step(step, 500, 2.0, 1.0 / step) for step in range(1, 101)))
    panel.feed(CheckpointSaved("/x/y/style-step00000100.safetensors"), SamplesStarted(100))
    text = panel.drawn(at=60.0)
    for shown in (
        *("step 100/500", "2.00 s/it", "13:20 min left", "average loss", "0.01", "█", "▁"),
        *(
            "learning rate",
            "0.0001",
            "GPU memory",
            "21.3 GiB",
            "style-step00000100.safetensors",
            "at step 100",
            "1:00 min",
        ),
    ):
        assert shown in text
    panel.view.close()


def test_what_is_unknown_is_left_out(panel: _Panel) -> None:
    """Without a card, a schedule, a checkpoint or a step there are no such rows."""
    text = panel.drawn()
    assert not any(row in text for row in ("learning rate", "GPU memory", "last checkpoint", "last samples", "step"))


def test_the_engines_own_learning_rate_comes_first() -> None:
    """What the engine prints is preferred to what the schedule says."""
    panel = _Panel(learning_rate=lambda _step: 1.0)
    panel.feed(Step(1, 5, 2.0, 0.5, learning_rate=3e-5))
    assert "3e-05" in panel.drawn()
    panel.view.close()


def test_problems_stay_above_the_panel(panel: _Panel) -> None:
    """Problems are printed at once; of a traceback its last line, brackets as they are."""
    panel.feed(Problem("traceback", "Traceback (most recent call last):\n  x\nKeyError: '[red]'"), NoData())
    text = panel.view._live.console.file.getvalue()
    assert "traceback: KeyError: '[red]'" in text
    assert "error: the engine found no pictures" in text
    assert "most recent" not in text


def test_a_diverged_loss_can_be_drawn(panel: _Panel) -> None:
    """A nan among the losses breaks neither the figure nor the line."""
    panel.feed(Step(1, 5, 2.0, 0.5), Step(2, 5, 2.0, math.nan))
    assert "nan" in panel.drawn()


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([], 8, ""),
        ([0.5], 8, "▁"),
        ([0.5, 0.5], 8, "▁▁"),
        ([0, 1, 2, 3, 4, 5, 6, 7], 8, "▁▂▃▄▅▆▇█"),
        ([0, 0, 7, 7], 2, "▁█"),
        ([7, math.nan, 0, math.inf], 8, "█▁"),
    ],
)
def test_sparkline(values: list[float], width: int, line: str) -> None:
    """Values become blocks between the least and the greatest, longer series by the means of equal shares."""
    assert sparkline(values, width) == line
