"""Which of the fast parts pay for a run."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from loraforge.config.job import Job
from loraforge.dataset.buckets import Size, bucket_for
from loraforge.errors import DatasetError

# Seconds, from an H100 with 16 cores and an empty compile cache (benchmarks/fast.md). A smaller card saves more on a
# step, a smaller processor compiles longer.
_FIRST_GRAPH, _NEXT_GRAPH = 30.0, 25.0
_FOUND_GRAPH = 6.0  # that an earlier run has compiled
_SAVED = 0.3
_SAVED_CHECKPOINTED = 0.5
_PATCH = 16  # pixels on a token's side
_LOOK = 5.0  # seconds of saving below which compiling is not worth the suspense


@dataclass(frozen=True, slots=True)
class FastPlan:
    """What a run is sped up by.

    Attributes:
        parts: names of loraforge.engine.fast's parts.
        left_out: part -> why it is not among them; "all" stands for every part.
    """

    parts: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)

    def as_text(self) -> str:
        """Return one line for people."""
        without = "; ".join(f"without {part}: {why}" for part, why in self.left_out.items() if part != "all")
        return "; ".join(filter(None, [", ".join(self.parts) or f"none: {self.left_out.get('all', '')}", without]))


def token_counts(sizes: Sequence[Size], job: Job) -> set[int]:
    """Return the distinct numbers of picture tokens that a dataset trains on: each needs a graph of its own."""
    counts = set()
    for size in sizes:
        try:
            width, height = bucket_for(size, job.dataset.resolution, job.dataset.buckets).bucket
        except DatasetError:  # the dataset's own checks name such a picture
            continue
        counts.add(width * height // _PATCH**2)
    return counts


def choose(
    job: Job, sizes: Sequence[Size], *, steps: int, full_size: bool, compiled: Collection[tuple[int, int]] = ()
) -> FastPlan:
    """Choose the parts for a run.

    Args:
        job: settled.
        sizes: upright (width, height) of the pictures in pixels.
        steps: optimizer steps that this start will do.
        full_size: whether the weights are FLUX.1's own; with a toy model nothing is worth compiling.
        compiled: (batch, picture tokens) that earlier runs have compiled.
    """
    engine, memory = job.engine, job.memory
    if engine.fast == "off":
        return FastPlan((), {"all": 'engine.fast is "off"'})
    if engine.kind == "embedded":
        return FastPlan((), {"all": "the embedded engine has none"})
    forced = engine.fast == "on"
    if not forced and (job.launch.device == "cpu" or not full_size):
        return FastPlan((), {"all": "a toy model has nothing to gain"})
    parts, left_out = ["hash"], {}
    if memory.cache_text_encoders != "off" and not engine.extra.get("validation_split"):
        parts.append("encoders")
    if job.launch.device != "cpu":
        parts.append("segments")
    parts.append("norms")
    if job.optimizer.name == "adafactor":
        parts.append("adafactor")
    if memory.blocks_to_swap:
        parts.append("swap")
    cost, saved = compile_cost(job, sizes, compiled), saving(job, steps)
    if job.launch.processes > 1:
        left_out["compile"] = "several processes compile on their own, and wait for the slowest"
    elif job.network.module_dropout is not None:
        left_out["compile"] = "module dropout decides anew at every layer"
    elif forced or saved > cost + _LOOK:
        parts.append("compile")
    else:
        left_out["compile"] = f"compiling takes about {cost:.0f} s, and {steps} steps save about {saved:.0f} s"
    return FastPlan(tuple(parts), left_out)


def compile_cost(job: Job, sizes: Sequence[Size], compiled: Collection[tuple[int, int]] = ()) -> float:
    """Return the seconds that compiling takes, given the (batch, picture tokens) that are found compiled."""
    lengths = token_counts(sizes, job)
    found = sum((job.dataset.batch_size, tokens) in compiled for tokens in lengths)
    new = max(len(lengths), 1) - found
    return found * _FOUND_GRAPH + (_FIRST_GRAPH + _NEXT_GRAPH * (new - 1) if new else 0.0)


def saving(job: Job, steps: int) -> float:
    """Return the seconds that compiled blocks save over a number of optimizer steps."""
    batches = steps * job.training.gradient_accumulation
    return batches * (_SAVED_CHECKPOINTED if job.memory.gradient_checkpointing else _SAVED)
