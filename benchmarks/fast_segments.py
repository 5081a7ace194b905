"""What made a training reserve the GPU memory it reserved, for fast_rows.py.

torch asks the driver for memory in segments and cuts them into blocks. What is reserved above what is allocated lies in
blocks that were free when the next segment was asked for; who asked, and what was free then, tells why.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_EVENTS = 2_000_000
_FRAMES = 6
_MIB = 2**20


@contextmanager
def segments(file: Path | None) -> Iterator[None]:
    """Write to a file each segment that is asked for while this lasts, with who asked; None for no record."""
    import torch

    if file is None or not torch.cuda.is_available():
        yield
        return
    memory: Any = torch.cuda.memory
    record = memory._record_memory_history
    record(enabled="all", context="alloc", stacks="python", max_entries=_EVENTS)
    try:
        yield
    finally:
        snapshot = memory._snapshot()
        record(enabled=None)
        stats = torch.cuda.memory_stats()
        pools = ("all", "small_pool", "large_pool")
        kinds = ("requested_bytes", "allocated_bytes", "reserved_bytes", "inactive_split_bytes")
        lines = [
            f"{kind} {pool}: peak {stats[f'{kind}.{pool}.peak'] / _MIB:.0f} MiB, now "
            f"{stats[f'{kind}.{pool}.current'] / _MIB:.0f} MiB"
            for kind in kinds
            for pool in pools
        ]
        lines += _told(snapshot["device_traces"][0])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _told(trace: list[dict[str, Any]]) -> Iterator[str]:
    """Yield a line a segment: since the record began, MiB reserved and allocated, MiB of it, and who asked."""
    reserved = allocated = 0
    for event in trace:
        size = event["size"]
        match event["action"]:
            case "alloc":
                allocated += size
            case "free_requested":
                allocated -= size
            case "segment_alloc" | "segment_map":
                reserved += size
                asked = " < ".join(_frames(event.get("frames", ())))
                yield f"{reserved / _MIB:8.0f} {allocated / _MIB:8.0f} {size / _MIB:+7.0f}  {asked}"
            case "segment_free" | "segment_unmap":
                reserved -= size
                yield f"{reserved / _MIB:8.0f} {allocated / _MIB:8.0f} {-size / _MIB:+7.0f}  given back"
            case _:
                pass


def _frames(frames: Any) -> Iterator[str]:
    inner = [frame for frame in frames if "/torch/nn/modules/module.py" not in frame["filename"]]
    for frame in inner[:_FRAMES]:
        yield f"{Path(frame['filename']).name}:{frame['line']} {frame['name']}"
