"""`loraforge import`: settings on stdout, findings on stderr, an honest exit code."""

import io
import json
import sys
import tomllib
from pathlib import Path

import pytest
from sets import small_set

from loraforge.cli import run
from loraforge.settings import load

_COMMAND = "accelerate launch flux_train_network.py --network_dim 8 --no_such_thing 1\n"


def test_a_file_becomes_settings_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The forge.toml is all there is on stdout, and loads."""
    (tmp_path / "train.sh").write_text(_COMMAND, encoding="utf-8")
    assert run(["import", str(tmp_path / "train.sh")]) == 0
    out, err = capsys.readouterr()
    (tmp_path / "forge.toml").write_text(out, encoding="utf-8")
    assert load(tmp_path / "forge.toml", cwd=tmp_path).job.network.rank == 8
    assert "unknown-option" in err
    assert "no_such_thing" in err


def test_what_import_says_of_places_holds_from_anywhere(tmp_path: Path, monkeypatch, capsys) -> None:
    """Paths in a settings file count from it, wherever it is put; one that is no recipe is named as it was given."""
    small_set(tmp_path / "data" / "10_zxqv style")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "forge.toml").write_text("[network]\nrank = 8\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert run(["import", "data"]) == 0
    images = tomllib.loads(capsys.readouterr().out)["dataset"]["images"]
    assert images == str(tmp_path / "data" / "10_zxqv style")
    assert run(["import", "project/forge.toml"]) == 2
    assert "loraforge check project/forge.toml" in capsys.readouterr().err


def test_stdin_is_read_behind_a_dash(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A pasted command comes through a pipe."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(_COMMAND.encode())))
    assert run(["import", "-"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["network"]["rank"] == 8


def test_json_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--json prints the file, its values and all findings, the gravest first."""
    (tmp_path / "train.sh").write_text(_COMMAND, encoding="utf-8")
    assert run(["import", str(tmp_path / "train.sh"), "--json"]) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert set(document) == {"toml", "values", "findings"}
    assert set(document["findings"][0]) == {"code", "severity", "where", "message", "fix"}
    assert document["findings"][0]["severity"] == "error"
    assert tomllib.loads(document["toml"])["network"]["rank"] == document["values"]["network"]["rank"] == 8
    assert not err


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xfe\x00", b"{}", b"[x]\na = 1\n", b"\x00" * 100])
def test_what_is_no_recipe_is_a_usage_error(content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing to make of it: exit code 2, a reason, and nothing on stdout."""
    (tmp_path / "x").write_bytes(content)
    assert run(["import", str(tmp_path / "x")]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert "loraforge:" in err


def test_a_missing_file_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The path is named."""
    assert run(["import", str(tmp_path / "gone")]) == 2
    assert "gone" in capsys.readouterr().err
