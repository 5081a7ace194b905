"""Which state a run goes on from, and when it is refused."""

import json
import random
import tomllib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from fake_runs import make_run
from jobs import WEIGHTS
from safetensors.numpy import save_file

from loraforge.config.definite import definite
from loraforge.config.job import Job
from loraforge.dataset.staging import Entry
from loraforge.errors import ConfigError, MachineError
from loraforge.run.folder import RunFolder
from loraforge.run.plan import build_plan
from loraforge.run.resume import is_sound, newest_state, not_restored, ready_again, weights_of
from loraforge.run.settle import Ready
from loraforge.settings import Settings

PARTS = ("train_state.json", "model.safetensors", "optimizer.bin", "scheduler.bin", "random_states_0.pkl")


@pytest.fixture
def folder(tmp_path):
    """Return a run folder with states of steps 4 and 8."""
    run = RunFolder(tmp_path)
    for step in (4, 8):
        state = run.output / f"a[1] b-step{step:08d}-state"
        state.mkdir(parents=True)
        (state / "train_state.json").write_text(json.dumps({"current_epoch": 1, "current_step": step}))
        save_file({"x": np.ones(3, np.float32)}, state / "model.safetensors")
        for name in PARTS[2:]:
            with zipfile.ZipFile(state / name, "w") as archive:
                archive.writestr("data.pkl", bytes(100))
    return run


def test_another_engine_goes_on(tmp_path, layouts, write_weights):
    """`--resume --engine DIR` takes that engine and says so in the job, whatever the run and the environment name."""
    run = make_run(tmp_path / "run")
    run.manifest.write_text("[]")
    for name in ("now", "then"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "flux_train_network.py").touch()
    for name, shapes in layouts.items():
        write_weights(tmp_path / "models" / name, shapes)
    environ = {"LORAFORGE_ENGINE": str(tmp_path / "then"), "LORAFORGE_MODELS": str(tmp_path / "models")}
    now = tmp_path / "now"
    asked = Settings(Job.model_validate({"engine": {"path": now}}), {"engine.path": "--engine"}, tmp_path)
    ready = ready_again(run, environ, asked, engine=now)
    assert ready.home.path == ready.job.engine.path == tmp_path / "now"
    assert ready_again(run, environ).home.path == tmp_path / "then"
    (tmp_path / "models" / "ae.safetensors").write_bytes(b"cut off")
    with pytest.raises(MachineError, match=r"model\.autoencoder"):
        ready_again(run, environ)


def test_a_run_goes_on_where_it_was_moved_to(tmp_path, layouts, write_weights):
    """Its runs lie around it, and what it began with lies in it, whatever its job says."""
    for name, shapes in layouts.items():
        write_weights(tmp_path / "models" / name, shapes)
    run = make_run(tmp_path / "moved" / "art" / "20260101-000000")
    run.manifest.write_text("[]")
    run.begin.touch()
    tables = tomllib.loads(run.job.read_text()) | {"engine": {"kind": "embedded"}}
    tables["output"] |= {"name": "art", "dir": "/gone/runs"}
    run.job.write_text(tomli_w.dumps(tables))
    job = ready_again(run, {"LORAFORGE_MODELS": str(tmp_path / "models")}).job
    assert job.output.dir == tmp_path / "moved"
    assert job.engine.extra == {"network_weights": str(run.begin)}


def test_the_newest_state_is_taken(folder):
    """Names with glob signs are no obstacle."""
    assert newest_state(folder, "a[1] b", 12).name.endswith("step00000008-state")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_a_damaged_state_is_passed_over(folder, part, damage):
    """Whatever a killed engine left unfinished, the state before it is used."""
    path = folder.output / "a[1] b-step00000008-state" / part
    data = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(b"" if damage == "empty" else data[: len(data) // 2])
    assert newest_state(folder, "a[1] b", 12).name.endswith("step00000004-state")


def test_a_state_of_another_step_is_not_whole(folder):
    """A state that counts differently than it is named would misname what follows."""
    state = folder.output / "a[1] b-step00000008-state"
    (state / "train_state.json").write_text(json.dumps({"current_epoch": 1, "current_step": 6}))
    assert not is_sound(state)


def test_a_bit_that_makes_stored_bytes_compressed_is_damage(folder):
    """Zlib has an error of its own for it."""
    path = folder.output / "a[1] b-step00000008-state" / "optimizer.bin"
    with zipfile.ZipFile(path, "w") as archive:  # stored
        archive.writestr("x", b"\xff" * 64)
    data = bytearray(path.read_bytes())
    data[8] = 8  # of the local header, and of the directory: the method becomes deflate
    data[data.index(b"PK\x01\x02") + 10] = 8
    path.write_bytes(data)
    assert not is_sound(path.parent)


@pytest.mark.parametrize("step", ["Infinity", "1e999"])
def test_a_step_beyond_all_numbers_is_damage(folder, step):
    """It is no number of steps."""
    state = folder.output / "a[1] b-step00000008-state"
    (state / "train_state.json").write_text(f'{{"current_epoch": 1, "current_step": {step}}}')
    assert not is_sound(state)


def test_a_state_of_a_diverged_run_is_passed_over(folder):
    """Weights that are not finite would stay so for the rest of the run."""
    save_file({"x": np.array([1, np.nan], np.float32)}, folder.output / "a[1] b-step00000008-state/model.safetensors")
    assert newest_state(folder, "a[1] b", 12).name.endswith("step00000004-state")


def test_the_state_of_the_last_step_leaves_nothing_to_do(folder):
    """A run killed in its last save does the last steps again: the engine refuses to start at its end."""
    assert newest_state(folder, "a[1] b", 8).name.endswith("step00000004-state")


def test_without_a_state_the_run_begins_anew(tmp_path):
    """Nothing to go on from is no fault."""
    assert newest_state(RunFolder(tmp_path), "x", 8) is None


@pytest.mark.parametrize("part", PARTS)
def test_a_state_cut_or_flipped_anywhere_never_raises(folder, part):
    """Whatever stands in a state, reading it ends in yes or no."""
    path = folder.output / "a[1] b-step00000008-state" / part
    data, chance = path.read_bytes(), random.Random(part)  # noqa: S311  # no secret
    for cut in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:cut])
        assert not is_sound(path.parent)
    for _ in range(200):
        flipped = bytearray(data)
        flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        assert is_sound(path.parent) in {True, False}


def planned(steps=100, **sections):
    """Return the plan of a job on five pictures."""
    values = {"training": {"steps": steps}} | sections
    job = definite(Job.model_validate(values), 5, 80.0)
    pictures = tuple(Entry(str(number), Path(f"/{number}.png"), "zx") for number in range(5))
    return build_plan(Ready(job, WEIGHTS, full_size=True, home=None, set_=pictures), RunFolder(Path("/runs/x")))


@pytest.mark.parametrize(
    ("sections", "part"),
    [
        ({}, ""),
        ({"dataset": {"repeats": 20}}, ""),
        ({"dataset": {"repeats": 19}}, "several epochs"),
        ({"dataset": {"repeats": 20, "batch_size": 2}}, "several epochs"),
        ({"dataset": {"repeats": 20}, "launch": {"processes": 2}}, "several epochs"),
        ({"engine": {"extra": {"flip_aug": True}}}, "drawn ahead with pictures (flip_aug)"),
        ({"engine": {"extra": {"token_warmup_step": 30}}, "training": {"steps": 100, "workers": 0}}, "drawn ahead"),
        ({"launch": {"processes": 2, "gpu_ids": "0,1"}}, "noise of the other processes"),
        ({"engine": {"extra": {"deepspeed": True}}}, "engine options"),
        ({"training": {"steps": 100, "save_states": False}}, "no states"),
    ],
)
def test_what_a_resume_can_not_restore_is_known_before(sections, part):
    """One epoch on one card goes on exactly; whatever else is asked for is told with the reason."""
    said = not_restored(planned(**sections))
    assert part in said if part else said == ""


@pytest.mark.parametrize("keep_last", [None, 1, 2, 5])
def test_two_states_are_always_kept(keep_last):
    """By the engine's own rule of removal: whatever becomes of the newest state, the one before it is there."""
    plan = planned(output={"keep_last": keep_last} if keep_last else {}, training={"steps": 100, "save_every_steps": 7})
    table = tomllib.loads(plan.files[plan.folder.config])
    options = {name: value for section in table.values() for name, value in section.items()}
    every, kept = options["save_every_n_steps"], options["save_last_n_steps_state"]
    states: list[int] = []
    for step in range(every, 100, every):
        states.append(step)
        assert states[-2:] == [step - every, step][-len(states) :], "before the oldest is removed, too"
        removed = (step - kept - 1) // every * every  # library/train_util.py, save_and_remove_state_stepwise
        states = [state for state in states if state != removed]
        assert states[-2:] == [step - every, step][-len(states) :]
        assert len(states) <= 2


def test_a_new_run_begins_with_sound_weights_only(tmp_path):
    """The finished LoRA, or else the newest whole and finite checkpoint; a pickle never."""
    run = RunFolder(tmp_path)
    run.output.mkdir()
    with pytest.raises(ConfigError, match="holds no LoRA"):
        weights_of(tmp_path)
    tensors = {"a.lora_down.weight": np.ones((4, 2), np.float32)}
    for step in (2, 4):
        save_file(tensors, run.checkpoint("x", step))
    save_file({"a.lora_down.weight": np.full((4, 2), np.nan, np.float32)}, run.checkpoint("x", 6))
    (run.output / "x.pt").write_bytes(b"\x80\x02")
    assert weights_of(tmp_path) == run.checkpoint("x", 4)
    save_file(tensors, run.lora("x"))
    assert weights_of(tmp_path) == run.lora("x")
    with pytest.raises(ConfigError, match="holds no LoRA"):
        weights_of(run.output / "x.pt")
