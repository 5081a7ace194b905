"""Prove that a file is the LoRA that was asked for: the engine exits with 0 without one, too."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loraforge.config.job import Job
from loraforge.engine.header import HeaderError, read_header

_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}
_PREFIXES = {"double": "lora_unet_double_blocks_", "single": "lora_unet_single_blocks_"}


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of a LoRA file.

    Attributes:
        path: the file.
        faults: why it is not the LoRA asked for; empty means proven.
        metadata: the header's metadata.
        modules: number of adapted layers.
        step: optimizer steps it has seen, None where the header does not say.
        size: bytes.
    """

    path: Path
    faults: tuple[str, ...]
    metadata: Mapping[str, str]
    modules: int
    step: int | None
    size: int

    @property
    def proven(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.faults


def prove(path: Path, job: Job, *, step: int | None = None, modules: int | None = None) -> Proof:
    """Open a LoRA and check weights and metadata against the job.

    Args:
        path: the .safetensors file.
        job: what was asked for.
        step: steps it must have seen; None takes any.
        modules: adapted layers it must have; None takes any number above 0.
    """
    try:
        read_header(path)  # whole, and within its own bounds
        data = np.memmap(path, dtype=np.uint8, mode="r")
        length = int.from_bytes(data[:8].tobytes(), "little")
        header: dict[str, Any] = json.loads(data[8 : 8 + length].tobytes())
    except FileNotFoundError:
        return Proof(path, ("it does not exist",), {}, 0, None, 0)
    except HeaderError as fault:
        return Proof(path, (str(fault),), {}, 0, None, path.stat().st_size)
    except (OSError, ValueError) as fault:
        return Proof(path, (f"can't be read: {fault}",), {}, 0, None, 0)
    metadata: dict[str, str] = header.pop("__metadata__", None) or {}
    body = data[8 + length :]
    downs = sorted(name for name in header if name.endswith(".lora_down.weight"))
    faults = [
        *_shape_faults(header, downs, job, modules),
        *_value_faults(header, body),
        *_metadata_faults(metadata, job, step),
    ]
    seen = metadata.get("ss_steps", "")
    return Proof(
        path, tuple(faults), metadata, len(downs), int(seen) if seen.isdecimal() else None, path.stat().st_size
    )


def is_finite(path: Path) -> bool:
    """Tell whether a .safetensors file is whole and holds neither NaN nor infinity.

    Raises:
        HeaderError: it is damaged.
        OSError: it can't be read.
    """
    read_header(path)
    data = np.memmap(path, dtype=np.uint8, mode="r")
    length = int.from_bytes(data[:8].tobytes(), "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + length].tobytes())
    header.pop("__metadata__", None)
    for entry in header.values():
        begin, end = entry["data_offsets"]
        kind = _DTYPES.get(entry["dtype"])
        if kind is not None and not _finite(data[8 + length :][begin:end].view(kind), entry["dtype"]):
            return False
    return True


def adapted_layers(transformer: Path, job: Job) -> list[str]:
    """Return the layers a job adapts, by their names in a LoRA: every linear layer of the targeted blocks."""
    linear = [
        name for name, tensor in read_header(transformer).items() if name.endswith(".weight") and len(tensor.shape) == 2
    ]
    kinds = ("double", "single") if job.network.targets == "all" else (job.network.targets,)
    blocks = [f"{kind}_blocks." for kind in kinds]
    inside = [name[name.index(block) :] for block in blocks for name in linear if block in name]
    return ["lora_unet_" + name.removesuffix(".weight").replace(".", "_") for name in inside]


def expected_modules(transformer: Path, job: Job) -> int:
    """Count the layers a job adapts: 304 in FLUX.1 for `all`."""
    return len(adapted_layers(transformer, job))


def _shape_faults(header: Mapping[str, Any], downs: list[str], job: Job, modules: int | None) -> Iterator[str]:
    if not downs:
        yield "holds no LoRA layers"
        return
    trains_text = job.network.train_clip_l or job.network.train_t5xxl
    adapted = [name for name in downs if name.startswith("lora_unet_")] if trains_text else downs
    if modules is not None and len(adapted) != modules:
        yield f"adapts {len(adapted)} layers of the transformer, not {modules}"
    if stray := [name for name in downs if not name.startswith(_wanted(job))]:
        yield f"adapts layers that were not asked for, such as {stray[0].removesuffix('.lora_down.weight')}"
    ranks = {(header[name]["shape"] or [1])[0] for name in downs}
    if ranks != {job.network.rank}:
        yield f"has rank {', '.join(map(str, sorted(ranks)))}, not {job.network.rank}"
    if missing := [name for name in downs if name.replace("lora_down", "lora_up") not in header]:
        yield f"lacks the second half of {missing[0]}"


def _wanted(job: Job) -> tuple[str, ...]:
    names = [prefix for target, prefix in _PREFIXES.items() if job.network.targets in {"all", target}]
    text = job.network.train_clip_l or job.network.train_t5xxl
    return (*names, "lora_te") if text else tuple(names)


def _value_faults(header: Mapping[str, Any], body: "np.ndarray[Any, Any]") -> Iterator[str]:
    moved = False
    for name, entry in header.items():
        kind = _DTYPES.get(entry["dtype"])
        if kind is None:
            yield f"{name} is stored as {entry['dtype']}, which no LoRA is"
            return
        begin, end = entry["data_offsets"]
        values: np.ndarray[Any, Any] = body[begin:end].view(kind)
        if not _finite(values, entry["dtype"]):
            yield f"{name} holds NaN or infinity: the training diverged"
            return
        if name.endswith(".lora_up.weight"):
            # The sign bit of bf16 is left out: minus zero is zero.
            moved = moved or bool(np.any(values & 0x7FFF if entry["dtype"] == "BF16" else values))
    if not moved:
        yield "changes nothing: every second matrix is still zero, as before the first step"


def _finite(values: "np.ndarray[Any, Any]", dtype: str) -> bool:
    if dtype == "BF16":  # numpy has no bf16; all exponent bits set means NaN or infinity
        return not bool(np.any((values & 0x7F80) == 0x7F80))
    return bool(np.all(np.isfinite(values)))


def _metadata_faults(metadata: Mapping[str, str], job: Job, step: int | None) -> Iterator[str]:
    wanted: dict[str, float] = {
        "ss_network_dim": job.network.rank,
        "ss_network_alpha": job.network.alpha,
        "ss_learning_rate": job.optimizer.learning_rate,
        "ss_seed": job.training.seed,
    }
    if job.training.steps is not None:
        wanted["ss_max_train_steps"] = job.training.steps
    if step is not None:
        wanted["ss_steps"] = step
    for key, value in wanted.items():
        said = metadata.get(key)
        try:
            equal = said is not None and float(said) == float(value)
        except ValueError:
            equal = False
        if not equal:
            yield f"its header says {key} = {said}, not {value:g}"
