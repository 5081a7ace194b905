"""What `loraforge train` says and takes before anything is trained."""

import importlib
import json
from datetime import datetime
from pathlib import Path

import pytest
from sets import small_set

from loraforge.cli import run
from loraforge.run.plan import RunPlan


@pytest.fixture
def argv(tmp_path, monkeypatch, layouts, write_weights) -> list[str]:
    """Return the arguments of a sound start in a folder of its own."""
    small_set(tmp_path / "pics")
    for name, shapes in layouts.items():
        write_weights(tmp_path / "models" / name, shapes)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LORAFORGE_MODELS", str(tmp_path / "models"))
    settings = ("engine.kind=embedded", "launch.device=cpu")
    return ["train", "--images", "pics", "--trigger", "zxqv", *(f"--set={text}" for text in settings)]


def test_a_dry_run_is_json_too(argv, capsys):
    """One object with the command as a list; without --json the command itself; no folder is made."""
    assert run([*argv, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["command"][1:3] == ["-m", "accelerate.commands.launch"]
    assert not Path(told["run"]).exists()
    assert run([*argv, "--dry-run"]) == 0
    assert "accelerate.commands.launch" in capsys.readouterr().out


def test_two_starts_of_one_second_take_two_folders(argv, monkeypatch):
    """Each has made its own before it does anything else."""
    verb = importlib.import_module("loraforge.cli.train")
    seen: list[RunPlan] = []
    monkeypatch.setattr(verb, "carry_out", lambda plan, **_: seen.append(plan))
    monkeypatch.setattr(verb, "new_folder", _together(verb.new_folder))
    assert run(argv) == run(argv) == 0
    first, second = (plan.folder.path for plan in seen)
    assert first != second
    assert first.is_dir()
    assert second.is_dir()


def _together(new_folder):
    """Name folders as for two starts that look at the same time: what the first has made, the second sees late."""
    named = []

    def name(output_dir: Path, lora: str, _now: datetime):
        moment = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001  # only its digits count
        named.append(named[0] if len(named) == 1 else new_folder(output_dir, lora, moment))
        return named[-1]

    return name
