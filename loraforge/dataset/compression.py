"""Traces of JPEG: the quality a file was saved at, and the one a picture was saved at before it became this file."""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

_COSINES = np.cos(np.pi / 8 * (np.arange(8) + 0.5) * np.arange(8)[:, None]) * np.where(
    np.arange(8)[:, None], 0.5, 8**-0.5
)
_LOW_FREQUENCIES = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0))
_STEPS = np.arange(8, 161)
_COARSE_STEP = 14
_STEP_TIMES_QUALITY = 585  # in libjpeg's tables, below quality 50

_TRIED = (*range(4, 16), *range(16, 28, 2), *range(28, 52, 3))
# Measured on eleven drawn hands: clean pictures, also ones saved at quality 60 and above, stay over 0.91; those once
# saved at 40 or less fall below 0.8.
_DIP = 0.87
_POOREST = 45
_CONTRAST = 40
_SQUARES = 256


def jpeg_quality(image: Image.Image) -> int | None:
    """Return the quality, 1 to 100, that libjpeg's standard table would need for these quantisers; None if no JPEG."""
    tables: dict[int, list[int]] | None = getattr(image, "quantization", None)
    if image.format != "JPEG" or not tables:
        return None
    coarse = sum(tables[min(tables)]) / 36.89  # the standard luma table at quality 50 sums up to 3689
    return max(1, min(100, round(100 - coarse / 2 if coarse <= 100 else 5000 / coarse)))


def former_quality(patches: Sequence[Any]) -> int | None:
    """Return the JPEG quality, up to 45, that a picture was once saved at, whatever it was saved as since; else None.

    Args:
        patches: grey squares with values 0 to 255, each starting on multiples of 8 in the picture as stored.
    """
    cut = [_squares(patch) for patch in patches if min(patch.shape) >= 8]
    if not cut:
        return None
    squares = np.concatenate(cut)
    step = _rounding_step(squares)
    return round(_STEP_TIMES_QUALITY / step) if step >= _COARSE_STEP else _unmoved_at(squares)


def _squares(patch: Any) -> Any:
    height, width = (side // 8 for side in patch.shape)
    return patch[: height * 8, : width * 8].reshape(height, 8, width, 8).swapaxes(1, 2).reshape(-1, 8, 8)


def _rounding_step(squares: Any) -> float:
    """Return the step by which low frequencies were rounded, 0 if none: 12 is quality 50, more is worse.

    The cosine coefficients of a decoded JPEG are multiples of its quantiser, whatever tables its program used.
    """
    coefficients = _COSINES @ squares @ _COSINES.T
    steps = [_step_of(np.abs(coefficients[:, row, column])) for row, column in _LOW_FREQUENCIES]
    found = [step for step in steps if step]
    # Quantisers of low frequencies are alike; windows of a drawn house fake one, not all.
    return float(np.median(found)) if len(found) >= 4 and max(found) <= 2 * min(found) else 0.0


def _step_of(values: Any) -> int:
    values = values[values > 3]
    if len(values) < 40:
        return 0
    times = values[:: len(values) // 1024 + 1, None] / _STEPS
    counted = np.maximum((times > 0.5).sum(0), 1)
    near = ((np.abs(times - np.round(times)) < 0.15) & (times > 0.5)).sum(0)
    once = ((times > 0.85) & (times < 1.15)).sum(0)
    between = ((times > 0.25) & (times < 0.6)).sum(0)
    # Multiples of the step and next to nothing between; in other pictures small values are the commonest.
    fits = (near > 0.62 * counted) & (counted >= 24) & (between < 0.4 * once)
    return int(_STEPS[fits].max()) if fits.any() else 0


def _unmoved_at(squares: Any) -> int | None:
    """Return the quality at which saving again changes far less than a little above and below it.

    Ink on white paper needs this: ringing beyond white was cut off, which blurs the steps, but what JPEG made of a
    picture once it makes of it again. Each square counts for itself, so those with contrast stand in one strip.
    """
    busy = squares[np.ptp(squares, axis=(1, 2)) > _CONTRAST]
    if len(busy) < 32:
        return None
    strip = busy[:: -(-len(busy) // _SQUARES)].swapaxes(0, 1).reshape(8, -1).astype(np.uint8)
    change = [_change(strip, quality) for quality in _TRIED]
    dips = [here / np.sqrt(above * below) for below, here, above in zip(change, change[2:], change[4:], strict=False)]
    deepest = int(np.argmin(dips))
    quality = _TRIED[deepest + 2]
    return quality if dips[deepest] < _DIP and quality <= _POOREST else None


def _change(strip: Any, quality: int) -> float:
    buffer = io.BytesIO()
    Image.fromarray(strip).save(buffer, "JPEG", quality=quality)
    again = np.asarray(Image.open(buffer), np.int16)
    return float(np.sqrt(np.square(again - strip, dtype=np.float32).mean())) + 0.1  # rounding moves as much
