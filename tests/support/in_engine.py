"""Scripts that run beside the engine's modules, in a process of their own: what they patch is gone with it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]


def answer(script: str, engine: Path, *arguments: str) -> Any:
    """Return what a script prints last, as JSON; it finds the engine, this repository and the arguments in sys.argv."""
    command = [sys.executable, "-c", script, os.fspath(engine), os.fspath(_ROOT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
