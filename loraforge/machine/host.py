"""Main memory, swap and disks."""

import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Host:
    """The machine around the GPU; sizes in GiB.

    Attributes:
        ram_gib: main memory.
        ram_free_gib: what programs could still take, caches given up.
        swap_gib: swap space, on Windows the pagefile.
        platform: as `sys.platform` says.
    """

    ram_gib: float
    ram_free_gib: float
    swap_gib: float
    platform: str = sys.platform


def host() -> Host:
    """Look at memory and swap."""
    memory = psutil.virtual_memory()
    try:
        swap = psutil.swap_memory().total
    except (OSError, RuntimeError):  # containers without /proc/vmstat, Windows without performance counters
        swap = 0
    return Host(memory.total / _GIB, memory.available / _GIB, swap / _GIB)


def free_gib(folder: Path) -> float | None:
    """Return the GiB free for files in a folder that need not exist yet; None where it can't be told."""
    for place in (folder.absolute(), *folder.absolute().parents):
        try:
            return float(psutil.disk_usage(str(place)).free) / _GIB
        except OSError:
            continue
    return None
