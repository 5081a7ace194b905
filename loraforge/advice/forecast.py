"""What `check` says of memory and time: the predictions for a card, in words, and the change that makes a run fit."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from loraforge.advice.cards import Card, card_named, standing_for, typical_card
from loraforge.advice.disk import run_bytes
from loraforge.advice.duration import Duration, predict_duration
from loraforge.advice.facts import DatasetFacts, WeightFacts
from loraforge.advice.fitting import as_set, cheapest_change, fits, training_size, with_change
from loraforge.advice.memory import CONTEXT_GIB, MemoryEstimate, Phase, predict_memory
from loraforge.config.job import Job
from loraforge.config.profiles import profile_for
from loraforge.dataset.buckets import Size
from loraforge.findings import Finding
from loraforge.machine.gpu import Gpu

_WORDS: dict[Phase, str] = {
    "text-caching": "caching captions",
    "latent-caching": "caching pictures",
    "training": "training",
    "sampling": "drawing samples",
}


@dataclass(frozen=True)
class Forecast:
    """The predictions for one job on one card.

    Attributes:
        job: definite settings.
        size: (width, height) of the largest bucket in pixels.
        pictures: pictures in the dataset.
        card: what the time is predicted for.
        vram_gib: memory to fit; None where no card is known.
        weights: what the weight files hold.
        buckets: every training size.
        gpu: the card itself, where it is the one that is here.
    """

    job: Job
    size: Size
    pictures: int
    card: Card
    vram_gib: float | None
    weights: WeightFacts
    buckets: tuple[Size, ...] = ()
    gpu: Gpu | None = None

    @cached_property
    def memory(self) -> MemoryEstimate:
        """The peaks of the phases."""
        return predict_memory(
            self.job, self.size, transformer_fp8=self.weights.transformer_fp8, t5_fp8=self.weights.t5_fp8
        )

    @cached_property
    def duration(self) -> Duration:
        """The time it takes."""
        return predict_duration(self.job, self.size, self.pictures, self.card, self.buckets)

    def lines(self) -> Iterator[str]:
        """Yield the predictions as lines for people."""
        drawn = f" of {self.job.sampling.width} x {self.job.sampling.height}:"  # profiles lower it where it must be
        phases = ", ".join(
            f"{_WORDS[name]}{drawn if name == 'sampling' else ''} {peak.reserved_gib:.1f}"
            for name, peak in self.memory.phases.items()
        )
        room = ""
        if self.vram_gib is not None:
            left = self.memory.headroom_gib(self.vram_gib)
            room = f" of {self.vram_gib:.0f}, " + (f"{left:.1f} to spare" if left >= 0 else f"{-left:.1f} too much")
        yield (
            f"memory: {_WORDS[self.memory.phase]} decides with {self.memory.peak.reserved_gib:.1f} GiB{room} "
            f"({phases}; CUDA itself takes {CONTEXT_GIB:.1f} more)"
        )
        disk = run_bytes(self.job, self.pictures) / (1 << 30)
        yield f"host: about {self.memory.ram_gib:.0f} GiB of RAM while loading, {disk:.1f} GiB of disk"
        step, total = (
            self.duration.span(part) for part in (self.duration.seconds_per_step, self.duration.total_seconds)
        )
        known = "measured on this kind of card" if self.duration.measured else f"an estimate for the {self.card.name}"
        spans = f"{step[0]:.1f} to {step[1]:.1f} s a step, {_clock(total[0])} to {_clock(total[1])} in all"
        yield f"time: {spans} ({known})"

    def findings(self) -> Iterator[Finding]:
        """Yield what does not fit, with the cheapest change that does."""
        if self.vram_gib is None or self.job.launch.device == "cpu":
            return
        peak = self.memory.peak
        needed = peak.reserved_gib + CONTEXT_GIB
        if fits(self.memory, self.vram_gib):
            if self.gpu is not None and needed > self.gpu.free_gib:
                yield self._taken(self.gpu, needed)
            return
        certain = peak.allocated_gib + CONTEXT_GIB > self.vram_gib
        message = (
            f"{_WORDS[self.memory.phase].capitalize()} needs about {needed:.1f} GiB of the card's {self.vram_gib:.1f}: "
            + ("it will run out of memory." if certain else "too near to be safe.")
        )
        code = "memory-does-not-fit" if certain else "memory-tight"
        yield Finding(code, "error" if certain else "warning", "memory", message, self._change(self.vram_gib))

    def _taken(self, gpu: Gpu, needed: float) -> Finding:
        """Say that the card would do, were it not for what runs on it."""
        message = (
            f"{gpu.holders} hold {gpu.total_gib - gpu.free_gib:.1f} GiB of the card, and "
            f"{_WORDS[self.memory.phase]} needs about {needed:.1f} of the {gpu.free_gib:.1f} that are left."
        )
        fix = f"end what you can spare (nvidia-smi lists it), or make room: {self._change(gpu.free_gib)}"
        return Finding("memory-taken", "warning", "memory", message, fix)

    def _change(self, vram_gib: float) -> str:
        """Say the cheapest change that fits; T5 in 8 bits is a file, not a setting."""
        for eight_bit in (False, True) if not self.weights.t5_fp8 else (True,):
            change = cheapest_change(self.job, self.size, self.card, vram_gib, pictures=self.pictures, t5_fp8=eight_bit)
            if change is not None:
                return self._told(change, eight_bit_t5=eight_bit and not self.weights.t5_fp8)
        return f"a card with more memory: nothing in the settings makes this fit {vram_gib:.0f} GiB"

    def _told(self, change: dict[str, object], *, eight_bit_t5: bool) -> str:
        other = with_change(self.job, change)
        size = self.size if other.dataset.resolution == self.job.dataset.resolution else training_size(other)
        seconds = predict_duration(other, size, self.pictures, self.card).seconds_per_step
        file = "--set model.t5xxl=t5xxl_fp8_e4m3fn.safetensors (its path) " if eight_bit_t5 else ""
        return f"{file}{as_set(change)} (about {seconds:.1f} s a step)"


def forecast(
    job: Job, dataset: DatasetFacts | None, gpu: Gpu | None, vram_gib: float | None, weights: WeightFacts
) -> Forecast:
    """Make the predictions for the card named by its memory, else the one found, else the one the profile is for.

    Args:
        job: definite settings.
        dataset: the pictures; without them the largest bucket the settings allow is assumed.
        gpu: the card that is here.
        vram_gib: memory of a card to ask about instead, in GB.
        weights: what the weight files hold.
    """
    buckets = dataset.buckets if dataset else {}
    size = max(buckets, key=lambda bucket: bucket[0] * bucket[1], default=training_size(job))
    memory = vram_gib
    if vram_gib is not None:
        card = standing_for(vram_gib)
    elif gpu is not None:
        card, memory = card_named(gpu.name) or standing_for(gpu.total_gib), gpu.total_gib
    else:  # what will run it is not known
        card = _profiles_card(job)
    here = gpu if vram_gib is None else None
    return Forecast(job, size, dataset.pictures if dataset else 0, card, memory, weights, tuple(buckets), here)


def _profiles_card(job: Job) -> Card:
    return typical_card(float(profile_for(job.memory.profile, None).vram_gib))


def _clock(seconds: float) -> str:
    """Write a time as people say it."""
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
