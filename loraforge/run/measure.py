"""`check --measure`: three real steps on the largest bucket, with less and less memory until they fit."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from loraforge.advice.measure import Measurement
from loraforge.config.job import Job
from loraforge.dataset.buckets import bucket_for
from loraforge.dataset.images import read_size
from loraforge.dataset.staging import Entry
from loraforge.engine import gauge
from loraforge.engine.events import Event
from loraforge.engine.remedy import Change, rungs
from loraforge.errors import DatasetError, Interrupted, MachineError, TrainingError
from loraforge.run.folder import RunFolder
from loraforge.run.heal import changed
from loraforge.run.plan import RunPlan, build_plan
from loraforge.run.quicken import fast_plan, quickened
from loraforge.run.settle import Ready
from loraforge.run.train import Outcome, prepare, train

STEPS = 3
# What costs least first; the batch and the resolution change the result and come last.
_ORDER = ("cache_latents", "cache_text_encoders", "gradient_checkpointing", "fp8_base", "blocks_to_swap", "batch_size")


def measure(
    ready: Ready,
    *,
    tell: Callable[[str], None],
    environ: Mapping[str, str] = os.environ,
    run: Callable[[RunPlan, Mapping[str, str]], Outcome] | None = None,
) -> Measurement:
    """Train three steps on the largest bucket in a folder that is thrown away.

    Args:
        ready: the settled job; the picture with the largest bucket stands for all.
        tell: is told what is being tried.
        environ: the environment the engine inherits.
        run: runs a plan; the real engine by default.

    Raises:
        TrainingError: the engine failed for another reason than memory.
        MachineError: nothing in the settings makes it fit.
    """
    job, change = ready.job, Change()
    while True:
        tell(f"{STEPS} steps{_with(change)}")
        with tempfile.TemporaryDirectory(prefix="loraforge-measure-") as name:
            outcome, lines = _tried(replace(ready, job=job), Path(name), environ, run or _run)
        if len(lines) == STEPS:
            return _measurement(job, change, lines)
        if outcome.end.name == "interrupted":
            raise Interrupted("stopped while measuring; nothing is left behind")
        if outcome.end.name != "gpu-memory":
            raise TrainingError(f"measuring failed: {outcome.cause}", "loraforge check and doctor tell what is amiss")
        job, step = _less(job)
        change |= step


def largest(ready: Ready) -> Entry:
    """Return the picture whose bucket has the most pixels; the first one where sizes can't be read."""
    dataset = ready.job.dataset

    def pixels(entry: Entry) -> int:
        try:
            bucket = bucket_for(read_size(entry.source), dataset.resolution, dataset.buckets).bucket
        except DatasetError:  # lint names it
            return 0
        return bucket[0] * bucket[1]

    return max(ready.set_, key=pixels)


def _short(job: Job) -> Job:
    """Return the job cut to three steps that leave nothing behind; samples have a forecast of their own."""
    training = {"steps": STEPS, "save_every_steps": None, "save_states": False}
    sampling: dict[str, object] = {"prompts": [], "every_steps": None, "at_start": False}
    return job.model_copy(
        update={
            "training": job.training.model_copy(update=training),
            "sampling": job.sampling.model_copy(update=sampling),
            "dataset": job.dataset.model_copy(update={"repeats": None}),
        }
    )


def _tried(
    ready: Ready, home: Path, environ: Mapping[str, str], run: Callable[[RunPlan, Mapping[str, str]], Outcome]
) -> tuple[Outcome, list[dict[str, float]]]:
    output = ready.job.output.model_copy(update={"dir": home})
    whole = replace(ready, job=ready.job.model_copy(update={"output": output}))
    folder = RunFolder(home / "run")
    short = build_plan(replace(whole, job=_short(whole.job), set_=(largest(ready),)), folder)
    # Three steps alone would not be worth what speeds the whole run up.
    plan = quickened(short, fast_plan(build_plan(whole, folder)))
    record = home / "steps.jsonl"
    argv = (*plan.argv[:-3], str(Path(gauge.__file__)), *plan.argv[-3:])  # the last three are script and config
    plan = replace(plan, argv=argv, env={**plan.env, gauge.VARIABLE: str(record)})
    outcome = run(plan, environ)
    lines = record.read_text("utf-8").splitlines() if record.exists() else []
    return outcome, [json.loads(line) for line in lines]


class _Silent:
    """Shows nothing."""

    def handle(self, event: Event) -> None:
        pass

    def tick(self, now: float) -> None:
        pass


def _run(plan: RunPlan, environ: Mapping[str, str]) -> Outcome:
    prepare(plan)
    return train(plan, _Silent(), environ=environ)


def _measurement(job: Job, change: Change, lines: list[dict[str, float]]) -> Measurement:
    def most(name: str) -> float | None:
        return max((line[name] for line in lines if name in line), default=None)

    seconds = lines[-1]["at"] - lines[-2]["at"]
    return Measurement(job, change, seconds, most("allocated_gib"), most("reserved_gib"))


def _less(job: Job) -> tuple[Job, Change]:
    """Return the job a rung further down, and the change that took it there."""
    for change in sorted(rungs(job), key=_place):
        if (other := changed(job, change)) is not None:
            return other, change
    raise MachineError("three steps do not fit this card with any settings", "use a card with more memory")


def _place(change: Change) -> int:
    names = [path.partition(".")[2] for path in change]
    return min((_ORDER.index(name) for name in names if name in _ORDER), default=len(_ORDER))


def _with(change: Change) -> str:
    return " with " + ", ".join(f"{path} = {str(value).lower()}" for path, value in change.items()) if change else ""
