"""Checkpoints side by side: one self-contained page, and a contact sheet as a picture."""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from loraforge.compare.grid import Grid, Version
from loraforge.compare.judge import Judged
from loraforge.compare.scores import Scores
from loraforge.dataset.images import PictureError, load_rgb
from loraforge.errors import ConfigError
from loraforge.report.charts import Look, Mark, Series, line_chart
from loraforge.report.pages import environment, picture_data, readable

_BUDGET = 15_000_000  # characters of all pictures; the page stays under 20 MB
_SIDE, _LEAST_SIDE = 768, 96  # pixels
_CURVES: tuple[tuple[str, Look], ...] = (
    ("style", "bold"),
    ("retention", "second"),
    ("memory", "third"),
    ("leak", "faint"),
)
_ACCENT = "#b4472e"
_SHEET_SIDE = 20_000  # pixels; a sheet of more is opened by nothing


@dataclass(frozen=True, slots=True)
class Cell:
    """A picture as the page shows it; `picture` is empty where there is none, and `fault` says why."""

    picture: str
    fault: str
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A prompt and its pictures."""

    prompt: str
    triggered: bool
    kind: str
    cells: list[Cell]


@dataclass(frozen=True, slots=True)
class Section:
    """A grid as the page shows it."""

    title: str
    versions: list[Version]
    lines: list[Line]


def render_compare(name: str, judged: Sequence[Judged], best: Judged) -> str:
    """Return the page as HTML; nothing is loaded from elsewhere.

    Args:
        name: of the LoRA.
        judged: the grids to show.
        best: the one whose recommendation counts.
    """
    encode = _encoder([path for one in judged for path in one.grid.cells.values()])
    advice = best.advice
    return (
        environment()
        .get_template("compare.html.j2")
        .render(
            name=name,
            advice=advice,
            sections=[_section(one, encode) for one in judged if one.grid.cells],
            curves=_drawn(best),
            kinds=sorted({row.kind for one in judged for row in one.grid.rows if row.kind}),
        )
    )


def _section(judged: Judged, encode: Callable[[Path], str]) -> Section:
    grid = judged.grid
    lines = [
        Line(row.prompt, row.triggered, row.kind, [_cell(judged, index, version, encode) for version in grid.versions])
        for index, row in enumerate(grid.rows)
    ]
    title = "Drawn to compare" if grid.generated else "Drawn while training"
    return Section(title, list(grid.versions), lines)


def _cell(judged: Judged, row: int, version: Version, encode: Callable[[Path], str]) -> Cell:
    place = (row, version)
    path = judged.grid.cells.get(place)
    if path is None:
        return Cell("", "not drawn")
    if place in judged.faults:
        return Cell("", judged.faults[place])
    scores = judged.scores.get(place)
    return Cell(encode(path), "", _numbers(scores) if scores else ())


def _numbers(scores: Scores) -> tuple[str, ...]:
    parts = [f"style {scores.style:.0%}"]
    if scores.retention is not None:
        parts.append(f"keeps {scores.retention:.0%}")
    parts.append(f"cooked {scores.cooked:.1f}")
    if scores.memory >= 0.05:
        parts.append(f"memory {scores.memory:.0%} (picture {scores.nearest + 1})")
    return tuple(parts)


def _drawn(judged: Judged) -> list[tuple[str, object]]:
    curves, chosen = judged.curves, judged.advice.step
    marks = [Mark(chosen, f"recommended: step {chosen}")] if chosen is not None else []
    shares = [
        Series(name, [(float(one.step), one.parts[name]) for one in curves if name in one.parts], look)
        for name, look in _CURVES
    ]
    cooked = Series("cooked", [(float(one.step), one.parts["cooked"]) for one in curves])
    merit = Series("merit", [(float(one.step), one.mean) for one in curves])
    draw = functools.partial(line_chart, x_name="step", marks=marks)
    found = [
        ("Style, what is kept of the prompt, memory and leak", draw(shares, y_name="share", zero=True)),
        ("Over-cooked, in deviations beyond the training set", draw([cooked], y_name="deviations", zero=True)),
        ("Merit: what checkpoints are ranked by", draw([merit], y_name="merit", zero=True)),
    ]
    return [(title, drawing) for title, drawing in found if drawing]


def _encoder(paths: Sequence[Path]) -> Callable[[Path], str]:
    """Choose the largest pictures that together keep the page small."""
    side = _SIDE
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        # A few tell about the size; all are encoded to be sure, since pictures differ.
        for known in (paths[:: max(1, len(paths) // 8)], paths):
            while side > _LEAST_SIDE:
                encoded = pool.map(functools.partial(picture_data, side=side), known)
                size = sum(map(len, encoded)) * len(paths) / max(1, len(known))
                if size <= _BUDGET:
                    break
                # Bytes grow a little slower than the area.
                side = max(_LEAST_SIDE, int(side * min(0.95, (_BUDGET / size) ** 0.6)))
    return lambda path: picture_data(path, side)


def contact_sheet(grid: Grid, *, chosen: int | None = None, side: int = 256) -> Image.Image:
    """Draw all pictures of a grid into one, steps along and prompts down.

    Args:
        grid: what to draw; a missing or damaged picture leaves its place empty.
        chosen: the recommended step, whose column is marked.
        side: of the square that a picture fits into, in pixels; shrunk where the sheet would get too large.
    """
    columns, rows = max(1, len(grid.versions)), max(1, len(grid.rows))
    side = max(16, min(side, _SHEET_SIDE // columns - 9, _SHEET_SIDE // rows - 36))
    text = max(14, side // 13)
    step_x, step_y, top = side + 8, side + text + 16, text + 20
    sheet = Image.new("RGB", (columns * step_x + 8, rows * step_y + top), "#fbfaf8")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(text)
    for column, version in enumerate(grid.versions):
        left, best = 8 + column * step_x, version.step == chosen
        draw.text((left, 8), version.label, _ACCENT if best else "#1d1c1a", font)
        if best:
            draw.rectangle((left, top - 6, left + side, top - 4), _ACCENT)
    for index, row in enumerate(grid.rows):
        draw.text((8, top + index * step_y), _fitting(row.prompt, columns * step_x, font), "#6b6862", font)
        for column, version in enumerate(grid.versions):
            if (index, version) in grid.cells:
                _paste(sheet, grid.cells[index, version], (8 + column * step_x, top + index * step_y + text + 8), side)
    return sheet


def write_sheet(sheet: Image.Image, path: Path) -> None:
    """Write the sheet as PNG.

    Raises:
        ConfigError: the file can't be written.
    """
    try:
        sheet.save(path, "PNG")
    except OSError as fault:
        why = fault.strerror or str(fault)
        raise ConfigError(f"{path}: can't be written: {why}", "name a file in a folder that exists") from None


def _fitting(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    text = readable(text).replace("\n", " ")
    while text and font.getlength(text) > width:
        text = text[: int(len(text) * 0.9)].rstrip("…") + "…" if len(text) > 4 else ""
    return text


def _paste(sheet: Image.Image, path: Path, place: tuple[int, int], side: int) -> None:
    try:
        picture = load_rgb(path)
    except PictureError:
        return
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    sheet.paste(picture, place)
