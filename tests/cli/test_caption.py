"""`loraforge caption`."""

import json

import pytest
from PIL import Image

from loraforge.cli import caption as verb, run


class Fake:
    """Says the same of every picture."""

    name = "fake"
    longest_side = 16

    def describe(self, pictures):
        return ["a woman standing in a garden" for _ in pictures]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two pictures, and a captioner that needs no model."""
    monkeypatch.setattr(verb, "load_captioner", lambda *_, **__: Fake())
    for name in "ab":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    return tmp_path


def test_caption_edit_undo_review(folder, capsys, tmp_path):
    """The whole way of a set of captions."""
    assert run(["caption", str(folder), "--trigger", "zxq", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {"picture": "a.png", "caption": "zxq, woman in garden", "fault": ""}
    assert run(["caption", str(folder), "--find", "garden", "--replace", "park", "--dry-run"]) == 0
    told = capsys.readouterr().err
    assert "- zxq, woman in garden" in told
    assert "+ zxq, woman in park" in told
    assert (folder / "a.txt").read_text() == "zxq, woman in garden\n"
    assert run(["caption", str(folder), "--find", "garden", "--replace", "park", "--json"]) == 0
    assert (folder / "a.txt").read_text() == "zxq, woman in park\n"
    assert run(["caption", str(folder), "--undo"]) == 0
    assert (folder / "a.txt").read_text() == "zxq, woman in garden\n"
    page = tmp_path / "page.html"
    assert run(["caption", str(folder), "--review", str(page)]) == 0
    assert "woman in garden" in page.read_text()
    assert run(["caption", str(folder), "--undo"]) == 0
    assert not (folder / "a.txt").exists()
    capsys.readouterr()
    assert run(["caption", str(folder), "--undo"]) == 0
    assert "Nothing to undo" in capsys.readouterr().err


def test_a_dry_run_loads_no_model_and_writes_nothing(folder, monkeypatch, capsys):
    """It only tells."""
    monkeypatch.delattr(verb, "load_captioner")
    assert run(["caption", str(folder), "--trigger", "zxq", "--dry-run", "--json"]) == 0
    assert capsys.readouterr().out == '{"file": "a.png"}\n{"file": "b.png"}\n'
    assert run(["caption", str(folder), "--trigger", "zxq", "--dry-run"]) == 0
    assert "2 pictures would get a caption" in capsys.readouterr().err
    assert not list(folder.glob("*.txt"))


def test_a_bad_picture_gives_the_datasets_exit_code(folder, capsys):
    """The rest is captioned all the same."""
    (folder / "a.png").write_bytes(b"broken")
    assert run(["caption", str(folder), "--trigger", "zxq"]) == 4
    assert (folder / "b.txt").exists()
    assert "1 picture could not be captioned" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["--trigger", "two words"], 2),
        (["--trigger", "zxq", "--density", "middling"], 2),
        (["--trigger", "zxq", "--batch-size", "0"], 2),
        (["--find", "x"], 2),
        (["--trigger", "a,b", "--prepend", "x"], 2),
        (["--remove", "  "], 2),
        (["--prepend", "a\x1bb"], 2),
        (["--undo", "--remove", "x"], 2),
    ],
)
def test_wrong_usage_is_told(folder, arguments, code):
    """Before anything is loaded or written."""
    assert run(["caption", str(folder), *arguments]) == code
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png"]


def test_a_missing_and_an_empty_folder(tmp_path, capsys):
    """Both are dataset errors."""
    assert run(["caption", str(tmp_path / "none"), "--trigger", "zxq"]) == 4
    assert run(["caption", str(tmp_path), "--trigger", "zxq"]) == 4
    assert "holds no pictures" in capsys.readouterr().err


def test_an_edit_names_what_it_leaves_alone(folder, capsys):
    """A caption that is not UTF-8 is not passed over in silence."""
    (folder / "a.txt").write_bytes(b"red caf\xe9")
    assert run(["caption", str(folder), "--remove", "red"]) == 0
    assert "a.txt: left alone; it is not UTF-8" in capsys.readouterr().err
