"""`loraforge diagnose`: what went wrong, and what to change."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from loraforge.advice.diagnose import Advice, of_run, of_symptom
from loraforge.advice.rules import check_job
from loraforge.cli.common import human, load_settings, printable, result, say_findings
from loraforge.config.job import Job, contradictions
from loraforge.engine.remedy import setting_of
from loraforge.errors import EXIT_DONE, ConfigError
from loraforge.findings import Finding
from loraforge.run.folder import RunFolder, latest
from loraforge.run.record import standing
from loraforge.run.train import log_since
from loraforge.settings import load
from loraforge.settings.load import shown


@dataclass(frozen=True, slots=True)
class _Traces:
    """What a run left behind.

    Attributes:
        path: its folder, or the log alone.
        log: the engine's output.
        job: its settings; the defaults for a log alone.
        status: as state.json says; empty when unknown.
        returncode: how the engine ended; None when unknown.
    """

    path: Path
    log: str
    job: Job
    status: str = ""
    end: str = ""
    cause: str = ""
    returncode: int | None = None


def diagnose(
    run: Annotated[
        Path | None,
        typer.Argument(metavar="RUN", help="A run folder, or an engine's log; by default the newest run."),
    ] = None,
    *,
    symptom: Annotated[str | None, typer.Option(help='What the result looks like, such as "deep fried".')] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
) -> int:
    """Say what went wrong with a run or its result, on which evidence, and which settings would change it."""
    traces = None if symptom is not None and run is None else _traces(run or _newest())
    job = traces.job if traces else load_settings(None).job
    advice = of_run(traces.log, traces.returncode, job, end=traces.end, cause=traces.cause) if traces else []
    if symptom is not None:
        advice += of_symptom(symptom, job)
    findings = list(_judged(job)) if traces else []
    if as_json:
        document = {
            "run": str(traces.path) if traces else None,
            "status": traces.status if traces else None,
            "advice": [item.as_dict() for item in advice],
            "findings": [finding.as_dict() for finding in findings],
        }
        result(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        _show(traces, advice, findings)
    return EXIT_DONE


def _judged(job: Job) -> Iterator[Finding]:
    """Yield what is wrong with a run's settings, those that can't go together first."""
    for path, why in contradictions(job):
        message = f"{path} = {shown(setting_of(job, path))} {why}."
        yield Finding("contradiction", "error", path, message, "change one of the two for the next run")
    yield from (finding for finding in check_job(job) if finding.severity != "info")


def _newest() -> Path:
    job = load_settings(None).job
    newest = latest(job.output.dir, job.output.name)
    if newest is None:
        where = job.output.dir / job.output.name
        raise ConfigError(f"{where}: there is no run in it", "name one: loraforge diagnose RUN; or say --symptom TEXT")
    return newest.path


def _traces(path: Path) -> _Traces:
    folder = RunFolder(path)
    log_path = path if path.is_file() else folder.log
    try:
        log = log_path.read_text(encoding="utf-8", errors="replace")
    except OSError as fault:
        hint = "name a run folder (runs/<name>/<time>) or a log file"
        raise ConfigError(f"{log_path}: can't be read: {fault.strerror}", hint) from None
    if path.is_file():
        return _Traces(path, log, Job())
    job = load(folder.job, cwd=Path.cwd(), contradictory=True).job if folder.job.exists() else Job()
    record = standing(folder)
    if record is None:  # a run that was cut off may have left none
        return _Traces(path, log, job)
    last = log_since(folder.log, record.log_from) or log  # a log holds every start of a run
    heard = (line for line in record.evidence if line not in last)  # what found no room on a full disk
    return _Traces(path, "\n".join([last, *heard]), job, record.status, record.end, record.cause, record.returncode)


def say_advice(advice: list[Advice]) -> None:
    """Tell advice: what is seen, why, on which evidence, and what to change."""
    console = human()
    for number, item in enumerate(advice, start=1):
        console.print(Text.assemble((f"{number}. {printable(item.title)}", "bold"), "  ", (f"[{item.code}]", "dim")))
        console.print(Text(f"   {printable(item.cause)}"))
        for line in item.evidence:
            console.print(Text(f"   | {printable(line)[:300]}".replace("\n", "\n   | "), "dim"))
        console.print(Text.assemble(("   → ", "bold"), printable(item.fix)))
        for path, (old, new) in item.settings.items():
            console.print(Text.assemble(f"     {path}: ", (shown(old), "red"), " → ", (shown(new), "green")))
        if item.flags:
            console.print(Text(f"     {item.flags}", "cyan"))


def _show(traces: _Traces | None, advice: list[Advice], findings: list[Finding]) -> None:
    console = human()
    if traces:
        console.print(Text(printable(f"{traces.path}{f' ({traces.status})' if traces.status else ''}"), "dim"))
    if not advice:
        console.print(Text("nothing in the log says that anything went wrong", "green"))
    say_advice(advice)
    if findings:
        console.print(Text("its settings, judged:", "bold"))
        say_findings(findings)
