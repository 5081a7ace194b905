"""Read what a recipe refers to: regular files of a sane size, never devices or pipes, never without a base."""

import os
import stat
from pathlib import Path, PurePosixPath

from loraforge.advice.importer.clean import decoded, plain

_LARGEST = 1 << 20
_MOST_ENTRIES = 100_000


def referred(base: Path | None, name: str) -> Path | None:
    """Return the file that a recipe means: where it says, else beside the recipe; None where there is none."""
    if base is None or not name.strip():
        return None
    beside = PurePosixPath(name.replace("\\", "/")).name
    for candidate in (name, beside):
        try:
            path = base / Path(candidate).expanduser()
            mode = path.stat().st_mode
        except (OSError, ValueError, RuntimeError):
            continue
        if stat.S_ISREG(mode):
            return path
    return None


def read_text(path: Path) -> str | None:
    """Return the text of a regular file of at most a mebibyte; None where that can't be had."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > _LARGEST:
            return None
        return plain(decoded(path.read_bytes()))
    except (OSError, ValueError):
        return None


def folder(base: Path | None, name: str) -> Path | None:
    """Return the folder that a recipe means, where there is one."""
    if base is None or not name.strip():
        return None
    try:
        path = base / Path(name).expanduser()
        return path if path.is_dir() else None
    except (OSError, ValueError, RuntimeError):
        return None


def count_pictures(path: Path) -> int:
    """Return how many pictures lie directly in a folder."""
    from loraforge.dataset.images import is_picture_name

    return sum(is_picture_name(name) for name, is_folder in _entries(path) if not is_folder)


def subfolders(path: Path) -> list[str]:
    """Return the names of the folders directly in a folder, sorted."""
    return sorted(name for name, is_folder in _entries(path) if is_folder)


def _entries(path: Path) -> list[tuple[str, bool]]:
    found = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                found.append((entry.name, entry.is_dir()))
                if len(found) >= _MOST_ENTRIES:
                    break
    except OSError:
        pass
    return found
