"""Going on with an interrupted run: what it was made from, and which of its states is sound."""

import json
import lzma
import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path

from loraforge.advice.chosen import names_of
from loraforge.advice.fitting import with_change
from loraforge.config.job import Job
from loraforge.dataset.staging import Entry
from loraforge.engine.header import HeaderError
from loraforge.engine.inspection import is_full_size
from loraforge.engine.locate import locate
from loraforge.engine.weights import find_weights
from loraforge.errors import ConfigError
from loraforge.run.folder import RunFolder
from loraforge.run.plan import RunPlan
from loraforge.run.settle import Ready, weights_fault
from loraforge.run.unchanged import refuse_weights, taken
from loraforge.run.verify import is_finite
from loraforge.settings import Settings, load

# Options of the engine that draw random numbers, or count, where pictures are loaded: two batches ahead of training.
_DRAWN_AHEAD = {
    "caption_dropout_rate", "caption_tag_dropout_rate", "color_aug", "enable_wildcard", "face_crop_aug_range",
    "flip_aug", "random_crop", "shuffle_caption", "token_warmup_step",
}  # fmt: skip


def ready_again(
    folder: RunFolder,
    environ: Mapping[str, str],
    asked: Settings | None = None,
    healed: Collection[str] = (),
    *,
    engine: Path | None = None,
) -> Ready:
    """Return what a run folder was made from, without the user's picture folder: everything is staged in it.

    Args:
        folder: the run folder.
        environ: the environment, for the places of engine and weights.
        asked: the settings of this start, for what a run may change; None changes nothing.
        healed: settings that the run changed by itself, which stay.
        engine: the sd-scripts to go on with, wherever else one is named.

    Raises:
        ConfigError: it is no run folder, it counts steps over several epochs, where the engine loses count, or it would
            go on with other weights.
        MachineError: engine or weights are gone.
    """
    try:
        rows = json.loads(folder.manifest.read_text(encoding="utf-8"))
        set_ = tuple(Entry(row["staged"], Path(row["source"]), row["caption"]) for row in rows)
    except (OSError, ValueError, TypeError, KeyError):
        raise ConfigError(f"{folder.path}: is not a run folder that can be resumed", "start a new run") from None
    run = load(folder.job, cwd=folder.path).job
    job = taken(run, asked, healed) if asked is not None else run
    if not in_one_epoch(job, len(set_)):
        raise ConfigError(
            "dataset.repeats makes several epochs of the run, in which the engine loses count after a resume",
            "start a new run without dataset.repeats",
        )
    if folder.path.parent.name == job.output.name:  # the project may have been moved since
        job = with_change(job, {"output.dir": folder.path.parents[1]})
    if folder.begin.exists():
        job = with_change(job, {"engine.extra": {**job.engine.extra, "network_weights": str(folder.begin)}})
    home = locate(option=engine, configured=job.engine.path, environ=environ) if job.engine.kind == "kohya" else None
    found = find_weights(job.model, environ)
    if (unfit := weights_fault(found, job)) is not None:
        raise unfit
    weights = found.weights()
    refuse_weights(folder, weights)
    return Ready(job, weights, is_full_size(weights), home, set_, names_of(job, environ))


def in_one_epoch(job: Job, pictures: int) -> bool:
    """Tell whether a settled run is a single epoch, as it is unless the user sets the repeats: only there it counts."""
    repeats, steps = job.dataset.repeats, job.training.steps
    # Each process takes a batch of its own.
    batches = (steps or 0) * job.training.gradient_accumulation * job.launch.processes
    return repeats is None or pictures * repeats >= batches * job.dataset.batch_size


def newest_state(folder: RunFolder, name: str, steps: int) -> Path | None:
    """Return the newest state to go on from; a damaged one is passed over for the one before it.

    Args:
        folder: the run folder.
        name: of the LoRA.
        steps: of the whole run; a state of the last step leaves nothing to do, and the engine refuses it.

    Returns:
        The state's folder, or None where the run has to begin anew.
    """
    states = sorted(folder.output.glob(f"{glob_escape(name)}-step*-state"), reverse=True)
    return next((state for state in states if is_sound(state) and step_of(state) < steps), None)


def step_of(state: Path) -> int:
    """Return the optimizer steps that a sound state has seen."""
    return int(json.loads((state / "train_state.json").read_text(encoding="utf-8"))["current_step"])


def is_sound(state: Path) -> bool:
    """Tell whether a state folder was written to its end, by a run that had not diverged."""
    try:
        step = step_of(state)
        if not is_finite(state / "model.safetensors"):
            return False
        for name in ("optimizer.bin", "scheduler.bin", "random_states_0.pkl"):
            with zipfile.ZipFile(state / name) as archive:
                if archive.testzip() is not None:
                    return False
    # What is damaged at random may fail in any way that a zip has.
    except (OSError, ValueError, TypeError, KeyError, HeaderError, NotImplementedError, RuntimeError, EOFError):
        return False
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OverflowError):
        return False
    return state.name.endswith(f"-step{step:08d}-state")


def not_restored(plan: RunPlan) -> str:
    """Say what a resumed run can't have as one that never stopped; empty when it is the same bit for bit."""
    job = plan.job
    if not in_one_epoch(job, len(plan.ready.set_)):
        return "the count of steps, as dataset.repeats makes several epochs: it would have to begin anew"
    if not job.training.save_states or job.training.save_every_steps is None:
        return "anything, as no states are saved: it would begin anew"
    if job.launch.processes > 1:
        return "the noise of the other processes; the LoRA is as good, and not the same bit for bit"
    if "lowram" in job.engine.extra or "deepspeed" in job.engine.extra:
        return "what these engine options keep to themselves; the LoRA is not the same bit for bit"
    if drawn := sorted(name for name in _DRAWN_AHEAD if job.engine.extra.get(name)):
        return (
            f"what is drawn ahead with pictures ({', '.join(drawn)}); the LoRA is as good, and not the same bit for bit"
        )
    return ""


def weights_of(place: Path) -> Path:
    """Return the LoRA that a new run begins with.

    Args:
        place: a LoRA, or a run folder, whose finished LoRA or else newest sound checkpoint is meant.

    Raises:
        ConfigError: there is none; only whole and finite .safetensors files are taken, never pickles.
    """
    found = [place.absolute()]
    if place.is_dir():
        output = RunFolder(place.absolute()).output
        steps = sorted(output.glob("*-step*.safetensors"), reverse=True)
        found = [path for path in sorted(output.glob("*.safetensors")) if path not in steps] + steps
    for path in found:
        try:
            if path.suffix == ".safetensors" and is_finite(path):
                return path
        except (OSError, HeaderError, ValueError):
            continue
    raise ConfigError(
        f"{place}: holds no LoRA to begin with", "name a run folder with a checkpoint, or a whole .safetensors file"
    )


def glob_escape(name: str) -> str:
    """Make a name mean itself in a glob; `[` is the only sign of a glob that a name may hold."""
    return name.replace("[", "[[]")
