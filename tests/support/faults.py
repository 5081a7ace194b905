"""What a run of the real engine on tiny weights meets in the fault tests, and how it is started there."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from loraforge.cli.demo import demo_settings
from loraforge.engine.events import PhaseStarted, Step
from loraforge.run.family import MARK
from loraforge.run.figures import Figures
from loraforge.run.folder import RunFolder
from loraforge.run.plan import RunPlan, build_plan
from loraforge.run.quicken import STEPS, quickened
from loraforge.run.record import Record, read
from loraforge.run.resume import newest_state, step_of
from loraforge.run.settle import settle
from loraforge.run.train import Outcome, prepare, train
from loraforge.run.watch import SILENCE, Limits

TOKEN = "hf_" + "PlantedTokenThatNobodyMayKeep"  # it opens nothing
SETTINGS = [
    "training.steps=6",
    "training.save_every_steps=2",
    'sampling.prompts=["a house"]',
    "sampling.steps=1",
    "sampling.width=64",
    "sampling.height=64",
    "sampling.at_start=false",
    "output.keep_last=9",
    "launch.grace_seconds=20",
]


@dataclass
class Fault:
    """What goes wrong, and what must be said of it.

    Attributes:
        at: phase, or step, at which it happens.
        whom: supervisor, launcher or engine.
        number: the signal.
        end: the name of the end.
        state: step of a state that must be there then, or a later one where the engine was quicker; 0 for none.
        wreck: what else happens to the folder before the next start.
    """

    at: str | int
    whom: str
    number: signal.Signals
    end: str
    state: int
    wreck: Callable[[RunFolder], object] = lambda _folder: None


class Trouble:
    """A view that makes a fault happen."""

    def __init__(self, folder: RunFolder, fault: Fault | None) -> None:
        self._folder, self._fault = folder, fault
        self.steps: list[tuple[int, float]] = []

    def handle(self, event):
        """Strike at the phase or step of the fault, once."""
        if isinstance(event, Step) and event.average_loss is not None:
            self.steps.append((event.step, event.average_loss))
        fault = self._fault
        here = (isinstance(event, PhaseStarted) and event.phase == fault.at) if fault else False
        here = here or (isinstance(event, Step) and fault is not None and event.step == fault.at)
        if here:
            self._fault = None
            os.kill(pid_of(fault.whom, read(self._folder.state).family), fault.number)

    def tick(self, now):
        """Nothing to do."""


def family(mark: str) -> list[psutil.Process]:
    """Return the living processes of an engine."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def pid_of(whom: str, mark: str) -> int:
    """Return the process that a fault is meant for."""
    if whom == "supervisor":
        return os.getpid()
    launchers = [process for process in family(mark) if "accelerate.commands.launch" in process.cmdline()]
    if whom == "launcher":
        return launchers[0].pid
    return next(child.pid for child in launchers[0].children() if "shim.py" in " ".join(child.cmdline()))


def plan_in(home: Path, name: str, *settings: str) -> RunPlan:
    """Plan the demo, small, with settings of its own, into a folder of its own under a shared store."""
    ready = settle(demo_settings(home, "kohya", [*SETTINGS, *settings]).job, vram_gib=None, environ=os.environ)
    return build_plan(ready, RunFolder(home / "runs" / name))


def again(plan: RunPlan, fault: Fault | None = None) -> RunPlan:
    """Plan to go on, from before the step at which a fault is to happen."""
    steps = fault.at if fault is not None and isinstance(fault.at, int) else plan.steps
    return build_plan(plan.ready, plan.folder, resume=newest_state(plan.folder, "demo", steps))


def start(
    plan: RunPlan,
    fault: Fault | None = None,
    *,
    spare: int = 2**20,
    before: Record | None = None,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> tuple[Outcome, Trouble]:
    """Run a prepared plan, with a token in the environment and little patience where the engine is to stall."""
    trouble = Trouble(plan.folder, fault)
    stalls = fault is not None and fault.number == signal.SIGSTOP
    impatient = dict.fromkeys(("training", "sampling", "saving"), 12.0)  # where a step later may find it
    figures = Figures(
        plan.folder.path / STEPS,
        first_step=step_of(plan.resume) if plan.resume else 0,
        names={entry.stem: entry.source.name for entry in plan.ready.set_},
    )
    outcome = train(
        quickened(plan),
        trouble,
        environ={**os.environ, "HF_TOKEN": TOKEN, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
        limits=Limits(silence={**SILENCE, **impatient} if stalls else SILENCE, spare=spare),
        before=before or read(plan.folder.state),
        measured=figures.fresh,
        now=now,
    )
    assert family(read(plan.folder.state).family) == [], "the engine outlives its supervisor"
    return outcome, trouble


def go(plan: RunPlan, fault: Fault | None = None, *, spare: int = 2**20) -> tuple[Outcome, Trouble]:
    """Prepare and run a plan."""
    prepare(plan)
    return start(plan, fault, spare=spare)


def loraforge(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run loraforge and wait for it."""
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "loraforge", *arguments]
    return subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=200)


def small_disk(place: Path, size: str, *, read_only: bool = False) -> bool:
    """Mount a disk of its own at a folder; False where that is not allowed."""
    place.mkdir(exist_ok=True)
    options = f"size={size}{',ro' if read_only else ''}"
    return not subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "none", place], check=False, capture_output=True
    ).returncode
