"""[network]: the LoRA itself."""

from typing import Annotated, Literal

from pydantic import Field

from loraforge.config.base import Fraction, Rank, Section


class Network(Section):
    """Rank, alpha and the layers that are adapted."""

    rank: Rank = 16
    """Rank of the LoRA matrices, 1 to 1024; 8-16 suits a style, 32-64 a subject."""

    alpha: Annotated[float, Field(gt=0.0, le=4096.0)] = 16.0
    """The LoRA is scaled by alpha / rank, so it acts on the learning rate; usually equal to rank."""

    dropout: Fraction | None = None
    """Share of LoRA activations dropped while training, between 0 and 1; None drops nothing."""

    rank_dropout: Fraction | None = None
    """Share of a layer's ranks left out of a step, between 0 and 1; None leaves out none."""

    module_dropout: Fraction | None = None
    """Share of the adapted layers left out of a step, between 0 and 1; None leaves out none. It prevents compiling."""

    lora_plus: Annotated[float, Field(ge=1.0, le=256.0)] | None = None
    """LoRA+: how many times faster the upper matrices learn than the lower ones, 16 in its paper; None, alike."""

    targets: Literal["all", "double", "single"] = "all"
    """Which transformer blocks are adapted: all 57, the 19 double or the 38 single ones."""

    train_clip_l: bool = False
    """Adapt the CLIP-L text encoder too; rarely helps a style and keeps the encoder on the GPU."""

    train_t5xxl: bool = False
    """Adapt the T5-XXL text encoder too; needs its text cache off and about 10 GiB more."""
