"""`loraforge check`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from loraforge.advice.chosen import vram_gib
from loraforge.cli.common import human, load_settings, result, say_findings
from loraforge.config.job import Job
from loraforge.errors import ConfigError
from loraforge.findings import Finding, has_errors

if TYPE_CHECKING:
    from loraforge.advice.check import Checked
    from loraforge.advice.measure import Measurement

_LARGEST = 1024  # GB


def check(
    target: Path | None = typer.Argument(
        None, metavar="FORGE.TOML", help="Settings, or a run folder; by default ./forge.toml."
    ),
    preset: str | None = typer.Option(None, help="What to start from; `style` where nothing else says."),
    images: Path | None = typer.Option(None, help="Folder of pictures and .txt captions."),
    trigger: str | None = typer.Option(None, help="The word that will call the style."),
    assignments: list[str] = typer.Option([], "--set", metavar="A.B=C", help="One setting; may be repeated."),
    engine: Path | None = typer.Option(None, help="Folder of sd-scripts."),
    vram: float | None = typer.Option(
        None, help="Check for a card with this much memory in GB instead of the one here."
    ),
    measure: bool = typer.Option(False, "--measure", help="Take three real steps, with less and less until they fit."),
    table: bool = typer.Option(False, "--table", help="What fits on 8 to 80 GB, and how fast, as a table."),
    strict: bool = typer.Option(False, "--strict", help="Count warnings as errors."),
    json: bool = typer.Option(False, "--json", help="One JSON document on stdout."),
) -> int:
    """Check settings, dataset and machine: all findings at once, before a GPU minute is spent."""
    from loraforge.advice.check import Checked, check_all  # not needed for --help

    if vram is not None and not 1 <= vram <= _LARGEST:  # nan is in no range
        raise ConfigError(f"--vram {vram:g}: no card has that much memory", f"say it in GB, 1 to {_LARGEST}")
    if table and json:
        raise ConfigError("--table and --json: the table has no JSON form", "ask for one of the two")
    try:
        settings = load_settings(
            target, preset=preset, images=images, trigger=trigger, assignments=assignments, engine=engine
        )
    except ConfigError as fault:
        if not json:
            raise
        finding = Finding("settings", "error", str(target or "settings"), fault.message, fault.hint)
        result(Checked((finding,), None).as_json())
        return fault.exit_code
    checked = check_all(settings.job, environ=os.environ, vram_gib=vram)
    if table and checked.forecast and not _unusable(checked):
        from loraforge.report.fit_table import as_text, fit_table  # rich's tables take a twentieth of a second

        result(as_text(fit_table(settings.job, checked.forecast)))
        return 0
    if table:
        why = "the pictures can't be used" if checked.forecast else "the weights are not of FLUX.1's size"
        human().print(f"no table: {why}", markup=False)
    if measure and checked.measurable:
        checked = checked.measured(_measured(settings.job))
    elif measure:
        human().print("nothing is measured before the other errors are mended", markup=False)
    if json:
        result(checked.as_json(strict=strict))
    else:
        say_findings(checked.findings)
        for line in checked.lines():
            human().print(line, markup=False, highlight=False)
        human().print(checked.verdict(strict=strict), markup=False)
    return checked.exit_code if has_errors(checked.findings, strict=strict) else 0


def _unusable(checked: "Checked") -> bool:
    return any(finding.code == "dataset-unusable" for finding in checked.findings)


def _measured(job: Job) -> "Measurement":
    from loraforge.run.measure import measure
    from loraforge.run.settle import settle

    ready = settle(job, vram_gib=vram_gib(job), environ=os.environ)
    return measure(ready, tell=lambda words: human().print(f"measuring {words}", markup=False))
