"""From a folder of pictures to a FLUX.1 style LoRA worth keeping."""

__version__ = "0.1.0"
