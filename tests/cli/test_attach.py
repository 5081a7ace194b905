"""What `loraforge attach` says of a run that is over."""

import json
import subprocess
import sys

import pytest
from fake_runs import make_run

from loraforge.cli import run
from loraforge.errors import MachineError
from loraforge.run.detach import ask_to_stop
from loraforge.run.lock import NAME, owned


def test_a_run_that_is_done_needs_no_stopping(tmp_path, capsys):
    """It is told as done; going on with it would be refused."""
    folder = make_run(tmp_path / "r", steps=(2, 4), prompts=[])
    assert run(("attach", str(folder.path), "--stop")) == 0
    said = capsys.readouterr().err
    assert "done: " in said
    assert "--resume" not in said


def test_a_lora_that_is_gone_is_not_called_done(tmp_path, capsys):
    """What was proven once may have been moved since."""
    folder = make_run(tmp_path / "a b", steps=(2, 4), prompts=[])
    folder.lora("art").unlink()
    assert run(("attach", str(folder.path))) == 2
    said = capsys.readouterr().err
    assert "is gone" in said
    assert f"loraforge train '{folder.path}'" in said


@pytest.mark.spawns
@pytest.mark.skipif(sys.platform == "win32", reason="a lock's file can't be written there")
def test_a_run_whose_process_is_gone_is_no_fault_of_the_system(tmp_path):
    """What it has started may hold its folder for a moment longer."""
    folder = make_run(tmp_path / "r", steps=(2, 4), prompts=[])
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with owned(folder.path):
        (folder.path / NAME).write_text(json.dumps({"pid": ended.pid, "about": "x"}))
        with pytest.raises(MachineError, match=f"process {ended.pid} has just ended"):
            ask_to_stop(folder)
