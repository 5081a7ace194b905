"""`loraforge lint DIR`."""

import json
from pathlib import Path

import typer

from loraforge.cli.common import existing, human, printable, result
from loraforge.errors import ConfigError, DatasetError


def lint(
    folder: Path = typer.Argument(..., metavar="DIR", help="Folder that directly holds pictures and .txt captions."),
    trigger: str | None = typer.Option(None, help="The word that calls the style; checks its place in the captions."),
    resolution: str = typer.Option("1024", help="Training size: 1024, or 1216x832."),
    batch_size: int = typer.Option(1, min=1, max=256, help="Pictures a step, for the bucket rules."),
    upscale: bool = typer.Option(False, "--upscale", help="Judge buckets as if small pictures were enlarged."),
    dense: bool = typer.Option(False, "--dense", help="Captions are long on purpose."),
    text: bool = typer.Option(True, "--text/--no-text", help="Look for text in pictures where rapidocr is installed."),
    tokenizers: Path | None = typer.Option(
        None, help="Folder of both tokenizers, as for `loraforge trigger`; else those on this machine."
    ),
    embed: str | None = typer.Option(None, metavar="MODEL", help="A CLIP, SigLIP or DINOv2 folder that judges style."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON document on stdout."),
    html: Path | None = typer.Option(None, metavar="FILE", help="Write one self-contained page with all pictures."),
    fresh: bool = typer.Option(False, "--fresh", help="Measure again instead of remembering."),
) -> int:
    """Look through the pictures and captions of a folder; nothing in it is changed."""
    from rich.progress import Progress

    from loraforge.config.dataset import Buckets
    from loraforge.dataset.features import cache_folder
    from loraforge.dataset.lint import LintOptions, lint as look
    from loraforge.report import lint_console, lint_html
    from loraforge.trigger import find_tokenizers

    sides, known = _sides(resolution), existing(tokenizers, "--tokenizers")
    console = human()
    with Progress(console=console, transient=True, disable=not console.is_interactive) as progress:
        tasks = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done)

        options = LintOptions(
            trigger=trigger,
            resolution=sides,
            buckets=Buckets(upscale=upscale),
            batch_size=batch_size,
            sparse=not dense,
            text=text,
            embed=embed,
            tokenizers=find_tokenizers([known] if known else []),
            cache=None if fresh else cache_folder(),
            progress=tell,
        )
        report = look(folder, options)
    if as_json:
        result(json.dumps(report.as_dict(), indent=2))
    else:
        lint_console.show(report, human(soft_wrap=False))
    if html is not None:
        lint_html.write(report, html)
        console.print(f"page written to {printable(str(html))}", markup=False)
    return DatasetError.exit_code if report.has_errors else 0


def _sides(text: str) -> int | tuple[int, int]:
    numbers = text.lower().replace("×", "x").replace(",", "x").split("x")
    if not all(number.strip().isdecimal() for number in numbers) or len(numbers) > 2:
        raise ConfigError(f"--resolution {text} is no size", "Write --resolution 1024 or --resolution 1216x832.")
    sides = [int(number) for number in numbers]
    if not all(64 <= side <= 8192 and side % 16 == 0 for side in sides):
        raise ConfigError(f"--resolution {text} must be multiples of 16 from 64 to 8192")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])
