"""[sampling]: pictures drawn during training to watch it learn."""

from typing import Annotated

from pydantic import AfterValidator, Field

from loraforge.config.base import Line, Section, Seed, Steps


def _plain(prompt: str) -> str:
    if " --" in prompt or prompt.startswith(("#", "--")) or prompt != prompt.strip():
        raise ValueError('prompts hold no " --" (sizes and seeds have settings here), no leading # and no outer spaces')
    return prompt


Prompt = Annotated[Line, AfterValidator(_plain)]
SampleSide = Annotated[int, Field(ge=64, le=4096, multiple_of=16)]


class Sampling(Section):
    """Sample prompts and how they are rendered."""

    prompts: list[Prompt] = []
    """One sample a prompt; `{trigger}` becomes the trigger word. An empty list draws none."""

    every_steps: Steps | None = None
    """Samples every so many steps; None draws them with each checkpoint."""

    at_start: bool = False
    """Draw them before the first step too, as the base model's answer to compare with."""

    width: SampleSide = 1024
    """Width in pixels, a multiple of 16; left open, smaller where the card asks for it."""

    height: SampleSide = 1024
    """Height in pixels, a multiple of 16; likewise."""

    steps: Annotated[int, Field(ge=1, le=200)] = 20
    """Denoising steps a sample."""

    guidance: Annotated[float, Field(ge=0.0, le=30.0)] = 3.5
    """Guidance fed to the guidance-distilled FLUX.1-dev (the engine's --g); true CFG stays off."""

    seed: Seed = 1
    """Seed of every sample, so that checkpoints are compared on the same noise."""
