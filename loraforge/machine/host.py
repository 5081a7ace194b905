"""Main memory, swap and disks."""

import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

_GIB = 1 << 30
# What a container may use (cgroup v2, then v1), which psutil does not look at.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True, slots=True)
class Host:
    """The machine around the GPU; sizes in GiB.

    Attributes:
        ram_gib: main memory, or the share of it that this container may use.
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
    total = min(memory.total, _container_limit() or memory.total)
    return Host(total / _GIB, min(total, memory.available) / _GIB, swap / _GIB)


def free_gib(folder: Path) -> float | None:
    """Return the GiB free for files in a folder that need not exist yet; None where it can't be told."""
    for place in (folder.absolute(), *folder.absolute().parents):
        try:
            return float(psutil.disk_usage(str(place)).free) / _GIB
        except OSError:
            continue
    return None


def _container_limit() -> int | None:
    for file in _LIMITS:
        try:
            return int(file.read_text("ascii"))
        except (OSError, ValueError):  # not this kind of system, or "max"
            continue
    return None
