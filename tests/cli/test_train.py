"""What `loraforge train` says and takes before anything is trained."""

import importlib
import json
from datetime import datetime
from pathlib import Path

import pytest
from fake_runs import lora_tensors
from safetensors.numpy import load_file, save_file
from sets import small_set

from loraforge.cli import run
from loraforge.run.plan import RunPlan
from loraforge.run.train import prepare


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


@pytest.fixture
def begun(argv, monkeypatch) -> RunPlan:
    """Return the plan of a run that was begun and then cut off."""
    verb = importlib.import_module("loraforge.cli.train")
    plans: list[RunPlan] = []
    monkeypatch.setattr(verb, "carry_out", lambda plan, **_: (prepare(plan), plans.append(plan)))
    assert run(argv) == 0
    return plans[0]


def test_a_resume_takes_what_may_change(argv, begun, capsys):
    """Named or found, the run goes on with this start's launch, and says so in its job."""
    for target in ([], [str(begun.folder.path)]):
        assert run([*argv[:1], *target, *argv[1:], "--set=launch.grace_seconds=7", "--resume"]) == 0
        assert "grace_seconds = 7.0" in begun.folder.job.read_text()
        begun.folder.job.write_text(begun.files[begun.folder.job])
    capsys.readouterr()


def test_a_resume_notices_other_pictures(argv, begun, capsys):
    """Through the settings it is refused; the run itself, by its name, goes on with what it has staged."""
    Path("pics/p1.txt").write_text("an edited caption\n")
    assert run([*argv, "--resume"]) == 2
    assert "p1.png: another caption" in capsys.readouterr().err
    assert run(["train", str(begun.folder.path), "--resume"]) == 0


def test_a_new_run_takes_weights_of_another_rank(argv, monkeypatch, capsys):
    """They are brought to the run's own, beside it; what was given stays as it is, and a dry run writes nothing."""
    verb = importlib.import_module("loraforge.cli.train")
    monkeypatch.setattr(verb, "carry_out", lambda *_, **__: None)
    save_file({name: value.astype("float32") for name, value in lora_tensors(4).items()}, "given.safetensors")
    before = Path("given.safetensors").read_bytes()
    more = [
        "--from-weights",
        "given.safetensors",
        "--set=engine.kind=kohya",
        "--set=network.rank=6",
        "--set=network.alpha=3",
    ]
    assert run([*argv, *more, "--dry-run"]) == 0
    assert not list(Path().rglob("begin.safetensors"))
    assert run([*argv, *more]) == 0
    assert "given.safetensors: rank 4 brought to rank 6, alpha 3" in capsys.readouterr().err
    (begin,) = Path().rglob("begin.safetensors")
    assert {len(value) for name, value in load_file(begin).items() if name.endswith(".lora_down.weight")} == {6}
    assert Path("given.safetensors").read_bytes() == before


def _together(new_folder):
    """Name folders as for two starts that look at the same time: what the first has made, the second sees late."""
    named = []

    def name(output_dir: Path, lora: str, _now: datetime):
        moment = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001  # only its digits count
        named.append(named[0] if len(named) == 1 else new_folder(output_dir, lora, moment))
        return named[-1]

    return name
