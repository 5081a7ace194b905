"""`loraforge attach`."""

from pathlib import Path

import typer
from rich.text import Text

from loraforge.cli.common import human, load_settings
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
    if standing(folder) is None:
        raise ConfigError(f"{folder.path}: holds no run", "name a run folder: runs/<name>/<time>")
    if stop:
        human().print(Text(f"asked process {ask_to_stop(folder)} to stop"))
    view = choose_view(human(soft_wrap=False), json=json)
    try:
        record = follow(folder, view.handle, view.tick)
    except KeyboardInterrupt:
        back = f"loraforge attach {folder.path} shows it again; with --stop it ends it"
        raise Interrupted("no longer looking; the run goes on", back) from None
    finally:
        view.close()
    return _told(folder, record)


def _told(folder: RunFolder, record: Record | None) -> int:
    if record is not None and record.status == "done":
        human().print(Text(f"done: {folder.lora(record.name)}"))
        return EXIT_DONE
    cause = f"{record.end}: {record.cause}" if record is not None else "it left no word"
    hint = f"loraforge train {folder.path} --resume goes on; loraforge diagnose {folder.path} tells more"
    if record is not None and record.status == "interrupted":
        raise Interrupted(cause, hint)
    raise TrainingError(cause, hint)


def _newest() -> RunFolder:
    job = load_settings(None).job
    newest = latest(job.output.dir, job.output.name)
    if newest is None:
        raise ConfigError(
            f"{job.output.dir / job.output.name}: there is no run in it", "name one: loraforge attach RUN"
        )
    return newest
