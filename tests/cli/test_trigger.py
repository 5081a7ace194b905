"""`loraforge trigger`."""

import json
import subprocess
import sys

import pytest

from loraforge.cli import run


@pytest.fixture(autouse=True)
def _no_tokenizers(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.delenv("LORAFORGE_MODELS", raising=False)


def test_json_holds_findings_and_suggestions(capsys):
    """One document; without tokenizers the rest still runs."""
    assert run(["trigger", "zxy_style", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["tokens"] == {"CLIP-L": None, "T5": None}
    assert {finding["code"] for finding in document["findings"]} == {"trigger-contains-style-word", "trigger-unchecked"}
    assert len(document["suggestions"]) == 5
    assert len(document["missing"]) == 2


def test_people_read_stderr_and_pipes_get_the_words(capsys):
    """Suggestions alone go to stdout."""
    assert run(["trigger", "style", "--suggestions", "2"]) == 0
    told = capsys.readouterr()
    assert len(told.out.split()) == 2
    assert "trigger-style-word" in told.err


@pytest.mark.parametrize(
    ("argv", "code"),
    [(["two words"], 2), ([""], 2), (["\x1b[31m"], 2), (["zxq", "--images", "/nonexistent/folder"], 4), ([], 2)],
)
def test_bad_input_has_its_exit_code(argv, code, capsys):
    """A word that can't be one is usage, a missing folder is the dataset's."""
    assert run(["trigger", *argv]) == code
    assert "\x1b[31m" not in capsys.readouterr().err


def test_captions_are_checked(tmp_path, capsys):
    """Spellings in the captions of a folder are compared."""
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "a.txt").write_text("ZXQ, woman")
    assert run(["trigger", "zxq", "--images", str(tmp_path), "--json"]) == 0
    codes = {finding["code"] for finding in json.loads(capsys.readouterr().out)["findings"]}
    assert "trigger-misspelt" in codes


@pytest.mark.spawns
def test_torch_is_never_imported():
    """Looking at a word takes a moment, not the seconds that torch and transformers take."""
    code = (
        "import sys; from loraforge.cli import run; run(['trigger', 'zxy_style', '--json']);"
        "print([name for name in ('torch', 'transformers', 'jinja2', 'PIL.ImageDraw') if name in sys.modules],"
        " file=sys.stderr)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr.strip().endswith("[]")
