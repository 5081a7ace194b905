"""What `loraforge train` says and takes before anything is trained."""

import importlib
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sets import small_set

from loraforge.cli import run
from loraforge.config.job import Job
from loraforge.run.plan import RunPlan
from loraforge.run.train import prepare
from loraforge.run.verify import adapted_layers


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


def test_a_resume_looks_again_once_it_holds_the_folder(argv, begun, monkeypatch):
    """Who held it before may have saved another state."""
    verb = importlib.import_module("loraforge.cli.train")
    plans: list[RunPlan] = []
    monkeypatch.setattr(verb, "carry_out", lambda _, *, again, **__: plans.append(again()))
    seen = iter([None, Path("newer-state")])
    monkeypatch.setattr(verb, "newest_state", lambda *_: next(seen))
    assert run([*argv, "--resume"]) == 0
    assert plans[0].resume == Path("newer-state")
    assert plans[0].folder == begun.folder


def test_a_folder_spelt_otherwise_holds_the_same_pictures(argv, begun):
    """What counts is what they hold; a named run is compared where other pictures are named."""
    Path("linked").symlink_to("pics")
    again = [part if part != "pics" else "linked" for part in argv]
    assert run([*again, "--resume"]) == 0
    small_set(Path("others"), 2)
    assert run(["train", str(begun.folder.path), "--images", "others", "--resume"]) == 2


def test_a_resume_notices_other_pictures(argv, begun, capsys):
    """Through the settings it is refused; the run itself, by its name, goes on with what it has staged."""
    Path("pics/p1.txt").write_text("an edited caption\n")
    assert run([*argv, "--resume"]) == 2
    assert "p1.png: another caption" in capsys.readouterr().err
    assert run(["train", str(begun.folder.path), "--resume"]) == 0


@pytest.fixture
def given(argv, layouts, write_weights) -> Path:
    """Return a LoRA of rank 4 that adapts what a run would."""
    transformer, shapes = Path("models/flux1-dev.safetensors"), layouts["flux1-dev.safetensors"]
    linear = {f"{name}.weight": (96, 96) for name in ("double_blocks.0.img_attn.proj", "single_blocks.0.linear1")}
    write_weights(transformer, shapes | linear)
    layers = adapted_layers(transformer, Job())
    tensors = {}
    for layer in layers:
        tensors |= {f"{layer}.lora_down.weight": np.ones((4, 8)), f"{layer}.lora_up.weight": np.ones((8, 4))}
    save_file({name: value.astype("float32") for name, value in tensors.items()}, "given.safetensors")
    return Path("given.safetensors")


def test_a_new_run_takes_weights_of_another_rank(argv, given, monkeypatch, capsys):
    """They are brought to the run's own, beside it; what was given stays as it is, and a dry run writes nothing."""
    plans = _not_carried_out(monkeypatch)
    before = given.read_bytes()
    more = ["--from-weights", str(given), "--set=engine.kind=kohya", "--set=network.rank=6", "--set=network.alpha=3"]
    assert run([*argv, *more, "--dry-run"]) == 0
    assert not list(Path().rglob("begin.safetensors"))
    assert run([*argv, *more]) == 0
    assert "given.safetensors: rank 4 brought to rank 6, alpha 3" in capsys.readouterr().err
    (begin,) = Path().rglob("begin.safetensors")
    assert {len(value) for name, value in load_file(begin).items() if name.endswith(".lora_down.weight")} == {6}
    assert given.read_bytes() == before
    given.unlink()  # the run has its own, and so has one that repeats it
    prepare(plans[0])
    assert run(["train", str(plans[0].folder.path)]) == 0
    assert plans[1].folder.begin.read_bytes() == begin.read_bytes()
    assert str(plans[1].folder.begin) in plans[1].files[plans[1].folder.config]


def test_weights_that_no_run_can_begin_with_are_refused(argv, given, monkeypatch, capsys):
    """Of layers that are not trained here, or with matrices that do not fit; no folder is left of it."""
    _not_carried_out(monkeypatch)
    sound = load_file(given)
    more = ["--from-weights", str(given), "--set=engine.kind=kohya", "--set=network.rank=4", "--set=network.alpha=4"]
    foreign = {name.replace("blocks_", "nowhere_"): value for name, value in sound.items()}
    first = next(name for name in sound if name.endswith(".lora_up.weight"))
    for tensors, says in (
        (foreign, "adapts none of the layers that the run trains"),
        ({name: value for name, value in sound.items() if name != first}, "1 layers are no pair of matrices"),
        (sound | {first: sound[first][:, :2]}, "1 layers are no pair of matrices"),
        (sound | {first: np.zeros((8, 4, 3, 3), "float32")}, "1 layers are no pair of matrices"),
    ):
        save_file(tensors, given)
        assert run([*argv, *more]) == 2
        assert says in capsys.readouterr().err
    assert not Path("runs").exists()
    save_file(dict(list(sound.items())[:2]), given)
    assert run([*argv, *more]) == 0
    assert "1 of 2 layers begin with it" in capsys.readouterr().err


def _not_carried_out(monkeypatch) -> list[RunPlan]:
    plans: list[RunPlan] = []
    verb = importlib.import_module("loraforge.cli.train")
    monkeypatch.setattr(verb, "carry_out", lambda plan, **_: plans.append(plan))
    return plans


def _together(new_folder):
    """Name folders as for two starts that look at the same time: what the first has made, the second sees late."""
    named = []

    def name(output_dir: Path, lora: str, _now: datetime):
        moment = datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001  # only its digits count
        named.append(named[0] if len(named) == 1 else new_folder(output_dir, lora, moment))
        return named[-1]

    return name
