"""What `compare` recommended, kept in the run folder so that `ship` can follow it."""

import json
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from loraforge.compare.recommend import Recommendation
from loraforge.dataset.captions import replace_bytes
from loraforge.run.history import Run

_FILE = "compare.json"


def remember(run: Run, advice: Recommendation) -> None:
    """Keep a recommendation."""
    with suppress(OSError):  # a read-only run folder costs only the memory
        replace_bytes(_file(run), (json.dumps(asdict(advice), indent=1) + "\n").encode())


def recommended(run: Run) -> tuple[int, str] | None:
    """Return (step, why, as one sentence); None where nothing was recommended or its checkpoint is gone."""
    try:
        said = json.loads(_file(run).read_text(encoding="utf-8"))
        step, why = said["step"], "; ".join(said["reasons"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return (step, why) if isinstance(step, int) and step in run.loras() else None


def was_compared(run: Run) -> bool:
    """Tell whether `compare` has looked at a run, whatever it found."""
    return _file(run).is_file()


def _file(run: Run) -> Path:
    return run.folder.path / _FILE
