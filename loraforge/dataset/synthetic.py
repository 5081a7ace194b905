"""A small set of pictures in one style, drawn by program: what the demo and the tests train on.

The style is meant to be recognised at a glance: flat shapes in five colours, thick ink outlines, rough paper.
"""

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter

_PAPER, _INK = "#f3e7cf", "#22223b"
_CORAL, _OCHRE, _TEAL, _SAGE = "#e76f51", "#e9b44c", "#2a9d8f", "#8ab17d"
_SCALE = 2  # drawn this many times larger and shrunk, which smooths the edges
_GRAIN = 24  # strength of the paper's grain, in levels of 255
_RATIOS = ((1, 1), (3, 2), (2, 3), (4, 3), (1, 1), (3, 4), (16, 9), (4, 5))
Point = tuple[float, float]


def draw_art_set(folder: Path, count: int = 8, seed: int = 0, size: int = 512) -> list[Path]:
    """Draw pictures of varied subjects and shapes with a sparse .txt caption each, without any trigger.

    The same arguments draw the same pictures.

    Args:
        folder: where to; made if missing.
        count: how many pictures; beyond the number of subjects they come again, otherwise placed and coloured.
        seed: of placing, colours and grain.
        size: side in pixels of the square whose area every picture has.

    Returns:
        The pictures' paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index in range(count):
        caption, subject = _SUBJECTS[index % len(_SUBJECTS)]
        chance = random.Random(f"{seed} {index}")  # noqa: S311  # art, not secrets
        name = caption.replace(",", "").split()[0]
        path = folder / f"{index + 1:02d}-{name}.png"
        _picture(subject, _RATIOS[index % len(_RATIOS)], size, chance).save(path)
        path.with_suffix(".txt").write_text(caption + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def _picture(
    subject: Callable[["_Sheet"], None], ratio: tuple[int, int], size: int, chance: random.Random
) -> Image.Image:
    width = round(size * math.sqrt(ratio[0] / ratio[1]))
    height = round(size * math.sqrt(ratio[1] / ratio[0]))
    sheet = _Sheet((width, height), chance)
    subject(sheet)
    flat = sheet.image.resize((width, height), Image.Resampling.LANCZOS)
    noise = Image.frombytes("L", (width, height), chance.randbytes(width * height))
    grain = noise.filter(ImageFilter.GaussianBlur(0.7)).point(lambda level: 255 - abs(level - 128) * _GRAIN // 64)
    return ImageChops.multiply(flat, Image.merge("RGB", (grain,) * 3))


class _Sheet:
    """A sheet of paper whose coordinates run from 0 to 1 in both directions, with a motif square in its middle."""

    def __init__(self, size: tuple[int, int], chance: random.Random) -> None:
        self.width, self.height = (side * _SCALE for side in size)
        self.chance = chance
        self.image = Image.new("RGB", (self.width, self.height), _PAPER)
        self._draw = ImageDraw.Draw(self.image)
        self._side = min(self.width, self.height)
        self._pen = max(2, round(self._side * 0.016))
        self._shift = (chance.uniform(-0.05, 0.05), chance.uniform(-0.03, 0.03))

    def colour(self) -> str:
        """Pick one of the four colours."""
        return self.chance.choice((_CORAL, _OCHRE, _TEAL, _SAGE))

    def band(self, top: float, colour: str) -> None:
        """Colour the sheet from a height down, under an ink line: ground, sea or table."""
        edge = self._at((0, top))[1]
        self._draw.rectangle((0, edge, self.width, self.height), fill=colour)
        self._draw.line((0, edge, self.width, edge), fill=_INK, width=self._pen)

    def disc(self, centre: Point, radius: float, colour: str, stretch: float = 1.0) -> None:
        """Draw an outlined disc; `stretch` widens it to an ellipse."""
        (x, y), reach = self._at(centre), radius * self._side
        box = (x - reach * stretch, y - reach, x + reach * stretch, y + reach)
        self._draw.ellipse(box, fill=colour, outline=_INK, width=self._pen)

    def shape(self, points: Sequence[Point], colour: str) -> None:
        """Draw an outlined polygon."""
        corners = [self._at(point) for point in points]
        self._draw.polygon(corners, fill=colour)
        self._draw.line([*corners, corners[0], corners[1]], fill=_INK, width=self._pen, joint="curve")

    def box(self, left: float, top: float, right: float, bottom: float, colour: str) -> None:
        """Draw an outlined rectangle."""
        self.shape([(left, top), (right, top), (right, bottom), (left, bottom)], colour)

    def stroke(self, *points: Point) -> None:
        """Draw an ink line."""
        self._draw.line([self._at(point) for point in points], fill=_INK, width=self._pen, joint="curve")

    def _at(self, point: Point) -> Point:
        left, top = (self.width - self._side) / 2, (self.height - self._side) / 2
        return (
            left + (point[0] + self._shift[0]) * self._side,
            top + (point[1] + self._shift[1]) * self._side,
        )


def _boat(sheet: _Sheet) -> None:
    sheet.disc((0.8, 0.2), 0.09, _OCHRE)
    sheet.band(0.66, _TEAL)
    sheet.stroke((0.5, 0.62), (0.5, 0.16))
    sheet.shape([(0.53, 0.2), (0.53, 0.58), (0.78, 0.58)], sheet.colour())
    sheet.shape([(0.47, 0.28), (0.47, 0.58), (0.28, 0.58)], _PAPER)
    sheet.shape([(0.22, 0.63), (0.8, 0.63), (0.7, 0.77), (0.32, 0.77)], _CORAL)


def _house(sheet: _Sheet) -> None:
    sheet.band(0.74, _SAGE)
    sheet.box(0.62, 0.22, 0.7, 0.42, _INK)
    sheet.box(0.26, 0.44, 0.74, 0.8, _PAPER)
    sheet.shape([(0.2, 0.46), (0.5, 0.2), (0.8, 0.46)], _CORAL)
    sheet.box(0.45, 0.58, 0.56, 0.8, sheet.colour())
    sheet.box(0.31, 0.52, 0.4, 0.62, _OCHRE)
    sheet.box(0.61, 0.52, 0.7, 0.62, _OCHRE)


def _tree(sheet: _Sheet) -> None:
    sheet.band(0.8, _OCHRE)
    sheet.shape([(0.46, 0.86), (0.47, 0.5), (0.54, 0.5), (0.56, 0.86)], _CORAL)
    for x, y, radius in ((0.36, 0.42, 0.15), (0.64, 0.42, 0.15), (0.5, 0.3, 0.19)):
        sheet.disc((x, y), radius, _SAGE if sheet.chance.random() < 0.7 else _TEAL)


def _mountain(sheet: _Sheet) -> None:
    sheet.disc((0.24, 0.22), 0.1, _CORAL)
    sheet.band(0.78, _SAGE)
    sheet.shape([(0.4, 0.78), (0.7, 0.32), (1.0, 0.78)], sheet.colour())
    sheet.shape([(0.02, 0.78), (0.4, 0.2), (0.76, 0.78)], _TEAL)
    sheet.shape([(0.4, 0.2), (0.3, 0.36), (0.37, 0.42), (0.43, 0.35), (0.5, 0.36)], _PAPER)


def _cat(sheet: _Sheet) -> None:
    fur = sheet.colour()
    sheet.band(0.8, _TEAL)
    sheet.disc((0.5, 0.66), 0.19, fur, stretch=1.1)
    sheet.shape([(0.33, 0.36), (0.34, 0.14), (0.48, 0.28)], fur)
    sheet.shape([(0.67, 0.36), (0.66, 0.14), (0.52, 0.28)], fur)
    sheet.disc((0.5, 0.38), 0.17, fur, stretch=1.15)
    sheet.disc((0.43, 0.36), 0.025, _INK)
    sheet.disc((0.57, 0.36), 0.025, _INK)
    sheet.stroke((0.5, 0.42), (0.5, 0.46))
    for y in (0.42, 0.46):
        sheet.stroke((0.26, y), (0.4, 0.44))
        sheet.stroke((0.74, y), (0.6, 0.44))


def _lighthouse(sheet: _Sheet) -> None:
    sheet.band(0.72, _TEAL)
    sheet.disc((0.5, 0.84), 0.13, _SAGE, stretch=2.0)
    sheet.shape([(0.4, 0.78), (0.45, 0.3), (0.55, 0.3), (0.6, 0.78)], _PAPER)
    sheet.shape([(0.42, 0.6), (0.435, 0.46), (0.565, 0.46), (0.58, 0.6)], _CORAL)
    sheet.box(0.44, 0.2, 0.56, 0.3, _OCHRE)
    sheet.shape([(0.41, 0.2), (0.5, 0.1), (0.59, 0.2)], sheet.colour())


def _fish(sheet: _Sheet) -> None:
    scales = sheet.colour()
    sheet.band(-1.0, _TEAL)
    sheet.shape([(0.7, 0.5), (0.9, 0.36), (0.86, 0.5), (0.9, 0.64)], _OCHRE)
    sheet.disc((0.46, 0.5), 0.17, scales if scales != _TEAL else _CORAL, stretch=1.7)
    sheet.shape([(0.42, 0.34), (0.56, 0.22), (0.6, 0.37)], _OCHRE)
    sheet.disc((0.28, 0.46), 0.03, _PAPER)
    for x, y in ((0.14, 0.3), (0.18, 0.2), (0.12, 0.12)):
        sheet.disc((x, y), 0.025, _PAPER)


def _flowers(sheet: _Sheet) -> None:
    sheet.band(0.76, _OCHRE)
    for x, y in ((0.36, 0.3), (0.5, 0.2), (0.64, 0.32)):
        sheet.stroke((0.5, 0.6), (x, y))
        petals = sheet.colour()
        for turn in range(5):
            angle = turn * math.tau / 5
            sheet.disc((x + 0.06 * math.cos(angle), y + 0.06 * math.sin(angle)), 0.045, petals)
        sheet.disc((x, y), 0.035, _PAPER)
    sheet.shape([(0.36, 0.56), (0.64, 0.56), (0.58, 0.84), (0.42, 0.84)], _CORAL)


_SUBJECTS: tuple[tuple[str, Callable[[_Sheet], None]], ...] = (
    ("boat on sea", _boat),
    ("house", _house),
    ("tree", _tree),
    ("mountain, sun", _mountain),
    ("cat sitting", _cat),
    ("lighthouse", _lighthouse),
    ("fish", _fish),
    ("flowers in pot", _flowers),
)
