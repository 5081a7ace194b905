"""`loraforge plan`."""

import os
import shutil
from datetime import datetime
from pathlib import Path

import typer

from loraforge.advice.chosen import vram_gib
from loraforge.cli.common import human, load_settings, result
from loraforge.errors import ConfigError, LoraforgeError
from loraforge.report.provenance import origins_of, provenance_text
from loraforge.run.folder import RunFolder, new_folder
from loraforge.run.manual import write_scripts
from loraforge.run.plan import build_plan, command_line
from loraforge.run.settle import settle
from loraforge.run.train import prepare


def plan(
    target: Path | None = typer.Argument(
        None, metavar="FORGE.TOML", help="Settings, or a run folder; by default ./forge.toml."
    ),
    preset: str | None = typer.Option(None, help="What to start from; `style` where nothing else says."),
    images: Path | None = typer.Option(None, help="Folder of pictures and .txt captions."),
    trigger: str | None = typer.Option(None, help="The word that will call the style."),
    assignments: list[str] = typer.Option([], "--set", metavar="A.B=C", help="One setting; may be repeated."),
    engine: Path | None = typer.Option(None, help="Folder of sd-scripts."),
    out: Path | None = typer.Option(None, help="Write everything for a manual run into this new or empty folder."),
) -> int:
    """Render everything for a manual run and print the command; start nothing."""
    settings = load_settings(
        target, preset=preset, images=images, trigger=trigger, assignments=assignments, engine=engine
    )
    ready = settle(settings.job, vram_gib=vram_gib(settings.job), environ=os.environ)
    if out is None:
        folder = new_folder(settings.job.output.dir, settings.job.output.name, datetime.now().astimezone())
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        why = "is not empty" if out.is_dir() else "is a file"
        raise ConfigError(f"--out {out}: {why}", "name a new or an empty folder")
    else:
        folder = RunFolder(out.absolute())
    origins = origins_of(settings, ready.job)
    made = build_plan(ready, folder, origins=origins)
    human().print(provenance_text(origins, made.job), markup=False)
    if out is not None:
        try:
            prepare(made)
        except LoraforgeError:  # half of a plan is none
            shutil.rmtree(folder.path, ignore_errors=True)
            raise
        scripts = write_scripts(made)
        human().print(f"wrote {folder.path}; start it with {scripts[0]} or {scripts[1].name}", markup=False)
    else:
        human().print("nothing was written: --out FOLDER writes all that this command needs", markup=False)
    result(command_line(made))
    return 0
