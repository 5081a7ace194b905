"""The history of captions."""

import json
import re
from dataclasses import asdict

import pytest

from loraforge.dataset import caption_history
from loraforge.dataset.caption_history import FOLDER, CaptionError, CaptionHistory, Record, Undone
from loraforge.errors import DatasetError


def _write(folder, what="caption", **texts):
    history = CaptionHistory(folder)
    for name, text in texts.items():
        history.write(folder / f"{name}.txt", None if text is None else text.encode(), what)
    return history


def test_undo_restores_text_and_absence(tmp_path):
    """What was there is back, what was not is gone; a second undo has nothing left."""
    (tmp_path / "a.txt").write_text("mine")
    _write(tmp_path, a="ours", b="ours too")
    assert CaptionHistory(tmp_path).undo() == Undone("caption", ("b.txt", "a.txt"), ())
    assert (tmp_path / "a.txt").read_text() == "mine"
    assert not (tmp_path / "b.txt").exists()
    assert CaptionHistory(tmp_path).undo() is None


def test_undo_goes_back_operation_by_operation(tmp_path):
    """Each command is one step, and a file written twice in one of them returns to the first state."""
    _write(tmp_path, a="one")
    history = _write(tmp_path, "edit", a="two")
    history.write(tmp_path / "a.txt", b"three", "edit")
    assert CaptionHistory(tmp_path).undo().what == "edit"
    assert (tmp_path / "a.txt").read_text() == "one"
    assert CaptionHistory(tmp_path).undo().what == "caption"
    assert not (tmp_path / "a.txt").exists()


def test_undo_leaves_later_edits_by_hand_alone(tmp_path):
    """What a person changed since is kept and named, and is no obstacle to going further back."""
    _write(tmp_path, a="one", b="one")
    _write(tmp_path, "edit", a="two")
    (tmp_path / "a.txt").write_text("by hand")
    assert CaptionHistory(tmp_path).undo() == Undone("edit", (), ("a.txt",))
    assert (tmp_path / "a.txt").read_text() == "by hand"
    assert CaptionHistory(tmp_path).undo() == Undone("caption", ("b.txt",), ("a.txt",))


def test_bytes_that_are_no_text_come_back(tmp_path):
    """A Latin-1 caption survives replacement and undo to the byte."""
    (tmp_path / "a.txt").write_bytes(b"caf\xe9\r\n\x00")
    _write(tmp_path, a="ours")
    CaptionHistory(tmp_path).undo()
    assert (tmp_path / "a.txt").read_bytes() == b"caf\xe9\r\n\x00"


def test_only_an_untouched_caption_of_a_captioner_is_ours(tmp_path):
    """A person's file, a bulk edit and a caption changed by hand are not."""
    (tmp_path / "c.txt").write_text("a person's")
    _write(tmp_path, a="ours", b="ours")
    _write(tmp_path, "edit", b="edited")
    history = CaptionHistory(tmp_path)
    assert history.ours(tmp_path / "a.txt").after == "ours"
    assert history.ours(tmp_path / "b.txt") is None
    assert history.ours(tmp_path / "c.txt") is None
    (tmp_path / "a.txt").write_text("by hand")
    assert history.ours(tmp_path / "a.txt") is None


def test_a_torn_or_foreign_line_is_skipped(tmp_path):
    """A crash in the middle of a record costs that record only."""
    _write(tmp_path, a="ours")
    path = tmp_path / caption_history.FOLDER / "captions.jsonl"
    with path.open("ab") as file:
        file.write(b'[1]\nnull\n\xff\n{"operation": "cut o')
    _write(tmp_path, b="later")
    history = CaptionHistory(tmp_path)
    assert history.ours(tmp_path / "a.txt") is not None
    assert history.ours(tmp_path / "b.txt") is not None


def test_a_strangers_history_reaches_no_other_folder(tmp_path):
    """A record that names a path outside is not followed."""
    dataset = tmp_path / "set"
    dataset.mkdir()
    (tmp_path / "victim").write_text("safe")
    record = {"operation": "x", "time": 0, "what": "edit", "file": "../victim", "before": "gone", "after": "safe"}
    (dataset / caption_history.FOLDER).mkdir()
    (dataset / caption_history.FOLDER / "captions.jsonl").write_text(json.dumps(record) + "\n")
    assert CaptionHistory(dataset).undo() is None
    assert (tmp_path / "victim").read_text() == "safe"


def test_a_vanished_folder_is_told(tmp_path):
    """No traceback when the dataset goes away meanwhile."""
    folder = tmp_path / "set"
    folder.mkdir()
    history = CaptionHistory(folder)
    folder.rmdir()
    with pytest.raises(DatasetError, match="can't be written"):
        history.write(folder / "a.txt", b"x", "caption")


def test_the_record_is_on_disk_before_the_caption(tmp_path, monkeypatch):
    """A crash between the two leaves a caption that is still the person's, and an undo that does nothing wrong."""
    (tmp_path / "a.txt").write_text("mine")
    monkeypatch.setattr(caption_history, "replace_bytes", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(DatasetError):
        _write(tmp_path, a="ours")
    monkeypatch.undo()
    assert CaptionHistory(tmp_path).ours(tmp_path / "a.txt") is None
    CaptionHistory(tmp_path).undo()
    assert (tmp_path / "a.txt").read_text() == "mine"


def test_an_unreadable_caption_is_left_alone(tmp_path):
    """Without knowing what is there, nothing is replaced, undone or called ours."""
    _write(tmp_path, a="ours", b="ours")
    (tmp_path / "a.txt").unlink()
    (tmp_path / "a.txt").mkdir()
    history = CaptionHistory(tmp_path)
    assert history.ours(tmp_path / "a.txt") is None
    with pytest.raises(CaptionError, match="can't be read"):
        history.write(tmp_path / "a.txt", b"x", "caption")
    assert history.undo() == Undone("caption", ("b.txt",), ("a.txt",))


def test_a_link_that_leads_out_is_refused(tmp_path):
    """A dataset from elsewhere overwrites no other file of its reader, not even a caption beside its picture."""
    folder = tmp_path / "set"
    folder.mkdir()
    mine, notes, shared, inside = (tmp_path / "notes.md", tmp_path / "notes.txt", tmp_path / "p.txt", folder / "in.txt")
    for path in (mine, notes, shared, inside):
        path.write_text("mine")
    (tmp_path / "p.png").touch()
    for name, target in (("a", mine), ("b", notes), ("c", shared), ("d", inside)):
        (folder / f"{name}.txt").symlink_to(target)
    for name, target in (("a", mine), ("b", notes), ("c", shared)):
        with pytest.raises(CaptionError, match=re.escape(str(target))):
            _write(folder, **{name: "ours"})
    _write(folder, d="ours")
    assert [path.read_text() for path in (mine, notes, shared, inside)] == ["mine", "mine", "mine", "ours"]


def test_a_history_reaches_no_other_file(tmp_path):
    """Neither by a link in its own place, nor by the name of what is no caption."""
    (tmp_path / FOLDER).mkdir()
    (tmp_path / "p0.png").write_text("a picture")
    record = Record("x", 0.0, "edit", "p0.png", "hostile", "a picture")
    (tmp_path / FOLDER / "captions.jsonl").write_text(json.dumps(asdict(record)) + "\n")
    assert CaptionHistory(tmp_path).undo() is None
    assert (tmp_path / "p0.png").read_text() == "a picture"
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / FOLDER).symlink_to(tmp_path / FOLDER)
    with pytest.raises(DatasetError, match="is a link"):
        CaptionHistory(tmp_path / "set")
