"""A LoRA of lower rank: the closest there is, with what it costs measured on what is stored."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from loraforge.errors import ConfigError
from loraforge.ship.lora_file import ALPHA, DOWN, UP, Lora, difference, from_bf16, to_bf16


@dataclass(frozen=True, slots=True)
class Resized:
    """The smaller LoRA.

    Attributes:
        lora: as it will be stored, rounded to bf16.
        error: |before - after| / |before| of all updates together, in Frobenius norms, rounding included.
        floor: the same for rounding alone, at the old rank.
    """

    lora: Lora
    error: float
    floor: float


def resize(lora: Lora, rank: int) -> Resized:
    """Reduce every layer to at most `rank` by its singular values; scale is folded in, so that alpha equals rank.

    Raises:
        ConfigError: the rank is not lower than the LoRA's.
    """
    highest = max(int(lora.tensors[module + DOWN].shape[0]) for module in lora.modules())
    if not 1 <= rank < highest:
        raise ConfigError(f"--rank {rank}: the LoRA has rank {highest}", f"choose 1 to {highest - 1}, or leave it out")
    tensors: dict[str, Any] = {}
    for module in lora.modules():
        up, down = halves(lora, module, rank)
        tensors[module + UP], tensors[module + DOWN] = _rounded(up), _rounded(down)
        tensors[module + ALPHA] = np.array(float(down.shape[0]), np.float32)
    smaller = Lora(tensors, lora.metadata)
    rounded = Lora({name: _rounded(values) for name, values in lora.tensors.items()}, lora.metadata)
    return Resized(smaller, difference(lora, smaller), difference(lora, rounded))


def halves(lora: Lora, module: str, rank: int) -> tuple[Any, Any]:
    """Return the best factors of a rank; the decomposition is that of a small matrix between two QR factors."""
    up = lora.tensors[module + UP].astype(np.float64)
    down = lora.tensors[module + DOWN].astype(np.float64)
    left, small_left = np.linalg.qr(up.reshape(up.shape[0], -1))
    right, small_right = np.linalg.qr(down.reshape(down.shape[0], -1).T)
    first, values, second = np.linalg.svd(small_left @ small_right.T * lora.scale(module))
    kept = min(rank, len(values))
    roots = np.sqrt(values[:kept])
    return left @ first[:, :kept] * roots, (right @ second[:kept].T * roots).T


def _rounded(values: Any) -> Any:
    return from_bf16(to_bf16(values)).reshape(np.shape(values))
