"""What was compiled is noted, for runs of the same kind only."""

from pathlib import Path

import pytest

from loraforge.engine.fast.compiled import FOLDER, compiled_shapes, note_compiled

_OPTIONS = {"network_dim": 16, "gradient_checkpointing": True, "output_name": "one"}


def test_notes_hold_for_runs_of_a_kind(tmp_path: Path) -> None:
    """A name changes no graph, a rank does; without torch's own cache beside them notes are worth nothing."""
    note_compiled(tmp_path, _OPTIONS, (1, 4096))
    assert compiled_shapes(tmp_path, _OPTIONS) == frozenset()
    (tmp_path / FOLDER).mkdir()
    note_compiled(tmp_path, _OPTIONS, (1, 3952))
    note_compiled(tmp_path, _OPTIONS, (1, 3952))
    assert compiled_shapes(tmp_path, {**_OPTIONS, "output_name": "two"}) == {(1, 4096), (1, 3952)}
    assert compiled_shapes(tmp_path, {**_OPTIONS, "network_dim": 32}) == frozenset()
    assert sorted(path.name for path in tmp_path.iterdir()) == [FOLDER, "compiled.json"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 1}', '{"a": [[1]]}', "null"])
def test_damaged_notes_are_none(text: str, tmp_path: Path) -> None:
    """They are begun anew."""
    (tmp_path / FOLDER).mkdir()
    (tmp_path / "compiled.json").write_text(text, "utf-8")
    assert compiled_shapes(tmp_path, _OPTIONS) == frozenset()
    note_compiled(tmp_path, _OPTIONS, (1, 4096))
    assert compiled_shapes(tmp_path, _OPTIONS) == {(1, 4096)}


def test_no_place_for_notes(tmp_path: Path) -> None:
    """A run goes on without."""
    note_compiled(None, _OPTIONS, (1, 4096))
    (tmp_path / "file").write_text("", "utf-8")
    note_compiled(tmp_path / "file", _OPTIONS, (1, 4096))
