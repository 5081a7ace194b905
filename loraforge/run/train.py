"""Execute a plan: stage, start, watch, prove. The same value that `plan` shows is what runs here."""

import contextlib
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from loraforge.dataset.captions import replace_bytes
from loraforge.dataset.staging import harvest, stage
from loraforge.engine.events import CheckpointSaved, Event, PhaseStarted, Problem, StateSaved, Step
from loraforge.engine.header import HeaderError
from loraforge.engine.parser import Parser
from loraforge.engine.schedule import learning_rate
from loraforge.engine.shim import PART
from loraforge.errors import MachineError
from loraforge.run.aside import set_aside
from loraforge.run.ends import End, end_of
from loraforge.run.folder import STORE, RunFolder
from loraforge.run.plan import RunPlan, environment
from loraforge.run.process import EngineProcess
from loraforge.run.record import Record, reserve, write
from loraforge.run.resume import step_of
from loraforge.run.supervise import Ending, StopRequests, supervise
from loraforge.run.unchanged import note_weights
from loraforge.run.verify import Proof, expected_modules, prove
from loraforge.run.watch import Limits, Watch

_EVERY = 2.0  # seconds


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
        end: its name and the evidence.
    """

    status: Literal["done", "failed", "interrupted"]
    cause: str
    ending: Ending
    proof: Proof | None
    checkpoints: Mapping[int, Path]
    end: End


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
    note_weights(folder, plan.ready.weights)
    # What an engine that was killed left half-written goes.
    harvest(folder.dataset, store(plan))
    for part in folder.output.glob(f"*{PART}"):
        part.unlink(missing_ok=True)
    if plan.resume is None:
        stage(plan.ready.set_, store(plan), folder.dataset)


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
    before: Record | None = None,
    limits: Limits | None = None,
    measured: Callable[[], Sequence[Event]] = tuple,
    holding: Sequence[int] = (),
) -> Outcome:
    """Run a prepared plan to its end and prove what came of it.

    Args:
        plan: what to do; `prepare` it first.
        view: shows the run.
        environ: the environment the engine inherits, less its secrets.
        stop: requests to stop; signals by default.
        gpu_gib: memory in use on the card.
        now: wall-clock time for state.json.
        before: what the record said of earlier starts in this folder.
        limits: what the watchdogs tolerate.
        measured: exact figures of the steps done since it was last asked.
        holding: open files whose locks last until the engine is gone.
    """
    folder = plan.folder
    record = Record(
        name=plan.job.output.name,
        step=step_of(plan.resume) if plan.resume else 0,
        steps=plan.steps,
        began=before.began if before and before.began else _stamp(now()),
        pid=os.getpid(),
        log_from=folder.log.stat().st_size if folder.log.exists() else 0,
        starts=before.starts + 1 if before else 1,
        changes=before.changes if before else (),
    )
    current = _Current(folder, record)

    def start() -> EngineProcess:
        engine = EngineProcess(
            plan.argv, env=environment(plan, environ), cwd=plan.cwd, log_path=folder.log, holding=holding
        )
        current.put(family=engine.mark)
        return engine

    def on_event(event: Event) -> None:
        current.take(event)
        view.handle(event)

    def tidy() -> None:
        with contextlib.suppress(OSError):
            for words in set_aside(folder, record.name):
                view.handle(Problem("warning", words))

    tidy()  # after an end that nobody saw
    ending = supervise(
        start,
        Parser(first_step=record.step),
        on_event,
        grace_seconds=plan.job.launch.grace_seconds,
        on_tick=view.tick,
        gpu_gib=gpu_gib,
        measured=measured,
        stop=stop,
        watch=Watch(
            folder.output, rate=lambda step: learning_rate(plan.job.optimizer, step, plan.steps), limits=limits
        ),
    )
    with contextlib.suppress(OSError):  # a full disk must not hide how the run ended
        harvest(folder.dataset, store(plan))
    outcome = judge(plan, ending, log_from=record.log_from, first_step=record.step)
    if outcome.status != "done":
        tidy()
    current.put(
        status=outcome.status,
        end=outcome.end.name,
        cause=outcome.cause,
        evidence=outcome.end.evidence,
        step=ending.last_step or record.step,
        phase=ending.phase,
        returncode=ending.returncode,
        ended=_stamp(now()),
    )
    return outcome


class _Current:
    """Keeps state.json current: at once with each phase and each save, every few seconds otherwise."""

    def __init__(self, folder: RunFolder, record: Record) -> None:
        self._folder, self._record, self._written = folder, record, 0.0
        reserve(folder)
        self.put()

    def put(self, **values: Any) -> None:
        self._record = replace(self._record, **values)
        write(self._folder, self._record)
        self._written = time.monotonic()

    def take(self, event: Event) -> None:
        match event:
            case PhaseStarted(phase=phase):
                self.put(phase=phase)
            case Step(step=step):
                self._record = replace(self._record, step=step)
                if time.monotonic() - self._written > _EVERY:
                    self.put()
            case CheckpointSaved() | StateSaved():
                self.put()
            case _:
                pass


def judge(plan: RunPlan, ending: Ending, *, log_from: int = 0, first_step: int = 0) -> Outcome:
    """Decide how a run ended from what is on disk, whatever the engine's exit code says.

    Args:
        plan: what was to be done.
        ending: what was seen of the engine.
        log_from: where its words begin in the log, in bytes.
        first_step: the step that it went on from; that state itself may be pruned by now.
    """
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
    done = proof is not None and proof.proven and ending.saw_model_saved
    end = end_of(
        "" if done else words(folder, log_from, ending),
        ending.returncode,
        job,
        phase=ending.phase,
        done=done,
        interrupted=ending.interrupted,
        verdict=ending.verdict,
        unproven=proof.faults if proof is not None else (),
    )
    match end.name:
        case "done":
            return Outcome("done", "", ending, proof, checkpoints, end)
        case "interrupted":
            cause = f"stopped at step {ending.last_step or first_step} of {plan.steps}"
            return Outcome("interrupted", cause, ending, proof, checkpoints, end)
        case _:
            return Outcome("failed", end.cause, ending, proof, checkpoints, end)


def words(folder: RunFolder, start: int, ending: Ending) -> str:
    """Return what the engine said: the log from a byte on, and what was heard last where the log could not take it."""
    log = log_since(folder.log, start)
    if not ending.log_fault:
        return log
    return "\n".join([log, *ending.tail, *(problem.text for problem in ending.problems), ending.log_fault])


def log_since(path: Path, start: int) -> str:
    """Return what the log says from a byte on; nothing where it can't be read."""
    try:
        with path.open("rb") as file:
            file.seek(start)
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def _stamp(when: datetime) -> str:
    return when.isoformat(timespec="seconds")
