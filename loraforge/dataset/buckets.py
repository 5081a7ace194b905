"""The engine's bucketing, predicted: which training size a picture gets and what is cut away.

Restates BucketManager.select_bucket and make_bucket_resolutions of sd-scripts; tests compare both on random sizes.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache

from loraforge.config.dataset import Buckets
from loraforge.errors import DatasetError

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a picture goes.

    Attributes:
        bucket: (width, height) in pixels that are trained.
        resized: (width, height) the picture is scaled to before the centre crop.
        cropped_percent: share of the picture's area that the crop cuts away, 0 to 100.
        upscaled: the picture is enlarged to fill its bucket.
    """

    bucket: Size
    resized: Size
    cropped_percent: float
    upscaled: bool

    @property
    def crop_box(self) -> tuple[float, float, float, float]:
        """Return the kept part as (left, top, right, bottom) in fractions of the picture, 0 to 1."""
        left = (self.resized[0] - self.bucket[0]) // 2 / self.resized[0]
        top = (self.resized[1] - self.bucket[1]) // 2 / self.resized[1]
        return left, top, left + self.bucket[0] / self.resized[0], top + self.bucket[1] / self.resized[1]


def bucket_for(size: Size, resolution: int | list[int] | Size, buckets: Buckets) -> Placement:
    """Place a picture as the engine would.

    Args:
        size: the picture's upright (width, height) in pixels.
        resolution: training size, one side of a square or (width, height).
        buckets: the bucket settings.

    Raises:
        DatasetError: a side is so short that the engine would divide by zero or train on nothing.
    """
    area = (resolution, resolution) if isinstance(resolution, int) else (resolution[0], resolution[1])
    if min(size) < 1:
        raise DatasetError(f"a picture of {size[0]}×{size[1]} pixels can't be trained")
    if not buckets.enabled:
        bucket, resized = area, _covering(size, area)
    elif buckets.upscale:
        bucket = _nearest(size, make_buckets(area, buckets.min, buckets.max, buckets.step))
        resized = _covering(size, bucket)
    else:
        bucket, resized = _shrunk(size, area, buckets.step)
    kept = bucket[0] * bucket[1] / (resized[0] * resized[1])
    return Placement(bucket, resized, 100 * (1 - kept), upscaled=resized[0] > size[0] or resized[1] > size[1])


@cache
def make_buckets(area: Size, shortest: int, longest: int, step: int) -> tuple[Size, ...]:
    """Return the engine's table of bucket sizes, sorted.

    Args:
        area: (width, height) whose product no bucket exceeds, in pixels.
        shortest: shortest side, rounded down to a multiple of `step`.
        longest: longest side, rounded up to a multiple of `step`.
        step: sides are multiples of this.
    """
    shortest -= shortest % step
    longest += -longest % step
    pixels = area[0] * area[1]
    square = int(math.sqrt(pixels) // step) * step
    sizes = {(square, square)}
    for width in range(shortest, longest + 1, step):
        height = min(longest, pixels // width // step * step)
        if height >= shortest:
            sizes |= {(width, height), (height, width)}
    return tuple(sorted(sizes))


@cache
def _ratios(sizes: tuple[Size, ...]) -> tuple[tuple[float, Size], ...]:
    # Of equal ratios the engine takes the first of the sorted sizes.
    first: dict[float, Size] = {}
    for width, height in sizes:
        first.setdefault(width / height, (width, height))
    return tuple(sorted(first.items()))


def _nearest(size: Size, sizes: tuple[Size, ...]) -> Size:
    """Pick the bucket of the closest aspect ratio; an exact size wins, and of two equally close the first sorted."""
    if size in sizes:
        return size
    ratio = size[0] / size[1]
    table = _ratios(sizes)
    at = bisect_left(table, (ratio,))
    around = table[max(at - 1, 0) : at + 1]
    return min(around, key=lambda entry: (abs(entry[0] - ratio), entry[1]))[1]


def _covering(size: Size, bucket: Size) -> Size:
    """Scale `size` until it just covers `bucket`."""
    scale = bucket[1] / size[1] if size[0] / size[1] > bucket[0] / bucket[1] else bucket[0] / size[0]
    return int(size[0] * scale + 0.5), int(size[1] * scale + 0.5)


def _shrunk(size: Size, area: Size, step: int) -> tuple[Size, Size]:
    """Return bucket and resized size when nothing is enlarged: the area shrinks, then sides are cut to steps."""
    resized = size
    pixels = area[0] * area[1]
    if size[0] * size[1] > pixels:
        ratio = size[0] / size[1]
        width = math.sqrt(pixels * ratio)
        by_width, by_height = _to_step(width, step), _to_step(pixels / width, step)
        height_in, width_in = _to_step(by_width / ratio, step) if by_width else 0, _to_step(by_height * ratio, step)
        if not height_in or not by_height:
            raise DatasetError(f"{size[0]}×{size[1]} is so narrow that a side shrinks below {step} pixels")
        if abs(by_width / height_in - ratio) < abs(width_in / by_height - ratio):
            resized = by_width, int(by_width / ratio + 0.5)
        else:
            resized = int(by_height * ratio + 0.5), by_height
    bucket = resized[0] - resized[0] % step, resized[1] - resized[1] % step
    if not all(bucket):
        raise DatasetError(f"{size[0]}×{size[1]} has a side shorter than the bucket step of {step} pixels")
    return bucket, resized


def _to_step(length: float, step: int) -> int:
    whole = int(length + 0.5)
    return whole - whole % step
