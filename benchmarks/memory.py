"""Measures GPU memory and step time of sd-scripts over the configurations that the predictor is judged by.

usage: python benchmarks/memory.py ENGINE_DIR RECORD [--seconds N]     on a machine with an 80 GB GPU, about 8 minutes
       python benchmarks/memory.py --table                             predictions beside the record -> memory.md

One process builds the engine's own modules with random weights on the GPU, a configuration at a time, and calls the
engine's own step; RECORD gets one JSON line a configuration as it ends. An existing RECORD is gone on with: what it has
whole is not measured again; a row that failed is.
"""

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from memory_configurations import CONFIGURATIONS, Configuration  # beside this script

_GIB = 1 << 30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", type=Path, nargs="?", help="folder of sd-scripts")
    parser.add_argument("record", type=Path, nargs="?", help="JSON lines, appended to")
    parser.add_argument("--seconds", type=float, default=3600.0, help="start no configuration after this time")
    parser.add_argument("--cpu", action="store_true", help="try the script without a GPU; nothing is measured")
    parser.add_argument("--table", action="store_true", help="write memory.md from the record beside this script")
    options = parser.parse_args()
    if options.table:
        from memory_table import write_table

        write_table()
    elif options.engine is None or options.record is None:
        parser.error("ENGINE_DIR and RECORD are needed to measure")
    else:
        sys.path.insert(0, str(options.engine.resolve()))
        measure_all(options.record, options.seconds, cpu=options.cpu)


def measure_all(record: Path, seconds: float, *, cpu: bool) -> None:
    """Measure what the record lacks, until the time is up."""
    import torch

    began = time.monotonic()
    device = torch.device("cpu" if cpu else "cuda")
    entries = [json.loads(line) for line in record.read_text("utf-8").splitlines()] if record.exists() else []
    done = [entry["configuration"] for entry in entries if "reserved_gib" in entry]
    left = [(index, wanted) for index, wanted in enumerate(CONFIGURATIONS) if asdict(wanted) not in done]
    print(f"{len(left)} of {len(CONFIGURATIONS)} configurations to measure", flush=True)
    with record.open("a", encoding="utf-8", buffering=1) as file:
        if left:
            file.write(json.dumps(_machine(cpu=cpu)) + "\n")
        for index, configuration in left:
            if time.monotonic() - began > seconds:
                print(f"time is up before configuration {index}")
                break
            started = time.monotonic()
            result = _measured(configuration, device)
            file.write(json.dumps({"configuration": asdict(configuration), **result}) + "\n")
            print(f"{index:3d} {time.monotonic() - started:5.1f} s", _short(configuration), result, flush=True)


def _measured(configuration: Configuration, device: Any) -> dict[str, Any]:
    import torch

    _clean(device)
    left = torch.cuda.memory_allocated() / _GIB if device.type == "cuda" else 0.0
    try:
        result = _phase(configuration, device)
    except torch.OutOfMemoryError as fault:
        return {"out_of_memory": str(fault)[:200]}
    except Exception as fault:  # noqa: BLE001  # one configuration that fails must not cost the others
        return {"error": f"{type(fault).__name__}: {fault}"[:500]}
    return {"left_over_gib": round(left, 3), **result}


def _phase(configuration: Configuration, device: Any) -> dict[str, Any]:
    from memory_engine import Bench

    bench = Bench(configuration, device)
    match configuration.phase:
        case "latents":
            bench.load_autoencoder()
            work, times = bench.encode_picture, 3
        case "text":
            bench.load_text_encoders()
            work, times = bench.encode_captions, 3
        case "train" | "sample":
            bench.load_training()
            _clean(device)
            loaded = _peaks(device)
            seconds = [
                round(bench.step(size), 3) for size in bench.sizes()[: 5 if configuration.phase == "train" else 2]
            ]
            if configuration.phase == "train":
                return {"loaded": loaded, "seconds": seconds, **_peaks(device)}
            _clean(device)
            with tempfile.TemporaryDirectory() as folder:
                drawn = {steps: round(bench.sample(steps, folder), 3) for steps in (2, 6)}
            return {"seconds": seconds, "sample_seconds": drawn, **_peaks(device)}
    _clean(device)
    spent = []
    for _ in range(times):
        before = time.perf_counter()
        work()  # ends with a copy to the processor, which waits for the GPU
        spent.append(round(time.perf_counter() - before, 3))
    return {"seconds": spent, **_peaks(device)}


def _clean(device: Any) -> None:
    """Leave the allocator as a fresh process would find it."""
    import torch

    gc.collect()
    if device.type == "cuda":
        torch._C._cuda_clearCublasWorkspaces()  # noqa: SLF001  # there is no public way
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peaks(device: Any) -> dict[str, float]:
    import torch

    if device.type != "cuda":
        return {"allocated_gib": 0.0, "reserved_gib": 0.0}
    peaks = torch.cuda.max_memory_allocated(), torch.cuda.max_memory_reserved()
    return {"allocated_gib": round(peaks[0] / _GIB, 3), "reserved_gib": round(peaks[1] / _GIB, 3)}


def _machine(*, cpu: bool) -> dict[str, Any]:
    """Describe the machine by what it does: matrix rate in TFLOP/s and copy bandwidth in GB/s, read plus written."""
    import torch

    facts: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "processors": os.cpu_count(),
    }
    if cpu:
        return facts | {"card": "none"}
    left, right = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    matrix = _seconds(lambda: left @ right)
    block = torch.randn(1 << 30, device="cuda")
    other = torch.empty_like(block)
    copy = _seconds(lambda: other.copy_(block))
    return facts | {
        "card": torch.cuda.get_device_name(),
        "vram_gib": round(torch.cuda.mem_get_info()[1] / _GIB, 2),
        "tflops": round(2 * 8192**3 / matrix / 1e12),
        "gb_per_s": round(2 * block.nbytes / copy / 1e9),
    }


def _seconds(work: Any, times: int = 20) -> float:
    import torch

    for _ in range(3):
        work()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        work()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / times


def _short(configuration: Configuration) -> str:
    default = asdict(Configuration(configuration.phase, 0, 0))
    return " ".join(f"{k}={v}" for k, v in asdict(configuration).items() if k == "phase" or v != default[k])


if __name__ == "__main__":
    main()
