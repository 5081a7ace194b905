"""What the engine's python says of its packages, however broken they are."""

import subprocess
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from loraforge.machine import packages as module
from loraforge.machine.packages import ask_python, pins, plain, unmet


@pytest.mark.parametrize(
    ("requirement", "versions", "absent", "other"),
    [
        ("accelerate==1.6.0", {"accelerate": "1.6.0"}, 0, 0),
        ("accelerate==1.6.0", {"accelerate": "1.7.0"}, 0, 1),
        ("accelerate==1.6.0", {}, 1, 0),
        ("diffusers[torch]==0.32.1", {"diffusers": "0.32.1"}, 0, 0),
        ("torch>=2.6", {"torch": "2.11.0+cu130"}, 0, 0),
        ("torch>=2.6", {"torch": "2.8.0.dev20250501+cu128"}, 0, 0),
        ("lion_pytorch==0.2.3", {"lion-pytorch": "0.2.3"}, 0, 0),
        ("numpy", {"numpy": "2.4.6"}, 0, 0),
    ],
)
def test_pins_against_what_is_installed(requirement, versions, absent, other):
    """Absent and different packages are told apart; local and nightly builds count by their number."""
    found = unmet([Requirement(requirement)], versions)
    assert tuple(map(len, found)) == (absent, other)


def test_pins_are_those_of_the_extra(monkeypatch):
    """Core requirements and other extras are left out, as are those of another platform."""
    lines = [
        "rich>=13",
        'accelerate==1.6.0; extra == "engine"',
        'ruff; extra == "dev"',
        'pywin32; sys_platform == "nowhere" and extra == "engine"',
    ]
    monkeypatch.setattr(module.metadata, "requires", lambda _: lines)
    assert [plain(pin) for pin in pins()] == ["accelerate==1.6.0"]


def test_pins_of_a_package_that_is_not_installed():
    """Run from a bare checkout there is nothing to compare with."""
    assert pins(distribution="no-such-distribution") == []


def test_plain_keeps_extras():
    """What is printed can be pasted after `pip install`."""
    assert plain(Requirement('diffusers[torch]==0.32.1; extra == "engine"')) == "diffusers[torch]==0.32.1"


def _answer(monkeypatch, stdout, code=0):
    monkeypatch.setattr(
        module.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], code, stdout.encode(), b"")
    )
    return ask_python("python")


def test_noise_between_the_answers_is_passed_over(monkeypatch):
    """Libraries print on import; only the probe's own lines are read."""
    facts = _answer(monkeypatch, 'Warning: x\nloraforge:{"versions": {"torch": "2.6.0"}}\nloraforge:{"triton": {}}\n')
    assert facts.versions == {"torch": "2.6.0"}
    assert facts.error is None


def test_a_crash_keeps_what_was_said_before(monkeypatch):
    """An import that kills the process is named, and the answers before it stay."""
    facts = _answer(
        monkeypatch, 'loraforge:{"versions": {"a": "1"}}\nloraforge:{"asking": "torch"}\nloraforge:{"to', -11
    )
    assert facts.versions == {"a": "1"}
    assert facts.error == "it ended with code -11 while importing torch"


def test_a_python_that_hangs(monkeypatch):
    """Time runs out with the import it hung in named."""

    def hang(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout, output=b'loraforge:{"asking": "torch"}\n')

    monkeypatch.setattr(module.subprocess, "run", hang)
    assert ask_python("python", timeout=5).error == "it did not answer within 5 s while importing torch"


@pytest.mark.spawns
def test_a_python_that_is_none(tmp_path):
    """A path to nothing is told with the system's reason."""
    assert "No such file" in (ask_python(str(tmp_path / "python")).error or "")


@pytest.mark.spawns
def test_a_broken_torch_breaks_the_child_only(tmp_path, monkeypatch):
    """Packages that raise, exit and shadow are answered for; a real python runs the real probe."""
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so.13: cannot open shared object file')", "utf-8")
    (tmp_path / "triton.py").write_text("print('noise')", "utf-8")
    (tmp_path / "cv2.py").write_text("import os; os._exit(9)", "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    facts = ask_python(sys.executable)
    assert facts.torch == {"error": "OSError: libcudart.so.13: cannot open shared object file"}
    assert facts.triton == {}
    assert facts.versions["loraforge"] == metadata.version("loraforge")
    assert facts.error == "it ended with code 9 while importing cv2"


@pytest.mark.engine
def test_the_engines_own_python_answers():
    """With the engine extra installed, torch tells its build and our pins are met."""
    facts = ask_python(sys.executable)
    assert facts.error is None
    assert facts.torch["version"]
    assert facts.torch["arch_list"] or not facts.torch["cuda"]
    assert unmet(pins(), facts.versions) == ([], [])
