"""Peak GPU memory of each phase of a run, and host memory: plain arithmetic over shapes and settings.

The shapes are FLUX.1's and the engine's; what depends on kernels and on the allocator (the decimals below, GiB and
GiB a thousand tokens) is fitted to measurements of full-size runs, see benchmarks/memory.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from loraforge.advice.disk import STATE_BYTES, lora_parameters
from loraforge.config.job import Job
from loraforge.dataset.buckets import Size

Phase = Literal["text-caching", "latent-caching", "training", "sampling"]

_GIB = 1 << 30
_BASE = 11_901_408_320 / _GIB  # parameters; times bytes each
_DOUBLE, _SINGLE = 339_738_624 / _GIB, 141_557_760 / _GIB  # those of a block that swapping moves
_T5, _CLIP = 8.87, 0.23  # weights in bf16
_T5_FP8 = 4.56  # embeddings stay in bf16
_AUTOENCODER = 0.16
# What an 8-bit block takes beyond its numbers: large allocations come in steps of 2 MiB, and some weights are odd MiB.
_DOUBLE_ODD, _SINGLE_ODD = 2 / 1024, 3 / 1024
_DOUBLES, _SINGLES = 19, 38
# Beside what the allocator holds: CUDA's context and the loaded kernels, 0.9 GiB on the measured card.
CONTEXT_GIB = 0.9


@dataclass(frozen=True, slots=True)
class Peak:
    """The most memory of a phase in GiB: held by tensors, and taken from the GPU by the allocator."""

    allocated_gib: float
    reserved_gib: float

    def beside(self, allocated_gib: float, reserved_gib: float) -> "Peak":
        """Return the peak of this and something else at once."""
        return Peak(self.allocated_gib + allocated_gib, self.reserved_gib + reserved_gib)

    def above(self, held: float) -> "Peak":
        """Return this peak on top of what is held all the time; no allocator holds less than is allocated."""
        allocated = held + self.allocated_gib
        return Peak(allocated, max(allocated, held + self.reserved_gib))


_NOTHING = Peak(0.0, 0.0)
# What 8-bit weights take as 16-bit copies: in the last block's recomputation, in the first one's, and kept for backward
# where nothing is recomputed.
_FP8_CASTS = (Peak(0.264, 0.264), Peak(0.633, 0.0), Peak(15.98, 15.98))

_SMALL_RANK = 12  # the largest LoRA matrix is 21504 x rank in 32 bits: up to here below 1 MiB


@dataclass(frozen=True, slots=True)
class MemoryEstimate:
    """What a run needs.

    Attributes:
        phases: peak of each phase that the run has, in the order they come.
        ram_gib: host memory at the most, which is while the models are loaded.
    """

    phases: Mapping[Phase, Peak]
    ram_gib: float

    @property
    def phase(self) -> Phase:
        """The phase that decides whether the run fits."""
        return max(self.phases, key=lambda name: self.phases[name].reserved_gib)

    @property
    def peak(self) -> Peak:
        """The peak of that phase."""
        return self.phases[self.phase]

    def headroom_gib(self, vram_gib: float) -> float:
        """Return what a card of so many GiB has left; negative where the run does not fit."""
        return vram_gib - CONTEXT_GIB - self.peak.reserved_gib

    def as_dict(self) -> dict[str, object]:
        """Return the JSON form that `check --json` carries."""
        return {"phase": self.phase, **_rounded(self.peak), "phases": {k: _rounded(v) for k, v in self.phases.items()}}


def predict_memory(job: Job, size: Size, *, transformer_fp8: bool = False, t5_fp8: bool = False) -> MemoryEstimate:
    """Predict the peaks of a run on one GPU.

    Args:
        job: the settings, definite: what the memory section leaves None counts as off.
        size: (width, height) of the largest bucket in pixels.
        transformer_fp8: the transformer's file holds 8-bit numbers, which matters to host memory only.
        t5_fp8: the T5 file does; it is used as it is with fp8_base only.
    """
    eight_bit_t5 = t5_fp8 and bool(job.memory.fp8_base)
    held = _held(job)
    phases: dict[Phase, Peak] = {}
    if job.memory.cache_latents != "off":
        phases["latent-caching"] = _latents(size)
    if job.memory.cache_text_encoders != "off":
        phases["text-caching"] = _text(job, eight_bit=eight_bit_t5)
    phases["training"] = _training(job, size).above(held)
    if job.sampling.prompts:
        phases["sampling"] = _sampling((job.sampling.width, job.sampling.height)).above(held)
    return MemoryEstimate(phases, _ram(job, transformer_fp8=transformer_fp8, t5_fp8=t5_fp8))


def text_tokens(job: Job) -> int:
    """Return the length of the T5 prompt in tokens."""
    return job.training.t5_tokens or (512 if job.model.family == "flux-dev" else 256)


def kilotokens(job: Job, size: Size) -> float:
    """Return how many thousand tokens a step works on: text and patches of 16 pixels, times the batch."""
    return job.dataset.batch_size * (text_tokens(job) + (size[0] // 16) * (size[1] // 16)) / 1000


def swapped_gib(blocks: int | None, bytes_each: float) -> float:
    """Return what swapping so many blocks takes off the GPU."""
    doubles, singles = _swapped(blocks)
    return bytes_each * (doubles * _DOUBLE + singles * _SINGLE)


def _swapped(blocks: int | None) -> tuple[int, int]:
    """Return how many double and single blocks are swapped: half the number as double, twice the rest as single."""
    doubles = (blocks or 0) // 2
    return doubles, 2 * ((blocks or 0) - doubles)


def _held(job: Job) -> float:
    """Return what stays on the GPU from the first step to the last: weights, LoRA and the optimizer's state."""
    each = _bytes_each(job)
    parameters = lora_parameters(job.network)
    held = each * _BASE - swapped_gib(job.memory.blocks_to_swap, each)
    if job.memory.fp8_base:
        doubles, singles = _swapped(job.memory.blocks_to_swap)
        held += (_DOUBLES - doubles) * _DOUBLE_ODD + (_SINGLES - singles) * _SINGLE_ODD
    held += 4 * parameters / _GIB + (0.02 if job.optimizer.name == "adafactor" else _state(job))
    if job.memory.cache_latents == "off":
        held += _AUTOENCODER
    if job.memory.cache_text_encoders == "off":
        held += 4.71 if job.memory.fp8_base else _T5 + _CLIP
    elif job.network.train_clip_l:
        held += _CLIP
    return held


def _bytes_each(job: Job) -> float:
    return 1.0 if job.memory.fp8_base else 4.0 if job.training.precision == "no" else 2.0


def _state(job: Job) -> float:
    return STATE_BYTES[job.optimizer.name] * lora_parameters(job.network) / _GIB


def _training(job: Job, size: Size) -> Peak:
    """Return the peak of a step above what is held.

    Gradients and activations never peak together: without checkpointing the end of the forward pass decides; with it
    the last block's recomputation (all block inputs kept, no gradients yet), the first one's (few inputs, all
    gradients), or the optimizer's own temporaries.
    """
    wide = 2.0 if job.training.precision == "no" else 1.0
    thousand = kilotokens(job, size) * wide
    adapter = 4 * lora_parameters(job.network) / _GIB  # gradients are as large
    last_casts, first_casts, kept_casts = _FP8_CASTS if job.memory.fp8_base else (_NOTHING, _NOTHING, _NOTHING)
    temporaries = adapter if job.optimizer.name in {"adamw", "adamw-schedule-free"} else 0.0
    optimizer = Peak(adapter + max(temporaries + 0.27, 0.6), adapter + temporaries + 1.7)
    if not job.memory.gradient_checkpointing:
        # Each Linear but the modulations keeps its weight as cast from 8 bits; LoRA weights are cast to 16.
        casts = adapter / 2 + kept_casts.allocated_gib
        forward = 0.09 + (8.667 + 0.0008 * job.network.rank) * thousand + casts
        # What gradients and temporaries leave in the allocator's cache serves the next step.
        slack = max(0.0, 0.63 + 1.51 * thousand - (adapter + temporaries) / 2)
        peak = _higher(Peak(forward, forward + slack), optimizer)
    else:
        # Matrices under 1 MiB have segments of their own, and don't break up those of the activations; what the
        # optimizer's temporaries leave in the allocator's cache, recomputation can hardly use.
        broken = 0.0 if job.network.rank <= _SMALL_RANK else 0.25
        last = last_casts.beside(0.104 + 0.5525 * thousand, 0.073 + broken + 0.7 * temporaries + 0.838 * thousand)
        first = first_casts.beside(0.077 + adapter + 0.2923 * thousand, 0.6 + broken + adapter + 0.48 * thousand)
        peak = _higher(_higher(last, first), optimizer if temporaries else last)
    if job.memory.cache_text_encoders == "off":
        peak = Peak(peak.allocated_gib, peak.reserved_gib + 0.4)
    kept = adapter if job.training.gradient_accumulation > 1 else 0.0
    return Peak(peak.allocated_gib + kept, peak.reserved_gib + kept)


def _sampling(size: Size) -> Peak:
    """Return the peak of drawing a sample above what is held: decoding, whose group norms run in 32 bits."""
    mega = size[0] * size[1] / 1e6
    return Peak(0.26 + 3.6 * mega, 0.32 + 6.1 * mega)


def _latents(size: Size) -> Peak:
    """Return the peak of encoding pictures, one at a time."""
    mega = size[0] * size[1] / 1e6
    return Peak(0.161 + 1.436 * mega, 0.189 + 1.907 * mega)


def _text(job: Job, *, eight_bit: bool) -> Peak:
    """Return the peak of encoding captions, a batch at a time."""
    batch = job.engine.extra.get("text_encoder_batch_size") or job.dataset.batch_size
    share = text_tokens(job) / 512
    work = 0.297 * (batch if isinstance(batch, int) else 1) * share * (0.36 + 0.64 * share)
    allocated = (_T5_FP8 if eight_bit else _T5) + _CLIP + 0.04 + work
    return Peak(allocated, allocated + 0.02 + 0.2 * max(0.0, work - 0.297))


def _ram(job: Job, *, transformer_fp8: bool, t5_fp8: bool) -> float:
    """Return the host memory while all models are loaded, with what python and torch take themselves."""
    transformer = _BASE * (1 if transformer_fp8 else 4 if job.training.precision == "no" else 2)
    encoders = (_T5 / 2 if t5_fp8 else _T5) + _CLIP + _AUTOENCODER
    return transformer + encoders + 3.0 + job.training.workers * 0.5


def _higher(one: Peak, other: Peak) -> Peak:
    return Peak(max(one.allocated_gib, other.allocated_gib), max(one.reserved_gib, other.reserved_gib))


def _rounded(peak: Peak) -> dict[str, float]:
    return {"allocated_gib": round(peak.allocated_gib, 2), "reserved_gib": round(peak.reserved_gib, 2)}
