"""Whoever reads may go, or may never have been there: what is done is done, and the exit code says so."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_runs import make_run
from sets import small_set

pytestmark = [
    pytest.mark.spawns,
    pytest.mark.skipif(sys.platform == "win32", reason="Windows closes pipes in its own way"),
]


@pytest.fixture
def closed() -> Iterator[int]:
    """Return a pipe whose reader is gone."""
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return a folder with a set, away from the caches of whoever runs the tests."""
    small_set(tmp_path / "pics")
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "LORAFORGE_MODELS"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path for path in sys.path if path))
    monkeypatch.delenv("LORAFORGE_ENGINE", raising=False)
    return tmp_path


def call(*argv: str, **streams: object) -> subprocess.CompletedProcess[bytes]:
    """Run loraforge in a process of its own."""
    kept = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    return subprocess.run([sys.executable, "-m", "loraforge", *argv], check=False, **kept)


LIGHT = ("--images", "pics", "--trigger", "zx_q", "--set", "engine.kind=embedded", "--set", "launch.device=cpu")


@pytest.mark.parametrize("argv", [("--help",), ("presets", "style"), ("train", "--help"), ("check", *LIGHT, "--json")])
def test_results_that_nobody_reads_to_the_end(place, closed, argv):
    """`loraforge presets | head` is done, not failed, and says nothing of a pipe."""
    done = call(*argv, stdout=closed)
    assert (done.returncode, done.stderr) == (0, b"")


def test_words_that_nobody_reads(place, closed):
    """Without a reader on stderr, the result and the exit code are as with one."""
    argv = ("caption", "pics", "--prepend", "in fog", "--dry-run", "--json")
    heard, unheard = call(*argv), call(*argv, stderr=closed)
    assert b"captions would change" in heard.stderr
    assert (unheard.returncode, unheard.stdout) == (0, heard.stdout)


def test_a_fault_that_nobody_reads(place, closed):
    """A fault keeps its exit code."""
    assert call("train", "nowhere.toml", stderr=closed).returncode == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("argv", [("--help",), ("presets", "style"), ("plan", "--help")])
def test_results_that_find_no_room(place, argv):
    """`loraforge import train.sh > forge.toml` on a full disk is no success and no bug."""
    with Path("/dev/full").open("wb") as full:
        done = call(*argv, stdout=full)
    assert done.returncode == 3
    assert b"No space left" in done.stderr


def test_a_working_folder_that_is_gone(place, tmp_path):
    """Verbs that need the folder they are in say that it is gone."""
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os, sys; os.rmdir({str(gone)!r}); from loraforge.cli import run; sys.exit(run(['train']))"
    done = subprocess.run([sys.executable, "-c", code], cwd=gone, capture_output=True, check=False)
    assert done.returncode == 3
    assert b"the folder you are in: No such file" in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
@pytest.mark.parametrize("name", ["é", "画", os.fsdecode(b"stray \xff")])
def test_results_are_utf8_whatever_the_locale(place, monkeypatch, encoding, name):
    """A path that is printed into a file or pipe is the path of the disk."""
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    run = make_run(place / "run").path
    done = call("report", os.fspath(run), "--out", name)
    assert (done.returncode, done.stdout) == (0, os.fsencode(name) + b"\n"), done.stderr


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_edit_is_whole_though_nobody_reads(place, closed, options):
    """`loraforge caption --prepend ... | head` changes every caption."""
    assert call("caption", "pics", "--prepend", "in fog", *options, stdout=closed, stderr=closed).returncode == 0
    assert all(path.read_text("utf-8").startswith("in fog, ") for path in (place / "pics").glob("*.txt"))
