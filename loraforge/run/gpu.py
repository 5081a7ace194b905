"""The memory in use on the graphics cards, from NVIDIA's own library."""

import contextlib
from collections.abc import Callable, Sequence


def gpu_memory(indices: Sequence[int] = (0,)) -> Callable[[], float | None]:
    """Return a reader of the memory in use, in GiB, on the fullest of the cards.

    It counts every program on the card, which is what an out-of-memory error counts too. The numbers are those of
    `nvidia-smi`. Where there is no such card or driver the reader returns None, always.

    Args:
        indices: the cards that the engine trains on.
    """
    import pynvml

    try:
        pynvml.nvmlInit()
        cards = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in indices]
    except pynvml.NVMLError:
        return lambda: None

    def read() -> float | None:
        with contextlib.suppress(pynvml.NVMLError):
            return max((float(pynvml.nvmlDeviceGetMemoryInfo(card).used) / 2**30 for card in cards), default=None)
        return None

    return read
