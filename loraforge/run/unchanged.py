"""Whether what shall go on is still the same run: its settings, pictures and weights."""

import contextlib
import json
from collections import Counter
from collections.abc import Collection
from pathlib import Path

from loraforge.advice.fitting import with_change
from loraforge.config.job import Job
from loraforge.config.memory import Memory
from loraforge.dataset.captions import replace_bytes
from loraforge.dataset.staging import Entry, entries
from loraforge.engine.header import fingerprint
from loraforge.engine.remedy import setting_of
from loraforge.engine.weights import ROLES, Weights
from loraforge.errors import ConfigError, DatasetError
from loraforge.run.folder import RunFolder
from loraforge.settings import Settings
from loraforge.settings.layers import leaves
from loraforge.settings.load import shown

# Where and how a run is launched: it may change without making another run of it.
_FREE = (
    "launch.device", "launch.gpu_ids", "launch.env", "launch.grace_seconds", "engine.path", "engine.python",
    "engine.fast", "model.transformer", "model.clip_l", "model.t5xxl", "model.autoencoder", "model.tokenizers",
)  # fmt: skip
# A resumed run stays where it is, has its weights from its state, and its pictures are compared by what they hold.
_SETTLED = ("output.dir", "engine.extra.network_weights", "dataset.images")
_HINT = "name the run folder to go on with its own {}; --from-weights RUN goes on as a new run with these"


def taken(run: Job, asked: Settings, healed: Collection[str] = ()) -> Job:
    """Return a run's job with what it may change taken from the settings asked for, where those say anything.

    Args:
        run: what it runs with.
        asked: the settings of this start.
        healed: settings that the run changed by itself; they stay.
    """
    said = [
        path
        for path in _FREE
        if path not in healed and any(name == path or name.startswith(f"{path}.") for name in asked.origins)
    ]
    return with_change(run, {path: setting_of(asked.job, path) for path in said})


def as_decided(run: Job, asked: Settings, now: Job) -> Job:
    """Return the settings asked for with the run's own where the card at hand would decide, and nobody else has.

    Args:
        run: what it runs with.
        asked: the settings of this start.
        now: them, decided for this card.
    """
    left = [f"memory.{name}" for name in Memory.model_fields if f"memory.{name}" not in asked.origins]
    left += [path for path in ("sampling.width", "sampling.height") if path not in asked.origins]
    if asked.job.memory.profile == "auto":
        left.append("memory.profile")
    else:  # a profile that is named decides by itself
        left = [path for path in left if not path.startswith("memory.")]
    return with_change(now, {path: setting_of(run, path) for path in left})


def refuse_changes(run: Job, now: Job, healed: Collection[str] = ()) -> None:
    """Refuse to go on with other settings than the run began with.

    Args:
        run: what it runs with.
        now: what is asked for.
        healed: settings that the run changed by itself.

    Raises:
        ConfigError: naming every difference.
    """
    before, after = (
        {path: value for path, value in leaves(job.model_dump(mode="json")) if value not in ({}, None)}
        for job in (run, now)
    )
    free = (*_FREE, *_SETTLED)
    changed = [
        f"{path}: {_told(before.get(path))} then, {_told(after.get(path))} now"
        for path in {**after, **before}
        if before.get(path) != after.get(path)
        and path not in healed
        and not any(path == name or path.startswith(f"{name}.") for name in free)
    ]
    if changed:
        raise ConfigError(
            "\n".join(["the settings are not those of the run:", *(f"  {change}" for change in changed)]),
            _HINT.format("settings"),
        )


def _told(value: object) -> str:
    return "none" if value is None else shown(value)


def refuse_pictures(run: Collection[Entry], images: Path | None, trigger: str | None) -> None:
    """Refuse to go on when the user's folder no longer holds what the run has staged; one that is gone tells nothing.

    Args:
        run: what it trains on.
        images: the user's folder.
        trigger: as in `entries`.

    Raises:
        ConfigError: naming every picture that differs.
    """
    if images is None or not images.is_dir():
        return
    try:
        told = _differences(run, entries(images, trigger, ""))
    except DatasetError as fault:
        told = fault.message.splitlines()
    if told:
        raise ConfigError(
            "\n".join([f"{images}: the pictures are not those of the run:", *(f"  {line}" for line in told)]),
            _HINT.format("pictures"),
        )


def _differences(then: Collection[Entry], now: Collection[Entry]) -> list[str]:
    """Return a line for each picture that differs; under another name it is the same."""
    before, after = (Counter((entry.picture, entry.caption) for entry in set_) for set_ in (then, now))
    gone, come = before - after, after - before
    if not gone and not come:
        return []
    old, new = ({entry.source.name: (entry.picture, entry.caption) for entry in set_} for set_ in (then, now))
    told = []
    for name in sorted({*old, *new}):
        if name in old and name in new:
            if old[name] != new[name]:
                told.append(f"{name}: another {'caption' if old[name][0] == new[name][0] else 'picture'}")
        elif old.get(name) in gone:
            told.append(f"{name}: gone")
        elif new.get(name) in come:
            told.append(f"{name}: new")
    return told


def note_weights(folder: RunFolder, weights: Weights) -> None:
    """Write down what tells a run's weight files from others, once."""
    if folder.weights.exists():
        return
    with contextlib.suppress(OSError):  # the engine names what it can't read
        found = {role: fingerprint(getattr(weights, role)) for role in ROLES}
        replace_bytes(folder.weights, (json.dumps(found, indent=1) + "\n").encode())


def refuse_weights(folder: RunFolder, now: Weights) -> None:
    """Refuse to go on with other weights than the run began with, wherever they lie; what was not noted tells nothing.

    Args:
        folder: the run folder.
        now: what it would go on with.

    Raises:
        ConfigError: naming every file that differs.
    """
    try:
        before = json.loads(folder.weights.read_text("utf-8"))
        files = {role: getattr(now, role) for role in ROLES if isinstance(before.get(role), str)}
        other = [f"  model.{role}: {path}" for role, path in files.items() if fingerprint(path) != before[role]]
    except (OSError, ValueError, AttributeError):
        return
    if other:
        raise ConfigError(
            "\n".join(["the weights are not those that the run began with:", *other]),
            "point [model] or $LORAFORGE_MODELS at those; without --resume a new run begins with these",
        )
