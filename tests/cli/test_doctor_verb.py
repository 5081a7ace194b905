"""`loraforge doctor`: what is printed, and the exit code."""

import json
import os
import subprocess
import sys

import pytest

from loraforge.advice.checkup import Check
from loraforge.cli import doctor as verb

WELL = Check("gpu", "ok", "a card")
WARNED = Check("ram", "warning", "little [memory]", "loraforge models --download --t5 fp8")
LACKING = Check("engine", "missing", "no engine", "git submodule update --init")


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Stand in for the machine: the checks are what the list holds."""
    checks = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(verb, "gather", lambda _: None)
    monkeypatch.setattr(verb, "examine", lambda *_: checks)
    return checks


@pytest.mark.parametrize(
    ("checks", "code"), [([WELL], 0), ([WELL, WARNED], 0), ([WELL, LACKING], 3), ([WARNED, LACKING], 3)]
)
def test_exit_code_says_ready(machine, checks, code, capsys):
    """Warnings leave a machine ready; a missing thing does not."""
    machine.extend(checks)
    assert verb.doctor() == code
    assert verb.doctor(as_json=True) == code
    assert json.loads(capsys.readouterr().out)["ready"] is (code == 0)


def test_each_line_ends_with_its_fix(machine, capsys):
    """People read stderr: what was seen, then what to paste; stdout stays empty."""
    machine.extend([WELL, WARNED, LACKING])
    verb.doctor()
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "little [memory]" in captured.err
    assert captured.err.index("no engine") < captured.err.index("git submodule update --init")
    assert "not ready: 1 missing" in captured.err


def test_json_is_one_document(machine, capsys):
    """Every check is there with state, message and fix."""
    machine.append(WARNED)
    verb.doctor(as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "ready": True,
        "checks": [{"name": "ram", "state": "warning", "message": WARNED.message, "fix": WARNED.fix}],
    }


@pytest.mark.engine
def test_this_machine_is_looked_at_without_torch_in_our_process(tmp_path):
    """The real probes answer with one document, torch is asked in a child, and the log-in is named but not shown."""
    script = (
        "import sys; from loraforge.cli.doctor import doctor; code = doctor(as_json=True); "
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    environ = {**os.environ, "HF_TOKEN": "hf_planted0123456789", "HF_HOME": str(tmp_path)}
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
    )
    document = json.loads(answer.stdout)
    assert answer.returncode == (0 if document["ready"] else 3), answer.stderr
    states = {check["name"]: check["state"] for check in document["checks"]}
    assert states["packages"] == "ok"
    assert states["opencv"] == "ok"
    assert "$HF_TOKEN" in answer.stdout
    assert "hf_planted" not in answer.stdout + answer.stderr
