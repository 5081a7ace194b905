"""What a run folder tells of its run, finished, going on or broken off: read, never written."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from loraforge.config.job import Job
from loraforge.engine.events import Measured
from loraforge.errors import ConfigError
from loraforge.run.folder import RunFolder
from loraforge.run.record import read, standing
from loraforge.settings import load

_FIGURES = tuple(item.name for item in fields(Measured))
Status = Literal["done", "failed", "interrupted", "running", "broken-off", "unknown"]


@dataclass(frozen=True, slots=True)
class StepPoint:
    """A step as the diary has it.

    Attributes:
        step: counted from the start of the training.
        part: which start of the engine it belongs to, from 0; a resumed run has several.
        nth: its number within that part, from 1.
        mean_loss: the engine's mean over the part so far, 3 digits.
        seconds_per_step: the engine's mean over the part so far.
        at: seconds since 1970, None in a diary without times.
    """

    step: int
    part: int
    nth: int
    mean_loss: float
    seconds_per_step: float | None
    at: float | None


@dataclass(slots=True)
class History:
    """The diary of a run.

    Attributes:
        points: one for each step that told its loss, in order.
        phases: (phase, begin) in seconds since 1970, in order.
        measured: step -> its exact figures, where the engine recorded them.
        memory: (seconds since 1970, GiB in use on the cards).
        checkpoints: (file name, seconds since 1970 or None), in order.
        problems: (level, text).
        surroundings: where it ran.
        last: seconds since 1970 of the last entry.
        unread: lines that are no entries, such as the half one of a crash.
    """

    points: list[StepPoint] = field(default_factory=list)
    phases: list[tuple[str, float]] = field(default_factory=list)
    measured: dict[int, Measured] = field(default_factory=dict)
    memory: list[tuple[float, float]] = field(default_factory=list)
    checkpoints: list[tuple[str, float | None]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    surroundings: dict[str, str] = field(default_factory=dict)
    last: float | None = None
    unread: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """A run folder that was read.

    Attributes:
        folder: the folder.
        job: its settled settings.
        status: `broken-off` says that it is running, but its process is gone.
        cause: one sentence on why it is not done.
        state: state.json as it is.
        history: the diary; empty where there is none.
        origins: dotted path -> what decided it, for settings that are not defaults; None where it was not recorded.
    """

    folder: RunFolder
    job: Job
    status: Status
    cause: str
    state: dict[str, Any]
    history: History
    origins: Mapping[str, str] | None = None

    @property
    def name(self) -> str:
        """Name of the LoRA."""
        return self.job.output.name

    @property
    def steps(self) -> int:
        """Steps that were asked for."""
        return self.job.training.steps or int(self.state.get("steps") or 0)

    def loras(self) -> dict[int, Path]:
        """Return step -> LoRA file, in order; the finished one stands for the last step."""
        found = self.folder.checkpoints(self.name)
        final = self.folder.lora(self.name)
        if final.is_file() and self.steps:
            found[self.steps] = final
        return found


def read_run(path: Path) -> Run:
    """Read a run folder.

    Raises:
        ConfigError: it is none, or its settings can't be read.
    """
    folder = RunFolder(path.absolute())
    if not folder.job.is_file():
        runs = sorted(place.parent for place in path.glob("*/job.toml")) if path.is_dir() else []
        hint = f"the newest run in it is {runs[-1]}" if runs else "name a run folder: runs/<name>/<time>"
        raise ConfigError(f"{path}: is not a run folder, it holds no job.toml", hint)
    job = load(folder.job, cwd=folder.path).job
    status, cause = _status(folder)
    return Run(folder, job, status, cause, _state(folder.state), read_history(folder.events), read_origins(folder))


def read_origins(folder: RunFolder) -> dict[str, str] | None:
    """Return what decided each setting, healing included; None where it was not recorded."""
    try:
        said = json.loads(folder.origins.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(said, dict):
        return None
    record = read(folder.state)
    healed = dict.fromkeys(record.changed_paths if record is not None else (), "healing")
    return {str(path): str(origin) for path, origin in said.items()} | healed


def read_history(path: Path) -> History:
    """Read a diary; what can't be read of it is counted and passed over."""
    history = History()
    part, before = -1, 0
    for entry in _entries(path, history):
        at = entry.get("at")
        history.last = at if isinstance(at, float | int) else history.last
        match entry:
            case {"event": "surroundings"}:
                history.surroundings = {key: str(value) for key, value in entry.items() if key not in {"event", "at"}}
            case {"event": "phase-started", "phase": str(phase)}:
                if phase == "starting":
                    part, before = part + 1, -1
                if at is not None:
                    history.phases.append((phase, at))
            case {"event": "step", "step": int(step), "average_loss": int() | float() as loss}:
                before = step - 1 if before < 0 else before
                point = StepPoint(step, max(part, 0), step - before, float(loss), entry.get("seconds_per_step"), at)
                if history.points and (history.points[-1].step, history.points[-1].part) == (step, point.part):
                    history.points.pop()
                history.points.append(point)
            case {"event": "measured", "step": int(step), "loss": int() | float(), "seconds": int() | float()}:
                # A resumed run does some steps again.
                history.measured[step] = Measured(**{key: entry[key] for key in _FIGURES if key in entry})
            case {"event": "memory", "gpu_gib": int() | float() as gib} if at is not None:
                history.memory.append((at, float(gib)))
            case {"event": "checkpoint-saved", "path": str(saved)}:
                history.checkpoints.append((saved.replace("\\", "/").rpartition("/")[2], at))
            case {"event": "problem", "level": str(level), "text": str(text)}:
                history.problems.append((level, text))
            case _:
                pass
    return history


def _entries(path: Path, history: History) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # the run ended before the engine began
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            history.unread += 1
            continue
        if isinstance(entry, dict):
            yield entry


def _state(path: Path) -> dict[str, Any]:
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _status(folder: RunFolder) -> tuple[Status, str]:
    record = standing(folder)
    if record is None:
        return "unknown", "state.json is missing or can't be read"
    return ("broken-off" if record.end == "lost" else record.status), record.cause
