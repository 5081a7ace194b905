"""[model]: the four weight files of FLUX.1."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from loraforge.config.base import Section


def _writable(path: Path) -> Path:
    """Refuse what no system or no settings file can hold; the engine and job.toml have to read it again."""
    if "\0" in str(path):
        raise ValueError("no path can hold a NUL character")
    if any("\ud800" <= letter <= "\udfff" for letter in str(path)):
        raise ValueError("holds bytes that are no UTF-8 text, which no settings file can; rename it")
    return path


# Paths arrive as strings from TOML; strict mode would refuse them.
FilePath = Annotated[Path, Field(strict=False), AfterValidator(_writable)]


class Model(Section):
    """Which FLUX.1 is trained, and where its files are."""

    family: Literal["flux-dev", "flux-schnell"] = "flux-dev"
    """The base model: `flux-dev` (guidance-distilled, 512 T5 tokens) or `flux-schnell` (256 T5 tokens)."""

    transformer: FilePath | None = None
    """The transformer as one BFL-layout .safetensors file; None looks in the model folders (`loraforge models`)."""

    clip_l: FilePath | None = None
    """The CLIP-L text encoder; None looks for it in the model folders."""

    t5xxl: FilePath | None = None
    """The T5-XXL text encoder (fp16, bf16 or fp8 e4m3fn); None looks for it in the model folders."""

    autoencoder: FilePath | None = None
    """The FLUX autoencoder, usually ae.safetensors; None looks for it in the model folders."""

    tokenizers: FilePath | None = None
    """A folder with openai_clip-vit-large-patch14 and google_t5-v1_1-xxl; None lets the engine use its hub cache."""
