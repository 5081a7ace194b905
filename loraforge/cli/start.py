"""What `train` and `demo` share: from a plan to a told ending."""

import contextlib
import io
import sys
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from shlex import quote

import platformdirs
from rich.text import Text

from loraforge.advice.disk import run_bytes
from loraforge.cli.common import human, result
from loraforge.engine.events import Problem
from loraforge.engine.failures import UNKNOWN
from loraforge.engine.schedule import learning_rate
from loraforge.errors import Interrupted, MachineError, TrainingError
from loraforge.report.ndjson import as_json
from loraforge.report.summary import summary
from loraforge.report.view import View, choose_view
from loraforge.run.diary import Diarist, surroundings
from loraforge.run.family import kill_family
from loraforge.run.figures import Figures
from loraforge.run.gpu import gpu_memory
from loraforge.run.heal import Healer, run_healed
from loraforge.run.lock import claim_cards, owned
from loraforge.run.plan import RunPlan
from loraforge.run.quicken import STEPS, quickened
from loraforge.run.record import Record, read
from loraforge.run.resume import step_of
from loraforge.run.supervise import StopRequests
from loraforge.run.train import Outcome, prepare, train, words
from loraforge.run.watch import enough_space


def carry_out(
    plan: RunPlan,
    *,
    json: bool,
    heal: bool = True,
    allowed: Collection[str] = (),
    again: Callable[[], RunPlan] | None = None,
) -> Outcome:
    """Prepare and run a plan, show it, and tell how it ended.

    Args:
        plan: what to do.
        json: whether a program reads.
        heal: whether to go on after what can be mended.
        allowed: consents to changes of the result; see `loraforge.run.heal.CONSENTS`.
        again: plans it anew once the folder is held: who held it before may have gone on, or ended it.

    Raises:
        TrainingError: no proven LoRA came of it.
        Interrupted: the user stopped it.
        MachineError: another run holds the folder, or the disk is too small.
    """
    on_gpu, names = plan.job.launch.device != "cpu", plan.ready.cards
    if on_gpu and not names:
        hint = "unset it, or name a card with --set launch.gpu_ids=0"
        raise MachineError("CUDA_VISIBLE_DEVICES hides every GPU from the run", hint)
    gpu_gib = gpu_memory(names) if on_gpu else lambda: None
    view = choose_view(
        human(soft_wrap=False),
        json=json,
        gpu_gib=gpu_gib,
        learning_rate=lambda step: learning_rate(plan.job.optimizer, step, plan.steps),
    )
    with owned(plan.folder.path) as lock, contextlib.ExitStack() as cards:
        plan = again() if again is not None else plan
        ready_to_start(plan)
        stop = StopRequests()
        with _recording(plan, view, gpu_gib, stop) as recorded, stop.listening():

            def tell(words: str) -> None:
                recorded.handle(Problem("warning", words))

            if on_gpu:
                locks, told_of = claim_cards(names, plan.folder.path, _places())
                for card in locks:
                    cards.callback(card.release)
                for words in told_of:
                    tell(words)

            def run(current: RunPlan, record: Record | None) -> Outcome:
                held = (lock.descriptor,) if sys.platform != "win32" else ()
                done = step_of(current.resume) if current.resume else 0
                names = {entry.stem: entry.source.name for entry in current.ready.set_}
                figures = Figures(current.folder.path / STEPS, first_step=done, names=names)
                return train(
                    quickened(current),
                    recorded,
                    stop=stop,
                    gpu_gib=gpu_gib,
                    before=record,
                    measured=figures.fresh,
                    holding=held,
                )

            healer = Healer(allowed) if heal else None
            plan, outcome = run_healed(plan, run, healer=healer, prepare=prepare, tell=tell)
    if json:
        with contextlib.suppress(OSError):  # nobody reads any more
            result(summary(plan, outcome).as_json())
    return told(plan, outcome)


def ready_to_start(plan: RunPlan) -> None:
    """Bring a held folder to where the engine can start, with nothing of an earlier start left and room on the disk.

    Raises:
        MachineError: the disk is too small, or can't be written.
        DatasetError: pictures can't be decoded.
    """
    before = read(plan.folder.state)
    if before is not None and before.status == "running" and before.family:
        kill_family(before.family)
    # What a run writes is known of FLUX.1's own size only; a toy is small.
    needed = run_bytes(plan.job, len(plan.ready.set_)) if plan.ready.full_size else 0
    written = sum(path.stat().st_size for path in plan.folder.output.rglob("*") if path.is_file())
    if missing := enough_space(plan.folder.path, max(0, needed - written)):
        hint = "free space, choose another [output] dir, or keep fewer checkpoints: --set output.keep_last=2"
        raise MachineError(missing, hint)
    prepare(plan)


def _places() -> Path:
    return platformdirs.user_cache_path("loraforge", appauthor=False) / "locks"


def told(plan: RunPlan, outcome: Outcome) -> Outcome:
    """Tell how a run ended; anything but a proven LoRA is raised."""
    if outcome.status == "done":
        with contextlib.suppress(OSError):  # its terminal was closed: done is done
            human().print(Text(summary(plan, outcome).as_text()))
        return outcome
    where = f"the whole log is {plan.folder.log}"
    kept = f"; kept: checkpoints of step {', '.join(map(str, outcome.checkpoints))}" if outcome.checkpoints else ""
    if outcome.status == "interrupted":
        raise Interrupted(
            f"{outcome.cause}{kept}", f"loraforge train {quote(str(plan.folder.path))} --resume goes on; {where}"
        )
    # A failure that is explained needs no more of the log than its evidence.
    tail = "" if _explain(plan, outcome) else "\n".join(f"    {line}" for line in outcome.ending.tail)
    hint = f"loraforge diagnose {quote(str(plan.folder.path))}; {where}"
    raise TrainingError(f"{outcome.end.name}: {outcome.cause}{kept}\n{tail}".rstrip(), hint)


def _explain(plan: RunPlan, outcome: Outcome) -> bool:
    """Say of a failed run what `loraforge diagnose` would say, and return whether that was a known cause."""
    from loraforge.advice.diagnose import of_run
    from loraforge.cli.diagnose import say_advice

    record = read(plan.folder.state)
    log = words(plan.folder, record.log_from if record else 0, outcome.ending)
    if not log or outcome.ending.verdict is not None:  # without a log there is nothing to explain; a verdict does so
        return bool(log)
    advice = of_run(log, outcome.ending.returncode, plan.job)
    with contextlib.suppress(OSError):  # as above
        say_advice(advice)
    return bool(advice) and advice[0].code not in UNKNOWN


@contextlib.contextmanager
def _recording(plan: RunPlan, view: View, gpu_gib: Callable[[], float | None], stop: StopRequests) -> Iterator[Diarist]:
    try:
        # Unbuffered: what did not fit on a full disk must not come back to fail once more when the file is closed.
        raw = plan.folder.events.open("ab", buffering=0)
        with io.TextIOWrapper(raw, encoding="utf-8", write_through=True) as file:
            yield Diarist(view, file, as_json, surroundings=surroundings(plan), gpu_gib=gpu_gib, unheard=stop.request)
    finally:
        with contextlib.suppress(OSError):  # its terminal was closed
            view.close()
