"""The NVIDIA GPUs of this machine, asked of the driver itself: no torch, no nvidia-smi."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_GIB = 1 << 30
# What a driver shows of itself on Linux: natively and in containers, or under WSL. Looking costs nothing.
_TRACES = (Path("/dev/nvidiactl"), Path("/proc/driver/nvidia"), Path("/dev/dxg"))


@dataclass(frozen=True, slots=True)
class GpuProcess:
    """A program that holds memory of a GPU; gib is None where the driver does not tell (Windows)."""

    pid: int
    name: str
    gib: float | None


@dataclass(frozen=True, slots=True)
class Gpu:
    """One card.

    Attributes:
        index: the driver's number, counted by PCI bus.
        name: its model.
        total_gib: memory in GiB.
        free_gib: memory no program holds, in GiB.
        driver: version of the driver.
        driver_cuda: the newest CUDA (major, minor) that the driver runs.
        capability: compute capability (major, minor).
        processes: programs that hold memory of it.
        uuid: the name that it keeps wherever it is plugged in, "GPU-..."; empty where the driver does not tell.
    """

    index: int
    name: str
    total_gib: float
    free_gib: float
    driver: str
    driver_cuda: tuple[int, int]
    capability: tuple[int, int]
    processes: tuple[GpuProcess, ...] = ()
    uuid: str = ""

    @property
    def holders(self) -> str:
        """The programs that hold memory of it, in words."""
        return ", ".join(f"{one.name} ({one.pid})" for one in self.processes) or "other programs"


def gpus(nvml: Any = None) -> list[Gpu]:
    """Return the cards the driver knows, by index; an empty list where there is no driver or no card.

    Never raises: a card that fails to answer is left out.

    Args:
        nvml: the module to ask; None is NVIDIA's own, imported only where there are traces of a driver.
    """
    if nvml is None:
        if sys.platform == "linux" and not any(trace.exists() for trace in _TRACES):
            return []
        import pynvml

        nvml = pynvml
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return []
    try:
        driver = _text(nvml.nvmlSystemGetDriverVersion())
        newest = int(nvml.nvmlSystemGetCudaDriverVersion_v2())
        cuda = (newest // 1000, newest % 1000 // 10)
        found = [_gpu(nvml, index, driver, cuda) for index in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:
        return []
    finally:
        nvml.nvmlShutdown()
    return [gpu for gpu in found if gpu is not None]


def _gpu(nvml: Any, index: int, driver: str, cuda: tuple[int, int]) -> Gpu | None:
    try:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return Gpu(
            index=index,
            name=_text(nvml.nvmlDeviceGetName(handle)),
            total_gib=memory.total / _GIB,
            free_gib=memory.free / _GIB,
            driver=driver,
            driver_cuda=cuda,
            capability=tuple(nvml.nvmlDeviceGetCudaComputeCapability(handle)),
            processes=_processes(nvml, handle),
            uuid=_uuid(nvml, handle),
        )
    except nvml.NVMLError:
        return None


def _uuid(nvml: Any, handle: Any) -> str:
    try:
        return _text(nvml.nvmlDeviceGetUUID(handle))
    except nvml.NVMLError:
        return ""


def _processes(nvml: Any, handle: Any) -> tuple[GpuProcess, ...]:
    try:
        running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:  # some virtual cards do not answer this one
        return ()
    return tuple(
        GpuProcess(entry.pid, _name(entry.pid), entry.usedGpuMemory / _GIB if entry.usedGpuMemory else None)
        for entry in running
    )


def _name(pid: int) -> str:
    import psutil

    try:
        return str(psutil.Process(pid).name())
    except psutil.Error:  # of another container, or gone meanwhile
        return "?"


def _text(value: str | bytes) -> str:
    """Older bindings answer in bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
