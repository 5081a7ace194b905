"""What pixels say about a picture: sharpness, real detail, borders, emptiness and the hand.

Pure functions on arrays. Thresholds live with the lint rules; these only measure.
"""

from typing import Any

import numpy as np
from PIL import Image

Grey = Any  # float32 array, height x width, 0 to 255
Colour = Any  # uint8 array, height x width x 3

PATCH = 256
_GRID = 8  # JPEG compresses squares of 8 pixels, so patches start on multiples of 8


def busiest_patches(image: Image.Image, small: Colour, count: int = 4) -> list[Grey]:
    """Return up to `count` grey squares of PATCH pixels where most happens, hardly overlapping.

    Args:
        image: the picture, of any size.
        small: a reduction of it, in which the busy places are looked for.
        count: how many at most.
    """
    grey = small @ np.full(3, 1 / 3, np.float32)
    activity = _slopes(grey)
    width, height = min(PATCH, image.width), min(PATCH, image.height)
    down, across = small.shape[0] / image.height, small.shape[1] / image.width
    spots = []
    for top in np.linspace(0, image.height - height, 7).astype(int) // _GRID * _GRID:
        for left in np.linspace(0, image.width - width, 7).astype(int) // _GRID * _GRID:
            rows = slice(int(top * down), int((top + height) * down) + 1)
            columns = slice(int(left * across), int((left + width) * across) + 1)
            spots.append((float(activity[rows, columns].mean()), int(top), int(left)))
    chosen: list[tuple[int, int]] = []
    for _, top, left in sorted(spots, reverse=True):
        if all(abs(top - y) >= height * 0.6 or abs(left - x) >= width * 0.6 for y, x in chosen):
            chosen.append((top, left))
        if len(chosen) == count:
            break
    return [_patch(image, left, top, width, height) for top, left in chosen]


def _slopes(grey: Grey) -> Grey:
    return np.abs(np.diff(grey, axis=0, append=grey[-1:])) + np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))


def spread_patches(image: Image.Image) -> list[Grey]:
    """Return five grey squares of 160 pixels, one in the middle and one in each quarter."""
    side = min(160, *image.size)
    places = [(0.5, 0.5), (0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)]
    return [_patch(image, int(x * (image.width - side)), int(y * (image.height - side)), side, side) for x, y in places]


def _patch(image: Image.Image, left: int, top: int, width: int, height: int) -> Grey:
    return np.asarray(image.crop((left, top, left + width, top + height)).convert("L"), np.float32)


def sharpness(patches: list[Grey]) -> float:
    """Return how much of an edge's height one pixel step takes, 0 to 1: near 1 crisp, below 0.2 out of focus.

    It measures the width of edges, not their number, so sparse drawings and busy paintings compare.
    """
    steps = []
    for patch in patches:
        for grey in (patch, patch.T):
            columns = grey.shape[1] // 12 * 12
            if not columns:
                continue
            windows = np.ascontiguousarray(grey[:, :columns].reshape(-1, 12).T)  # the first axis reduces fastest
            heights = windows.max(0) - windows.min(0)
            largest = np.abs(np.diff(windows, axis=0)).max(0)
            clear = heights > max(10.0, min(40.0, float(np.quantile(heights[::4], 0.98)) * 0.7))
            if clear.sum() >= 20:
                steps.append(float(np.median(largest[clear] / heights[clear])))
    return float(np.median(steps)) if steps else 1.0


def detail_loss(patches: list[Grey], factor: float) -> float:
    """Return which share of the fine structure is lost by shrinking to 1/factor and enlarging again, 0 to 1.

    Next to nothing is lost when the picture was enlarged by that factor before.
    """
    lost = fine = 0.0
    for patch in patches:
        image = Image.fromarray(patch)
        width, height = image.size
        if min(width, height) < 64:
            continue
        small = image.resize((round(width / factor), round(height / factor)), Image.Resampling.LANCZOS)
        coarse = image.resize((width // 8, height // 8), Image.Resampling.BOX)
        inner = (slice(8, -8), slice(8, -8))
        back = np.asarray(small.resize(image.size, Image.Resampling.BICUBIC))
        ground = np.asarray(coarse.resize(image.size, Image.Resampling.BICUBIC))
        lost += float(np.square(back - patch)[inner].mean())
        fine += float(np.square(patch - ground)[inner].mean())
    return float(np.sqrt(lost / (fine + 0.5))) if fine else 1.0


def borders(small: Colour) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) widths of a plain frame in shares of the side, 0 where there is none.

    A frame ends in a straight line along most of the side; a subject on a plain ground does not.
    """
    sides = (small.transpose(1, 0, 2), small, small.transpose(1, 0, 2)[::-1], small[::-1])
    left, top, right, bottom = (_border(side.astype(np.int16)) for side in sides)
    return left, top, right, bottom


def _border(rows: Any) -> float:
    colour = np.median(rows[0], axis=0)
    differs = _farthest(rows, colour, 16).mean(1)
    busy = np.flatnonzero(differs > 0.03)
    width = int(busy[0]) if busy.size else 0
    if width < 2 or width > len(rows) * 0.4:
        return 0.0
    inner = differs[width : width + 3].max()  # the line itself may fall between two reduced rows
    return width / len(rows) if inner > 0.75 else 0.0


def occupied(small: Colour) -> float:
    """Return the share of the picture that differs from its commonest colour, 0 to 1."""
    flat = small.reshape(-1, 3)
    counts = np.bincount((flat >> 4) @ np.array([256, 16, 1], np.uint16), minlength=4096)
    commonest = int(counts.argmax())
    centre = np.array([commonest >> 8, (commonest >> 4) & 15, commonest & 15], np.int16) * 16 + 8
    return float(_farthest(flat.astype(np.int16), centre, 24).mean())


def _farthest(pixels: Any, colour: Any, limit: int) -> Any:
    """Tell which pixels differ from a colour by more than `limit` in any channel."""
    red, green, blue = (np.abs(pixels[..., channel] - colour[channel]) > limit for channel in range(3))
    return red | green | blue


def layout(small: Colour) -> list[float]:
    """Return where the masses lie: 8x8 grey means and 8x8 edge means, each centred and of unit length (128 numbers)."""
    grey = small @ np.full(3, 1 / 3, np.float32)
    edges = _slopes(grey)
    parts = []
    for plane in (grey, edges):
        cells = np.asarray(Image.fromarray(plane.astype(np.float32)).resize((8, 8), Image.Resampling.BOX)).ravel()
        cells = cells - cells.mean()
        parts.append(cells / (np.linalg.norm(cells) + 1e-6))
    return [round(float(value), 4) for value in np.concatenate(parts)]


def style(small: Colour, patches: list[Grey]) -> list[float]:
    """Return a description of the hand, not of the subject: palette, contrast, grain, edges and strokes.

    Args:
        small: the picture reduced to at most 256 pixels a side.
        patches: grey squares at working resolution, spread over the picture.

    Returns:
        27 numbers, scaled so that one unit is a plain difference between hands.
    """
    rgb = small.astype(np.float32)
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    light = (red + green + blue) / 3
    chroma = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    tone = [*np.quantile(light[::2, ::2], [0.02, 0.5, 0.98]) / 90, light.std() / 30]
    colour = [
        *np.quantile(chroma[::2, ::2], [0.5, 0.9]) / 70,
        (red - green).std() / 30,
        ((red + green) / 2 - blue).std() / 30,
    ]
    cells = np.bincount((small.reshape(-1, 3) >> 5) @ np.array([64, 8, 1], np.uint16), minlength=512)
    shares = np.sort(cells / cells.sum())[::-1]
    palette = [np.log(1 / np.square(shares).sum()) / 0.8, shares[:4].sum() / 0.25]
    return [round(float(value), 4) for value in (*tone, *colour, *palette, *_texture(patches))]


def _texture(patches: list[Grey]) -> list[float]:
    rows = []
    for patch in patches:
        if min(patch.shape) < 8:
            continue
        across, down = np.diff(patch, axis=1)[:-1], np.diff(patch, axis=0)[:, :-1]
        slope = np.hypot(across, down)
        strong = slope > 20
        calm = [(slope < 1.5).mean() / 0.3, (slope < 6).mean() / 0.3, strong.mean() / 0.15, (slope > 80).mean() / 0.08]
        turned = np.histogram(np.arctan2(down, across)[strong] % np.pi, 4, (0, np.pi))[0] / max(int(strong.sum()), 1)
        rows.append([*calm, *(np.log(_bands(patch) + 0.3) / 1.6), *(np.sort(turned) / 0.25)[2:]])
    width = len(rows[0]) if rows else 17
    return list(np.mean(rows, axis=0)) if rows else [0.0] * width


def _bands(patch: Grey) -> Any:
    """Return the amplitude of detail in 11 bands of frequency, from 1/64 to 1/2 cycle a pixel."""
    height, width = patch.shape
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(np.fft.rfft2((patch - patch.mean()) * window)) ** 2 / patch.size
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    edges = np.geomspace(1 / 64, 0.5, 12)
    index = np.digitize(radius, edges).ravel()
    total, count = np.bincount(index, power.ravel(), 13), np.bincount(index, minlength=13)
    return np.sqrt(total / np.maximum(count, 1))[1:12]
