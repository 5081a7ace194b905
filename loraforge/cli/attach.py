"""`loraforge attach`."""

from json import dumps
from pathlib import Path
from shlex import quote

import typer
from rich.text import Text

from loraforge.cli.common import human, load_settings, result
from loraforge.engine.events import Event, Problem
from loraforge.errors import EXIT_DONE, ConfigError, Interrupted, TrainingError
from loraforge.report.view import choose_view
from loraforge.run.detach import ask_to_stop, follow
from loraforge.run.folder import RunFolder, latest
from loraforge.run.record import Record, standing


def attach(
    run: Path | None = typer.Argument(None, metavar="RUN", help="A run folder; by default the newest run."),
    stop: bool = typer.Option(False, "--stop", help="Ask it to stop, as Ctrl-C would, and see it end."),
    json: bool = typer.Option(False, "--json", help="One JSON object a line on stdout."),
) -> int:
    """Show a run that another loraforge carries out, until it ends; Ctrl-C leaves it running."""
    folder = RunFolder(run.absolute()) if run is not None else _newest()
    before = standing(folder)
    if before is None:
        raise ConfigError(f"{folder.path}: holds no run", "name a run folder: runs/<name>/<time>")
    if stop and before.status != "running":
        return _told(folder, before, json=json)
    if stop:
        human().print(Text(f"asked process {ask_to_stop(folder)} to stop"))
    view = choose_view(human(soft_wrap=False), json=json)
    try:
        record = follow(folder, lambda event: None if _of_stopping(event, stop) else view.handle(event), view.tick)
    except KeyboardInterrupt:
        back = f"loraforge attach {quote(str(folder.path))} shows it again; with --stop it ends it"
        raise Interrupted("no longer looking; the run goes on", back) from None
    finally:
        view.close()
    return _told(folder, record, json=json)


def _of_stopping(event: Event, asked: bool) -> bool:
    """Tell whether an event is what an orderly stop looks like from within the engine: a traceback."""
    return isinstance(event, Problem) and (asked or (event.level == "traceback" and "KeyboardInterrupt" in event.text))


def _told(folder: RunFolder, record: Record | None, *, json: bool) -> int:
    run = quote(str(folder.path))
    if json and record is not None:
        result(_ended(folder, record))
    if record is not None and record.status == "done":
        if not folder.lora(record.name).is_file():
            raise ConfigError(f"{folder.lora(record.name)}: is gone", f"loraforge train {run} trains it again")
        human().print(Text(f"done: {folder.lora(record.name)}"))
        return EXIT_DONE
    cause = f"{record.end}: {record.cause}" if record is not None else "it left no word"
    hint = f"loraforge train {run} --resume goes on; loraforge diagnose {run} tells more"
    if record is not None and record.status == "interrupted":
        raise Interrupted(cause, hint)
    raise TrainingError(cause, hint)


def _ended(folder: RunFolder, record: Record) -> str:
    """Return the last line of `--json`, with what the record tells of `train`'s own."""
    lora = folder.lora(record.name)
    return dumps(
        {
            "event": "ended",
            "status": record.status,
            "cause": record.cause,
            "run": str(folder.path),
            "lora": str(lora) if record.status == "done" and lora.is_file() else None,
            "steps": record.steps,
            "last_step": record.step,
            "changes": list(record.changes),
            "checkpoints": {str(step): str(path) for step, path in folder.checkpoints(record.name).items()},
        }
    )


def _newest() -> RunFolder:
    job = load_settings(None).job
    newest = latest(job.output.dir, job.output.name)
    if newest is None:
        raise ConfigError(
            f"{job.output.dir / job.output.name}: there is no run in it", "name one: loraforge attach RUN"
        )
    return newest
