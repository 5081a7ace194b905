"""A LoRA at another rank and alpha, to train on from."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors.numpy import save

from loraforge.ship.lora_file import ALPHA, DOWN, UP, Lora, difference
from loraforge.ship.resize import halves


@dataclass(frozen=True, slots=True)
class Refitted:
    """What a run begins with.

    Attributes:
        lora: with the rank and alpha of the run, in float32.
        ranks: those it had.
        error: |before - after| / |before| of all updates together; 0 unless the rank shrinks.
    """

    lora: Lora
    ranks: tuple[int, ...]
    error: float

    def to_bytes(self) -> bytes:
        """Return it as a .safetensors file."""
        data: bytes = save(dict(self.lora.tensors))
        return data


def refit(lora: Lora, rank: int, alpha: float, *, seed: int) -> Refitted | None:
    """Bring every layer to a rank and an alpha; None where all have them.

    The engine takes a file's matrices as they are, and scales them by its own alpha / rank: another alpha would change
    what was learnt, another rank does not load. A larger rank keeps what was learnt, with further rows drawn as the
    engine draws new ones; a smaller one keeps the largest singular values.

    Args:
        lora: what was learnt.
        rank: of the run.
        alpha: of the run.
        seed: for the rows that are drawn.
    """
    had = {int(lora.tensors[module + DOWN].shape[0]) for module in lora.modules()}
    # The engine stores alpha in the LoRA's own precision, of which bf16 has eight bits.
    if had == {rank} and all(math.isclose(lora.scale(m) * rank, alpha, rel_tol=2**-8) for m in lora.modules()):
        return None
    generator = np.random.default_rng(seed)
    tensors: dict[str, Any] = {}
    for module in lora.modules():
        up, down = _scaled(lora, module, rank, alpha / rank)
        missing = rank - down.shape[0]
        reach = down.shape[1] ** -0.5  # Kaiming's, with a = sqrt(5), as for every new layer of the engine
        drawn = generator.uniform(-reach, reach, (missing, down.shape[1]))
        tensors[module + UP] = np.ascontiguousarray(np.pad(up, ((0, 0), (0, missing))), np.float32)
        tensors[module + DOWN] = np.ascontiguousarray(np.vstack([down, drawn]), np.float32)
        tensors[module + ALPHA] = np.array(alpha, np.float32)
    fitted = Lora(tensors, {})
    return Refitted(fitted, tuple(sorted(had)), difference(lora, fitted) if max(had) > rank else 0.0)


def _scaled(lora: Lora, module: str, rank: int, scale: float) -> tuple[Any, Any]:
    """Return factors of at most a rank, whose product under the new scale is the update that was learnt."""
    up, down = lora.tensors[module + UP], lora.tensors[module + DOWN]
    if down.shape[0] > rank:
        up, down = halves(lora, module, rank)
        return up / scale**0.5, down / scale**0.5
    return up * (lora.scale(module) / scale), down
