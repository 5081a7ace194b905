"""The four weight files of FLUX.1: where they are looked for, and which of them were found."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Role = Literal["transformer", "clip_l", "t5xxl", "autoencoder"]
ROLES: tuple[Role, ...] = ("transformer", "clip_l", "t5xxl", "autoencoder")


@dataclass(frozen=True, slots=True)
class Weights:
    """The files that a run trains with.

    Attributes:
        transformer: the FLUX transformer in BFL layout.
        clip_l: the CLIP-L text encoder.
        t5xxl: the T5-XXL text encoder.
        autoencoder: the FLUX autoencoder.
        tokenizers: folder holding `openai_clip-vit-large-patch14` and `google_t5-v1_1-xxl`; None leaves them to the hub.
    """

    transformer: Path
    clip_l: Path
    t5xxl: Path
    autoencoder: Path
    tokenizers: Path | None = None
