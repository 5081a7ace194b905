"""One run of the demo through a few faults, and what came of it."""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from loraforge.run.folder import RunFolder
from loraforge.run.lock import NAME, holder
from loraforge.run.record import standing

SETTINGS = (
    "training.steps=8",
    "training.save_every_steps=2",
    'sampling.prompts=["a house"]',
    "sampling.steps=1",
    "sampling.width=64",
    "sampling.height=64",
    "launch.grace_seconds=20",
)
# The engine's phases by the four that are struck, and the most seconds that a strike waits once its phase has begun.
PHASES = {
    "caching-latents": "caching",
    "caching-text": "caching",
    "training": "training",
    "sampling": "sampling",
    "saving": "saving",
}
WAITS = {"caching": 3.0, "training": 1.0, "sampling": 1.5, "saving": 0.2}
TIMES = {"caching": 1, "training": 3, "sampling": 3, "saving": 6}  # how often a phase may pass before it is struck
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")
OTHERS = ("SIGINT twice", "freeze", "disk full")
DAMAGES = ("state", "state.json", "config.toml", "events.ndjson", "cache")
STARTS = 8
PATIENCE = 300.0  # seconds; a start that takes longer hangs
_DISK = 160  # MB, of which loraforge wants 64 to stay free


@dataclass
class Fault:
    """What is done to one start.

    Attributes:
        phase: in which it is meant to happen.
        nth: how many times the phase passes before.
        delay: seconds from the phase's begin.
        what: a signal, or one of `OTHERS`.
        whom: supervisor, launcher or engine.
        damage: what is cut short before the next start; empty for nothing.
        share: how much of it is left.
        struck: the phase in which it happened; empty where the run was over before.
        end: how the start ended.
    """

    phase: str
    nth: int
    delay: float
    what: str
    whom: str
    damage: str
    share: float
    struck: str = ""
    end: str = ""

    @property
    def expected(self) -> set[str]:
        """The names that its end may have."""
        if not self.struck or self.what == "freeze":
            return {"done"}
        if self.what == "disk full":
            return {"disk-full"}
        if self.whom == "supervisor":
            return {"lost"} if self.what == "SIGKILL" else {"interrupted"}
        return {"host-memory"} if self.what == "SIGKILL" else {"engine-crash"}


@dataclass
class Seen:
    """What came of a run.

    Attributes:
        run: its number.
        faults: what was done to it.
        starts: how often it was started.
        seconds: from begin to end.
        losses: what must not be, a sentence each.
        misnamed: ends that have another name than they should.
        unfinished: the time was over before the run was.
    """

    run: int
    faults: list[Fault]
    starts: int = 0
    seconds: float = 0.0
    losses: list[str] = field(default_factory=list)
    misnamed: list[str] = field(default_factory=list)
    unfinished: bool = False


def drawn(seed: int, run: int, *, disks: bool) -> list[Fault]:
    """Draw the faults of a run; the same for the same numbers, whatever runs beside it."""
    chance = random.Random(f"{seed}-{run}")  # noqa: S311  # no secret
    faults = []
    for _ in range(chance.choice((1, 2, 2, 3))):
        phase = chance.choice(tuple(WAITS))
        what = chance.choice(SIGNALS) if chance.random() < 0.85 else chance.choice(OTHERS if disks else OTHERS[:-1])
        whom = chance.choice(("supervisor", "launcher", "engine"))
        if what == "SIGINT twice":
            whom = "supervisor"
        faults.append(
            Fault(
                phase=phase,
                nth=chance.randrange(TIMES[phase]),
                delay=round(chance.uniform(0.0, WAITS[phase]), 3),
                what=what,
                whom="engine" if what == "freeze" else "disk" if what == "disk full" else whom,
                damage=chance.choice(DAMAGES) if chance.random() < 0.3 else "",
                share=round(chance.random(), 3),
            )
        )
    return faults


def soaked(run: int, faults: list[Fault], home: Path, sound: dict[str, str], until: float) -> Seen:
    """Run the demo through its faults until it is done.

    Args:
        run: its number.
        faults: one for each of the first starts.
        home: a folder of its own; removed when nothing was lost.
        sound: name -> digest of the LoRAs that a run without faults leaves.
        until: monotonic time at which it is broken off.
    """
    seen, began = Seen(run, faults), time.monotonic()
    folder: RunFolder | None = None
    with disk(home, any(fault.what == "disk full" for fault in faults)):
        while seen.starts < STARTS:
            fault = faults[seen.starts] if seen.starts < len(faults) else None
            seen.starts += 1
            before = set(loras(folder)) if folder else set()
            start(home, folder, fault, until)
            folder = folder or next(map(RunFolder, (home / "runs" / "demo").glob("*/")), None)
            if time.monotonic() >= until:
                seen.unfinished = True
                break
            if folder is None:
                seen.losses.append("a start ended before it had a folder")
                break
            end = settled(folder)
            after = loras(folder)
            seen.losses += [f"orphan: {words}" for words in orphans(home)]
            seen.losses += [f"lost: {name}" for name in sorted(before - set(after))]
            seen.losses += [f"not sound: {name}" for name, found in after.items() if sound.get(name) != found]
            expected = {"done"}
            if fault is not None:
                fault.end, expected = end, fault.expected
            # A process that was told to end may have been done first.
            if end not in expected | {"done"}:
                seen.misnamed.append(f"{fault}: {end}" if fault else f"no fault: {end}")
            if end == "done":
                if set(after) != set(sound):
                    seen.losses.append(f"not there at the end: {sorted(set(sound) - set(after))}")
                break
            if fault is not None and fault.damage:
                damage(folder, fault)
        else:
            seen.losses.append("never done")
    seen.seconds = round(time.monotonic() - began, 1)
    if not seen.losses and not seen.misnamed:
        shutil.rmtree(home, ignore_errors=True)
    return seen


def start(home: Path, folder: RunFolder | None, fault: Fault | None, until: float) -> None:
    """Start the demo, or go on with it, and return when loraforge has ended."""
    flags = [part for setting in SETTINGS for part in ("--set", setting)]
    verb = ["train", str(folder.path), "--resume"] if folder else ["demo", "--out", str(home), "--engine", "kohya"]
    command = [sys.executable, "-m", "loraforge", *verb, *([] if folder else flags), "--json"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    timers: list[threading.Timer] = []
    with (
        (home / "stderr").open("ab") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, env=environ) as process,
    ):
        timers.append(threading.Timer(max(0.0, min(PATIENCE, until - time.monotonic())), process.kill))
        timers[0].start()
        phase, passed = "starting", 0

        def strike() -> None:
            if fault is not None and process.poll() is None and struck(fault, process, home):
                fault.struck = PHASES.get(phase, phase)

        for line in process.stdout or ():
            event = json.loads(line)
            if event["event"] == "phase-started":
                phase = event["phase"]
                if fault is not None and PHASES.get(phase) == fault.phase:
                    passed += 1
                    if passed == fault.nth + 1:
                        timers.append(threading.Timer(fault.delay, strike))
                        timers[-1].start()
    for timer in timers:
        timer.cancel()
        timer.join()
    (home / "filler").unlink(missing_ok=True)


def struck(fault: Fault, process: "subprocess.Popen[bytes]", home: Path) -> bool:
    """Do what a fault says; False where what it is meant for is gone."""
    if fault.what == "disk full":
        with (home / "filler").open("wb") as filler, contextlib.suppress(OSError):
            os.posix_fallocate(filler.fileno(), 0, int(shutil.disk_usage(home).free - fault.share * 300_000))
        return True
    try:
        target = psutil.Process(process.pid) if fault.whom == "supervisor" else child(process.pid, fault.whom)
        if target is None:
            return False
        if fault.what == "freeze":
            target.suspend()
            time.sleep(2 * fault.share)
            target.resume()
            return True
        target.send_signal(getattr(signal, fault.what.partition(" ")[0]))
        if fault.what.endswith("twice"):
            time.sleep(fault.share)
            target.send_signal(signal.SIGINT)
    except psutil.Error:
        return fault.what.endswith("twice")
    return True


def child(pid: int, whom: str) -> psutil.Process | None:
    """Return the launcher of a supervisor, or the engine below it."""
    launcher = next((one for one in psutil.Process(pid).children() if "accelerate" in " ".join(one.cmdline())), None)
    if whom == "launcher" or launcher is None:
        return launcher
    return next(iter(launcher.children()), None)


def settled(folder: RunFolder) -> str:
    """Wait until nobody holds a folder, and return the name of its run's end."""
    until = time.monotonic() + 30
    while holder(folder.path / NAME) is not None and time.monotonic() < until:
        time.sleep(0.1)
    record = standing(folder)
    return record.end or record.status if record is not None else "no record"


def orphans(home: Path) -> list[str]:
    """Return the living processes that name a run's folder, once they had a moment to end."""
    for _ in range(50):
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if f"{home}/" in (words := " ".join(process.cmdline())) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(words)
        if not found:
            return []
        time.sleep(0.1)
    return found


def loras(folder: RunFolder) -> dict[str, str]:
    """Return name -> digest of the LoRAs; the header carries times, and is left out."""
    found = {}
    for path in folder.output.glob("*.safetensors"):
        data = path.read_bytes()
        found[path.name] = hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()
    return found


def damage(folder: RunFolder, fault: Fault) -> None:
    """Cut a file short, as a power cut may."""
    found: list[Path] = [folder.path / fault.damage]
    if fault.damage == "state":
        states = sorted(folder.output.glob("*-step*-state"))
        found = sorted(states[-1].iterdir()) if states else []
    elif fault.damage == "cache":
        found = sorted(folder.dataset.glob("*.npz"))
    found = [path for path in found if path.is_file()]
    if found:
        path = found[int(fault.share * len(found))]
        os.truncate(path, int(path.stat().st_size * fault.share))


@contextlib.contextmanager
def disk(home: Path, small: bool) -> Iterator[None]:
    """Make a folder, on a small disk of its own where asked for."""
    home.mkdir(parents=True)
    if not small:
        yield
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_DISK}m", "none", home], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", home], check=True)


def can_mount(place: Path) -> bool:
    """Tell whether small disks can be made here."""
    place.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(place)]
    if not shutil.which("mount") or subprocess.run(command, check=False, capture_output=True).returncode:
        return False
    return subprocess.run(["umount", str(place)], check=False).returncode == 0


def as_json(seen: Seen) -> dict[str, Any]:
    """Return the JSON form."""
    return asdict(seen)
