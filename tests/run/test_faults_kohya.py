"""A run of the real engine that meets one fault after another, and still ends in the LoRA of one that met none.

What can go wrong, how it is called, and where that is shown. In every row no process is left, no checkpoint is lost
and the run goes on to the LoRA of a run without faults, bit for bit, where its weights are sound. All on the real
engine with tiny weights; rows with a star are made for real in tests/run/test_causes_kohya.py, the
row with two is one of the engine's recorded logs in tests/run/test_ends.py.

     what happens                                              end
  1  SIGTERM to the engine while loading                       engine-crash
  2  SIGINT to the supervisor while caching latents            interrupted
  3  SIGKILL to the launcher while caching text                host-memory
  4  SIGTERM to the supervisor while sampling                  interrupted
  5  SIGKILL to the engine in a save                           host-memory
  6  SIGTERM to the launcher while training                    engine-crash
  7  SIGHUP (a closed terminal) while training                 interrupted
  8  the engine stands still (SIGSTOP)                         stalled
  9  SIGKILL to the supervisor while training                  lost
 10  a cache cut short between two starts                      made again
 11  state.json, the settings and the diary cut short          written again
 12  half a LoRA left by a killed save                         removed, or set aside
 13  the newest state cut short                                the one before it
 14  the clock is set back by years                            done
 15  two starts at once                                        the second is refused
 16  stopped while detached                                    interrupted
 17  the disk is full in a save                                disk-full, by the engine's word
 18  the disk is about to be full                              disk-full, before the save
 19  the folder is read-only                                   refused, exit code 3
 20  weights with NaN                                          diverged at the first step, pictures named
 21* weights cut short after they were checked                 bad-weights
 22* an option that the engine does not know                   bad-settings
 23* a module of the engine is missing                         module-missing
 24* the pictures are gone: exit code 0 without data           no-data
 25* a picture damaged after staging                           bad-data
 26* GPU memory runs out                                       gpu-memory, healed, done
 27* begun with the weights of another run                     done
 28** tokenizers gone and no hub                               hub-offline
"""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from end_to_end import same_weights
from faults import TOKEN, Fault, again, family, go, loraforge, plan_in, small_disk, start

from loraforge.errors import MachineError
from loraforge.run.folder import RunFolder
from loraforge.run.lock import NAME, holder, owned
from loraforge.run.plan import RunPlan, build_plan
from loraforge.run.record import read, standing
from loraforge.run.resume import newest_state, step_of
from loraforge.run.train import prepare

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]


def cut_a_cache(folder: RunFolder) -> None:
    """Leave a third of a picture's latents, as a power cut may."""
    path = sorted(folder.dataset.glob("*_flux.npz"))[1]
    os.truncate(path, path.stat().st_size // 3)


def cut_the_papers(folder: RunFolder) -> None:
    """Leave half of what tells how the run stands and what the engine reads, and two halves of a LoRA."""
    for path in (folder.state, folder.config, folder.events if folder.events.exists() else folder.log):
        os.truncate(path, path.stat().st_size // 2)
    (folder.output / "demo-step00000002.safetensors.part").write_bytes(b"half")
    (folder.output / "demo-step00000004.safetensors").write_bytes(b"half")


FAULTS = [
    Fault("loading", "engine", signal.SIGTERM, "engine-crash", 0),
    Fault("caching-latents", "supervisor", signal.SIGINT, "interrupted", 0),
    Fault("caching-text", "launcher", signal.SIGKILL, "host-memory", 0, cut_a_cache),
    Fault("sampling", "supervisor", signal.SIGTERM, "interrupted", 0),
    Fault("saving", "engine", signal.SIGKILL, "host-memory", 0),
    Fault(3, "launcher", signal.SIGTERM, "engine-crash", 2, cut_the_papers),
    Fault(3, "supervisor", signal.SIGHUP, "interrupted", 2),
    Fault(3, "engine", signal.SIGSTOP, "stalled", 2),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory, engine_home) -> Path:
    """Return a folder in which all runs share pictures and caches."""
    return tmp_path_factory.mktemp("faults")


def killed_from_outside(plan: RunPlan, at_step: int) -> None:
    """Run the command line, kill it without warning at a step, and see that nobody else gets or keeps the folder."""
    command = [sys.executable, "-m", "loraforge", "train", str(plan.folder.path), "--resume", "--json"]
    environ = {**os.environ, "HF_TOKEN": TOKEN, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ) as process:
        steps = (event["step"] for event in map(json.loads, process.stdout) if event["event"] == "step")
        next(steps)  # looked at early: once the step has come, the next state is not far
        assert holder(plan.folder.path / NAME)["pid"] == process.pid
        with pytest.raises(MachineError, match="another loraforge"), owned(plan.folder.path, patience=0.2):
            pass
        mark = read(plan.folder.state).family
        assert not [child for child in family(mark) if TOKEN in " ".join(child.environ().values())]
        assert at_step in steps
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
        outcome, _ = go(again(plan, fault), fault)
        state = newest_state(plan.folder, "demo", plan.steps)
        assert outcome.end.name == fault.end, (fault, outcome.end)
        assert (step_of(state) if state else 0) >= fault.state, fault
        assert read(plan.folder.state).end == fault.end
        fault.wreck(plan.folder)
    killed_from_outside(plan, 5)
    assert step_of(newest_state(plan.folder, "demo", 6)) == 4
    cut = plan.folder.output / "demo-step00000004-state" / "optimizer.bin"
    cut.write_bytes(cut.read_bytes()[:1000])
    resumed = again(plan)
    assert step_of(resumed.resume) == 2
    prepare(resumed)
    assert not list(plan.folder.output.glob("*.part"))
    outcome, rest = start(resumed, now=lambda: datetime(2001, 1, 1, tzinfo=UTC))
    assert outcome.status == "done", outcome.end
    assert list(outcome.checkpoints) == [2, 4, 6]
    assert (plan.folder.output / "demo-step00000004.safetensors.broken").exists()
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
    if not small_disk(disk, "300k"):
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
    assert any(f"on {entry.source.name}" in outcome.cause for entry in plan.ready.set_)
    assert newest_state(plan.folder, "demo", plan.steps) is None
    assert outcome.checkpoints == {}


def test_a_read_only_folder_is_refused(home, tmp_path):
    """Nothing is started where nothing can be kept."""
    plan = plan_in(home, "read-only")
    prepare(plan)
    disk = tmp_path / "disk"
    if not small_disk(disk, "1m", read_only=True):
        pytest.skip("mounting a small disk needs root")
    try:
        refused = loraforge("train", str(plan.folder.path), "--set", f"output.dir={disk}")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
    assert (refused.returncode, "output.dir" in refused.stderr) == (3, True), refused.stderr


def test_a_detached_run_can_be_seen_and_stopped(home):
    """It outlives the command that started it, keeps others out, and ends when it is asked to."""
    endless = ("training.steps=100000", "training.save_every_steps=100000", "sampling.prompts=[]")
    plan = plan_in(home, "recipe", *endless)  # however slowly it is asked to stop
    prepare(plan)
    started = loraforge("train", str(plan.folder.path), "--detach")
    assert started.returncode == 0, started.stderr
    folder = RunFolder(Path(started.stdout.strip()))
    assert standing(folder).status == "running"
    second = loraforge("train", str(folder.path), "--resume")
    assert (second.returncode, "another loraforge" in second.stderr) == (3, True), second.stderr
    stopped = loraforge("attach", str(folder.path), "--stop", "--json")
    assert stopped.returncode == 130, stopped.stderr
    *events, ended = [json.loads(line) for line in stopped.stdout.splitlines()]
    assert not [event for event in events if event["event"] == "problem"]
    assert (ended["event"], ended["status"]) == ("ended", "interrupted")
    again = loraforge("attach", str(folder.path), "--stop")
    assert (again.returncode, "interrupted" in again.stderr) == (130, True), again.stderr
    record = standing(folder)
    assert (record.status, record.end) == ("interrupted", "interrupted")
    assert family(record.family) == []
