"""What the shim writes arrives as events."""

from pathlib import Path

from loraforge.engine.events import Measured
from loraforge.run.figures import Figures


def test_new_lines_become_events(tmp_path: Path) -> None:
    """Lines of an earlier start are skipped, half a line waits, a damaged one is dropped, and steps go on counting."""
    path = tmp_path / "steps.ndjson"
    path.write_text('{"step": 1, "loss": 9, "learning_rate": 1, "seconds": 1}\n', "utf-8")
    figures = Figures(path, first_step=10, names={"3af": "cat.png"})
    with path.open("a", encoding="utf-8") as file:
        line = '{"step": 1, "loss": 0.5, "learning_rate": 1e-4, "seconds": 2.5, "allocated": 1073741824, "reserved": 0}'
        file.write(f'{line}\n{{"step"\n{{"step": 2, "loss": 0.25, "learning_rate": null, ')
        file.flush()
        first = figures.fresh()
        file.write('"seconds": 1.5, "pictures": ["3af", "77b"]}\n')
    assert first == [Measured(11, 0.5, 1e-4, 2.5, 1.0, 0.0)]
    assert figures.fresh() == [Measured(12, 0.25, None, 1.5, pictures=("cat.png", "77b"))]
    assert figures.fresh() == []


def test_without_the_file(tmp_path: Path) -> None:
    """An engine that writes none is shown by its log alone."""
    assert Figures(tmp_path / "none").fresh() == []
