"""Bulk edits."""

import pytest
from PIL import Image

from loraforge.captioning import edits
from loraforge.dataset.caption_history import CaptionHistory


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        (
            edits.replacing("a ", ""),
            "panda eating a leaf",
            "pandeating leaf",
        ),  # literal, as asked; --remove is whole words
        (edits.removing("a"), "a panda eating a leaf", "panda eating leaf"),
        (edits.removing("red dress"), "woman, red dress, garden", "woman, garden"),
        (edits.removing("red"), "reddish Red", "reddish Red"),
        (edits.prepending("portrait"), "woman", "portrait, woman"),
        (edits.prepending("portrait"), "portrait, woman", "portrait, woman"),
        (edits.prepending("portrait"), "portraits", "portrait, portraits"),
        (edits.prepending("portrait", "zxq"), "zxq, woman", "zxq, portrait, woman"),
        (edits.prepending("portrait", "zxq"), "zxq", "zxq, portrait"),
        (edits.prepending("portrait", "zxq"), "woman", "portrait, woman"),
        (edits.prepending("zxq", "zxq"), "woman", "zxq, woman"),
        (edits.prepending("zxq", "zxq"), "woman, zxq, garden, zxq", "zxq, woman, garden"),
        (edits.trimming("zxq"), "a woman, zxq, standing in a garden", "zxq, woman in garden"),
        (edits.trimming(), "a painting of a woman in a garden", "woman in garden"),
    ],
)
def test_edits_of_one_caption(edit, before, after):
    """Each edit does what its option says."""
    assert edit(before) == after


@pytest.fixture
def folder(tmp_path):
    """Three pictures: captioned, captioned over several lines, without a caption; and an odd caption."""
    for name in "abcd":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    (tmp_path / "a.txt").write_text("zxq, red woman\n")
    (tmp_path / "b.txt").write_text("zxq, red man\nnotes stay\n")
    (tmp_path / "d.txt").write_bytes(b"red caf\xe9")
    return tmp_path


def test_changes_are_listed_before_they_are_made(folder):
    """Only files that change are listed, lines behind the caption are kept, and undo restores."""
    found = list(edits.changes(folder, [edits.removing("red"), edits.replacing("man", "king")]))
    assert [(change.path.name, change.before, change.after) for change in found] == [
        ("a.txt", "zxq, red woman", "zxq, woking"),
        ("b.txt", "zxq, red man", "zxq, king"),
    ]
    assert (folder / "a.txt").read_text() == "zxq, red woman\n"
    history = CaptionHistory(folder)
    for change in found:
        edits.apply(change, history)
    assert (folder / "b.txt").read_text() == "zxq, king\nnotes stay\n"
    CaptionHistory(folder).undo()
    assert (folder / "b.txt").read_text() == "zxq, red man\nnotes stay\n"


def test_what_is_left_alone_is_named(folder):
    """A caption that can't be edited is passed over with a reason."""
    (folder / "c.txt").write_bytes(b"\n\nred")
    told = []
    list(edits.changes(folder, [edits.removing("red")], lambda path, why: told.append((path.name, why))))
    assert [name for name, _ in told] == ["c.txt", "d.txt"]
    assert "UTF-8" in told[1][1]


@pytest.mark.parametrize("end", ["\r", "\r\n", "\n"])
def test_lines_behind_the_caption_stay(folder, end):
    """Whichever way they are ended."""
    (folder / "a.txt").write_bytes(f"zxq, red woman{end}notes{end}stay".encode())
    change = next(edits.changes(folder, [edits.removing("red")]))
    assert change.data == f"zxq, woman{end}notes{end}stay".encode()


def test_an_edit_without_effect_lists_nothing(folder):
    """No change, no write."""
    assert list(edits.changes(folder, [edits.removing("blue")])) == []
