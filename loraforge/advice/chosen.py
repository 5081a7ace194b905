"""The cards that a run takes: the user's choice, else what the environment shows."""

import os
from collections.abc import Mapping, Sequence

from loraforge.config.job import Job
from loraforge.machine.gpu import Gpu, gpus


def names_of(job: Job, environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Return what CUDA_VISIBLE_DEVICES will be for a run; nothing where every card is hidden.

    The launcher sets that variable from its options. Whoever has set it before, a cluster or a user with two cards, is
    heard only if those options repeat it.
    """
    if job.launch.gpu_ids:
        return tuple(job.launch.gpu_ids.split(","))
    shown = {**environ, **job.launch.env}.get("CUDA_VISIBLE_DEVICES")
    if shown is None:
        return tuple(map(str, range(job.launch.processes)))
    named = [card.strip() for card in shown.split(",")]
    seen = named[: named.index("-1")] if "-1" in named else named  # as CUDA reads it
    return tuple(card for card in seen if card)[: job.launch.processes]


def gpu_of(job: Job, environ: Mapping[str, str] = os.environ, cards: Sequence[Gpu] | None = None) -> Gpu | None:
    """Return the card that a run takes, of several the first; None where it is hidden or absent.

    Args:
        job: the settings.
        environ: the environment that the run inherits.
        cards: those of this machine; None asks the driver.
    """
    name = next(iter(names_of(job, environ)), "")
    for gpu in gpus() if cards is None else cards:
        if name == str(gpu.index) or (name.startswith("GPU-") and gpu.uuid.startswith(name)):
            return gpu
    return None


def vram_gib(job: Job, environ: Mapping[str, str] = os.environ) -> float | None:
    """Return the memory of the card that a run takes, in GiB; None where there is none."""
    gpu = gpu_of(job, environ)
    return gpu.total_gib if gpu else None
