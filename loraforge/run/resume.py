"""Going on with an interrupted run: which of its states is sound, and whether it is still the same run."""

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

from loraforge.config.job import Job
from loraforge.dataset.staging import Entry
from loraforge.engine.header import HeaderError, read_header
from loraforge.engine.inspection import is_full_size
from loraforge.engine.locate import locate
from loraforge.engine.weights import find_weights
from loraforge.errors import ConfigError, MachineError
from loraforge.run.folder import RunFolder
from loraforge.run.settle import Ready
from loraforge.settings import load
from loraforge.settings.layers import leaves
from loraforge.settings.load import shown

# What a run may change without becoming another one: where and how it is launched.
_FREE = ("launch.", "engine.path", "engine.python", "output.dir", "model.")


def ready_again(folder: RunFolder, environ: Mapping[str, str]) -> Ready:
    """Return what a run folder was made from, without the user's picture folder: everything is staged in it.

    Raises:
        ConfigError: it is no run folder, or it counts steps over several epochs, where the engine loses count.
        MachineError: engine or weights are gone.
    """
    try:
        rows = json.loads(folder.manifest.read_text(encoding="utf-8"))
        set_ = tuple(Entry(row["staged"], Path(row["source"]), row["caption"]) for row in rows)
    except (OSError, ValueError, TypeError, KeyError):
        raise ConfigError(f"{folder.path}: is not a run folder that can be resumed", "start a new run") from None
    job = load(folder.job, cwd=folder.path).job
    if job.dataset.repeats is not None:
        raise ConfigError(
            "dataset.repeats is set, so the run has several epochs, in which the engine loses count after a resume",
            "start a new run without dataset.repeats",
        )
    home = locate(configured=job.engine.path, environ=environ) if job.engine.kind == "kohya" else None
    weights = find_weights(job.model, environ).weights()
    return Ready(job, weights, is_full_size(weights), home, set_)


def newest_state(folder: RunFolder, name: str) -> Path:
    """Return the newest state that is whole; a half-written one is passed over for the one before it.

    Raises:
        MachineError: there is none.
    """
    states = sorted(folder.output.glob(f"{glob_escape(name)}-step*-state"), reverse=True)
    for state in states:
        if is_whole(state):
            return state
    seen = f"{len(states)} damaged" if states else "none"
    raise MachineError(
        f"{folder.output}: holds no state to go on from ({seen}); states are written with each checkpoint",
        "start the run again: staged pictures and caches are reused",
    )


def is_whole(state: Path) -> bool:
    """Tell whether a state folder was written to its end: the engine writes train_state.json among the last."""
    try:
        step = json.loads((state / "train_state.json").read_text(encoding="utf-8"))["current_step"]
        read_header(state / "model.safetensors")
        for name in ("optimizer.bin", "scheduler.bin", "random_states_0.pkl"):
            with zipfile.ZipFile(state / name) as archive:
                if archive.testzip() is not None:
                    return False
    except (OSError, ValueError, TypeError, KeyError, HeaderError, zipfile.BadZipFile):
        return False
    return state.name.endswith(f"-step{step:08d}-state")


def refuse_changes(run: Job, now: Job) -> None:
    """Refuse to go on with other settings than the run began with.

    Raises:
        ConfigError: naming every difference.
    """
    before, after = (dict(leaves(job.model_dump(mode="json"))) for job in (run, now))
    changed = [
        f"{path}: {shown(before.get(path))} then, {shown(value)} now"
        for path, value in after.items()
        if before.get(path) != value and not path.startswith(_FREE)
    ]
    if changed:
        raise ConfigError(
            "\n".join(["the settings are not those of the run:", *(f"  {change}" for change in changed)]),
            "start a new run with them, or name the run folder to go on with its own settings",
        )


def glob_escape(name: str) -> str:
    """Make a name mean itself in a glob; `[` is the only sign of a glob that a name may hold."""
    return name.replace("[", "[[]")
