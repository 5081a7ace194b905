"""The fast path measured: one command, one card, one table.

usage: fast.py ENGINE_DIR FOLDER [--parts rows peer jobs] [--tiny]     (40 minutes, 34 GB in FOLDER)
       fast.py --table FOLDER

Steps of the guide's recipe, of plain and of fast sd-scripts in every tier, of diffusers + peft, and whole jobs, each
part in a process of its own. What they write into FOLDER is what --table prints, in Markdown.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from fast_ways import ROWS

_SECONDS = 1800  # the most a part may take
_JOBS = {
    "whole": "fast, nothing cached",
    "warm": "fast, all cached",
    "plain": "plain, pictures cached",
    "guide": "the guide's own command, ended early",
}
# What a row's time is held against; plain rows stand for themselves.
_AGAINST = {name: row.against or name for name, row in ROWS.items()} | {"guide": "plain", "diffusers + peft": "plain"}
_HERE = Path(__file__).parent
# Products over 4608 tokens with a frozen base, forward and towards the input, and attention forward and backward.
_TFLOP = 119 + 52


def measure(engine: Path, folder: Path, parts: list[str], *, tiny: bool) -> None:
    """Run the parts one after the other; one that fails or hangs leaves the others."""
    commands = {
        "rows": [str(_HERE / "fast_rows.py"), str(engine), str(folder / "rows.json")],
        "peer": [str(_HERE / "fast_peer.py"), str(folder / "peer.json")],
        "jobs": [str(_HERE / "fast_job.py"), str(engine), str(folder / "weights"), str(folder / "jobs.json")],
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = os.pathsep.join([str(_HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    for part in parts:
        command = [sys.executable, *commands[part], *["--tiny"] * tiny]
        try:
            subprocess.run(command, timeout=_SECONDS, check=False, env={**os.environ, "PYTHONPATH": path})
        except subprocess.TimeoutExpired:
            print(f"{part}: stopped after {_SECONDS} s", flush=True)


def table(folder: Path) -> str:
    """Return what was measured as Markdown."""
    found = {path.stem: json.loads(path.read_text("utf-8")) for path in folder.glob("*.json")}
    rows: list[dict[str, Any]] = found.get("rows", {}).get("rows", [])
    shown = [*rows, *filter(None, [found.get("peer")])]
    seconds = {row["row"]: row["s_per_it"] for row in shown}
    lines = _head("1024, batch 1, rank 16", "s/it", "x plain", "GiB allocated / reserved", "first step")
    for row in shown:
        against = seconds.get(_AGAINST[row["row"]])
        times = f"{row['s_per_it'] / against:.2f}" if against else ""
        memory = f"{row['allocated_gib']} / {row['reserved_gib']}"
        lines.append(f"| {row['row']} | {row['s_per_it']:.3f} | {times} | {memory} | {row['first_step']:.1f} s |")
    if rate := statistics.median(row["tflops"] for row in rows) if rows else 0:
        least = _TFLOP / rate
        times = f"{least / seconds['plain']:.2f}" if "plain" in seconds else ""
        lines.append(f"| arithmetic alone, at {rate:.0f} TFLOP/s | {least:.3f} | {times} | | |")
    lines += ["", *_head("", "steps", "largest difference of a loss", "mean", "of what was learnt")]
    for row in rows:
        if "loss_off_max" in row:
            learnt = f"{row['learnt_off']:.2%}" if "learnt_off" in row else ""
            off = f"{row['loss_off_max']:.4%} | {row['loss_off_mean']:.4%} | {learnt}"
            lines.append(f"| {row['row']}, against {ROWS[row['row']].against} | {len(row['losses'])} | {off} |")
    lines += ["", *_head("`loraforge train`", "steps", "first step after", "whole job", "on")]
    for job in found.get("jobs", ()):
        steps = job["steps"][-1][0] if job["steps"] else 0
        lines.append(f"| {_JOBS[job['job']]} | {steps} | {job['first_step']} s | {job['seconds']} s | {job['on']} |")
    places = Counter(row["on"] for row in shown)
    lines += ["", *(f"{count} rows: {place}" for place, count in places.items())]
    return "\n".join(lines)


def _head(*columns: str) -> list[str]:
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("places", type=Path, nargs="+", metavar="ENGINE_DIR FOLDER")
    parser.add_argument("--parts", nargs="+", default=["rows", "peer", "jobs"])
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--tiny", action="store_true")
    given = parser.parse_args()
    folder = given.places[-1]
    if not given.table:
        measure(given.places[0].resolve(), folder.resolve(), given.parts, tiny=given.tiny)
    print(table(folder))


if __name__ == "__main__":
    main()
