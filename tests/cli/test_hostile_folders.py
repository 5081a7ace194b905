"""Folders that are hostile, broken or gone: lint, caption and trigger tell, and never end in a traceback."""

import contextlib
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from loraforge.cli import caption as verb, run

VERBS = {
    "lint": ["lint", "FOLDER", "--trigger", "zxq", "--no-text", "--html", "PAGE"],
    "caption": ["caption", "FOLDER", "--trigger", "zxq", "--overwrite"],
    "dry run": ["caption", "FOLDER", "--trigger", "zxq", "--dry-run"],
    "edit": ["caption", "FOLDER", "--find", "cat", "--replace", "dog"],
    "undo": ["caption", "FOLDER", "--undo"],
    "review": ["caption", "FOLDER", "--review", "PAGE"],
    "trigger": ["trigger", "zxq", "--images", "FOLDER"],
}
NAMES = ["plain", "two\nlines", "😀", "<b>bold", "q'\"&", "[red]", os.fsdecode(b"\xff\xfe"), "\x1b[31mred", "-rf", " "]
CAPTIONS = ["zxq, cat", "<script>cat()</script>", "\x1b[31m cat \x07\x00", "cat " * 250_000, "[bold]cat[/nothing]"]


class Fake:
    """Says the same of every picture."""

    name = "fake"
    longest_side = 16

    def describe(self, pictures):
        return ["a cat in a garden" for _ in pictures]


@pytest.fixture(autouse=True)
def _no_models(monkeypatch, tmp_path):
    monkeypatch.setattr(verb, "load_captioner", lambda *_, **__: Fake())
    for name in ("XDG_CACHE_HOME", "HF_HOME", "LORAFORGE_MODELS"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Return pictures of all names, each with a caption of some kind."""
    folder = tmp_path / "set"
    folder.mkdir()
    for index, name in enumerate(NAMES):
        Image.new("RGB", (128, 96), (20 * index, 90, 160)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(CAPTIONS[index % len(CAPTIONS)])
    return folder


def told(which: str, folder: Path, capsys) -> tuple[int, str]:
    """Run a verb; return its exit code and what people read, after a look at what they must never read."""
    page = folder.parent / "page.html"
    code = run([{"FOLDER": str(folder), "PAGE": str(page)}.get(part, part) for part in VERBS[which]])
    out, err = capsys.readouterr()
    assert code in {0, 4}, err
    assert "Traceback" not in err
    html = page.read_text("utf-8") if page.exists() else ""
    assert "<script>cat" not in html
    assert not any(control in text for text in (out, err, html) for control in "\x00\x07\x1b")
    return code, err


@pytest.mark.parametrize("which", VERBS)
def test_names_and_captions_of_all_kinds(which, folder, capsys):
    """Line breaks, emoji, stray bytes, markup, control characters and a megabyte are worked on like any other."""
    assert told(which, folder, capsys)[0] == 0


@pytest.mark.parametrize("which", VERBS)
@pytest.mark.parametrize("listing", [1, 2, 3])
def test_a_folder_that_vanishes_meanwhile(which, listing, folder, capsys, monkeypatch):
    """It is removed right after it was listed for the first, second or third time."""
    real, left = os.scandir, [listing]

    def scandir(path):
        if Path(path) != folder:
            return real(path)
        with real(path) as entries:
            found = list(entries)
        left[0] -= 1
        if not left[0]:
            with monkeypatch.context() as patch:
                patch.setattr(os, "scandir", real)
                shutil.rmtree(folder)
        return contextlib.nullcontext(found)

    monkeypatch.setattr(os, "scandir", scandir)
    told(which, folder, capsys)


@pytest.mark.parametrize("which", VERBS)
def test_a_folder_without_permission(which, folder, capsys, monkeypatch):
    """Nobody may list it: the dataset's exit code, and what to do."""

    def denied(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", denied)
    code, err = told(which, folder, capsys)
    assert code == 4
    assert "permission" in err.lower()


@pytest.mark.parametrize("which", VERBS)
def test_files_without_permission(which, folder, capsys, monkeypatch):
    """Captions and pictures that may not be read are named or left alone; none is lost."""
    real, before = open, (folder / "😀.txt").read_bytes()

    def refused(path, *rest: object, **more: object):
        if "😀" in str(path):
            raise PermissionError(13, "Permission denied", path)
        return real(path, *rest, **more)

    with monkeypatch.context() as patch:
        for module in ("builtins", "io"):
            patch.setattr(f"{module}.open", refused)
        code, err = told(which, folder, capsys)
    assert (folder / "😀.txt").read_bytes() == before
    if which in {"lint", "caption"}:
        assert code == 4
        assert "😀.png" in err


@pytest.mark.parametrize("which", VERBS)
def test_no_pictures(which, tmp_path, capsys):
    """An empty folder is the dataset's fault, but nothing is to undo there."""
    (tmp_path / "empty").mkdir()
    code, err = told(which, tmp_path / "empty", capsys)
    assert (code, "no picture" in " ".join(err.split())) == ((0, False) if which == "undo" else (4, True))


def test_ten_thousand_files(tmp_path, capsys):
    """Files of zero bytes, ten thousand of them, take seconds; lint has a test of its own."""
    for index in range(5_000):
        for ending in ("png", "txt"):
            os.close(os.open(tmp_path / f"{index}.{ending}", os.O_CREAT | os.O_WRONLY))
    for which, said in (("dry run", "5000 pictures"), ("edit", "0 captions"), ("review", "5000 pictures")):
        assert said in told(which, tmp_path, capsys)[1]
    assert told("trigger", tmp_path, capsys)[0] == 0
