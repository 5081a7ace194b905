"""The pictures a run was trained on, as they were staged for it."""

import json
from pathlib import Path

from loraforge.dataset.images import IMAGE_EXTENSIONS
from loraforge.run.history import Run


def training_set(run: Run) -> list[tuple[Path, str]]:
    """Return (picture, caption) of what can still be found; staged ones first, else the user's own.

    A run folder that was moved or cleaned up may have lost them; an empty list says so.
    """
    try:
        rows = json.loads(run.folder.manifest.read_text(encoding="utf-8"))
        entries = [(str(row["staged"]), Path(row["source"]), str(row["caption"])) for row in rows]
    except (OSError, ValueError, TypeError, KeyError):
        return []
    staged = {
        path.stem: path
        for path in (run.folder.dataset.iterdir() if run.folder.dataset.is_dir() else ())
        if path.suffix.lower() in IMAGE_EXTENSIONS and path.is_file()
    }
    found = [(staged.get(stem, source), caption) for stem, source, caption in entries]
    return [(path, caption) for path, caption in found if path.is_file()]
