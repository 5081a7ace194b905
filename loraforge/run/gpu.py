"""The memory in use on the graphics cards, from NVIDIA's own library."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any


def gpu_memory(names: Sequence[str] = ("0",), library: Any = None) -> Callable[[], float | None]:
    """Return a reader of the memory in use, in GiB, on the fullest of the cards.

    It counts every program on the card, which is what an out-of-memory error counts too. The numbers are those of
    `nvidia-smi`. Where there is no such card or driver the reader returns None, always.

    Args:
        names: the cards that the engine trains on, by number or UUID.
        library: pynvml, or what stands in for it.
    """
    if library is None:
        import pynvml

        library = pynvml
    try:
        library.nvmlInit()
        cards = [_handle(library, name) for name in names]
    except library.NVMLError:
        return lambda: None

    def read() -> float | None:
        with contextlib.suppress(library.NVMLError):
            return max((float(library.nvmlDeviceGetMemoryInfo(card).used) / 2**30 for card in cards), default=None)
        return None

    return read


def _handle(library: Any, name: str) -> Any:
    if name.isdecimal():
        return library.nvmlDeviceGetHandleByIndex(int(name))
    return library.nvmlDeviceGetHandleByUUID(name)
