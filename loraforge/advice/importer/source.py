"""What a reader found in its source, before it means anything."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from loraforge.findings import Finding

Kind = Literal["command", "config", "gui", "dataset", "folder"]


@dataclass(frozen=True, slots=True)
class Given:
    """One value as the source gives it.

    Attributes:
        value: words of a command line as text, or whatever TOML and JSON hold.
        where: what to call it in a finding, such as `--network_dim`.
        typed: whether the engine would take it without conversion, as it does from a file.
    """

    value: object
    where: str
    typed: bool = False


@dataclass(slots=True)
class Source:
    """A recipe taken apart.

    Attributes:
        kind: what it was; of `dataset` and `folder` only the pictures are known.
        base: folder that its relative paths may be read from; None reads nothing.
        options: the engine's options by name.
        data: keys of a dataset file, stronger than options of the same meaning.
        launcher: what accelerate was told.
        env: environment variables set for the command.
        dataset_unread: whether a dataset file is named that can't be read: nobody knows what the pictures need.
        prompts: lines of sample prompts; None where there are none or they can't be read.
        pictures: how many pictures there are; None where nobody knows.
        findings: what was wrong with the writing.
    """

    kind: Kind
    base: Path | None = None
    options: dict[str, Given] = field(default_factory=dict)
    data: dict[str, Given] = field(default_factory=dict)
    launcher: dict[str, str] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    dataset_unread: bool = False
    prompts: list[str] | None = None
    pictures: int | None = None
    findings: list[Finding] = field(default_factory=list)
