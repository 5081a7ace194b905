"""A run of the real engine that meets one fault after another, and still ends in the LoRA of one that met none."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import psutil
import pytest
from end_to_end import same_weights

from loraforge.cli.demo import demo_job
from loraforge.engine.events import PhaseStarted, Step
from loraforge.errors import MachineError
from loraforge.run.family import MARK
from loraforge.run.folder import RunFolder
from loraforge.run.lock import NAME, holder, owned
from loraforge.run.plan import RunPlan, build_plan
from loraforge.run.record import read, standing
from loraforge.run.resume import newest_state, step_of
from loraforge.run.settle import settle
from loraforge.run.train import Outcome, prepare, train
from loraforge.run.watch import SILENCE, Limits

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]
TOKEN = "hf_" + "PlantedTokenThatNobodyMayKeep"  # it opens nothing
SETTINGS = [
    "training.steps=6",
    "training.save_every_steps=2",
    'sampling.prompts=["a house"]',
    "sampling.steps=1",
    "sampling.width=64",
    "sampling.height=64",
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
        state: step of the state that the next start goes on from; 0 for none.
    """

    at: str | int
    whom: str
    number: signal.Signals
    end: str
    state: int


FAULTS = [
    Fault("loading", "engine", signal.SIGTERM, "engine-crash", 0),
    Fault("caching-latents", "supervisor", signal.SIGINT, "interrupted", 0),
    Fault("caching-text", "launcher", signal.SIGKILL, "host-memory", 0),
    Fault("sampling", "supervisor", signal.SIGTERM, "interrupted", 0),
    Fault("saving", "engine", signal.SIGKILL, "host-memory", 0),
    Fault(3, "launcher", signal.SIGTERM, "engine-crash", 2),
    Fault(3, "supervisor", signal.SIGHUP, "interrupted", 2),
    Fault(3, "engine", signal.SIGSTOP, "stalled", 2),
]


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


def plan_in(home: Path, name: str) -> RunPlan:
    """Plan the demo, small, into a folder of its own under a shared store."""
    ready = settle(demo_job(home, "kohya", SETTINGS), vram_gib=None, environ=os.environ)
    return build_plan(ready, RunFolder(home / "runs" / name))


def again(plan: RunPlan) -> RunPlan:
    """Plan to go on."""
    return build_plan(plan.ready, plan.folder, resume=newest_state(plan.folder, "demo", plan.steps))


def go(plan: RunPlan, fault: Fault | None = None, *, spare: int = 2**20) -> tuple[Outcome, Trouble]:
    """Prepare and run a plan, with a token in the environment and little patience for a stalled training."""
    trouble = Trouble(plan.folder, fault)
    prepare(plan)
    stalls = fault is not None and fault.number == signal.SIGSTOP
    limits = Limits(silence={**SILENCE, "training": 12.0} if stalls else SILENCE, spare=spare)
    environ = {**os.environ, "HF_TOKEN": TOKEN, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    outcome = train(plan, trouble, environ=environ, limits=limits, before=read(plan.folder.state))
    assert family(read(plan.folder.state).family) == [], "the engine outlives its supervisor"
    return outcome, trouble


@pytest.fixture(scope="module")
def home(tmp_path_factory, engine_home) -> Path:
    """Return a folder in which all runs share pictures and caches."""
    return tmp_path_factory.mktemp("faults")


def killed_from_outside(plan: RunPlan, at_step: int) -> None:
    """Run the command line, kill it without warning at a step, and see that nobody else gets or keeps the folder."""
    command = [sys.executable, "-m", "loraforge", "train", str(plan.folder.path), "--resume", "--json"]
    environ = {**os.environ, "HF_TOKEN": TOKEN, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ) as process:
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "step" and event["step"] == at_step:
                break
        assert holder(plan.folder.path / NAME)["pid"] == process.pid
        with pytest.raises(MachineError, match="another loraforge"), owned(plan.folder.path, patience=0.2):
            pass
        mark = read(plan.folder.state).family
        assert not [child for child in family(mark) if TOKEN in " ".join(child.environ().values())]
        process.kill()
    until = time.monotonic() + 20
    while (family(mark) or holder(plan.folder.path / NAME) is not None) and time.monotonic() < until:
        time.sleep(0.1)
    assert family(mark) == [], "the engine outlives a killed supervisor"
    record = standing(plan.folder)
    assert (record.status, record.end) == ("failed", "lost")


def test_a_run_full_of_faults_gives_the_lora_of_one_without(home):
    """Every fault has its name, leaves no process, loses no checkpoint, and the run goes on exactly."""
    plan = plan_in(home, "faults")
    for fault in FAULTS:
        outcome, _ = go(again(plan), fault)
        state = newest_state(plan.folder, "demo", plan.steps)
        seen = (outcome.end.name, step_of(state) if state else 0)
        assert seen == (fault.end, fault.state), (fault, outcome.end)
        assert read(plan.folder.state).end == fault.end
    killed_from_outside(plan, 5)
    assert step_of(newest_state(plan.folder, "demo", 6)) == 4
    cut = plan.folder.output / "demo-step00000004-state" / "optimizer.bin"
    cut.write_bytes(cut.read_bytes()[:1000])
    resumed = again(plan)
    assert step_of(resumed.resume) == 2
    outcome, rest = go(resumed)
    assert outcome.status == "done", outcome.end
    assert list(outcome.checkpoints) == [2, 4, 6]
    assert outcome.proof.metadata["ss_steps"] == "6"

    whole = plan_in(home, "whole")
    outcome, all_ = go(whole)
    assert outcome.status == "done"
    for name in ("demo", "demo-step00000002", "demo-step00000004", "demo-step00000006"):
        assert same_weights(whole.folder.output / f"{name}.safetensors", plan.folder.output / f"{name}.safetensors")
    assert rest.steps[-1] == all_.steps[-1], "the average of the losses is that of the whole run"
    kept = [path for path in home.rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()]
    assert kept == [], "a token reached a file"


def test_a_full_disk_has_its_name_and_the_run_goes_on_with_more(home, tmp_path):
    """The engine dies of a disk that is full in its first save; with the watch it would not have come so far."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "none", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        plan = plan_in(home, "full")
        plan.folder.path.mkdir(parents=True)
        plan.folder.output.symlink_to(disk)
        outcome, _ = go(plan, spare=-(10**12))
        assert outcome.end.name == "disk-full", outcome.end
        assert "saving" in {outcome.ending.phase, outcome.end.phase}
        outcome, _ = go(again(plan))
        assert (outcome.end.name, outcome.ending.verdict is not None) == ("disk-full", True), outcome.end
        subprocess.run(["mount", "-o", "remount,size=200m", disk], check=True)
        outcome, _ = go(again(plan))
        assert outcome.status == "done", outcome.end
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_weights_with_nan_are_stopped_at_the_first_step(home, tmp_path):
    """The loss is no number, the run ends there, and nothing of it is taken for a state or a LoRA."""
    plan = plan_in(home, "nan")
    sound = plan.ready.weights.transformer
    data = bytearray(sound.read_bytes())
    length = int.from_bytes(data[:8], "little")
    entry = json.loads(data[8 : 8 + length])["single_blocks.0.linear1.weight"]
    at = 8 + length + entry["data_offsets"][0]
    data[at : at + 2] = b"\xc0\x7f"  # one bf16 of the whole model
    broken = tmp_path / "nan.safetensors"
    broken.write_bytes(data)
    weights = replace(plan.ready.weights, transformer=broken)
    plan = build_plan(replace(plan.ready, weights=weights), plan.folder)
    outcome, _ = go(plan)
    assert (outcome.status, outcome.end.name) == ("failed", "diverged"), outcome.end
    assert outcome.ending.last_step <= 3
    assert newest_state(plan.folder, "demo", plan.steps) is None
    assert outcome.checkpoints == {}


def loraforge(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run loraforge and wait for it."""
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "loraforge", *arguments]
    return subprocess.run(command, env=environ, check=False, capture_output=True, text=True, timeout=200)


def test_a_detached_run_can_be_seen_and_stopped(home):
    """It outlives the command that started it, keeps others out, and ends when it is asked to."""
    plan = plan_in(home, "recipe")
    prepare(plan)
    started = loraforge("train", str(plan.folder.path), "--detach")
    assert started.returncode == 0, started.stderr
    folder = RunFolder(Path(started.stdout.strip()))
    assert standing(folder).status == "running"
    second = loraforge("train", str(folder.path), "--resume")
    assert (second.returncode, "another loraforge" in second.stderr) == (3, True), second.stderr
    stopped = loraforge("attach", str(folder.path), "--stop", "--json")
    assert stopped.returncode == 130, stopped.stderr
    record = standing(folder)
    assert (record.status, record.end) == ("interrupted", "interrupted")
    assert family(record.family) == []
