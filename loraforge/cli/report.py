"""`loraforge report RUN`."""

import time
from pathlib import Path

import typer

from loraforge.cli.common import human, result


def report(
    run: Path = typer.Argument(..., metavar="RUN", help="Run folder: runs/<name>/<time>."),
    out: Path | None = typer.Option(None, metavar="FILE", help="The page; by default RUN/report.html."),
    watch: bool = typer.Option(False, "--watch", help="Write it again until the run is over."),
    every: int = typer.Option(10, min=1, max=3600, metavar="SECONDS", help="How often, with --watch."),
) -> int:
    """Write a run as one self-contained page: outcome, curves, phases, checkpoints, samples, settings."""
    from loraforge.report.pages import write_page
    from loraforge.report.run_page import render_run
    from loraforge.run.history import read_run

    page = out if out is not None else run / "report.html"
    told = False
    while True:
        read = read_run(run)
        going_on = watch and read.status == "running"
        write_page(page, render_run(read, refresh=every if going_on else None))
        if not told:
            result(str(page))
            told = True
        if not going_on:
            return 0
        human().print(
            f"step {read.history.points[-1].step if read.history.points else 0} of {read.steps}", markup=False
        )
        time.sleep(every)
