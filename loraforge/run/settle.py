"""From what a user decided to what will run: steps, memory, weights, engine and pictures made definite."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from loraforge.advice.chosen import names_of
from loraforge.advice.fitting import decided
from loraforge.config.job import Job
from loraforge.dataset.staging import Entry, entries
from loraforge.engine.extras import check_extra
from loraforge.engine.header import fingerprint
from loraforge.engine.inspection import inspect_all, is_full_size
from loraforge.engine.locate import EngineHome, locate
from loraforge.engine.options import known_options
from loraforge.engine.owned import OWNED
from loraforge.engine.weights import Found, Weights, find_weights
from loraforge.errors import ConfigError, LoraforgeError, MachineError


@dataclass(frozen=True, slots=True)
class Ready:
    """A job that can start.

    Attributes:
        job: settled; steps, repeats and memory are definite.
        weights: the four files and the tokenizers.
        full_size: whether they are FLUX.1's own size; smaller ones run through the shim.
        home: the sd-scripts to run; None for the embedded engine.
        set_: the pictures as they will be staged.
        cards: what CUDA_VISIBLE_DEVICES will be; empty where every card is hidden.
    """

    job: Job
    weights: Weights
    full_size: bool
    home: EngineHome | None
    set_: tuple[Entry, ...]
    cards: tuple[str, ...] = ("0",)


def settle(job: Job, *, vram_gib: float | None, environ: Mapping[str, str]) -> Ready:
    """Make everything definite.

    Args:
        job: validated settings.
        vram_gib: memory of the card to fit; None where there is none.
        environ: the environment, for the places of engine and weights.

    Raises:
        LoraforgeError: all that stands in the way, at once; its exit code is that of the gravest fault.
    """
    faults: list[LoraforgeError] = []
    home = None
    if job.engine.kind == "kohya":
        try:
            home = locate(configured=job.engine.path, environ=environ)
        except LoraforgeError as fault:
            faults.append(fault)
    if job.engine.extra and (clashes := extra_faults(job, home)):
        faults.append(ConfigError("\n".join(clashes)))
    found = find_weights(job.model, environ)
    unfit = weights_fault(found, job)
    if unfit is not None:
        faults.append(unfit)
    set_: list[Entry] = []
    if job.dataset.images is None:
        faults.append(ConfigError("dataset.images is not set: there is nothing to train on", "say --images FOLDER"))
    else:
        try:
            set_ = entries(job.dataset.images, job.dataset.trigger, _encoders(job, found) if unfit is None else "")
        except LoraforgeError as fault:
            faults.append(fault)
    if faults:
        raise together(faults)
    weights = found.weights()
    final = decided(job, len(set_), vram_gib)
    return Ready(final, weights, is_full_size(weights), home, tuple(set_), names_of(job, environ))


def extra_faults(job: Job, home: EngineHome | None) -> list[str]:
    """Return what is wrong with `[engine] extra`, a line each."""
    return [f"{path} {why}" for path, why in check_extra(job.engine.extra, known_options(home), OWNED)]


def together(faults: Iterable[LoraforgeError]) -> LoraforgeError:
    """Join faults into one report; settings outrank the machine, the machine outranks the pictures."""
    ranked = sorted(faults, key=lambda fault: (2, 3, 4).index(fault.exit_code) if fault.exit_code in {2, 3, 4} else 9)
    if len(ranked) == 1:
        return ranked[0]
    text = "\n".join(f"{fault.message}" + (f"\n    → {fault.hint}" if fault.hint else "") for fault in ranked)
    return type(ranked[0])(text)


def weights_fault(found: Found, job: Job) -> MachineError | None:
    """Return what is wrong with the weight files, all of it; None where nothing is."""
    errors = [finding for finding in inspect_all(found, job.model.family) if finding.severity == "error"]
    if not errors:
        return None
    return MachineError(
        "\n".join(f"{finding.where}: {finding.message}" for finding in errors),
        "; ".join(dict.fromkeys(finding.fix for finding in errors)),
    )


def _encoders(job: Job, found: Found) -> str:
    """Identify what the caches depend on beside picture and caption: the encoders and how they are used."""
    weights = found.weights()
    files: list[Path] = [weights.clip_l, weights.t5xxl, weights.autoencoder]
    how = (
        job.engine.kind,
        job.training.precision,
        job.training.t5_tokens,
        job.training.t5_attention_mask,
        job.model.family,
    )
    text = "|".join([*(fingerprint(path) for path in files), *map(str, how)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
