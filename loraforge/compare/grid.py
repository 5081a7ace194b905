"""Checkpoints x prompts: which picture stands where, and which are missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loraforge.compare.prompts import Row
from loraforge.compare.samples import samples_of
from loraforge.dataset.captions import trigger_pattern
from loraforge.run.history import Run

FOLDER = "compare"


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A column: the base model (step 0) or a checkpoint at a strength."""

    step: int
    strength: float = 1.0

    @property
    def key(self) -> str:
        """Its part of a file name."""
        return "base" if self.step == 0 else f"{self.step:06d}_{self.strength:g}"

    @property
    def label(self) -> str:
        """How people call it."""
        if self.step == 0:
            return "base"
        return f"step {self.step}" + ("" if self.strength == 1.0 else f" × {self.strength:g}")


BASE = Version(0)


@dataclass(frozen=True, slots=True)
class Grid:
    """All pictures of a comparison.

    Training samples and generated pictures start from different noise, so they never share a row.

    Attributes:
        versions: the columns, in order; the base first where there is one.
        rows: the lines.
        cells: (row, column) -> file; what is not drawn is missing.
        generated: whether the pictures were drawn by `compare`, not while training.
    """

    versions: tuple[Version, ...]
    rows: tuple[Row, ...]
    cells: dict[tuple[int, Version], Path]
    generated: bool = False

    def missing(self) -> list[tuple[int, Version]]:
        """Return the places without a picture, by column."""
        return [
            (row, version)
            for version in self.versions
            for row in range(len(self.rows))
            if (row, version) not in self.cells
        ]


def from_training(run: Run) -> Grid:
    """Gather the samples that were drawn while training."""
    job, samples = run.job, samples_of(run)
    sampling = job.sampling
    prompts = dict(sorted({sample.index: sample.prompt for sample in samples}.items()))
    place = {index: row for row, index in enumerate(prompts)}
    rows = [
        Row(
            prompt,
            job.dataset.trigger is None or bool(trigger_pattern(job.dataset.trigger).search(prompt)),
            "",
            sampling.seed,
            sampling.width,
            sampling.height,
            sampling.steps,
            sampling.guidance,
        )
        for prompt in prompts.values()
    ]
    versions = sorted({Version(sample.step) for sample in samples})
    cells = {(place[sample.index], Version(sample.step)): sample.path for sample in samples}
    return Grid(tuple(versions), tuple(rows), cells)


def from_generated(run: Run, rows: Sequence[Row], strengths: Sequence[float]) -> Grid:
    """Gather what `compare` has drawn of a prompt set so far, for the base and every checkpoint at every strength."""
    versions = [BASE, *(Version(step, strength) for step in run.loras() for strength in strengths)]
    places = {(index, version): cell_file(run, row, version) for index, row in enumerate(rows) for version in versions}
    cells = {place: path for place, path in places.items() if path.is_file()}
    return Grid(tuple(versions), tuple(rows), cells, generated=True)


def cell_file(run: Run, row: Row, version: Version) -> Path:
    """Return where a generated picture is kept."""
    return run.folder.path / FOLDER / f"{version.key}_{row.key}.png"
