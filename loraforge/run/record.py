"""state.json: how a run stands, always current, and never half-written."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from loraforge.dataset.captions import replace_bytes
from loraforge.run.folder import RunFolder
from loraforge.run.lock import NAME, holder

RESERVE = ".reserve"
_ROOM = 1 << 14  # bytes: state.json and its scratch file, rounded up by any file system
Status = Literal["running", "done", "failed", "interrupted"]


@dataclass(frozen=True, slots=True)
class Record:
    """What state.json says.

    Attributes:
        status: `running` is true only while the folder's lock is held.
        end: name of the end; empty while it runs.
        cause: a sentence on why it is not done.
        evidence: what tells it.
        name: of the LoRA.
        step: optimizer steps done.
        steps: of the whole run.
        phase: what the engine is doing, or did last.
        began: wall-clock time, ISO 8601.
        ended: likewise; None while it runs.
        pid: of the loraforge that runs it.
        family: mark of the engine's processes.
        returncode: of the launcher; negative is the signal that ended it.
        log_from: where this start begins in engine.log, in bytes.
        starts: how often the engine was started.
        changes: settings that were changed on the way, each with step, cause and values.
    """

    status: Status = "running"
    end: str = ""
    cause: str = ""
    evidence: tuple[str, ...] = ()
    name: str = ""
    step: int = 0
    steps: int = 0
    phase: str = "starting"
    began: str = ""
    ended: str | None = None
    pid: int = 0
    family: str = ""
    returncode: int | None = None
    log_from: int = 0
    starts: int = 1
    changes: tuple[Mapping[str, Any], ...] = field(default=())

    @property
    def changed_paths(self) -> frozenset[str]:
        """The settings that were changed on the way."""
        tables = (change.get("settings") for change in self.changes)
        return frozenset(path for table in tables if isinstance(table, dict) for path in table)


def reserve(folder: RunFolder) -> None:
    """Keep room on the disk for the last word of a run that fills it."""
    with suppress(OSError):
        replace_bytes(folder.path / RESERVE, bytes(_ROOM))


def write(folder: RunFolder, record: Record) -> None:
    """Replace state.json; a full disk must not end a run, so that nothing is said of it here."""
    with suppress(OSError):
        if record.status != "running":
            (folder.path / RESERVE).unlink(missing_ok=True)
        replace_bytes(folder.state, (json.dumps(asdict(record), indent=1) + "\n").encode())
        if hasattr(os, "O_DIRECTORY"):  # the new name reaches the disk with its folder
            handle = os.open(folder.path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def read(path: Path) -> Record | None:
    """Return what a state.json says; None where there is none, or nothing that can be understood."""
    try:
        said = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or said.get("status") not in get_args(Status):
        return None
    defaults = Record()
    values: dict[str, Any] = {}
    for item in fields(Record):
        default, value = getattr(defaults, item.name), said.get(item.name)
        if isinstance(default, tuple) and isinstance(value, list):
            kind = dict if item.name == "changes" else str
            values[item.name] = tuple(entry for entry in value if isinstance(entry, kind))
        elif type(value) is type(default) or (default is None and isinstance(value, int | str)):
            values[item.name] = value
    return Record(**values)


def standing(folder: RunFolder) -> Record | None:
    """Return how a run stands: what state.json says, unless it says that a run goes on which nobody holds."""
    record = read(folder.state)
    if record is None or record.status != "running" or holder(folder.path / NAME) is not None:
        return record
    return replace(
        record,
        status="failed",
        end="lost",
        cause=f"loraforge itself was ended (or the machine) after step {record.step} of {record.steps}",
        evidence=(f"state.json says that process {record.pid} runs it, and no process does",),
    )
