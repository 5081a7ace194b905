"""fluxgym's output folder: train.sh, or train.bat, beside dataset.toml and sample_prompts.txt."""

import re
from pathlib import Path
from typing import Any

from loraforge.advice.importer import kohya_toml
from loraforge.advice.importer.clean import FENCE
from loraforge.errors import ConfigError
from loraforge.findings import Finding

_SCRIPTS = ("train.sh", "train.bat", "train.ps1", "config.toml")
_DATASET = re.compile(r"^[ \t]*\[(?:general|\[datasets\])\][ \t]*$", re.MULTILINE)


def script_of(folder: Path) -> Path | None:
    """Return the script or config of a fluxgym or run folder; None where it is another folder."""
    return next((folder / name for name in _SCRIPTS if (folder / name).is_file()), None)


def split_dataset(text: str) -> tuple[str, dict[str, Any] | None, list[Finding]]:
    """Split a script from a dataset.toml that was pasted with it; on a page each stands between fences."""
    match = _DATASET.search(text)
    if match is None:
        return text, None, []
    fence = FENCE.search(text, match.end())
    end = fence.start() if fence else len(text)
    try:
        values, findings = kohya_toml.parse(text[match.start() : end], "the text")
    except ConfigError:
        return text, None, []
    return text[: match.start()] + text[end:], values, findings
