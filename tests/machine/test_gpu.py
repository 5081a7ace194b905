"""Cards as the driver tells them."""

from types import SimpleNamespace

import psutil
import pytest

from loraforge.machine.gpu import gpus

GIB = 1 << 30


class NvmlError(Exception):
    """Stands for pynvml.NVMLError."""


def _nvml(**changes):
    """Return a driver with two cards; a change replaces one of its functions."""
    functions = {
        "NVMLError": NvmlError,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: b"570.86.15",
        "nvmlSystemGetCudaDriverVersion_v2": lambda: 12080,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=24 * GIB, free=20 * GIB),
        "nvmlDeviceGetUUID": lambda index: f"GPU-{index}a{index}b",
        "nvmlDeviceGetName": lambda _: "NVIDIA GeForce RTX 4090",
        "nvmlDeviceGetCudaComputeCapability": lambda _: [8, 9],
        "nvmlDeviceGetComputeRunningProcesses": lambda _: [SimpleNamespace(pid=7, usedGpuMemory=3 * GIB)],
    }
    return SimpleNamespace(**{**functions, **changes})


def _fails(_=None):
    raise NvmlError


def test_reads_a_card():
    """Memory is in GiB, versions are comparable, and other programs on the card are named."""
    card = gpus(_nvml())[1]
    assert (card.index, card.name, card.total_gib, card.free_gib) == (1, "NVIDIA GeForce RTX 4090", 24.0, 20.0)
    assert (card.driver, card.driver_cuda, card.capability) == ("570.86.15", (12, 8), (8, 9))
    assert (card.processes[0].pid, card.processes[0].gib) == (7, 3.0)


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlSystemGetDriverVersion", "nvmlDeviceGetCount"])
def test_no_driver_is_no_card(broken):
    """Whatever the driver fails at, there is an empty list and no exception."""
    assert gpus(_nvml(**{broken: _fails})) == []


def test_a_lost_card_is_left_out():
    """One card that fell off the bus does not hide the other."""
    memory = _nvml().nvmlDeviceGetMemoryInfo
    cards = gpus(_nvml(nvmlDeviceGetMemoryInfo=lambda index: _fails() if index == 0 else memory(index)))
    assert [card.index for card in cards] == [1]


def test_processes_may_be_secret():
    """Virtual cards refuse to list programs, and Windows hides how much they hold."""
    assert gpus(_nvml(nvmlDeviceGetComputeRunningProcesses=_fails))[0].processes == ()
    hidden = _nvml(nvmlDeviceGetComputeRunningProcesses=lambda _: [SimpleNamespace(pid=7, usedGpuMemory=None)])
    assert gpus(hidden)[0].processes[0].gib is None


def test_a_program_that_can_not_be_named(monkeypatch):
    """A process of another container has a number and no name."""

    def gone(pid):
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(psutil, "Process", gone)
    assert gpus(_nvml())[0].processes[0].name == "?"


def test_this_machine_never_raises():
    """The real library answers with a list, whether there is a driver or not."""
    assert isinstance(gpus(), list)
