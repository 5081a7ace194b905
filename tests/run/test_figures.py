"""What the shim writes arrives as events."""

from pathlib import Path

from loraforge.engine.events import Event, Measured, ModelSaved
from loraforge.run.figures import Figures


class _View:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.ticks: list[float] = []

    def handle(self, event: Event) -> None:
        self.events.append(event)

    def tick(self, now: float) -> None:
        self.ticks.append(now)


def test_new_lines_become_events(tmp_path: Path) -> None:
    """Lines of an earlier start are skipped, half a line waits, a damaged one is dropped, and steps go on counting."""
    path, view = tmp_path / "steps.ndjson", _View()
    path.write_text('{"step": 1, "loss": 9, "learning_rate": 1, "seconds": 1}\n', "utf-8")
    figures = Figures(view, path, first_step=10)
    with path.open("a", encoding="utf-8") as file:
        line = '{"step": 1, "loss": 0.5, "learning_rate": 1e-4, "seconds": 2.5, "allocated": 1073741824, "reserved": 0}'
        file.write(f'{line}\n{{"step"\n{{"step": 2, "loss": 0.25, "learning_rate": null, ')
        file.flush()
        figures.tick(1.0)
        file.write('"seconds": 1.5}\n')
    figures.handle(ModelSaved())
    figures.tick(2.0)
    assert view.events == [
        Measured(11, 0.5, 1e-4, 2.5, 1.0, 0.0),
        ModelSaved(),
        Measured(12, 0.25, None, 1.5),
    ]
    assert view.ticks == [1.0, 2.0]


def test_without_the_file(tmp_path: Path) -> None:
    """An engine that writes none is shown by its log alone."""
    view = _View()
    Figures(view, tmp_path / "none").tick(3.0)
    assert (view.events, view.ticks) == ([], [3.0])
