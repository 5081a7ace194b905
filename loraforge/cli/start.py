"""What `train` and `demo` share: from a plan to a told ending."""

import contextlib
from collections.abc import Callable, Iterator

from rich.text import Text

from loraforge.cli.common import human, result
from loraforge.engine.failures import UNKNOWN
from loraforge.engine.schedule import learning_rate
from loraforge.errors import Interrupted, TrainingError
from loraforge.report.ndjson import as_json
from loraforge.report.summary import summary
from loraforge.report.view import View, choose_view
from loraforge.run.diary import Diarist, surroundings
from loraforge.run.gpu import gpu_memory
from loraforge.run.plan import RunPlan
from loraforge.run.train import Outcome, prepare, train


def carry_out(plan: RunPlan, *, json: bool) -> Outcome:
    """Prepare and run a plan, show it, and tell how it ended.

    Raises:
        TrainingError: no proven LoRA came of it.
        Interrupted: the user stopped it.
    """
    prepare(plan)
    cards = [int(card) for card in (plan.job.launch.gpu_ids or "0").split(",")]
    gpu_gib = (lambda: None) if plan.job.launch.device == "cpu" else gpu_memory(cards)
    view = choose_view(
        human(),
        json=json,
        gpu_gib=gpu_gib,
        learning_rate=lambda step: learning_rate(plan.job.optimizer, step, plan.steps),
    )
    with _recording(plan, view, gpu_gib) as recorded:
        outcome = train(plan, recorded, gpu_gib=gpu_gib)
    if json:
        result(summary(plan, outcome).as_json())
    return told(plan, outcome)


def told(plan: RunPlan, outcome: Outcome) -> Outcome:
    """Tell how a run ended; anything but a proven LoRA is raised."""
    if outcome.status == "done":
        human().print(Text(summary(plan, outcome).as_text()))
        return outcome
    where = f"the whole log is {plan.folder.log}"
    if outcome.status == "interrupted":
        kept = f"; checkpoints kept: {', '.join(map(str, outcome.checkpoints))}" if outcome.checkpoints else ""
        raise Interrupted(f"{outcome.cause}{kept}", f"loraforge train {plan.folder.path} --resume goes on; {where}")
    # A failure that is explained needs no more of the log than its evidence.
    tail = "" if _explain(plan, outcome) else "\n".join(f"    {line}" for line in outcome.ending.tail)
    raise TrainingError(f"{outcome.cause}\n{tail}".rstrip(), f"loraforge diagnose {plan.folder.path}; {where}")


def _explain(plan: RunPlan, outcome: Outcome) -> bool:
    """Say of a failed run what `loraforge diagnose` would say, and return whether that was a known cause."""
    from loraforge.advice.diagnose import of_run
    from loraforge.cli.diagnose import say_advice

    try:
        log = plan.folder.log.read_text(encoding="utf-8", errors="replace")
    except OSError:  # without a log there is nothing to explain
        return False
    advice = of_run(log, outcome.ending.returncode, plan.job)
    say_advice(advice)
    return bool(advice) and advice[0].code not in UNKNOWN


@contextlib.contextmanager
def _recording(plan: RunPlan, view: View, gpu_gib: Callable[[], float | None]) -> Iterator[Diarist]:
    try:
        with plan.folder.events.open("a", encoding="utf-8") as file:
            yield Diarist(view, file, as_json, surroundings=surroundings(plan), gpu_gib=gpu_gib)
    finally:
        view.close()
