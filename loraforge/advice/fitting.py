"""Memory settings that fit a card: what profile `auto` takes, and the cheapest change where a run does not fit."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from loraforge.advice.cards import Card
from loraforge.advice.duration import predict_duration
from loraforge.advice.memory import CONTEXT_GIB, MemoryEstimate, Phase, predict_memory
from loraforge.config.definite import definite, opened, swaps, takes_8_bits
from loraforge.config.job import Job
from loraforge.config.profiles import profile_for
from loraforge.dataset.buckets import Size

# Predictions lie within 3 % of what was measured; what is left over beyond that is enough.
_MARGIN = 1.03
_EVERY: frozenset[Phase] = frozenset({"text-caching", "latent-caching", "training", "sampling"})
_SWAPS = (None, *range(1, 36))
# Fastest first. Swapping comes after 8 bits, which halve the base at no traffic.
_LADDER: tuple[dict[str, Any], ...] = (
    {"gradient_checkpointing": False, "fp8_base": False, "blocks_to_swap": None},
    {"gradient_checkpointing": True, "fp8_base": False, "blocks_to_swap": None},
    *({"gradient_checkpointing": True, "fp8_base": True, "blocks_to_swap": blocks} for blocks in _SWAPS),
)
_SAMPLE_SIDES = (768, 512)
_SIDES = (896, 768, 640, 512)

Change = dict[str, Any]


def decided(job: Job, pictures: int, vram_gib: float | None) -> Job:
    """Return the job with its steps counted, its memory settings decided, and samples that fit.

    Profile `auto` takes the fastest settings whose predicted peak the card holds, with pictures of the full training
    area; what the user set stays. A named profile, or no card, takes the profile's own. Samples whose size was left
    open are drawn smaller where the card asks for it.

    Args:
        job: validated settings.
        pictures: pictures in the dataset.
        vram_gib: memory of the card in GiB; None where there is none.
    """
    settled = definite(job, pictures, vram_gib)
    if job.memory.profile != "auto" or vram_gib is None:
        return _samples_fitted(settled, profile_for(settled.memory.profile, None).vram_gib)
    rungs = [_with_memory(settled, rung) for rung in _rungs(job)]
    size = training_size(job)
    chosen = rungs[-1]
    # Slower training would not help captions to fit, nor, on the smallest cards, samples: those need other changes.
    for phases in (_EVERY, _EVERY - {"text-caching"}, _EVERY - {"text-caching", "sampling"}):
        if holding := [rung for rung in rungs if _holds(predict_memory(rung, size), vram_gib, phases)]:
            chosen = holding[0]
            break
    return _samples_fitted(with_change(chosen, {"memory.profile": settled.memory.profile}), vram_gib)


def _samples_fitted(job: Job, vram_gib: float) -> Job:
    """Return the job with samples as large as the card holds beside it, if nobody has set their size."""
    if job.sampling.prompts and not job.sampling.model_fields_set & {"width", "height"}:
        for side in (job.sampling.width, *_SAMPLE_SIDES):
            smaller = with_change(job, {"sampling.width": side, "sampling.height": side})
            if _holds(predict_memory(smaller, training_size(job)), vram_gib, frozenset({"sampling"})):
                return smaller if side < job.sampling.width else job
    return job


def training_size(job: Job) -> Size:
    """Return (width, height) of the largest bucket that the settings allow."""
    resolution = job.dataset.resolution
    return (resolution[0], resolution[1]) if isinstance(resolution, list) else (resolution, resolution)


def fits(estimate: MemoryEstimate, vram_gib: float) -> bool:
    """Tell whether a card holds every phase, with a margin for the prediction's error."""
    return _holds(estimate, vram_gib, _EVERY)


def cheapest_change(
    job: Job, size: Size, card: Card, vram_gib: float, *, pictures: int = 20, t5_fp8: bool = False
) -> Change | None:
    """Find the change of settings with which a run fits at the least time; None where no change does.

    Changes that leave the result as it is come first: memory settings, then caches and smaller samples; then text
    encoders that are not trained and a batch of one, and only then a lower resolution.

    Args:
        job: definite settings, which do not fit.
        size: (width, height) of the largest bucket in pixels.
        card: what the time is predicted for.
        vram_gib: memory to fit.
        pictures: pictures in the dataset.
        t5_fp8: the T5 file holds 8-bit numbers.
    """
    for wider in _wider_changes(job):
        candidates = []
        for narrow in _memory_changes(with_change(job, wider)):
            change = {**wider, **narrow}
            other = with_change(job, change)
            at = _resized(size, job, other)
            if fits(predict_memory(other, at, t5_fp8=t5_fp8), vram_gib):
                seconds = predict_duration(other, at, pictures, card).total_seconds
                candidates.append((seconds, len(change), change))
        if candidates:
            return min(candidates, key=lambda candidate: candidate[:2])[2]
    return None


def with_change(job: Job, change: Mapping[str, Any]) -> Job:
    """Return the job with settings, given as `section.name`, changed."""
    sections: dict[str, dict[str, Any]] = {}
    for path, value in change.items():
        section, _, name = path.partition(".")
        sections.setdefault(section, {})[name] = value
    return job.model_copy(
        update={section: getattr(job, section).model_copy(update=values) for section, values in sections.items()}
    )


def as_set(change: Mapping[str, Any]) -> str:
    """Write a change as the `--set` that applies it."""
    return " ".join(f"--set {path}={str(value).lower()}" for path, value in change.items())


def _rungs(job: Job) -> Iterator[Change]:
    """Yield the rungs of the ladder that contradict nothing the user set."""
    # An explicit choice to hold the base in bf16, or to keep activations, asks for speed: swapping would undo it.
    fast = job.memory.fp8_base is False or job.memory.gradient_checkpointing is False
    memory = opened(job)
    asked = {name: getattr(memory, name) for name in _LADDER[0] if getattr(memory, name) is not None}
    for rung in _LADDER:
        if rung["blocks_to_swap"] is None or (swaps(job) and not fast):
            yield {**rung, **asked}


def _with_memory(job: Job, rung: Change) -> Job:
    return with_change(job, {f"memory.{name}": value for name, value in rung.items()})


def _holds(estimate: MemoryEstimate, vram_gib: float, phases: frozenset[Phase]) -> bool:
    needed = max(peak.reserved_gib for name, peak in estimate.phases.items() if name in phases)
    return needed * _MARGIN + CONTEXT_GIB <= vram_gib


def _memory_changes(job: Job) -> Iterator[Change]:
    """Yield changes of the memory section that ask for less, the empty one among them."""
    memory = job.memory
    blocks_now = memory.blocks_to_swap or 0
    levels = [blocks_now, *range(blocks_now + 1, 36)] if swaps(job) else [blocks_now]
    checkpointing = {bool(memory.gradient_checkpointing), True}
    eight_bit = {bool(memory.fp8_base), True} if takes_8_bits(job) else {bool(memory.fp8_base)}
    for checkpoint, fp8, blocks in product(checkpointing, eight_bit, levels):
        if fp8 and not checkpoint:
            continue
        change: Change = {
            "memory.gradient_checkpointing": checkpoint,
            "memory.fp8_base": fp8,
            "memory.blocks_to_swap": blocks or None,
        }
        now = {path: getattr(memory, path.partition(".")[2]) or None for path in change}
        yield {path: value for path, value in change.items() if (value or None) != now[path]}


def _wider_changes(job: Job) -> Iterator[Change]:
    """Yield what memory settings can be joined with, from harmless to what the result pays for."""
    yield {}
    joined: Change = {}
    for change in _worth_less(job):
        joined = {**joined, **change}
        yield joined
    width, height = training_size(job)
    for side in _SIDES:
        if width * height > side * side:
            yield {**joined, "dataset.resolution": side}


def _worth_less(job: Job) -> Iterator[Change]:
    augments = job.engine.extra.get("color_aug") or job.engine.extra.get("random_crop")
    if job.memory.cache_latents == "off" and not augments:
        yield {"memory.cache_latents": "disk"}
    trained = {name: False for name in ("train_clip_l", "train_t5xxl") if getattr(job.network, name)}
    cached: Change = {"memory.cache_text_encoders": "disk"} if job.memory.cache_text_encoders == "off" else {}
    if cached and not trained:
        yield cached
    if job.launch.processes > 1 and job.engine.kind == "kohya":  # one alone can swap; as many pictures make a step
        doubled = job.training.gradient_accumulation * job.launch.processes
        yield {"launch.processes": 1, "training.gradient_accumulation": min(256, doubled)}
    if job.training.precision == "no":
        yield {"training.precision": "bf16"}
    if job.sampling.prompts:
        for side in _SAMPLE_SIDES:
            if job.sampling.width * job.sampling.height > side * side:
                yield {"sampling.width": side, "sampling.height": side}
    if cached and trained:
        yield {**cached, **{f"network.{name}": value for name, value in trained.items()}}
    if job.dataset.batch_size > 1:
        yield {"dataset.batch_size": 1}


def _resized(size: Size, before: Job, after: Job) -> Size:
    """Return the largest bucket after a change of resolution."""
    return size if before.dataset.resolution == after.dataset.resolution else training_size(after)
