"""From a grid of pictures to scores in every cell, a curve over the steps, and a recommendation."""

import os
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import UnidentifiedImageError

from loraforge.compare.grid import BASE, Grid, Version
from loraforge.compare.looks import Look, common_area, look_at
from loraforge.compare.recommend import Recommendation, recommend
from loraforge.compare.scores import Curve, Reference, Scores, curve
from loraforge.dataset.embedding import embed
from loraforge.dataset.images import PictureError, read_size

Place = tuple[int, Version]
_FEWEST = 3  # training pictures below which no hand can be told


@dataclass(frozen=True, slots=True)
class Judged:
    """A grid with what was found in it.

    Attributes:
        grid: the pictures.
        scores: of every picture that could be read, the base model's aside.
        faults: place -> why its picture can't be read.
        curves: of every step at full strength, in order.
        advice: the recommendation.
    """

    grid: Grid
    scores: dict[Place, Scores]
    faults: dict[Place, str]
    curves: tuple[Curve, ...]
    advice: Recommendation


def judge(
    grid: Grid,
    training: Sequence[Path],
    *,
    checkpoints: Collection[int] | None = None,
    model: str | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Judged:
    """Measure all pictures and recommend a step.

    Args:
        grid: what to judge.
        training: the training pictures.
        checkpoints: steps that can be recommended, for samples are drawn at others too; None allows all.
        model: a transformers vision model that judges style in place of pixel measurements; None downloads nothing.
        progress: called with (pictures measured, pictures in all).

    Raises:
        MachineError: the model is not there.
    """
    sizes = _sizes([*grid.cells.values(), *training])
    area = common_area(sizes)
    paths = [*training, *grid.cells.values()]
    looks: dict[Path, Look | PictureError] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for done, (path, found) in enumerate(
            zip(paths, pool.map(lambda path: look_at(path, area), paths), strict=True), 1
        ):
            looks[path] = found
            progress(done, len(paths))
    if model is not None:
        looks |= _embedded(looks, model)
    seen = [look for path in training if isinstance(look := looks[path], Look)]
    return _judged(grid, seen, looks, checkpoints)


def _embedded(looks: dict[Path, Look | PictureError], model: str) -> dict[Path, Look]:
    """Replace the hand as pixels show it by what a model sees, scaled to unit length."""
    readable = {path: look for path, look in looks.items() if isinstance(look, Look)}
    vectors = np.asarray(embed(list(readable), model), np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9
    scaled = vectors * np.sqrt(vectors.shape[1])  # numbers of about one, as pixel measurements are
    return {path: replace(look, style=row) for (path, look), row in zip(readable.items(), scaled, strict=True)}


def _judged(
    grid: Grid, training: list[Look], looks: dict[Path, Look | PictureError], checkpoints: Collection[int] | None
) -> Judged:
    cells: dict[Place, Look] = {}
    faults: dict[Place, str] = {}
    for place, path in grid.cells.items():
        found = looks[path]
        if isinstance(found, Look):
            cells[place] = found
        else:
            faults[place] = found.detail
    if len(training) < _FEWEST:
        reason = f"the training set is not there to compare with: {len(training)} of its pictures can be read"
        return Judged(grid, {}, faults, (), Recommendation(None, None, 0.0, (reason,)))
    bases = {row: cells[row, BASE] for row in range(len(grid.rows)) if (row, BASE) in cells}
    reference = Reference(training, list(bases.values()))
    scores = {
        (row, version): reference.score(look, bases.get(row)) for (row, version), look in cells.items() if version.step
    }
    curves = tuple(_curves(grid, scores))
    kept = [one for one in curves if checkpoints is None or one.step in checkpoints]
    return Judged(grid, scores, faults, curves, recommend(kept))


def _curves(grid: Grid, scores: dict[Place, Scores]) -> list[Curve]:
    """Sum up each step over the prompts that every step has drawn, so that steps compare."""
    versions = [version for version in grid.versions if version.step and version.strength == 1.0]
    versions = [version for version in versions if any(place[1] == version for place in scores)]
    whole = [row for row in range(len(grid.rows)) if all((row, version) in scores for version in versions)]
    called = [row for row in whole if grid.rows[row].triggered]
    plain = [row for row in whole if not grid.rows[row].triggered]
    return [
        curve(version.step, [scores[row, version] for row in called], [scores[row, version] for row in plain])
        for version in versions
        if called
    ]


def _sizes(paths: Sequence[Path]) -> list[tuple[int, int]]:
    sizes = []
    for path in paths:
        try:
            sizes.append(read_size(path))
        except (PictureError, UnidentifiedImageError):
            continue
    return sizes
