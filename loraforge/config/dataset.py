"""[dataset]: pictures, trigger, resolution and buckets."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from loraforge.config.base import Count, Pixels, Section
from loraforge.config.model import FilePath


def _drawable(trigger: str) -> str:
    if trigger.startswith("#") or "--" in trigger:
        raise ValueError(
            'must not begin with # nor hold "--": the engine would not draw the samples that begin with it'
        )
    return trigger


# A trigger stands first in every caption and in prompts, so it is one word without a comma.
Trigger = Annotated[
    str,
    StringConstraints(min_length=1, max_length=64, pattern=r"^[^\s,\x00-\x1f\x7f]+$"),
    AfterValidator(_drawable),
    Field(json_schema_extra={"allowed": "one word of at most 64 characters, without spaces and commas"}),
]


class Buckets(Section):
    """How pictures of different shapes are grouped into training sizes."""

    enabled: bool = True
    """Group pictures by shape; off crops every picture to the training resolution."""

    upscale: bool = False
    """Enlarge pictures smaller than the training resolution; off trains them at their own size."""

    step: Annotated[int, Field(ge=64, le=1024, multiple_of=64)] = 64
    """Bucket sides are multiples of this many pixels; the engine accepts multiples of 64 only."""

    min: Pixels = 256
    """The shortest bucket side in pixels."""

    max: Pixels = 2048
    """The longest bucket side in pixels; keep it well above the resolution: at 1024 a 3:2 picture needs 1216."""


class Dataset(Section):
    """The pictures and how they are shown to the model."""

    images: FilePath | None = None
    """The folder of pictures and .txt captions; None is allowed for presets only, training needs it."""

    trigger: Trigger | None = None
    """The word that calls the style; written first into every caption. None trains captions as they are."""

    resolution: Pixels | Annotated[list[Pixels], Field(min_length=2, max_length=2)] = 1024
    """Training size in pixels, 64 to 8192: one number for a square area, or [width, height]."""

    batch_size: Annotated[int, Field(ge=1, le=256)] = 1
    """Pictures a step, 1 to 256; only pictures of one bucket share a batch."""

    repeats: Count | None = None
    """How often each picture counts in an epoch; None makes the whole run one epoch, which keeps resume exact."""

    buckets: Buckets = Buckets.model_construct()
    """Aspect buckets."""
