"""From a checkpoint to a folder that can be handed on: the LoRA, its card, samples, and the converted file."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from loraforge.compare.choice import recommended, was_compared
from loraforge.compare.grid import FOLDER, Version, cell_file, from_training
from loraforge.compare.prompts import read_set, rows
from loraforge.dataset.captions import replace_bytes
from loraforge.dataset.images import PictureError, load_rgb
from loraforge.engine.locate import locate
from loraforge.errors import ConfigError, LoraforgeError, MachineError
from loraforge.run.history import Run
from loraforge.ship.card import Card, render_card
from loraforge.ship.convert import convert
from loraforge.ship.keys import name_faults, text_encoder_layers
from loraforge.ship.lora_file import DOWN, Lora, read_lora, write_bf16
from loraforge.ship.metadata import Words, cleaned
from loraforge.ship.resize import resize

_MOST_SAMPLES = 8
_MARK = ".loraforge-parcel"  # lies in each folder that `ship` made and may fill anew


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked for.

    Attributes:
        step: the checkpoint; None takes the recommended one, else the last.
        rank: a lower rank; None keeps it.
        diffusers: whether to convert too.
        words: title and the like.
        data_licence: of the pictures.
        keep_data: whether folder names and tag frequencies stay in the header.
        repository: where it will be published.
    """

    words: Words
    step: int | None = None
    rank: int | None = None
    diffusers: bool = False
    data_licence: str | None = None
    keep_data: bool = False
    repository: str | None = None


@dataclass(frozen=True, slots=True)
class Parcel:
    """What was made.

    Attributes:
        folder: where it lies.
        lora: the file for ComfyUI, Forge and sd-scripts.
        diffusers: the converted file, None without one.
        step: the checkpoint.
        rank: of the LoRA.
        error: of a reduction in rank, None without one.
        notes: sentences for people.
        files: all of it, relative to the folder.
    """

    folder: Path
    lora: Path
    diffusers: Path | None
    step: int
    rank: int
    error: float | None
    notes: tuple[str, ...]
    files: tuple[str, ...]


def pack(run: Run, order: Order, folder: Path, *, environ: Mapping[str, str] = os.environ) -> Parcel:
    """Make the folder; everything in it is verified before anything is said.

    Raises:
        ConfigError: no such checkpoint, or one that is damaged; or the folder holds files that are not ours.
        MachineError: the folder can't be written, or the engine is missing for the conversion.
    """
    _refuse_strange(run, folder)
    advised = recommended(run)
    step, how = _step(run, order.step, advised[0] if advised else None)
    lora = read_lora(run.loras()[step])
    notes = [how]
    if not lora.metadata:
        notes.append("the checkpoint has no metadata: the header holds what the run's settings tell")
        lora = Lora(lora.tensors, _told_by(run, step))
    old_rank = _rank(lora)
    error = None
    if order.rank is not None:
        smaller = resize(lora, order.rank)
        lora, error = smaller.lora, smaller.error
        notes.append(
            f"rank {old_rank} to {order.rank}: the update differs by {error:.2%} (rounding {smaller.floor:.2%})"
        )
    if faults := name_faults(lora):
        raise ConfigError(f"step {step}: {'; '.join(faults)}", "choose another checkpoint with --step")
    samples = _samples(run, step)
    header = cleaned(
        lora, order.words, trigger=run.job.dataset.trigger, rank=_rank(lora),
        thumbnail=samples[0][1] if samples else None, keep_data=order.keep_data,
    )  # fmt: skip
    target = folder / f"{run.name}.safetensors"
    try:
        _clear(folder, run.name)
        write_bf16(target, replace(lora, metadata=header))
        pictures = _copy_samples(samples, folder / "samples")
    except OSError as fault:
        raise MachineError(f"{folder}: can't be written: {fault.strerror or fault}", "choose another --out") from None
    if faults := name_faults(read_lora(target)):
        raise MachineError(f"{target}: {'; '.join(faults)}", "the disk may be failing")
    converted = _converted(run, target, environ) if order.diffusers else None
    if converted is not None and (count := text_encoder_layers(lora)):
        notes.append(
            f"{count} layers of text encoders are not in the file for diffusers: the engine can't convert them"
        )
    card = Card(
        file=target.name,
        diffusers_file=converted.name if converted else None,
        rank=_rank(lora),
        old_rank=old_rank,
        step=step,
        strengths=_strengths(run, step),
        samples=pictures,
        reasons=advised[1] if advised and advised[0] == step else "",
        error=error,
        data_licence=order.data_licence,
        repository=order.repository,
    )
    replace_bytes(folder / "README.md", render_card(card, order.words, run.job).encode("utf-8", "replace"))
    made = [target.name, *([converted.name] if converted else []), "README.md", *(name for _, name in pictures)]
    return Parcel(folder, target, converted, step, _rank(lora), error, tuple(notes), tuple(made))


def _refuse_strange(run: Run, folder: Path) -> None:
    """Refuse a folder with files of somebody else, which a card and samples would replace."""
    if folder.resolve() == (run.folder.path / "ship").resolve() or (folder / _MARK).exists():
        return
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(
            f"--out {folder}: is not empty, and was not made by `loraforge ship`", "name a new or an empty folder"
        )


def _clear(folder: Path, name: str) -> None:
    """Make the folder, without what an earlier parcel left: files of another checkpoint must not lie beside."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARK).touch()
    for stale in (folder / f"{name}-diffusers.safetensors", *(folder / "samples").glob("[0-9][0-9].jpg")):
        stale.unlink(missing_ok=True)


def _step(run: Run, asked: int | None, advised: int | None) -> tuple[int, str]:
    loras = run.loras()
    if not loras:
        raise ConfigError(f"{run.folder.path}: holds no LoRA to ship", "loraforge report tells how the run ended")
    if asked is not None:
        if asked not in loras:
            raise ConfigError(f"--step {asked}: there is no such checkpoint", f"there are {_listed(list(loras))}")
        return asked, f"step {asked}, as asked for"
    if advised is not None:
        return advised, f"step {advised}, which `loraforge compare` recommended"
    told = "could not tell of a better one" if was_compared(run) else "may find a better one"
    return max(loras), f"step {max(loras)}, the last; `loraforge compare` {told}"


def _listed(steps: Sequence[int]) -> str:
    return ", ".join(map(str, steps)) if len(steps) <= 12 else f"{len(steps)} of them, {steps[0]} to {steps[-1]}"


def _told_by(run: Run, step: int) -> dict[str, str]:
    job = run.job
    values = {
        "ss_network_module": "networks.lora_flux",
        "ss_network_dim": job.network.rank,
        "ss_network_alpha": job.network.alpha,
        "ss_learning_rate": job.optimizer.learning_rate,
        "ss_seed": job.training.seed,
        "ss_steps": step,
        "ss_base_model_version": "flux1",
        "modelspec.architecture": f"flux-1-{job.model.family.removeprefix('flux-')}/lora",
    }
    return {key: str(value) for key, value in values.items()}


def _rank(lora: Lora) -> int:
    return max(int(lora.tensors[module + DOWN].shape[0]) for module in lora.modules())


def _samples(run: Run, step: int) -> list[tuple[str, Path]]:
    """Return (prompt, picture) of a step: those drawn to compare, else those of the training; triggered ones first."""
    prompt_set = run.folder.path / "compare.toml"
    found: list[tuple[bool, str, Path]] = []  # (with the trigger, prompt, picture)
    if prompt_set.is_file():
        try:
            lines = rows(read_set(prompt_set), run.job.dataset.trigger)
            found = [(row.triggered, row.prompt, cell_file(run, row, Version(step))) for row in lines]
        except LoraforgeError:  # a set in the middle of editing hides only its pictures
            found = []
    found = [entry for entry in found if entry[2].is_file()]
    if not found:
        grid = from_training(run)
        found = [
            (row.triggered, row.prompt, grid.cells[index, Version(step)])
            for index, row in enumerate(grid.rows)
            if (index, Version(step)) in grid.cells
        ]
    ordered = sorted(found, key=lambda entry: not entry[0])
    return [(prompt, path) for _, prompt, path in ordered[:_MOST_SAMPLES]]


def _copy_samples(samples: Sequence[tuple[str, Path]], folder: Path) -> list[tuple[str, str]]:
    copied: list[tuple[str, str]] = []
    for prompt, path in samples:
        try:
            picture = load_rgb(path)
        except PictureError:  # half-written
            continue
        picture.info.clear()  # its metadata may name folders
        folder.mkdir(exist_ok=True)
        name = f"{len(copied) + 1:02d}.jpg"
        picture.save(folder / name, "JPEG", quality=90)
        copied.append((prompt, f"{folder.name}/{name}"))
    return copied


def _strengths(run: Run, step: int) -> list[float]:
    pattern = re.compile(rf"{step:06d}_([0-9.e+-]+)_[0-9a-f]{{8}}\.png")
    folder = run.folder.path / FOLDER
    names = [match[1] for path in folder.glob("*.png") if (match := pattern.fullmatch(path.name))]
    return sorted({float(name) for name in names})


def _converted(run: Run, source: Path, environ: Mapping[str, str]) -> Path:
    home = locate(configured=run.job.engine.path, environ=environ)
    target = source.with_name(f"{source.stem}-diffusers.safetensors")
    convert(source, target, home, python=run.job.engine.python, environ=environ)
    return target
