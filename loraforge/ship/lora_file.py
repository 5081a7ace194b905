"""LoRA files without torch: matrices in, matrices out, bf16 included."""

import json
import math
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loraforge.engine.header import HeaderError, read_header
from loraforge.errors import ConfigError

_KINDS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}
_HINT = "name another checkpoint with --step; `loraforge report RUN` lists the sound ones"
DOWN, UP, ALPHA = ".lora_down.weight", ".lora_up.weight", ".alpha"


@dataclass(frozen=True, slots=True)
class Lora:
    """A LoRA in memory.

    Attributes:
        tensors: name -> float32 array.
        metadata: the header's words; empty where it has none.
    """

    tensors: Mapping[str, Any]
    metadata: Mapping[str, str]

    def modules(self) -> list[str]:
        """Return the adapted layers by name."""
        return [name.removesuffix(DOWN) for name in self.tensors if name.endswith(DOWN)]

    def scale(self, module: str) -> float:
        """Return alpha / rank of a layer; without alpha it is 1, as in the engine."""
        rank = int(self.tensors[module + DOWN].shape[0])
        return float(self.tensors.get(module + ALPHA, rank)) / rank


def read_lora(path: Path, *, hint: str = _HINT) -> Lora:
    """Read a LoRA file whole.

    Args:
        path: the file.
        hint: what to do if it is none.

    Raises:
        ConfigError: it is missing, damaged, or no LoRA.
    """
    try:
        entries = read_header(path)
        data = path.read_bytes()
    except HeaderError as fault:
        raise ConfigError(f"{path}: {fault}", hint) from None
    except OSError as fault:
        raise ConfigError(f"{path}: can't be read: {fault.strerror}", hint) from None
    length = int.from_bytes(data[:8], "little")
    header: dict[str, Any] = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, tensor in entries.items():
        if tensor.dtype not in _KINDS:
            raise ConfigError(f"{path}: {name} is stored as {tensor.dtype}, which no LoRA is", hint)
        begin, end = header[name]["data_offsets"]
        raw = np.frombuffer(
            data, _KINDS[tensor.dtype], (end - begin) // int(_KINDS[tensor.dtype][-1]), 8 + length + begin
        )
        tensors[name] = _floats(raw, tensor.dtype).reshape(tensor.shape)
    words = header.get("__metadata__") or {}
    lora = Lora(tensors, {str(key): str(value) for key, value in words.items()})
    if not lora.modules():
        raise ConfigError(f"{path}: holds no LoRA layers in sd-scripts' names", hint)
    if odd := [module for module in lora.modules() if not _is_pair(lora, module)]:
        some = ", ".join(odd[:3]) + (" …" if len(odd) > 3 else "")
        raise ConfigError(f"{path}: {len(odd)} layers are no pair of matrices that fit: {some}", hint)
    return lora


def _is_pair(lora: Lora, module: str) -> bool:
    down, up = lora.tensors[module + DOWN], lora.tensors.get(module + UP)
    if up is None or down.ndim != 2 or up.ndim != 2 or up.shape[1] != down.shape[0]:
        return False
    return min(*up.shape, *down.shape) > 0 and np.size(lora.tensors.get(module + ALPHA, 1.0)) == 1


def write_bf16(path: Path, lora: Lora) -> None:
    """Write a LoRA in bf16, in one step: the file appears whole or not at all."""
    entries: dict[str, Any] = {"__metadata__": dict(lora.metadata)} if lora.metadata else {}
    blocks, end = [], 0
    for name, values in sorted(lora.tensors.items()):
        block = to_bf16(values).tobytes()
        entries[name] = {"dtype": "BF16", "shape": list(np.shape(values)), "data_offsets": [end, end + len(block)]}
        end += len(block)
        blocks.append(block)
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # safetensors aligns its data
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=".loraforge-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(len(text).to_bytes(8, "little") + text)
            file.writelines(blocks)
        Path(scratch).chmod(0o644)
        Path(scratch).replace(path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def to_bf16(values: Any) -> Any:
    """Return the upper halves of float32 numbers, rounded to nearest even as torch does."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
    special = (bits & 0x7F800000) == 0x7F800000  # rounding would turn some NaN into infinity
    return np.where(special, (bits >> 16).astype("<u2"), rounded)


def from_bf16(values: Any) -> Any:
    """Return bf16 bit patterns as float32."""
    return (values.astype(np.uint32) << 16).view(np.float32)


def difference(first: Lora, second: Lora) -> float:
    """Return how far the updates of two LoRAs of the same layers differ: |A - B| / |A|, in Frobenius norms.

    Exact without forming the large matrices: with B = U D of rank r every norm is one of r x r products.
    """
    total = apart = 0.0
    for module in first.modules():
        up_a, down_a = _factors(first, module)
        up_b, down_b = _factors(second, module)
        up, down = np.hstack([up_a, -up_b]), np.vstack([down_a, down_b])
        apart += _norm2(up, down)
        total += _norm2(up_a, down_a)
    return math.sqrt(max(apart, 0.0) / total) if total else 0.0


def _factors(lora: Lora, module: str) -> tuple[Any, Any]:
    up = lora.tensors[module + UP].astype(np.float64)
    return up.reshape(up.shape[0], -1) * lora.scale(module), lora.tensors[module + DOWN].astype(np.float64)


def _norm2(up: Any, down: Any) -> float:
    return float(np.sum((up.T @ up) * (down @ down.T)))


def _floats(raw: Any, dtype: str) -> Any:
    return from_bf16(raw) if dtype == "BF16" else raw.astype(np.float32)
