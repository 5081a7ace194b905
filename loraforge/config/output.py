"""[output]: where results go and what is written into them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from loraforge.config.base import Count, Line, Section
from loraforge.config.model import FilePath

# A file name on every system, since checkpoints, states and samples are named after it.
_NOT_IN_NAMES = r"/\\:*?\"<>|\x00-\x1f\x7f"
Name = Annotated[
    str,
    StringConstraints(min_length=1, max_length=80, pattern=rf"^[^\s.{_NOT_IN_NAMES}][^{_NOT_IN_NAMES}]*$"),
    Field(json_schema_extra={"allowed": 'a file name of at most 80 characters without / \\ : * ? " < > |'}),
]


class Metadata(Section):
    """What is written into the LoRA's header beside its settings."""

    title: Line | None = None
    """Title of the LoRA; None takes its name."""

    author: Line | None = None
    """Who made it; None writes nothing."""

    license: Line | None = None
    """Its licence; None writes nothing."""

    description: Line | None = None
    """A sentence about it; None writes nothing."""

    tags: list[Line] = []
    """Words to find it by."""


class Output(Section):
    """Names, folders and format of the results."""

    name: Name = "lora"
    """Name of the LoRA: run folder, checkpoints and samples carry it."""

    dir: FilePath = Path("runs")
    """Folder of all runs; each run makes <dir>/<name>/<time>/ in it."""

    save_precision: Literal["bf16", "fp16", "float"] = "bf16"
    """Number format of the saved LoRA; bf16 is half the size of float and loses nothing that training knew."""

    keep_last: Count | None = None
    """How many checkpoints to keep, the newest ones; None keeps all, which choosing needs."""

    metadata: Metadata = Metadata.model_construct()
    """Title, author, licence and the like."""
