"""The course of the learning rate: warm-up, restarts, and pairs that the engine mishandles."""

from collections.abc import Iterator

from loraforge.advice.rules.case import Case, Fix
from loraforge.advice.rules.registry import Hit, rule

_CONSTANT: Fix = {"optimizer.schedule": "constant", "optimizer.restarts": None, "optimizer.warmup_steps": None}


@rule("error", "arithmetic: the rate would still be rising when the run ends")
def warmup_never_ends(case: Case) -> Iterator[Hit]:
    """A warm-up as long as the run never reaches the learning rate."""
    warmup, steps = case.job.optimizer.warmup_steps, case.steps
    if warmup is not None and steps is not None and warmup >= steps:
        fix = {"optimizer.warmup_steps": max(1, steps // 10)}
        yield Hit("optimizer.warmup_steps", f"{warmup} warm-up steps in a run of {steps}", fix)


@rule("warning", "the style-LoRA guide warms up over a tenth: 50 of 500 steps")
def warmup_long(case: Case) -> Iterator[Hit]:
    """A warm-up over more than a quarter of a short run spends most of it below its rate."""
    warmup, steps = case.job.optimizer.warmup_steps, case.steps
    if warmup is not None and steps is not None and steps / 4 < warmup < steps:
        fix = {"optimizer.warmup_steps": max(1, steps // 10)}
        yield Hit("optimizer.warmup_steps", f"{warmup} warm-up steps in a run of {steps}", fix)


@rule("info", "the first updates of an adaptive optimizer rest on few gradients")
def warmup_missing(case: Case) -> Iterator[Hit]:
    """A hot rate from the very first step can damage what later steps can't mend."""
    optimizer = case.job.optimizer
    adaptive = optimizer.name not in {"prodigy", "adamw-schedule-free"}
    if adaptive and case.rate >= 3e-4 and optimizer.warmup_steps is None:
        schedule = "constant_with_warmup" if optimizer.schedule == "constant" else optimizer.schedule
        fix = {"optimizer.schedule": schedule, "optimizer.warmup_steps": max(10, (case.steps or 500) // 10)}
        yield Hit("optimizer.warmup_steps", f"no warm-up at (alpha / rank) x learning_rate {case.rate:.2g}", fix)


@rule("warning", "sd-scripts train_util.py: an integer warm-up is not multiplied by the number of processes")
def warmup_shrinks_on_several_gpus(case: Case) -> Iterator[Hit]:
    """The scheduler is stepped once for every process, so that the warm-up ends that many times earlier."""
    warmup, processes = case.job.optimizer.warmup_steps, case.job.launch.processes
    if warmup is not None and processes > 1:
        said = f"{warmup} warm-up steps over {processes} processes last {max(1, warmup // processes)}"
        yield Hit("optimizer.warmup_steps", said, {"launch.processes": 1})


@rule("info", "sd-scripts: lr_scheduler_num_cycles is 1 by default")
def restarts_missing(case: Case) -> Iterator[Hit]:
    """With one cycle cosine_with_restarts is plain cosine and never restarts."""
    optimizer = case.job.optimizer
    if optimizer.schedule == "cosine_with_restarts" and optimizer.restarts in {None, 1}:
        yield Hit("optimizer.restarts", "cosine_with_restarts with one cycle", {"optimizer.restarts": 3})


@rule("warning", "judgement: a cycle has to learn something before its rate is back at zero")
def restarts_many(case: Case) -> Iterator[Hit]:
    """Cycles shorter than 50 steps stop learning before they have begun."""
    restarts, steps = case.job.optimizer.restarts, case.steps
    if restarts is not None and restarts > 1 and steps is not None and steps / restarts < 50:
        fix: Fix = {"optimizer.restarts": steps // 100}
        if steps < 200:
            fix = {"optimizer.schedule": "cosine", "optimizer.restarts": None}
        yield Hit("optimizer.restarts", f"{restarts} cycles in {steps} steps", fix)


@rule("info", "sd-scripts train_util.py:5087 recommends constant_with_warmup")
def adafactor_schedule(case: Case) -> Iterator[Hit]:
    """Adafactor does best at a steady rate, which also makes every checkpoint comparable with the next."""
    optimizer = case.job.optimizer
    if optimizer.name == "adafactor" and optimizer.schedule not in {"constant", "constant_with_warmup"}:
        warmup = optimizer.warmup_steps or 50
        fix: Fix = {"optimizer.schedule": "constant_with_warmup", "optimizer.warmup_steps": warmup}
        yield Hit("optimizer.schedule", f"adafactor with {optimizer.schedule}", {**fix, "optimizer.restarts": None})


@rule("warning", "sd-scripts train_util.py:5270 puts a dummy in its place")
def schedule_free_schedule(case: Case) -> Iterator[Hit]:
    """A schedule-free optimizer ignores the schedule, its warm-up included; it has a warm-up of its own."""
    optimizer = case.job.optimizer
    if optimizer.name == "adamw-schedule-free" and optimizer.schedule != "constant":
        fix = dict(_CONSTANT)
        if optimizer.warmup_steps is not None:
            fix["optimizer.args.warmup_steps"] = optimizer.warmup_steps
        yield Hit("optimizer.schedule", f"{optimizer.name} with {optimizer.schedule}", fix)


@rule("info", "diffusers: both decay to zero over the run")
def decay_hides_checkpoints(case: Case) -> Iterator[Hit]:
    """At the end of a decay nothing is learnt any more, so the last checkpoints are one and the same."""
    optimizer, every, steps = case.job.optimizer, case.job.training.save_every_steps, case.steps
    decays = optimizer.schedule in {"linear", "cosine"} and optimizer.name != "adamw-schedule-free"
    if decays and every is not None and steps is not None and steps / every > 10:
        yield Hit("optimizer.schedule", f"{steps // every} checkpoints under {optimizer.schedule}", _CONSTANT)
