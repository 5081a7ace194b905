"""Whether what shall go on is still the same run: its settings, pictures and weights."""

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path

from loraforge.advice.fitting import with_change
from loraforge.config.job import Job
from loraforge.dataset.staging import Entry, entries
from loraforge.engine.header import fingerprint
from loraforge.engine.remedy import setting_of
from loraforge.engine.weights import ROLES, Weights, find_weights
from loraforge.errors import ConfigError, DatasetError
from loraforge.settings import Settings
from loraforge.settings.layers import leaves
from loraforge.settings.load import shown

# Where and how a run is launched: it may change without making another run of it.
_FREE = (
    "launch.device", "launch.gpu_ids", "launch.env", "launch.grace_seconds", "engine.path", "engine.python",
    "engine.fast", "model.transformer", "model.clip_l", "model.t5xxl", "model.autoencoder", "model.tokenizers",
)  # fmt: skip
# A resumed run stays where it is, and has its weights from its state.
_SETTLED = ("output.dir", "engine.extra.network_weights")
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


def refuse_weights(run: Job, now: Weights, environ: Mapping[str, str]) -> None:
    """Refuse to go on with other weights; files that were moved are the same, and those that are gone tell nothing.

    Args:
        run: what it ran with.
        now: what it would go on with.
        environ: the environment, for the places of weights.

    Raises:
        ConfigError: naming every file that differs.
    """
    before = find_weights(run.model, environ).paths
    told = []
    for role in ROLES:
        then, file = before[role], getattr(now, role)
        if then is not None and then != file and then.is_file() and fingerprint(then) != fingerprint(file):
            told.append(f"  model.{role}: {then} then, {file} now")
    if told:
        raise ConfigError(
            "\n".join(["the weights are not those of the run:", *told]), "begin a new run: leave --resume out"
        )
