"""[memory]: what is traded for GPU memory, and the profile that decides what is left open."""

from typing import Annotated, Literal

from pydantic import Field

from loraforge.config.base import Section

ProfileName = Literal["auto", "8gb", "10gb", "12gb", "16gb", "24gb", "32gb", "48gb", "80gb"]
CacheKind = Literal["disk", "memory", "off"]


class Memory(Section):
    """Memory settings; those left None are decided by the profile."""

    profile: ProfileName = "auto"
    """The card to fit, by its memory in GB; auto takes the card that is found."""

    gradient_checkpointing: bool | None = None
    """Recompute activations instead of keeping them: far less memory, half as fast. None lets the profile decide."""

    fp8_base: bool | None = None
    """Hold the frozen base model in 8 bits: half its memory. None lets the profile decide."""

    blocks_to_swap: Annotated[int, Field(ge=1, le=35)] | None = None
    """Transformer blocks kept in host memory and swapped in, 1 to 35. None lets the profile decide."""

    cache_latents: CacheKind = "disk"
    """Encode pictures once, before training, onto disk or into memory; off keeps the autoencoder on the GPU."""

    cache_text_encoders: CacheKind = "disk"
    """Encode captions once, before training; off keeps 10 GiB of text encoders on the GPU."""
