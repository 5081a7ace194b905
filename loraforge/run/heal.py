"""Going on by itself: less memory after an out-of-memory error, once more after a fault that passes."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError

from loraforge.advice.memory import CONTEXT_GIB, predict_memory
from loraforge.config.job import Job
from loraforge.engine.remedy import Change, rungs, setting_of
from loraforge.engine.shortage import room_gib
from loraforge.run.ends import End
from loraforge.run.plan import RunPlan, build_plan
from loraforge.run.record import Record, read, write
from loraforge.run.resume import in_one_epoch, newest_state, step_of
from loraforge.run.train import Outcome

MOST = 6
# What is learnt stays the same under these: less is kept, more is computed again. Batches are halved and accumulated.
_ORDER = (
    "memory.cache_latents",
    "memory.cache_text_encoders",
    "memory.gradient_checkpointing",
    "engine.extra.vae_batch_size",
    "sampling.width",
    "sampling.height",
    "memory.fp8_base",
    "memory.blocks_to_swap",
    "dataset.batch_size",
    "dataset.resolution",
)
_WITH = frozenset({"training.gradient_accumulation"})  # comes with a smaller batch, and keeps what is learnt
# What changes the result is done only by those who said so.
CONSENTS: Mapping[str, str] = {"memory.fp8_base": "fp8", "dataset.resolution": "resolution"}
# A kernel that can't be compiled, or a GPU that fails twice: there is a way without any of ours.
_WITHOUT_FAST = frozenset({"compile-failed", "cuda-fault"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is done next.

    Attributes:
        plan: the run from its last state, with the changes.
        change: dotted setting -> new value; empty for one more try.
        words: what the user is told.
    """

    plan: RunPlan
    change: Change
    words: str


class Healer:
    """Decides after each failure whether and how to go on.

    Args:
        allowed: the consents given, of `CONSENTS`' values.
        most: changes at most.
    """

    def __init__(self, allowed: Collection[str] = (), *, most: int = MOST) -> None:
        self._allowed, self._left, self._retries = frozenset(allowed), most, 1

    def next(self, plan: RunPlan, end: End) -> Attempt | None:
        """Return what to do after an end; None to leave it at that."""
        if end.name == "gpu-memory" and self._left:
            room = room_gib(end.evidence) if plan.ready.full_size else None
            if (found := relief(plan.job, end, self._allowed, room)) is not None:
                self._left -= 1
                return _step(plan, found[1], found[0], end)
        if end.transient and self._retries:
            self._retries -= 1
            return _step(plan, plan.job, {}, end)
        if end.code in _WITHOUT_FAST and plan.job.engine.fast != "off":
            plain = plan.job.model_copy(update={"engine": plan.job.engine.model_copy(update={"fast": "off"})})
            return _step(plan, plain, {"engine.fast": "off"}, end)
        return None


def relief(job: Job, end: End, allowed: Collection[str], room: float | None) -> tuple[Change, Job] | None:
    """Return the least change that may be made by itself, and the job with it; None where nothing is left to give.

    Where it is known how much memory there is, changes add up until the run is predicted to fit: every start that does
    not costs minutes. Where it never is, the first of them is tried, since predictions err.
    """
    first: tuple[Change, Job] | None = None
    total: Change = {}
    while True:
        made = ((change, changed(job, change)) for change in changes(job, end, allowed))
        step, after = next(((change, after) for change, after in made if after is not None), ({}, None))
        if after is None:
            return first
        total, job = {**total, **step}, after
        first = first or (total, job)
        if room is None or _training_gib(job) <= room:
            return total, job


def changes(job: Job, end: End, allowed: Collection[str]) -> Iterator[Change]:
    """Yield the changes that may be made by themselves, the least harmful first.

    Args:
        job: the run's settings.
        end: how it ended; its own settings are for the phase in which it did.
        allowed: consents given.
    """
    # Where training itself did not fit, any rung helps; elsewhere only what the signature names does, all of it that
    # asks for no consent at once: half of a smaller sample is another picture.
    named = {path: value for path, value in end.settings.items() if path in _ORDER and path not in CONSENTS}
    single: list[Change] = [named] if named else []
    single += [{path: value} for path, value in end.settings.items() if path in CONSENTS]
    ladder = list(rungs(job)) if end.code == "gpu-memory-training" else single
    free = [change for change in ladder if _is_free(change, allowed) and _differs(job, change)]
    yield from sorted(free, key=lambda change: _ORDER.index(next(iter(change))))


def changed(job: Job, change: Change) -> Job | None:
    """Return the job with a change; None where its settings contradict each other then."""
    values = job.model_dump()
    for path, value in change.items():
        *sections, key = path.split(".")
        table = values
        for section in sections:
            table = table.setdefault(section, {})
        table[key] = value
    try:
        return Job.model_validate(values)
    except ValidationError:
        return None


def run_healed(
    plan: RunPlan,
    run: Callable[[RunPlan, Record | None], Outcome],
    *,
    healer: Healer | None,
    prepare: Callable[[RunPlan], None],
    tell: Callable[[str], None],
) -> tuple[RunPlan, Outcome]:
    """Run a prepared plan, and again as long as the healer knows what to do.

    Args:
        plan: the first one.
        run: runs a plan, given what the record says so far.
        healer: None leaves every end as it is.
        prepare: writes a plan's files.
        tell: says what is changed.

    Returns:
        The last plan and its outcome.
    """
    record = read(plan.folder.state)
    while True:
        outcome = run(plan, record)
        record = read(plan.folder.state) or Record()
        step = healer.next(plan, outcome.end) if healer and outcome.status == "failed" else None
        if step is None:
            return plan, outcome
        told = {
            "step": outcome.ending.last_step,
            "because": outcome.end.name,
            "settings": {path: [setting_of(plan.job, path), value] for path, value in step.change.items()},
        }
        record = replace(record, status="running", changes=(*record.changes, told))
        write(plan.folder, record)
        tell(step.words)
        plan = step.plan
        prepare(plan)


def _training_gib(job: Job) -> float:
    side = job.dataset.resolution
    size = (side, side) if isinstance(side, int) else (side[0], side[1])
    return predict_memory(job, size).phases["training"].reserved_gib + CONTEXT_GIB


def _is_free(change: Change, allowed: Collection[str]) -> bool:
    return all(
        path in _WITH or (path in _ORDER and (path not in CONSENTS or CONSENTS[path] in allowed)) for path in change
    )


def _differs(job: Job, change: Change) -> bool:
    return any(setting_of(job, path) != value for path, value in change.items())


def _step(plan: RunPlan, job: Job, change: Change, end: End) -> Attempt:
    name = job.output.name
    counts = in_one_epoch(job, len(plan.ready.set_))
    state = newest_state(plan.folder, name, plan.steps) if counts else None
    again = build_plan(replace(plan.ready, job=job), plan.folder, resume=state)
    where = f"going on from step {step_of(state)}" if state else "beginning again"
    how = ", ".join(f"{path} = {value}" for path, value in change.items())
    return Attempt(again, change, f"{end.cause.rstrip('.')}: {where}{f' with {how}' if how else ', once'}")
