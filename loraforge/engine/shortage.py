"""What torch says of the card as its memory runs out."""

import re
from collections.abc import Iterable

_AMOUNT = r"([\d.]+) (bytes|[KMG]iB)"
_ROOM = re.compile(rf"of which {_AMOUNT} is free\b.*?\bthis process has {_AMOUNT} memory in use")
_OTHERS = re.compile(rf"\bProcess \d+ has {_AMOUNT} memory in use")
_UNITS = {"bytes": 2.0**30, "KiB": 2.0**20, "MiB": 1024.0, "GiB": 1.0}


def room_gib(evidence: Iterable[str]) -> float | None:
    """Return how many GiB of the card the engine can have: what it held and what was free; None if that is not said."""
    for line in evidence:
        if found := _ROOM.search(line):
            free, free_unit, held, held_unit = found.groups()
            return float(free) / _UNITS[free_unit] + float(held) / _UNITS[held_unit]
    return None


def others_gib(evidence: Iterable[str]) -> float:
    """Return how many GiB other programs held."""
    return max(
        (sum(float(held) / _UNITS[unit] for held, unit in _OTHERS.findall(line)) for line in evidence), default=0
    )
