"""One case to judge: the settings, the facts, and what follows from both."""

from dataclasses import dataclass, field

from loraforge.advice.facts import DatasetFacts, MachineFacts, WeightFacts
from loraforge.advice.fitting import decided
from loraforge.config.engine import OptionValue
from loraforge.config.job import Job
from loraforge.config.memory import Memory

LION = frozenset({"lion", "lion8bit"})


@dataclass(frozen=True, slots=True)
class Purpose:
    """What a kind of LoRA takes.

    Attributes:
        name: in words.
        rank: least and most rank that serve it.
        views: how often each picture is shown: typical, and the most that is not over-training.
        steps: the most steps that its trainers report as safe.
    """

    name: str
    rank: tuple[int, int]
    views: tuple[int, int]
    steps: int


_STYLE = Purpose("a style", (8, 16), (20, 50), 1500)
_PURPOSES = {
    "style": _STYLE,
    "quick": Purpose("a quick look", (8, 16), (8, 40), 1000),
    "style-subtle": Purpose("a subtle style", (4, 8), (15, 40), 1000),
    "style-strong": Purpose("a strong style", (16, 32), (40, 80), 2000),
    "concept": Purpose("a concept", (4, 8), (25, 60), 1200),
    "subject": Purpose("a subject", (32, 64), (50, 120), 3000),
}
Fix = dict[str, object]


@dataclass(frozen=True, slots=True)
class Case:
    """What a rule sees.

    Attributes:
        job: the validated settings.
        dataset: the pictures; None when they were not looked at.
        machine: the machine; None when it was not looked at.
        weights: the weight files; None when they were not looked at.
        memory: the memory settings after the profile has decided what was left open.
    """

    job: Job
    dataset: DatasetFacts | None = None
    machine: MachineFacts | None = None
    weights: WeightFacts | None = None
    memory: Memory = field(init=False)

    def __post_init__(self) -> None:
        vram = self.machine.vram_gib if self.machine else None
        settled = decided(self.job, self.pictures or 0, vram)
        object.__setattr__(self, "memory", settled.memory)  # every rule asks for it; predicting takes a millisecond

    @property
    def purpose(self) -> Purpose:
        """What the LoRA is for, by the preset; a style when nothing says otherwise."""
        return _PURPOSES.get(self.job.preset or "style", _STYLE)

    @property
    def extra(self) -> dict[str, OptionValue]:
        """The engine's own options, `[engine] extra`."""
        return self.job.engine.extra

    @property
    def pictures(self) -> int | None:
        """How many pictures there are; None when unknown or none."""
        return self.dataset.pictures or None if self.dataset else None

    @property
    def steps(self) -> int | None:
        """Optimizer steps of the run; None when they depend on pictures that were not looked at."""
        training = self.job.training
        if training.steps is not None or self.pictures is None:
            return training.steps
        return min(max(training.steps_per_picture * self.pictures, training.min_steps), training.max_steps)

    @property
    def pictures_a_step(self) -> int:
        """Pictures that go into one optimizer step."""
        return self.job.dataset.batch_size * self.job.training.gradient_accumulation * self.job.launch.processes

    @property
    def views(self) -> float | None:
        """How often each picture is shown in the run."""
        if self.steps is None or self.pictures is None:
            return None
        return self.steps * self.pictures_a_step / self.pictures

    @property
    def scale(self) -> float:
        """How strongly the LoRA is applied: alpha / rank."""
        return self.job.network.alpha / self.job.network.rank

    @property
    def rate(self) -> float:
        """The learning rate that acts: (alpha / rank) x learning_rate."""
        return self.scale * self.job.optimizer.learning_rate

    @property
    def band(self) -> tuple[float, float, float]:
        """The lowest, usual and highest rate that acts; lion moves by signs and wants a fifth."""
        return (3e-6, 2e-5, 1e-4) if self.job.optimizer.name in LION else (1.5e-5, 1e-4, 5e-4)

    @property
    def trains_text(self) -> bool:
        """Whether a text encoder is adapted too."""
        return self.job.network.train_clip_l or self.job.network.train_t5xxl

    @property
    def pixels(self) -> int:
        """Area of the training resolution."""
        resolution = self.job.dataset.resolution
        return resolution[0] * resolution[1] if isinstance(resolution, list) else resolution**2

    def rank_to(self, rank: int) -> Fix:
        """Change the rank and leave (alpha / rank) x learning_rate as it is."""
        return {"network.rank": rank, "network.alpha": min(4096.0, tidy(rank * self.scale))}

    def rate_to(self, rate: float) -> Fix:
        """Change the learning rate so that (alpha / rank) x learning_rate is `rate`, and a far-off alpha with it."""
        if 0.01 <= self.scale <= 100:
            return {"optimizer.learning_rate": tidy(rate / self.scale)}
        return {"network.alpha": float(self.job.network.rank), "optimizer.learning_rate": rate}

    def resolution_to(self, side: int) -> Fix:
        """Change the resolution, and the bucket limits where they would not admit it."""
        fix: Fix = {"dataset.resolution": side}
        return {**fix, **self.limits_for([side])} if self.job.dataset.buckets.enabled else fix

    def limits_for(self, sides: list[int]) -> Fix:
        """Change bucket limits that would not admit these sides, or are no multiples of the step."""
        buckets, fix = self.job.dataset.buckets, Fix()
        if buckets.max < max(sides) or buckets.max % buckets.step:
            fix["dataset.buckets.max"] = -(-2 * max(sides) // buckets.step) * buckets.step
        if buckets.min > min(sides) or buckets.min % buckets.step:
            fix["dataset.buckets.min"] = buckets.step
        return fix

    def fp8(self) -> Fix:
        """Hold the base in 8 bits, with what that needs."""
        precision: Fix = {"training.precision": "bf16"} if self.job.training.precision == "no" else {}
        return {"memory.fp8_base": True, "memory.gradient_checkpointing": True, **precision}

    def steps_for(self, views: int) -> int:
        """Return how many steps show each picture so often, in tens and at least 100."""
        pictures = self.pictures or 20
        return max(100, round(views * pictures / self.pictures_a_step / 10) * 10)


def tidy(number: float) -> float:
    """Round to three significant digits, so that a proposed value reads well."""
    return float(f"{number:.3g}")
