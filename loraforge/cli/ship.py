"""`loraforge ship RUN`."""

import json
from pathlib import Path

import typer

from loraforge.cli.common import human, result
from loraforge.errors import ConfigError


def ship(
    run: Path = typer.Argument(..., metavar="RUN", help="Run folder: runs/<name>/<time>."),
    step: int | None = typer.Option(
        None, min=1, help="Checkpoint; by default what compare recommended, else the last."
    ),
    out: Path | None = typer.Option(None, metavar="DIR", help="Folder to make; by default RUN/ship."),
    rank: int | None = typer.Option(None, min=1, help="Reduce to this rank; the error is measured."),
    diffusers: bool = typer.Option(False, "--diffusers", help="Convert for diffusers too; needs sd-scripts."),
    title: str | None = typer.Option(None, help="Instead of [output.metadata] title."),
    author: str | None = typer.Option(None, help="Instead of [output.metadata] author."),
    license_: str | None = typer.Option(None, "--license", help="Instead of [output.metadata] license."),
    data_license: str | None = typer.Option(None, help="Licence of the training pictures, for the card."),
    keep_data: bool = typer.Option(False, "--keep-data", help="Keep folder names and tag frequencies in the header."),
    publish: str | None = typer.Option(None, metavar="OWNER/NAME", help="Upload to the hub; private unless --public."),
    public: bool = typer.Option(False, "--public", help="Let everybody see the repository that --publish makes."),
) -> int:
    """Make a checkpoint ready for use: clean header, bf16, verified names, model card; nothing is sent unasked."""
    from loraforge.run.history import read_run
    from loraforge.ship.metadata import words_of
    from loraforge.ship.parcel import Order, pack
    from loraforge.ship.publish import check_name, publish as upload

    if public and publish is None:
        raise ConfigError("--public: nothing is published", "add --publish OWNER/NAME, or leave it out")
    if publish is not None:  # before anything is made
        check_name(publish)
    read = read_run(run)
    words = words_of(read.job, author=author, license_=license_, title=title)
    order = Order(words, step, rank, diffusers, data_license, keep_data, publish)
    parcel = pack(read, order, out or run / "ship")
    console = human()
    for note in parcel.notes:
        console.print(note, markup=False)
    console.print(f"ComfyUI, Forge, sd-scripts: {parcel.lora}", markup=False)
    if parcel.diffusers is not None:
        console.print(f"diffusers: {parcel.diffusers}", markup=False)
    console.print(f"card: {parcel.folder / 'README.md'}", markup=False)
    address = None
    if publish is not None:
        address = upload(parcel.folder, parcel.files, publish, public=public)
        console.print(f"published: {address}", markup=False)
    document = {
        "lora": str(parcel.lora),
        "diffusers": str(parcel.diffusers) if parcel.diffusers else None,
        "step": parcel.step,
        "rank": parcel.rank,
        "error": parcel.error,
        "published": address,
    }
    result(json.dumps(document))
    return 0
