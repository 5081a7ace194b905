"""What the doctor looks at, and the one shape of what it has to say."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

from loraforge.engine.locate import EngineHome
from loraforge.engine.weights import Found, Role
from loraforge.errors import MachineError
from loraforge.findings import Finding
from loraforge.machine.gpu import Gpu
from loraforge.machine.host import Host
from loraforge.machine.packages import PythonFacts

State = Literal["ok", "warning", "missing"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor.

    Attributes:
        name: stable, kebab-case: what was looked at.
        state: `missing` keeps a run from starting, `warning` does not.
        message: what was seen, and why it matters where it is not well.
        fix: one line to paste or do; empty where all is well.
    """

    name: str
    state: State
    message: str
    fix: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the JSON form that `--json` prints."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the checks go by; gathered once, so that the checks themselves are pure.

    Attributes:
        gpus: the cards, by index.
        gpu: the one that a run takes; None where there is none.
        host: memory and swap.
        python: what the engine's python said.
        pins: the packages the engine asks for.
        engine: sd-scripts, or the error that says where it was looked for.
        found: weight files and tokenizers.
        weight_bytes: size of each weight file that is there.
        weight_findings: what is wrong with them.
        cached_tokenizers: whether the hub's cache holds both.
        token: where a hub token would be taken from; never the token.
        output_free_gib: room where runs are written; None where it can't be told.
        download_dir: where `loraforge models --download` puts files.
        download_free_gib: room there.
    """

    gpus: Sequence[Gpu]
    gpu: Gpu | None
    host: Host
    python: PythonFacts
    pins: Sequence[Requirement]
    engine: EngineHome | MachineError
    found: Found
    weight_bytes: Mapping[Role, int]
    weight_findings: Sequence[Finding]
    cached_tokenizers: bool
    token: str | None
    output_free_gib: float | None
    download_dir: Path
    download_free_gib: float | None
