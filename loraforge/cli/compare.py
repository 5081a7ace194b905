"""`loraforge compare RUN`."""

import json
import os
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import typer
from rich.progress import Progress

from loraforge.cli.common import existing, human, result
from loraforge.errors import ConfigError

if TYPE_CHECKING:
    from loraforge.compare.grid import Grid
    from loraforge.compare.judge import Judged
    from loraforge.compare.recommend import Recommendation
    from loraforge.run.history import Run

_PROMPTS = "compare.toml"


def compare(
    run: Path = typer.Argument(..., metavar="RUN", help="Run folder: runs/<name>/<time>."),
    generate: bool = typer.Option(False, "--generate", help="Draw what is missing, for every checkpoint and the base."),
    strengths: str = typer.Option("1", help="Strengths to draw at, such as 0.7,1; scores use 1."),
    prompts: Path | None = typer.Option(None, metavar="FILE", help="Prompt set; by default RUN/compare.toml."),
    out: Path | None = typer.Option(None, metavar="FILE", help="The page; by default RUN/compare.html."),
    sheet: Path | None = typer.Option(None, metavar="FILE", help="The contact sheet; by default RUN/compare.png."),
    embed: str | None = typer.Option(None, metavar="MODEL", help="A CLIP, SigLIP or DINOv2 folder that judges style."),
    as_json: bool = typer.Option(False, "--json", help="Print scores and recommendation as one JSON document."),
) -> int:
    """Lay checkpoints side by side, score them, and recommend one; nothing is drawn unless asked for."""
    from loraforge.compare.choice import remember
    from loraforge.compare.grid import from_training
    from loraforge.compare.judge import judge
    from loraforge.compare.training_set import training_set
    from loraforge.report.compare_page import contact_sheet, render_compare, write_sheet
    from loraforge.report.pages import write_page
    from loraforge.run.history import read_run

    amounts = _strengths(strengths)
    if not generate:  # which writes the file, for the user to edit
        existing(prompts, "--prompts")
    read = read_run(run)
    console = human()
    grids = [_generated(read, prompts or run / _PROMPTS, amounts, draw=generate), from_training(read)]
    pictures = [path for path, _ in training_set(read)]
    with Progress(console=console, transient=True, disable=not console.is_interactive) as bar:
        task = bar.add_task("measuring", total=None)
        judged = [
            judge(
                grid,
                pictures,
                checkpoints=read.loras(),
                model=embed,
                progress=lambda done, of: bar.update(task, completed=done, total=of),
            )
            for grid in grids
            if grid is not None and grid.cells
        ] or [judge(from_training(read), pictures, checkpoints=read.loras())]
    best = next((one for one in judged if one.curves), judged[0])
    page, table = out or run / "compare.html", sheet or run / "compare.png"
    write_page(page, render_compare(read.name, judged, best))
    write_sheet(contact_sheet(best.grid, chosen=best.advice.step), table)
    remember(read, best.advice)
    _tell(read, best, page, table)
    result(json.dumps(_document(best), indent=1) if as_json else str(page))
    return 0


def _strengths(text: str) -> list[float]:
    try:
        amounts = [float(part) for part in text.split(",")]
    except ValueError:
        amounts = []
    if not amounts or not all(0 < amount <= 2 for amount in amounts):
        raise ConfigError(f"--strengths {text}: must be numbers above 0 and up to 2", "for example --strengths 0.7,1")
    return sorted({1.0, *amounts})


def _generated(read: "Run", file: Path, strengths: list[float], *, draw: bool) -> "Grid | None":
    from loraforge.advice.chosen import vram_gib
    from loraforge.compare.generate import generate
    from loraforge.compare.grid import from_generated
    from loraforge.compare.prompts import propose, read_set, rows, write_set
    from loraforge.compare.training_set import training_set

    if not file.exists():
        if not draw:
            return None
        write_set(file, propose(read.job, [caption for _, caption in training_set(read)]))
        human().print(f"prompts proposed in {file}: edit them and run again to draw others", markup=False)
    lines = rows(read_set(file), read.job.dataset.trigger)
    grid = from_generated(read, lines, strengths)
    if not draw:
        return grid
    console = human()
    with Progress(console=console, transient=True, disable=not console.is_interactive) as bar:
        task = bar.add_task("drawing", total=len(grid.missing()))

        def told(done: int, of: int, left: float | None) -> None:
            bar.update(task, completed=done, total=of)
            if not console.is_interactive and (done == of or done % 10 == 0):
                console.print(f"drawn {done} of {of}" + (f", {left:.0f} s left" if left else ""), markup=False)

        generate(read, grid, environ=os.environ, vram_gib=vram_gib(read.job), progress=told)
    return from_generated(read, lines, strengths)


def _tell(read: "Run", best: "Judged", page: Path, sheet: Path) -> None:
    console, advice = human(), best.advice
    console.print(_headline(advice), markup=False, style="bold")
    for line in (*advice.reasons, *advice.warnings):
        console.print(f"  {line}", markup=False)
    for (row, version), fault in best.faults.items():
        console.print(f"  {best.grid.cells[row, version].name}: {fault}", markup=False, style="yellow")
    console.print(f"page: {page}\ncontact sheet: {sheet}", markup=False)
    run = quote(str(read.folder.path))
    if advice.step is not None:
        console.print(f"next: loraforge ship {run} --step {advice.step}", markup=False)
    elif not best.grid.generated:
        console.print(f"next: loraforge compare {run} --generate draws more prompts, and the base model", markup=False)


def _headline(advice: "Recommendation") -> str:
    if advice.step is None:
        return "cannot tell which checkpoint is best"
    span = f"; 9 in 10: {advice.span[0]} to {advice.span[1]}" if advice.span and len(set(advice.span)) > 1 else ""
    return f"take step {advice.step}{span}"


def _document(best: "Judged") -> dict[str, object]:
    from dataclasses import asdict

    cells = [
        {"prompt": best.grid.rows[row].prompt, "step": version.step, "strength": version.strength, **asdict(scores)}
        for (row, version), scores in best.scores.items()
    ]
    curves = [{"step": one.step, "merit": one.mean, **one.parts} for one in best.curves]
    return {"recommendation": asdict(best.advice), "curves": curves, "cells": cells}
