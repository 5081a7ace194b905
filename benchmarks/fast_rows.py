"""Train full-size FLUX.1 a few steps in each of several ways, and compare.

usage: fast_rows.py ENGINE_DIR OUT.json [--rows NAME ...] [--steps N] [--profile FOLDER] [--segments FOLDER] [--tiny]

Each way has a process of its own (fast_row.py): what torch keeps between trainings, cuDNN's plans above all, would
else be another's.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fast_row import slug
from fast_ways import ROWS

_SECONDS = 240  # the most a row may take
_ONE = Path(__file__).with_name("fast_row.py")


def compare(rows: list[dict[str, Any]], loras: Path) -> None:
    """Add to the last row how far its losses and its LoRA are from those of the row it is compared with."""
    import torch
    from safetensors.torch import load_file

    row = rows[-1]
    other = next((found for found in rows if found["row"] == ROWS[row["row"]].against), None)
    if other is None:
        return
    steps = min(len(found["losses"]) for found in (row, other))
    ours, theirs = (torch.tensor(found["losses"][:steps], dtype=torch.float64) for found in (row, other))
    off = (ours / theirs - 1).abs()
    row["loss_off_max"], row["loss_off_mean"] = off.max().item(), off.mean().item()  # no number where a loss is none
    if len(other["losses"]) != len(row["losses"]):
        return
    mine, its = (load_file(loras / f"{slug(found['row'])}.safetensors") for found in (row, other))
    # The upper matrices begin at zero, so all that is in them was learnt.
    learnt = [name for name in its if "lora_up" in name]
    gap = sum(float((mine[name] - its[name]).square().sum()) for name in learnt)
    row["learnt_off"] = (gap / sum(float(its[name].square().sum()) for name in learnt)) ** 0.5


def main() -> None:
    """Run the rows and write them as JSON, each as it ends."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    given, passed = parser.parse_known_args()  # the rest is fast_row.py's
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder, seen = Path(scratch), Path(scratch) / "seen.json"
        for name in given.rows:
            seen.unlink(missing_ok=True)
            command = [sys.executable, str(_ONE), str(given.engine), str(folder), str(seen), name, *passed]
            try:
                subprocess.run(command, timeout=_SECONDS, check=True)
                rows.append(json.loads(seen.read_text("utf-8")))
            except (subprocess.SubprocessError, OSError) as fault:
                print(f"{name}: {fault}", flush=True)  # the other rows still count
                continue
            compare(rows, folder / "out")
            given.out.write_text(json.dumps({"rows": rows}), encoding="utf-8")
            shown = {key: value for key, value in rows[-1].items() if key not in {"seconds", "losses"}}
            print("ROW", json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()
