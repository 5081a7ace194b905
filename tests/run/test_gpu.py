"""Memory is read from the fullest card, and nothing is claimed where there is none."""

from types import SimpleNamespace

import pytest

from loraforge.run.gpu import gpu_memory


class _NvmlError(Exception):
    pass


def _library(used: dict[int, float | None]) -> SimpleNamespace:
    """Return a stand-in for pynvml: GiB in use by card, None for a card that stops answering."""

    def info(card: int) -> SimpleNamespace:
        gib = used[card]
        if gib is None:
            raise _NvmlError
        return SimpleNamespace(used=int(gib * 2**30))

    def handle(index: int) -> int:
        if index not in used:
            raise _NvmlError
        return index

    return SimpleNamespace(
        NVMLError=_NvmlError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByIndex=handle,
        nvmlDeviceGetHandleByUUID=lambda name: handle(int(name.removeprefix("GPU-"))),
        nvmlDeviceGetMemoryInfo=info,
    )


@pytest.mark.parametrize(
    ("names", "gib"),
    [(("0",), 1.5), (("0", "1"), 20.0), (("2",), None), (("7",), None), ((), None), (("GPU-1",), 20.0)],
    ids=["one", "fullest", "stops-answering", "no-such-card", "none-asked", "by-uuid"],
)
def test_memory_in_use(names: tuple[str, ...], gib: float | None) -> None:
    """The reader gives GiB of the fullest card, or None."""
    assert gpu_memory(names, _library({0: 1.5, 1: 20.0, 2: None}))() == gib
