"""A remedy as settings: what to set, scale or bound, told as the difference it makes to a job."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from loraforge.config.definite import swaps, takes_8_bits
from loraforge.config.job import Job

Change = dict[str, object]
_ACCUMULATED = 256  # batches at most, as the setting allows
_RUNGS = (8, 16, 22, 28, 32, 35)


@dataclass(frozen=True, slots=True)
class Remedy:
    """Changes by dotted setting.

    Attributes:
        set: the value to take; None unsets.
        scale: the factor on a number that is set.
        at_most: the most a number may be.
        at_least: the least it may be.
        relieve: ask for the next rung of `relieved`, less GPU memory.
    """

    set: Mapping[str, object] = field(default_factory=dict)
    scale: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    at_least: Mapping[str, float] = field(default_factory=dict)
    relieve: bool = False

    @classmethod
    def read(cls, table: Mapping[str, object]) -> "Remedy":
        """Read the keys of a remedy from a table of TOML, where `"none"` stands for None."""

        def part(name: str) -> dict[str, object]:
            values = table.get(name, {})
            return dict(values) if isinstance(values, Mapping) else {}

        def numbers(name: str) -> dict[str, float]:
            return {path: value for path, value in part(name).items() if isinstance(value, int | float)}

        absent = {path: None if value == "none" else value for path, value in part("set").items()}
        relieve = table.get("relieve") is True
        return cls(absent, numbers("scale"), numbers("at_most"), numbers("at_least"), relieve)

    @property
    def paths(self) -> list[str]:
        """The settings that are named, without those of `relieve`."""
        return [*self.set, *self.scale, *self.at_most, *self.at_least]

    def settings(self, job: Job) -> Change:
        """Return the settings that differ from the job's, and their new values."""
        change: Change = dict(self.set)
        if change.get("memory.fp8_base") and not takes_8_bits(job):
            del change["memory.fp8_base"]
        for path, factor in self.scale.items():
            if isinstance(value := setting_of(job, path), int | float):
                change[path] = _like(value, value * factor)
        for path, bound in self.at_most.items():
            if isinstance(value := setting_of(job, path), int | float):
                change[path] = _like(value, min(value, bound))
        for path, bound in self.at_least.items():
            if isinstance(value := setting_of(job, path), int | float):
                change[path] = _like(value, max(value, bound))
        if self.relieve:
            change |= relieved(job)
        return {path: value for path, value in change.items() if setting_of(job, path) != value}


def relieved(job: Job) -> Change:
    """Return the cheapest change that needs less GPU memory: caches, recomputation, 8 bits, batch, swap, resolution.

    An empty change means that nothing is left to give.
    """
    return next(rungs(job), {})


def rungs(job: Job) -> Iterator[Change]:
    """Yield every single change that needs less GPU memory, the cheapest first."""
    memory, trains_text = job.memory, job.network.train_clip_l or job.network.train_t5xxl
    if memory.cache_latents == "off":
        yield {"memory.cache_latents": "disk"}
    if memory.cache_text_encoders == "off":
        fixed: Change = {"network.train_clip_l": False, "network.train_t5xxl": False} if trains_text else {}
        yield {**fixed, "memory.cache_text_encoders": "disk"}
    if not memory.gradient_checkpointing:
        yield {"memory.gradient_checkpointing": True}
    if takes_8_bits(job) and not memory.fp8_base:
        yield {"memory.fp8_base": True}
    batch, accumulation = job.dataset.batch_size, job.training.gradient_accumulation
    # By the least divisor, so that a step sees as many pictures as before.
    part = next((part for part in range(2, batch + 1) if batch % part == 0), 0)
    if part and accumulation * part <= _ACCUMULATED:
        yield {"dataset.batch_size": batch // part, "training.gradient_accumulation": accumulation * part}
    if swaps(job):
        for rung in _RUNGS[bisect_right(_RUNGS, memory.blocks_to_swap or 0) :]:
            yield {"memory.blocks_to_swap": rung}
    sides = job.dataset.resolution if isinstance(job.dataset.resolution, list) else [job.dataset.resolution]
    for side in (1024, 768, 512):
        if side < max(sides):
            yield {"dataset.resolution": side}


def setting_of(job: Job, path: str) -> object:
    """Return the value at a dotted path, None where there is none."""
    value: object = job
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else getattr(value, key, None)
    return value


def _like(old: float, new: float) -> float:
    """Round as the old value was: whole numbers stay whole and above 0, others keep three digits."""
    return max(1, round(new)) if isinstance(old, int) else float(f"{new:.3g}")
