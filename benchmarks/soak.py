"""Run the demo again and again through random faults, and see that nothing is ever lost.

usage: python benchmarks/soak.py [RUNS] [--jobs N] [--minutes M] [--seed S] [--out FOLDER] [--record FILE]

Each of the runs (default: 200) starts from nothing and meets one to three faults: in a phase that is drawn (caching,
training, saving, sampling), after a moment that is drawn, a signal to supervisor, launcher or engine, or a second
Ctrl-C, a process that freezes for a while, a disk that fills up (where small disks can be mounted). Between starts, one
time in three, a file is cut short: of the newest state, state.json, config.toml, events.ndjson, a cache. The run is
resumed until it is done. Then: every checkpoint has the bits of a run without faults; none that was there is gone or
damaged, at any time; no process is left; every end has its name. The faults of a run depend on its number and the seed
alone.

One JSON object a line, a run each, the sum last. After M minutes no run is begun, and one that still goes on two
minutes later is broken off and counted as unfinished.
"""

import argparse
import json
import shutil
import signal
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from soak_run import Seen, as_json, can_mount, drawn, loras, soaked, start

from loraforge.run.folder import RunFolder

_LAST = 120.0  # seconds that a run may go on for once the time is over


def main() -> int:
    """Soak, and return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="?", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=24 * 60.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("soak"))
    parser.add_argument("--record", type=Path)
    asked = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's ignored signals are inherited
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    out = asked.out.absolute()
    began = time.monotonic()
    until = began + 60 * asked.minutes
    shutil.rmtree(out, ignore_errors=True)
    disks = can_mount(out / "disk")
    sound = reference(out / "reference", until)
    lines: list[dict[str, Any]] = []

    def one(run: int) -> Seen | None:
        if time.monotonic() >= until:
            return None
        return soaked(run, drawn(asked.seed, run, disks=disks), out / f"{run:03}", sound, until + _LAST)

    seen = []
    with ThreadPoolExecutor(asked.jobs) as pool:
        for future in as_completed([pool.submit(one, run) for run in range(asked.runs)]):
            if (found := future.result()) is not None:
                seen.append(found)
                tell(as_json(found), asked.record, lines)
    total = sum_of(seen, asked.runs) | {"seconds": round(time.monotonic() - began), "seed": asked.seed, "disks": disks}
    tell(total, asked.record, lines)
    return int(bool(total["runs_with_a_loss"]))


def reference(home: Path, until: float) -> dict[str, str]:
    """Train without faults and return the digests of all that comes of it."""
    home.mkdir(parents=True)
    start(home, None, None, until)
    found = loras(next(map(RunFolder, (home / "runs" / "demo").glob("*/"))))
    if "demo.safetensors" not in found:
        raise SystemExit(f"the run without faults came to nothing: see {home}")
    return found


def sum_of(seen: list[Seen], asked: int) -> dict[str, Any]:
    """Add runs up."""
    whole = [one for one in seen if not one.unfinished]
    faults = [fault for one in seen for fault in one.faults if fault.struck]
    return {
        "asked": asked,
        "done": sum(not one.losses for one in whole),
        "unfinished": len(seen) - len(whole),
        "runs_with_a_loss": sum(bool(one.losses) for one in whole),
        "runs_with_a_misnamed_end": sum(bool(one.misnamed) for one in whole),
        "starts": sum(one.starts for one in seen),
        "faults": len(faults),
        "struck": counted(f"{fault.struck} {fault.what} {fault.whom}" for fault in faults),
        "by_phase": counted(fault.struck for fault in faults),
        "by_fault": counted(fault.what for fault in faults),
        "by_process": counted(fault.whom for fault in faults),
        "damaged": counted(fault.damage for fault in faults if fault.damage),
        "ends": counted(fault.end for fault in faults),
    }


def counted(words: Any) -> dict[str, int]:
    """Count words, in alphabetical order."""
    return dict(sorted(Counter(words).items()))


def tell(entry: dict[str, Any], record: Path | None, lines: list[dict[str, Any]]) -> None:
    """Print an entry, and keep the record whole."""
    lines.append(entry)
    print(json.dumps(entry), flush=True)
    if record is not None:
        record.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
