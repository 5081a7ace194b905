"""What is made of the way in which the engine ended."""

from pathlib import Path

import pytest
from jobs import WEIGHTS

from loraforge.config.definite import definite
from loraforge.config.job import Job
from loraforge.dataset.staging import Entry
from loraforge.run.folder import RunFolder
from loraforge.run.plan import build_plan
from loraforge.run.settle import Ready
from loraforge.run.supervise import Ending
from loraforge.run.train import judge


@pytest.mark.parametrize(("last_step", "told"), [(0, 4), (7, 7)])
def test_a_resumed_run_that_is_stopped_tells_its_step(tmp_path, last_step, told):
    """Also before its first step, and also when the state that it went on from has been pruned since."""
    job = definite(Job.model_validate({"training": {"steps": 12}}), 1, 80.0)
    ready = Ready(job, WEIGHTS, full_size=True, home=None, set_=(Entry("abc", Path("/a.png"), "zx"),))
    plan = build_plan(ready, RunFolder(tmp_path), resume=tmp_path / "output" / "lora-step00000004-state")
    ending = Ending(
        returncode=-2,
        interrupted=True,
        saw_model_saved=False,
        saw_no_data=False,
        last_step=last_step,
        tail=(),
        problems=(),
        peak_gpu_gib=None,
        seconds=1.0,
    )
    outcome = judge(plan, ending, first_step=4)
    assert (outcome.status, outcome.cause) == ("interrupted", f"stopped at step {told} of 12")
