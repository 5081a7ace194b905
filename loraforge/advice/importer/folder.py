"""N_name folders: kohya's way to say how often each picture counts."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from loraforge.advice.importer.files import count_pictures, folder, subfolders

_NUMBERED = re.compile(r"(\d{1,6})_(.+)")


@dataclass(frozen=True, slots=True)
class Numbered:
    """What an N_name folder says.

    Attributes:
        name: its path as the recipe writes it, or as found.
        repeats: N.
        tokens: the rest of its name.
        others: further N_name folders beside it.
    """

    name: str
    repeats: int
    tokens: str
    others: tuple[str, ...] = ()


def split(name: str) -> tuple[int, str] | None:
    """Return (repeats, class tokens) of a folder's name."""
    match = _NUMBERED.fullmatch(PurePosixPath(name.replace("\\", "/").rstrip("/")).name)
    return (int(match[1]), match[2].strip()) if match and int(match[1]) > 0 else None


def numbered(base: Path | None, name: str) -> Numbered | None:
    """Return the N_name folder that a training folder is, or holds; the one of most pictures among several."""
    if own := split(name):
        return Numbered(name, *own)
    path = folder(base, name)
    if path is None:
        return None
    inside = [child for child in subfolders(path) if split(child)]
    if not inside:
        return None
    best = max(inside, key=lambda child: (count_pictures(path / child), child))
    repeats, tokens = split(best) or (1, "")
    joined = f"{name.rstrip('/')}/{best}" if name.strip("/") else f"{name}{best}"
    return Numbered(joined, repeats, tokens, tuple(child for child in inside if child != best))
