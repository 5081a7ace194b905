"""Run the demo again and again with a random fault in each start, and see that nothing is ever lost.

usage: python benchmarks/soak.py [RUNS] [--engine kohya|embedded] [--seed N] [--out FOLDER]     default 200 runs

Each run is killed or interrupted at a random moment, supervisor, launcher or engine, and resumed with new faults until
it ends. Its LoRA must be that of a run without faults, bit for bit; after each fault no process of it may be left, and
no checkpoint that was whole may be gone. Figures go to stdout as one JSON object a line, the sum last.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from loraforge.run.family import MARK
from loraforge.run.folder import RunFolder
from loraforge.run.lock import NAME, holder
from loraforge.run.record import read, standing

SETTINGS = ["training.steps=8", "training.save_every_steps=2", "sampling.prompts=[]", "output.keep_last=9"]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL)
MOST = 12  # starts a run; the last ones are left in peace


def main() -> int:
    """Soak, and return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=200)
    parser.add_argument("--engine", default="kohya")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("soak"))
    asked = parser.parse_args()
    chance = random.Random(asked.seed)  # noqa: S311  # no secret
    began, faults, lost = time.monotonic(), 0, 0
    whole = digest(first(asked.out, asked.engine))
    recipe = next((asked.out / "runs" / "demo").glob("*/job.toml")).parent
    for number in range(asked.runs):
        found = soaked(recipe, chance)
        found["same"] = found.pop("digest") == whole
        faults += len(found["faults"])
        lost += bool(found["orphans"] or found["lost"] or not found["same"])
        print(json.dumps({"run": number, **found}), flush=True)
    seconds = round(time.monotonic() - began)
    print(json.dumps({"runs": asked.runs, "faults": faults, "runs_with_a_loss": lost, "seconds": seconds}))
    return int(lost > 0)


def first(out: Path, engine: str) -> Path:
    """Train without faults and return the LoRA."""
    flags = [part for setting in SETTINGS for part in ("--set", setting)]
    with start("demo", "--engine", engine, "--out", str(out), *flags) as process:
        said = process.stdout.read().decode().splitlines() if process.stdout else []
    return Path(json.loads(said[-1])["lora"])


def start(*arguments: str) -> "subprocess.Popen[bytes]":
    """Start loraforge."""
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "loraforge", *arguments, "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ)


def soaked(recipe: Path, chance: random.Random) -> dict[str, Any]:
    """Train once, through faults, and return what was seen."""
    seen: dict[str, Any] = {"faults": [], "orphans": 0, "lost": 0}
    folder = None
    for number in range(MOST):
        arguments = ["train", str(folder.path), "--resume"] if folder else ["train", str(recipe)]
        quiet = number > MOST // 2
        with start(*arguments) as process:
            if folder is None:
                folder = await_folder(recipe, process)
            before = checkpoints(folder)
            if not quiet:
                time.sleep(chance.uniform(0.5, 20.0))
                seen["faults"].append(strike(folder, process, chance))
            process.stdout.read() if process.stdout else None
        settle(folder)
        seen["orphans"] += len(family(folder))
        seen["lost"] += len(before - checkpoints(folder))
        record = standing(folder)
        if record is not None and record.status == "done":
            break
    lora = folder.lora("demo") if folder else Path()
    return {**seen, "starts": number + 1, "digest": digest(lora) if lora.exists() else ""}


def await_folder(recipe: Path, process: "subprocess.Popen[bytes]") -> RunFolder:
    """Return the folder that a start has taken."""
    while process.poll() is None:
        for path in recipe.parent.iterdir():
            if (holder(path / NAME) or {}).get("pid") == process.pid and (path / "state.json").exists():
                return RunFolder(path)
        time.sleep(0.05)
    raise SystemExit("a start ended before it took a folder")


def strike(folder: RunFolder, process: "subprocess.Popen[bytes]", chance: random.Random) -> str:
    """Send a random signal to a random process of the run."""
    number = chance.choice(SIGNALS)
    whom = chance.choice([psutil.Process(process.pid), *family(folder)]) if process.poll() is None else None
    if whom is None:
        return "none: it had ended"
    try:
        phase = record.phase if (record := read(folder.state)) else "?"
        whom.send_signal(number)
    except psutil.Error:
        return "none: it had ended"
    return f"{number.name} to {'supervisor' if whom.pid == process.pid else 'engine'} while {phase}"


def family(folder: RunFolder) -> list[psutil.Process]:
    """Return the living processes of a run's engine."""
    mark = record.family if (record := read(folder.state)) else ""
    found = []
    for process in psutil.process_iter():
        try:
            if mark and process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def settle(folder: RunFolder) -> None:
    """Wait until nobody holds a folder."""
    until = time.monotonic() + 20
    while holder(folder.path / NAME) is not None and time.monotonic() < until:
        time.sleep(0.1)


def checkpoints(folder: RunFolder) -> set[str]:
    """Return the names of the checkpoints."""
    return {path.name for path in folder.checkpoints("demo").values()}


def digest(lora: Path) -> str:
    """Return a hash of the weights; the header carries times."""
    data = lora.read_bytes()
    return hashlib.sha256(data[8 + int.from_bytes(data[:8], "little") :]).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
