"""What is measured of a picture to compare checkpoints: its hand, its composition and how hard it was cooked.

Everything comes from pixels; nothing is downloaded. All pictures of a comparison are brought to one size first, since
strokes and grain are measured in pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from loraforge.dataset import pixels
from loraforge.dataset.images import PictureError, load_rgb

_SMALL = 256
# Where `pixels.style` keeps what over-training pushes up: spread of light, colourfulness, share of hard edges, detail.
_CONTRAST, _CHROMA, _EDGES = 3, 5, 13
_FINEST = slice(21, 25)


@dataclass(frozen=True, slots=True)
class Look:
    """One picture, measured.

    Attributes:
        style: the hand, 27 numbers of about one unit between hands.
        layout: where the masses lie, two unit vectors of 64 numbers.
        thumb: 16x16 grey values, centred and of unit length.
        cooked: saturation, contrast, hard edges and fine detail; each grows with over-training.
    """

    style: Any
    layout: Any
    thumb: Any
    cooked: Any


def look_at(path: Path, area: int) -> Look | PictureError:
    """Measure a picture at `area` pixels; one that can't be read gives its error.

    Args:
        path: the picture.
        area: width x height to which it is shrunk; a smaller one stays as it is.
    """
    try:
        return look(load_rgb(path), area)
    except PictureError as error:
        return error


def look(image: Image.Image, area: int) -> Look:
    """Measure an RGB picture at `area` pixels."""
    scale = math.sqrt(area / (image.width * image.height))
    if scale < 1:
        size = max(8, round(image.width * scale)), max(8, round(image.height * scale))
        image = image.resize(size, Image.Resampling.LANCZOS)
    small = image.copy()
    small.thumbnail((_SMALL, _SMALL), Image.Resampling.BOX)
    reduced = np.asarray(small)
    style = np.asarray(pixels.style(reduced, pixels.spread_patches(image)), np.float64)
    thumb = np.asarray(image.convert("L").resize((16, 16), Image.Resampling.BOX), np.float64).ravel()
    thumb -= thumb.mean()
    cooked = np.array([style[_CHROMA], style[_CONTRAST], style[_EDGES], style[_FINEST].mean()])
    layout = np.asarray(pixels.layout(reduced), np.float64)
    return Look(style, layout, thumb / (np.linalg.norm(thumb) + 1e-6), cooked)


def common_area(sizes: Sequence[tuple[int, int]]) -> int:
    """Return the area at which pictures of these sizes compare: that of the smallest, at most a megapixel."""
    return min((width * height for width, height in sizes), default=1 << 20) if sizes else 1 << 20
