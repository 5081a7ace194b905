"""One owner a folder, whoever asks."""

import json
import subprocess
import sys

import pytest

from loraforge.errors import MachineError
from loraforge.run.lock import NAME, _locked, claim_cards, holder, owned, take


def test_a_second_owner_is_refused(tmp_path):
    """It is told who is at work; afterwards the folder is free."""
    with owned(tmp_path):
        with pytest.raises(MachineError, match="another loraforge"), owned(tmp_path, patience=0.0):
            pass
        assert holder(tmp_path / NAME)["about"] == str(tmp_path)
    assert holder(tmp_path / NAME) is None
    with owned(tmp_path, patience=0.0):
        pass


def test_a_folder_that_nobody_ever_held(tmp_path):
    """No lock file is no holder."""
    assert holder(tmp_path / NAME) is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no shared locks")
def test_who_looks_is_no_holder(tmp_path):
    """Two that look at once don't take each other for one."""
    take(tmp_path / NAME, "x").release()
    with (tmp_path / NAME).open("r+") as looked_at:
        assert _locked(looked_at, looking=True)
        assert holder(tmp_path / NAME) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{" * 99999])
def test_a_damaged_note_still_locks(tmp_path, text):
    """What the file says is a note; the lock is the system's."""
    lock = take(tmp_path / NAME, "x")
    (tmp_path / NAME).write_text(text)
    assert isinstance(holder(tmp_path / NAME), dict)
    lock.release()


@pytest.mark.spawns
def test_the_dead_hold_nothing(tmp_path):
    """A holder that is killed without warning leaves the folder to others, unless something inherited the lock."""
    code = (
        "import sys, time; from pathlib import Path; from loraforge.run.lock import take\n"
        "lock = take(Path(sys.argv[1]), 'x'); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path / NAME], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"held\n"
        assert holder(tmp_path / NAME)["pid"] == process.pid
        process.kill()
    assert holder(tmp_path / NAME) is None


def test_two_runs_on_one_card_are_told(tmp_path):
    """The second run goes on, and its user knows of the first."""
    first, told = claim_cards(["0"], tmp_path / "one", tmp_path / "locks")
    assert told == []
    second, told = claim_cards(["0", "1"], tmp_path / "two", tmp_path / "locks")
    assert len(second) == 1
    assert "GPU 0 is in use by another run" in told[0]
    assert str(tmp_path / "one") in told[0]
    for lock in (*first, *second):
        lock.release()
    assert json.loads((tmp_path / "locks" / "gpu-1.lock").read_text())["about"] == str(tmp_path / "two")
