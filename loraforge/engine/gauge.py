"""Runs a script and notes, at the end of each optimizer step, the time and the peaks of GPU memory.

usage: gauge.py SCRIPT ARGUMENTS...      with LORAFORGE_GAUGE naming the file that gets one JSON line a step

Started by accelerate in place of the engine's script, in the engine's own Python, where loraforge need not be
installed.
"""

import json
import os
import runpy
import sys
import time
from pathlib import Path
from typing import Any

VARIABLE = "LORAFORGE_GAUGE"


def gauge(path: Path) -> None:
    """Have every optimizer step of this process write its line; each line tells the peaks since the one before."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    def note(*_: Any) -> None:
        entry: dict[str, float] = {}
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # the step has ended when the card has, not when its last kernel is queued
            entry["allocated_gib"] = torch.cuda.max_memory_allocated() / (1 << 30)
            entry["reserved_gib"] = torch.cuda.max_memory_reserved() / (1 << 30)
            torch.cuda.reset_peak_memory_stats()
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"at": time.monotonic(), **entry}) + "\n")

    register_optimizer_step_post_hook(note)


def main() -> None:
    """Hand over to the script, as if it had been started itself."""
    script = sys.argv[1]
    here = Path(__file__).resolve().parent
    # Python put this folder first, where modules of ours would hide the engine's.
    sys.path[:] = [entry for entry in sys.path if not entry or Path(entry).resolve() != here]
    sys.path.insert(0, str(Path(script).parent))
    sys.argv[:] = sys.argv[1:]
    gauge(Path(os.environ[VARIABLE]))
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
