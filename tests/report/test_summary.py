"""The end of a run says what was made, what was changed on the way, and what to do next."""

import json
from pathlib import Path

from jobs import WEIGHTS

from loraforge.config.definite import definite
from loraforge.config.job import Job
from loraforge.report.summary import summary
from loraforge.run.ends import End
from loraforge.run.folder import RunFolder
from loraforge.run.plan import build_plan
from loraforge.run.record import Record, write
from loraforge.run.settle import Ready
from loraforge.run.supervise import Ending
from loraforge.run.train import Outcome
from loraforge.run.verify import Proof

_CHANGE = {"step": 4, "because": "gpu-memory", "settings": {"memory.gradient_checkpointing": [False, True]}}


def test_a_healed_run_tells_its_changes(tmp_path: Path) -> None:
    """What healing changed stands beside the result, for people and for programs."""
    folder = RunFolder(tmp_path / "my run")
    folder.path.mkdir()
    write(folder, Record(status="done", changes=(_CHANGE,)))
    job = definite(Job.model_validate({"engine": {"kind": "embedded"}}), 20, 80.0)
    plan = build_plan(Ready(job, WEIGHTS, full_size=True, home=None, set_=()), folder)
    ending = Ending(0, False, True, False, 500, (), (), None, 60.0)  # noqa: FBT003 - its own order
    lora = folder.lora("lora")
    outcome = Outcome("done", "", ending, Proof(lora, (), {}, 304, 500, 1_000_000), {}, End("done"))
    told = summary(plan, outcome)
    assert "changed on the way: memory.gradient_checkpointing False → True (gpu-memory at step 4)" in told.as_text()
    assert f"loraforge compare '{folder.path}'" in told.as_text()
    assert json.loads(told.as_json())["changes"] == [_CHANGE]
