"""Prompts that tell: what the set shows and what it does not, easy and hard, with the trigger and without.

The set is a file that people edit; it is written once and never overwritten.
"""

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tomli_w
from pydantic import AfterValidator, Field, ValidationError

from loraforge.config.base import Section, Seed
from loraforge.config.job import Job
from loraforge.config.sampling import Prompt, SampleSide
from loraforge.dataset.captions import replace_bytes
from loraforge.errors import ConfigError
from loraforge.toml_file import read_toml

Kind = Literal["known", "portrait", "scene", "object", "hard"]
_NEW: dict[Kind, tuple[str, ...]] = {
    "portrait": ("portrait of an old fisherman", "portrait of a young woman with glasses", "a child laughing"),
    "scene": ("a train station in the rain", "a market street at dusk", "a harbour in fog"),
    "object": ("a red bicycle against a wall", "a teapot and two cups", "a pair of worn boots"),
    "hard": ("three people around a table, seen from above, one pours tea", "a cat looking into a mirror at night"),
}
_HEAD = """\
# The prompts that `loraforge compare` draws with every checkpoint; edit them as you like.
# Each is drawn with the trigger and, if `pair` is true, without: the second shows what leaks into other pictures.
# Sides are multiples of 16. `guidance` is the engine's --g; FLUX.1 is guidance-distilled, so true CFG (--l) stays off.
"""


def _without_flags(text: str) -> str:
    if "--" in text:
        raise ValueError('must hold no "--": the engine would take what follows for an option')
    return text


class TellingPrompt(Section):
    """One subject."""

    text: Annotated[Prompt, AfterValidator(_without_flags)]
    """What is drawn, without the trigger."""

    kind: Kind = "scene"
    """`known` is a subject of the training set; the others are new to it."""

    seed: Seed = 1
    """Of the noise, the same for every checkpoint."""

    pair: bool = True
    """Draw it without the trigger too."""


class PromptSet(Section):
    """The whole file."""

    width: SampleSide = 1024
    height: SampleSide = 1024
    steps: Annotated[int, Field(ge=1, le=200)] = 20
    guidance: Annotated[float, Field(ge=0.0, le=30.0)] = 3.5
    prompts: Annotated[list[TellingPrompt], Field(min_length=1, max_length=40)]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of pictures: a prompt as the engine gets it, and the noise it starts from.

    Attributes:
        prompt: the full text.
        triggered: whether the trigger is in it.
        kind: of its subject; empty for samples of the training, whose prompts are the user's.
        seed: of the noise.
        width, height: in pixels.
        steps: of denoising.
        guidance: embedded guidance.
    """

    prompt: str
    triggered: bool
    kind: str
    seed: int
    width: int
    height: int
    steps: int
    guidance: float

    @property
    def key(self) -> str:
        """Eight hex digits of all that decides the picture: an edited prompt never meets its old pictures."""
        text = f"{self.prompt}|{self.seed}|{self.width}x{self.height}|{self.steps}|{self.guidance:g}"
        return f"{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"

    @property
    def line(self) -> str:
        """The line that the engine's inference script reads."""
        return (
            f"{self.prompt} --w {self.width} --h {self.height} --s {self.steps} --d {self.seed} --g {self.guidance:g}"
        )


def propose(job: Job, captions: Sequence[str]) -> PromptSet:
    """Make the set for a run: two subjects of its pictures, and four that they do not show.

    Args:
        job: for the trigger, and how samples are drawn.
        captions: of the training set, with or without the trigger.
    """
    sampling = job.sampling
    bare = [caption.removeprefix(job.dataset.trigger or "").strip(" ,") for caption in captions]
    known = sorted({text for text in bare if text and "--" not in text and not text.startswith(("#", "--"))}, key=len)
    words = set(re.findall(r"\w+", " ".join(bare).lower()))
    # The longest caption of all may be a novel; one in the middle and one near the end show what captions are like.
    picked = dict.fromkeys([known[len(known) // 2], known[len(known) * 9 // 10]]) if known else {}
    prompts = [
        TellingPrompt(text=text[:300].rstrip(" ,"), kind="known", seed=1 + index) for index, text in enumerate(picked)
    ]
    for number, (kind, choices) in enumerate(_NEW.items()):
        strange = sorted(choices, key=lambda text: len(words & set(re.findall(r"\w{4,}", text))))
        prompts.append(TellingPrompt(text=strange[0], kind=kind, seed=11 + number))
    return PromptSet(
        width=sampling.width,
        height=sampling.height,
        steps=sampling.steps,
        guidance=sampling.guidance,
        prompts=prompts,
    )


def write_set(path: Path, prompts: PromptSet) -> None:
    """Write the file."""
    replace_bytes(path, (_HEAD + tomli_w.dumps(prompts.model_dump())).encode("utf-8"))


def read_set(path: Path) -> PromptSet:
    """Read the file.

    Raises:
        ConfigError: all that is wrong with it.
    """
    try:
        return PromptSet.model_validate(read_toml(path))
    except ValidationError as fault:
        lines = [_fault(error["loc"], error["msg"]) for error in fault.errors(include_url=False)]
        hint = "mend it, or delete the file: it is proposed anew"
        raise ConfigError("\n".join([f"{path}:", *(f"  {line}" for line in lines)]), hint) from None


def _fault(location: tuple[int | str, ...], message: str) -> str:
    where = ".".join(str(part + 1) if isinstance(part, int) else part for part in location)
    if location and location[-1] in {"cfg", "cfg_scale", "l", "negative"}:
        return f"{where}: FLUX.1 is guidance-distilled: true CFG doubles the time and burns the picture; use guidance"
    return f"{where}: {message.removeprefix('Value error, ')}"


def rows(prompts: PromptSet, trigger: str | None) -> list[Row]:
    """Return the lines of a set: each subject with the trigger and then, where asked for, without."""
    return [
        Row(text, triggered, one.kind, one.seed, prompts.width, prompts.height, prompts.steps, prompts.guidance)
        for one in prompts.prompts
        for text, triggered in _variants(one, trigger)
    ]


def _variants(one: TellingPrompt, trigger: str | None) -> Iterator[tuple[str, bool]]:
    if trigger is None:
        yield one.text, True
        return
    yield f"{trigger}, {one.text}", True
    if one.pair:
        yield one.text, False
