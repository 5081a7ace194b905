"""One run as one self-contained page, also while it goes on."""

import functools
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from loraforge.advice.diagnose import of_run
from loraforge.advice.rules import check_job
from loraforge.compare.samples import Sample, samples_of
from loraforge.config.job import Job
from loraforge.engine.schedule import learning_rate
from loraforge.findings import Finding, ranked
from loraforge.report.charts import Mark, Series, line_chart, span_text, timeline
from loraforge.report.losses import recent_losses, smoothed
from loraforge.report.pages import environment, picture_data
from loraforge.report.state import DOING
from loraforge.run.history import History, Run
from loraforge.run.verify import Proof, prove
from loraforge.settings.layers import leaves
from loraforge.settings.load import shown

_SIDE = 256
_MOST_COLUMNS = 24  # more sample columns are thinned out evenly
_LOSS_RECOVERED = (
    "Faint: as raw as the engine's three digits allow, single steps at the start, means of a few dozen later. "
    "Bold: smoothed. Lines mark checkpoints."
)
_LOSS_MEASURED = "Faint: every step. Bold: smoothed. Lines mark checkpoints."
_WORDS = {"done": "done", "failed": "failed", "interrupted": "interrupted", "running": "running",
          "broken-off": "broken off", "unknown": "unknown"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A row of the table of checkpoints; `faults` is empty where it is proven."""

    step: int
    name: str
    size: str
    saved: str
    faults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SampleRow:
    """A prompt and its pictures, one per step; an empty string where there is none."""

    prompt: str
    pictures: list[str]


def render_run(run: Run, *, refresh: int | None = None, now: datetime | None = None) -> str:
    """Return the page as HTML; nothing is loaded from elsewhere.

    Args:
        run: what was read of the run folder.
        refresh: seconds after which a browser loads the page again; None for a run that is over.
        now: the time it is written.
    """
    history = run.history
    steps, rows = _samples(samples_of(run))
    return (
        environment()
        .get_template("run.html.j2")
        .render(
            name=run.name,
            folder=run.folder.path.name,
            status=run.status,
            word=_WORDS[run.status],
            cause=run.cause,
            refresh=refresh if run.status == "running" else None,
            written=(now or datetime.now().astimezone()).strftime("%Y-%m-%d %H:%M:%S"),
            tiles=_tiles(run),
            argument=shlex.quote(str(run.folder.path)),
            charts=_charts(run),
            phases=timeline(_spans(history)),
            timed=bool(history.phases),
            checkpoints=_checkpoints(run),
            sample_steps=steps,
            sample_rows=rows,
            settings=settings_with_origin(run),
            findings=_findings(run),
            surroundings=_surroundings(run),
            unread=history.unread,
        )
    )


def _tiles(run: Run) -> list[tuple[str, str]]:
    history, points = run.history, run.history.points
    step = points[-1].step if points else int(run.state.get("step") or 0)
    tiles = [("step", f"{step} of {run.steps}")]
    if recent := smoothed(_losses(history)):
        tiles.append(("recent loss", f"{recent[-1][1]:.3g}"))
    if history.measured:  # the middle one: the first compiles, and some draw samples
        tiles.append(("a step", span_text(median(one.seconds for one in history.measured.values()))))
    elif points and points[-1].seconds_per_step:
        tiles.append(("a step", span_text(points[-1].seconds_per_step)))
    began, ended = _moment(run.state.get("began")), _moment(run.state.get("ended"))
    if began is not None:
        end = ended if ended is not None else history.last
        if end is not None:
            tiles.append(("took" if ended else "so far", span_text(end - began)))
    if reserved := _most(history, "reserved_gib"):
        tiles.append(("peak GPU memory", f"{reserved:.1f} GiB"))
    elif history.memory:
        tiles.append(("most GPU memory seen", f"{max(gib for _, gib in history.memory):.1f} GiB"))
    lora = run.folder.lora(run.name)
    if lora.is_file():
        tiles.append(("the LoRA", _size(lora.stat().st_size)))
    return tiles


def _losses(history: History) -> list[tuple[float, float]]:
    if history.measured:
        return [(float(step), one.loss) for step, one in sorted(history.measured.items())]
    return recent_losses(history.points)


def _most(history: History, name: str) -> float:
    return max((getattr(one, name) or 0.0 for one in history.measured.values()), default=0.0)


def _moment(text: object) -> float | None:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return None


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


def _charts(run: Run) -> list[tuple[str, str, Any]]:
    """Return (title, explanation, drawing) for every chart that has something to show."""
    history, job = run.history, run.job
    marks = [Mark(step, f"checkpoint at step {step}") for step in run.loras()]
    recent = _losses(history)
    measured = sorted(history.measured.items())
    rates = [(step, one.learning_rate) for step, one in measured] or [
        (step, learning_rate(job.optimizer, step, run.steps)) for step in (_steps(run.steps) if history.points else ())
    ]
    known = [(float(step), rate) for step, rate in rates if rate is not None]
    paces = [(float(step), one.seconds) for step, one in measured] or [
        (float(point.step), point.seconds_per_step) for point in history.points if point.seconds_per_step
    ]
    first = run.history.memory[0][0] if run.history.memory else 0.0
    memory = [((at - first) / 60, gib) for at, gib in run.history.memory]
    drawn = [
        (
            "Loss",
            _LOSS_MEASURED if measured else _LOSS_RECOVERED,
            line_chart(
                [Series("recent", recent, "faint"), Series("smoothed", smoothed(recent), "bold")],
                x_name="step", y_name="loss", marks=marks,
            ),
        ),
        (
            "Learning rate",
            "As the optimizer had it." if measured else "As the schedule makes it.",
            line_chart([Series("rate", known, "second")], x_name="step", y_name="learning rate", zero=True),
        ),
        (
            "Step time",
            "Since the step before; samples and saves stand out."
            if measured
            else "The engine's mean in seconds since it began to train, samples and saves included.",
            line_chart([Series("seconds", paces, "third")], x_name="step", y_name="seconds a step", zero=True),
        ),
        (
            "GPU memory",
            f"In use on the card, in GiB. {_peaks(history)}".rstrip(),
            line_chart([Series("GiB", memory, "third")], x_name="minutes", y_name="GiB in use", zero=True),
        ),
    ]  # fmt: skip
    return [chart for chart in drawn if chart[2]]


def _peaks(history: History) -> str:
    allocated, reserved = _most(history, "allocated_gib"), _most(history, "reserved_gib")
    return f"The engine took {reserved:.2f} at most, its tensors {allocated:.2f}." if reserved else ""


def _steps(steps: int) -> Sequence[int]:
    return range(1, steps + 1, max(1, steps // 300))


def _spans(history: History) -> list[tuple[str, float, float]]:
    ends = [begin for _, begin in history.phases[1:]] + [history.last or 0.0]
    return [
        (phase, begin, max(begin, end))
        for (phase, begin), end in zip(history.phases, ends, strict=False)
        if phase in DOING
    ]


def _checkpoints(run: Run) -> list[Checkpoint]:
    saved = dict(run.history.checkpoints)
    began = _moment(run.state.get("began"))
    rows = []
    for step, path in run.loras().items():
        at = saved.get(path.name)
        when = f"after {span_text(at - began)}" if at is not None and began is not None else ""
        if path == run.folder.lora(run.name):
            when = "at the end"
        try:
            stamp = path.stat()
        except OSError:  # the engine removes old ones
            continue
        proof = _proof(path, run.job, step, stamp.st_mtime_ns)
        rows.append(Checkpoint(step, path.name, _size(stamp.st_size), when, proof.faults))
    return rows


@functools.lru_cache(maxsize=256)
def _proven(path: Path, job_text: str, step: int, _changed: int) -> Proof:
    return prove(path, Job.model_validate_json(job_text, strict=False), step=step)


def _proof(path: Path, job: Job, step: int, changed: int) -> Proof:
    return _proven(path, job.model_dump_json(), step, changed)


def _samples(samples: Sequence[Sample]) -> tuple[list[int], list[SampleRow]]:
    steps = sorted({sample.step for sample in samples})
    if len(steps) > _MOST_COLUMNS:
        steps = [steps[round(index * (len(steps) - 1) / (_MOST_COLUMNS - 1))] for index in range(_MOST_COLUMNS)]
    by_place = {(sample.index, sample.step): sample for sample in samples}
    prompts = {sample.index: sample.prompt for sample in samples}
    rows = []
    for index, prompt in sorted(prompts.items()):
        found = [by_place.get((index, step)) for step in steps]
        rows.append(SampleRow(prompt, [picture_data(sample.path, _SIDE) if sample else "" for sample in found]))
    return steps, rows


def settings_with_origin(run: Run) -> list[tuple[str, str, str]]:
    """Return (setting, value, what decided it) of everything that is set."""
    defaults = dict(leaves(Job().model_dump(mode="json")))
    rows = []
    for path, value in leaves(run.job.model_dump(mode="json")):
        if value is None or value in ({}, []):
            continue
        if run.origins is not None:
            origin = run.origins.get(path, "default")
        else:
            origin = "default" if defaults.get(path) == value else "not recorded"
        rows.append((path, shown(value), origin.replace("\\", "/").rpartition("/")[2]))  # a file by its name
    return rows


def _findings(run: Run) -> list[Finding]:
    try:
        log = run.folder.log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        log = ""
    code = run.state.get("returncode")
    # The log of a run that goes on breaks off in mid-sentence, which would read as a failure.
    ended = {key: str(run.state.get(key) or "") for key in ("end", "cause")}
    advice = (
        of_run(log, code if isinstance(code, int) else None, run.job, **ended)
        if log and run.status != "running"
        else []
    )
    found = [
        Finding(item.code, "warning" if run.status == "done" else "error", item.title, item.cause, item.fix)
        for item in advice
    ]
    found += [finding for finding in check_job(run.job) if finding.severity != "info"]
    for level, text in dict.fromkeys(run.history.problems):
        if level != "warning" and not advice:
            found.append(Finding("engine-said", "error", "engine", text[-600:], "engine.log has the whole of it"))
    return ranked(found)


def _surroundings(run: Run) -> list[tuple[str, str]]:
    if run.history.surroundings:
        return list(run.history.surroundings.items())
    for path in reversed(list(run.loras().values())):
        metadata = prove(path, run.job).metadata
        if commit := metadata.get("ss_sd_scripts_commit_hash"):
            return [("sd-scripts", commit)]
    return []
