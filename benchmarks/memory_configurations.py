"""What benchmarks/memory.py measures: every configuration, and which of them calibrate the predictor."""

from dataclasses import dataclass
from typing import Literal

Phase = Literal["train", "latents", "text", "sample"]


@dataclass(frozen=True)
class Configuration:
    """One measured run.

    Attributes:
        phase: what is measured; `sample` trains two steps first, so that all that training holds is there.
        width: of the largest bucket or of the sample, in pixels.
        height: likewise.
        batch: pictures a step, captions a text batch.
        rank: of the LoRA.
        optimizer: as in forge.toml.
        checkpointing: gradient checkpointing.
        fp8: the base model in 8 bits; in phase `text` the T5 file.
        swap: blocks to swap.
        targets: adapted blocks.
        latents_cached: else the autoencoder encodes at every step.
        text_cached: else both text encoders stay on the GPU and encode at every step.
        train_clip_l: adapt CLIP-L too.
        tokens: T5 tokens.
        calibrates: used to fit the predictor; the others only test it.
    """

    phase: Phase
    width: int
    height: int
    batch: int = 1
    rank: int = 16
    optimizer: str = "adafactor"
    checkpointing: bool = True
    fp8: bool = False
    swap: int = 0
    targets: str = "all"
    latents_cached: bool = True
    text_cached: bool = True
    train_clip_l: bool = False
    tokens: int = 512
    calibrates: bool = False


def _train(side: int, **settings: object) -> Configuration:
    return Configuration("train", side, side, **settings)  # type: ignore[arg-type]


_FULL = {"checkpointing": False}
_FP8 = {"fp8": True}
_FIT = {"calibrates": True}

CONFIGURATIONS: tuple[Configuration, ...] = (
    # The four that were also measured as whole runs of the engine, see memory.md.
    _train(1024, **_FIT),
    _train(1024, **_FULL, **_FIT),
    _train(1024, **_FP8),
    _train(1024, **_FP8, swap=28),
    # bf16, checkpointed
    _train(512, **_FIT),
    _train(768),
    _train(1024, batch=2),
    _train(1024, batch=4, **_FIT),
    _train(512, batch=4),
    _train(768, batch=2, rank=32, optimizer="adamw8bit"),
    _train(768, batch=4, rank=8),
    _train(1024, rank=4, **_FIT),
    _train(1024, rank=64, optimizer="adamw", **_FIT),
    _train(1024, rank=128, optimizer="adamw", **_FIT),
    _train(1024, rank=128, **_FIT),
    _train(1024, rank=128, optimizer="adamw8bit"),
    _train(512, rank=128, optimizer="adamw"),
    _train(512, rank=128, optimizer="adafactor", **_FIT),
    # bf16, not checkpointed
    _train(512, **_FULL, **_FIT),
    _train(768, **_FULL),
    _train(512, batch=2, rank=64, optimizer="adamw", **_FULL),
    _train(512, rank=128, optimizer="adamw", **_FULL, **_FIT),
    _train(768, rank=32, optimizer="adamw8bit", **_FULL),
    # fp8
    _train(512, **_FP8),
    _train(768, batch=2, **_FP8),
    _train(1024, batch=4, rank=32, optimizer="adamw8bit", **_FP8),
    _train(1024, batch=2, rank=128, optimizer="adamw", **_FP8, **_FIT),
    _train(512, **_FP8, **_FULL, **_FIT),
    _train(768, **_FP8, **_FULL),
    # swapped
    _train(1024, swap=8, **_FP8),
    _train(1024, batch=2, rank=32, optimizer="adamw8bit", swap=16, **_FP8),
    _train(768, swap=20, **_FP8),
    _train(1024, swap=35, **_FP8),
    _train(512, rank=4, swap=35, **_FP8),
    _train(1024, swap=8),
    _train(512, swap=18, **_FIT),
    _train(1024, swap=28),
    _train(1024, swap=35, **_FIT),
    _train(512, batch=4, swap=16, **_FULL),
    # targets, and what is not cached
    _train(1024, rank=32, optimizer="adamw", targets="double"),
    _train(768, rank=32, targets="single", **_FIT),
    _train(1024, latents_cached=False, text_cached=False, **_FIT),
    _train(512, batch=2, latents_cached=False),
    _train(512, text_cached=False, **_FP8, **_FIT),
    _train(768, text_cached=False, train_clip_l=True),
    # the other phases
    Configuration("latents", 512, 512, **_FIT),
    Configuration("latents", 768, 768),
    Configuration("latents", 1024, 1024, **_FIT),
    Configuration("latents", 1216, 832),
    Configuration("latents", 1536, 1536),
    Configuration("text", 0, 0, **_FIT),
    Configuration("text", 0, 0, batch=4, **_FIT),
    Configuration("text", 0, 0, batch=2, tokens=256, **_FIT),
    Configuration("text", 0, 0, fp8=True),
    Configuration("text", 0, 0, fp8=True, batch=4),
    Configuration("sample", 512, 512, **_FIT),
    Configuration("sample", 1024, 1024, fp8=True, swap=28, **_FIT),
    Configuration("sample", 1024, 1024, fp8=True),
    Configuration("sample", 1344, 768, rank=64, optimizer="adamw"),
)
