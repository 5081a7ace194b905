"""The ways to train that fast_rows.py compares."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

ALL = "segments,norms,adafactor,swap,compile"
_CHECKPOINTED = ("gradient_checkpointing",)
_FP8 = ("gradient_checkpointing", "fp8_base")
_SWAP = ("gradient_checkpointing", "fp8_base", "blocks_to_swap=28")


@dataclass(frozen=True)
class Row:
    """A way to train.

    Attributes:
        options: the engine's, beside those that all rows share.
        parts: of loraforge.engine.fast, joined by commas; empty for plain sd-scripts.
        steps: how many; None for as many as the command says.
        against: the row that it is compared with.
        sizes: whether the pictures have three sizes instead of one.
        kernels: what is changed in torch: "flash" attention instead of cuDNN's and another matrix library, or
            compiled kernels that are "unrounded" between operations.
        guide: without caches, and CLIP-L trained too.
    """

    options: tuple[str, ...] = ()
    parts: str = ""
    steps: int | None = 8
    against: str | None = None
    sizes: bool = False
    kernels: str = ""
    guide: bool = False


ROWS = {
    "guide": Row(_CHECKPOINTED, guide=True),
    "plain": Row(steps=None),
    "plain, other kernels": Row(steps=None, against="plain", kernels="flash"),
    "fast": Row((), ALL, None, "plain"),
    "fast, unrounded": Row((), ALL, 12, "plain", kernels="unrounded"),
    "plain, 3 sizes": Row(steps=16, sizes=True),
    "fast, 3 sizes": Row((), ALL, 16, "plain, 3 sizes", sizes=True),
    "checkpointed": Row(_CHECKPOINTED),
    "checkpointed, fast": Row(_CHECKPOINTED, ALL, 8, "checkpointed"),
    "batch 2": Row((*_CHECKPOINTED, "batch=2", "gradient_accumulation_steps=2"), steps=6),
    "batch 2, fast": Row((*_CHECKPOINTED, "batch=2", "gradient_accumulation_steps=2"), ALL, 6, "batch 2"),
    "fp8": Row(_FP8),
    "fp8, fast": Row(_FP8, ALL, 8, "fp8"),
    "fp8, fast, fixed segments": Row(_FP8, "norms,adafactor,compile", 8, "fp8"),
    "swap": Row(_SWAP),
    "swap, fast": Row(_SWAP, ALL, 8, "swap"),
}


def measured_on() -> str:
    """Return what a record needs to say of where and when it was taken."""
    import torch

    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "no card"
    return f"{card}, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}"


@contextlib.contextmanager
def kernels(change: str) -> Iterator[None]:
    """Have torch use other kernels for a while."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with contextlib.ExitStack() as undo:
        if change == "flash" and torch.cuda.is_available():
            undo.enter_context(sdpa_kernel([SDPBackend.FLASH_ATTENTION]))
            before = torch.backends.cuda.preferred_blas_library()
            torch.backends.cuda.preferred_blas_library("cublaslt")
            undo.callback(torch.backends.cuda.preferred_blas_library, before)
        yield
