"""What is made of the way in which the engine ended."""

from pathlib import Path

import pytest
from jobs import WEIGHTS

from loraforge.config.definite import definite
from loraforge.config.job import Job
from loraforge.dataset.staging import Entry
from loraforge.engine.events import Problem
from loraforge.run.folder import RunFolder
from loraforge.run.plan import build_plan
from loraforge.run.settle import Ready
from loraforge.run.supervise import Ending
from loraforge.run.train import judge


def ended(**seen):
    """Return how an engine ended."""
    plain = {"saw_model_saved": False, "saw_no_data": False, "tail": (), "problems": (), "peak_gpu_gib": None}
    return Ending(**{**plain, "seconds": 1.0, "interrupted": False, "last_step": 0, **seen})


def plan_of(folder, **more):
    """Return a plan of 12 steps."""
    job = definite(Job.model_validate({"training": {"steps": 12}}), 1, 80.0)
    ready = Ready(job, WEIGHTS, full_size=True, home=None, set_=(Entry("abc", Path("/a.png"), "zx"),))
    return build_plan(ready, RunFolder(folder), **more)


@pytest.mark.parametrize(
    "heard",
    [
        {"tail": ("OSError: [Errno 28] No space left on device",)},
        {"problems": (Problem("traceback", "Traceback\nOSError: [Errno 28] No space left on device"),)},
        {},
    ],
)
def test_words_that_found_no_room_in_the_log_still_count(tmp_path, heard):
    """A full disk takes the engine's last words too; what was heard, and that they found no room, names the end."""
    plan = plan_of(tmp_path)
    plan.folder.log.write_text("caching Text Encoder outputs...\nTraceback (most recent call last):\n", "utf-8")
    fault = "[Errno 28] No space left on device"
    ending = ended(returncode=1, phase="caching-text", log_fault=fault, **heard)
    assert judge(plan, ending).end.name == "disk-full"
    assert judge(plan, ended(returncode=1, phase="caching-text")).end.name == "engine-crash"


@pytest.mark.parametrize(("last_step", "told"), [(0, 4), (7, 7)])
def test_a_resumed_run_that_is_stopped_tells_its_step(tmp_path, last_step, told):
    """Also before its first step, and also when the state that it went on from has been pruned since."""
    plan = plan_of(tmp_path, resume=tmp_path / "output" / "lora-step00000004-state")
    outcome = judge(plan, ended(returncode=-2, interrupted=True, last_step=last_step), first_step=4)
    assert (outcome.status, outcome.cause) == ("interrupted", f"stopped at step {told} of 12")
