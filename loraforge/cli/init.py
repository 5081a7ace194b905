"""`loraforge init DIR --images PATH --trigger WORD`."""

import os
from pathlib import Path
from shlex import quote

import typer

from loraforge.cli.common import human
from loraforge.dataset.captions import replace_bytes
from loraforge.errors import ConfigError, MachineError
from loraforge.presets import read_preset
from loraforge.report.forge_file import forge_text
from loraforge.settings import load
from loraforge.settings.load import DEFAULT_FILE


def init(
    folder: Path = typer.Argument(..., metavar="DIR", help="Folder to write forge.toml into; made when missing."),
    images: Path = typer.Option(..., help="Folder of pictures and .txt captions."),
    trigger: str = typer.Option(..., help="The word that will call the style."),
    preset: str = typer.Option("style", help="What to start from; see `loraforge presets`."),
    force: bool = typer.Option(False, help="Replace a forge.toml that is already there."),
) -> int:
    """Write a commented forge.toml."""
    target = folder / DEFAULT_FILE
    if target.exists() and not force:
        raise ConfigError(f"{target}: is already there", "edit it, or say --force to replace it")
    if not images.is_dir():
        raise ConfigError(f"--images {images}: is not a folder", "name the folder that holds the pictures")
    try:
        # Relative where it can be, so that project and pictures can move together.
        shown = Path(os.path.relpath(images, folder)).as_posix()
    except ValueError:  # another drive
        shown = images.absolute().as_posix()
    text = forge_text(read_preset(preset), images=shown, trigger=trigger)
    flags: dict[str, tuple[str, object]] = {
        "dataset.images": ("--images", str(images)),
        "dataset.trigger": ("--trigger", trigger),
    }
    load(None, preset=preset, flags=flags, cwd=Path.cwd())  # refuse a bad trigger before anything is written
    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_bytes(target, text.encode())
    except OSError as fault:
        raise MachineError(f"{target}: can't be written: {fault.strerror}", "choose another folder") from None
    pasted = quote(str(target))
    human().print(f"wrote {target}\nnext: loraforge check {pasted}, then loraforge train {pasted}", markup=False)
    return 0
