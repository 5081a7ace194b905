"""Execute a plan: stage, start, watch, prove. The same value that `plan` shows is what runs here."""

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Protocol

from loraforge.dataset.captions import replace_bytes
from loraforge.dataset.staging import harvest, stage
from loraforge.engine.events import Event
from loraforge.engine.header import HeaderError
from loraforge.engine.parser import Parser
from loraforge.errors import MachineError
from loraforge.run.folder import STORE
from loraforge.run.plan import RunPlan, environment
from loraforge.run.process import EngineProcess
from loraforge.run.supervise import Ending, StopRequests, supervise
from loraforge.run.verify import Proof, expected_modules, prove

Status = Literal["done", "failed", "interrupted"]


class View(Protocol):
    """What shows a run while it goes on."""

    def handle(self, event: Event) -> None:
        """Take an event."""

    def tick(self, now: float) -> None:
        """Take note of passing time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The truth about a run that ended.

    Attributes:
        status: `done` only with a proven LoRA.
        cause: one sentence on why it is not done, empty when it is.
        ending: what was seen of the engine.
        proof: of the finished LoRA; None when the run was interrupted before it.
        checkpoints: step -> proven checkpoint file.
    """

    status: Status
    cause: str
    ending: Ending
    proof: Proof | None
    checkpoints: Mapping[int, Path]


def prepare(plan: RunPlan) -> None:
    """Write the plan's files and stage its pictures.

    Raises:
        MachineError: a folder can't be written.
        DatasetError: pictures can't be decoded.
    """
    folder = plan.folder
    try:
        for path in (folder.path, folder.output):
            path.mkdir(parents=True, exist_ok=True)
        for path, text in plan.files.items():
            replace_bytes(path, text.encode("utf-8", "surrogateescape"))
    except OSError as fault:
        hint = "choose another [output] dir with --set output.dir=PATH, or mend its permissions"
        raise MachineError(f"{fault.filename or folder.path}: can't be written: {fault.strerror}", hint) from None
    if plan.resume is None:
        stage(plan.ready.set_, store(plan), folder.dataset)
    else:  # staged already; what a killed engine left half-written goes
        harvest(folder.dataset, store(plan))


def store(plan: RunPlan) -> Path:
    """Return the folder of staged pictures and caches that all runs of an output folder share."""
    return plan.job.output.dir / STORE


def train(
    plan: RunPlan,
    view: View,
    *,
    environ: Mapping[str, str] = os.environ,
    stop: StopRequests | None = None,
    gpu_gib: Callable[[], float | None] = lambda: None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Outcome:
    """Run a prepared plan to its end and prove what came of it.

    Args:
        plan: what to do; `prepare` it first.
        view: shows the run.
        environ: the environment the engine inherits, less its secrets.
        stop: requests to stop; signals by default.
        gpu_gib: memory in use on the card.
        now: wall-clock time for state.json.
    """
    began = now()
    _write_state(plan, "running", "", began=began, ended=None, step=0)
    first_step = _resumed_step(plan)
    ending = supervise(
        lambda: EngineProcess(plan.argv, env=environment(plan, environ), cwd=plan.cwd, log_path=plan.folder.log),
        Parser(first_step=first_step),
        view.handle,
        grace_seconds=plan.job.launch.grace_seconds,
        on_tick=view.tick,
        gpu_gib=gpu_gib,
        stop=stop,
    )
    with contextlib.suppress(OSError):  # a full disk must not hide how the run ended
        harvest(plan.folder.dataset, store(plan))
    outcome = judge(plan, ending)
    _write_state(
        plan, outcome.status, outcome.cause, began=began, ended=now(), step=ending.last_step, code=ending.returncode
    )
    return outcome


def judge(plan: RunPlan, ending: Ending) -> Outcome:
    """Decide how a run ended from what is on disk, whatever the engine's exit code says."""
    job, folder = plan.job, plan.folder
    try:
        modules: int | None = expected_modules(plan.ready.weights.transformer, job)
    except (OSError, HeaderError):  # the weights' disk went away during the run
        modules = None
    checkpoints = {
        step: path
        for step, path in folder.checkpoints(job.output.name).items()
        if prove(path, job, step=step, modules=modules).proven
    }
    final = folder.lora(job.output.name)
    proof = prove(final, job, step=plan.steps, modules=modules) if final.exists() else None
    if proof is not None and proof.proven and ending.saw_model_saved:
        return Outcome("done", "", ending, proof, checkpoints)
    if ending.interrupted:
        return Outcome("interrupted", f"stopped at step {ending.last_step} of {plan.steps}", ending, proof, checkpoints)
    return Outcome("failed", _cause(ending, proof), ending, proof, checkpoints)


def _cause(ending: Ending, proof: Proof | None) -> str:
    if ending.saw_no_data:
        return "the engine found no pictures to train on, and ended with exit code 0"
    if proof is not None and not proof.proven:
        return f"the LoRA is not what was asked for: {'; '.join(proof.faults)}"
    if ending.returncode == 0:
        return "the engine ended with exit code 0 without writing a LoRA"
    ended = f"was killed by signal {-ending.returncode}" if ending.returncode < 0 else f"failed ({ending.returncode})"
    errors = [problem.text for problem in ending.problems if problem.level == "error"]
    return f"the engine {ended} after step {ending.last_step}" + (f": {errors[-1]}" if errors else "")


def _resumed_step(plan: RunPlan) -> int:
    if plan.resume is None:
        return 0
    return int(json.loads((plan.resume / "train_state.json").read_text(encoding="utf-8"))["current_step"])


def _write_state(
    plan: RunPlan,
    status: str,
    cause: str,
    *,
    began: datetime,
    ended: datetime | None,
    step: int,
    code: int | None = None,
) -> None:
    state = {
        "status": status,
        "cause": cause,
        "name": plan.job.output.name,
        "step": step,
        "steps": plan.steps,
        "began": began.isoformat(timespec="seconds"),
        "ended": ended.isoformat(timespec="seconds") if ended else None,
        "pid": os.getpid(),
        "returncode": code,
    }
    with contextlib.suppress(OSError):
        replace_bytes(plan.folder.state, (json.dumps(state, indent=1) + "\n").encode())
