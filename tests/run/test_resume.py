"""Which state a run goes on from, and when it is refused."""

import json
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from loraforge.config.job import Job
from loraforge.errors import ConfigError, MachineError
from loraforge.run.folder import RunFolder
from loraforge.run.resume import is_whole, newest_state, refuse_changes

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


def test_the_newest_state_is_taken(folder):
    """Names with glob signs are no obstacle."""
    assert newest_state(folder, "a[1] b").name.endswith("step00000008-state")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_a_damaged_state_is_passed_over(folder, part, damage):
    """Whatever a killed engine left unfinished, the state before it is used."""
    path = folder.output / "a[1] b-step00000008-state" / part
    data = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(b"" if damage == "empty" else data[: len(data) // 2])
    assert newest_state(folder, "a[1] b").name.endswith("step00000004-state")


def test_a_state_of_another_step_is_not_whole(folder):
    """A state that counts differently than it is named would misname what follows."""
    state = folder.output / "a[1] b-step00000008-state"
    (state / "train_state.json").write_text(json.dumps({"current_epoch": 1, "current_step": 6}))
    assert not is_whole(state)


def test_without_a_state_it_says_so(tmp_path):
    """Nothing to go on from is the machine's state, not a crash."""
    with pytest.raises(MachineError, match="holds no state"):
        newest_state(RunFolder(tmp_path), "x")


def test_changed_settings_are_refused_by_name():
    """Another rank is another run; another launch is not."""
    run = Job()
    refuse_changes(run, Job.model_validate({"launch": {"grace_seconds": 5.0}}))
    with pytest.raises(ConfigError, match=r"network\.rank: 16 then, 8 now"):
        refuse_changes(run, Job.model_validate({"network": {"rank": 8}}))
