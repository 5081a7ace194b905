"""Buckets: what the engine will cut away or enlarge, and sizes that stand alone."""

from collections import defaultdict
from collections.abc import Iterator

from loraforge.dataset.buckets import Size, bucket_for
from loraforge.dataset.lint.base import Hit, Scene, joined, rule
from loraforge.errors import DatasetError

_CROP_PERCENT = 15.0


def _members(scene: Scene) -> dict[Size, list[str]]:
    members: dict[Size, list[str]] = defaultdict(list)
    for subject in scene.subjects:
        if subject.placement is not None:
            members[subject.placement.bucket].append(subject.name)
    return dict(sorted(members.items()))


@rule(
    "bucket-impossible",
    "error",
    reason="A side shorter than the bucket step leaves nothing to train; the engine divides by zero.",
    fix="Leave the picture out, or turn on [dataset.buckets] upscale.",
)
def impossible(scene: Scene) -> Iterator[Hit]:
    """Too narrow for any bucket."""
    for subject, features in scene.readable:
        if subject.placement is None:
            try:
                bucket_for(features.size, list(scene.options.sides), scene.options.buckets)
            except DatasetError as error:
                yield Hit((subject.name,), error.message)


@rule(
    "crop-heavy",
    "warning",
    reason="What the bucket cuts away is never seen; signatures, heads and borders of the composition go first.",
    fix="Crop it yourself to the shape of its bucket, or turn on buckets with a finer step or a larger max.",
)
def crop_heavy(scene: Scene) -> Iterator[Hit]:
    """More than 15% is cut away."""
    for subject in scene.subjects:
        placed = subject.placement
        if placed is not None and placed.cropped_percent > _CROP_PERCENT:
            bucket = f"{placed.bucket[0]}×{placed.bucket[1]}"
            yield Hit((subject.name,), f"{placed.cropped_percent:.0f}% of it is cut away to fit {bucket}")


@rule(
    "bucket-upscaled",
    "info",
    reason="Enlarging to fill a bucket adds softness, which is learnt with the style.",
    fix="Find a larger version, or set dataset.buckets.upscale to false to train it at its own size.",
)
def upscaled(scene: Scene) -> Iterator[Hit]:
    """Enlarged to fill its bucket."""
    for subject, features in scene.readable:
        placed = subject.placement
        if placed is not None and placed.upscaled:
            times = placed.resized[0] / features.size[0]
            yield Hit((subject.name,), f"it is enlarged {times:.2f} times to {placed.resized[0]}×{placed.resized[1]}")


@rule(
    "bucket-single",
    "info",
    reason="Only pictures of one bucket share a batch; one that is alone in its bucket makes a batch of one.",
    fix="Crop it to the shape of another picture, or train with batch_size 1.",
)
def single(scene: Scene) -> Iterator[Hit]:
    """One picture in a bucket, with batches of several."""
    alone = [(size, names[0]) for size, names in _members(scene).items() if len(names) == 1]
    if scene.options.batch_size > 1 and alone:
        sizes = joined(f"{width}×{height}" for (width, height), _ in alone)
        yield Hit(tuple(name for _, name in alone), f"{len(alone)} buckets hold a single picture: {sizes}")


@rule(
    "batch-short",
    "warning",
    reason="A bucket that does not fill its last batch makes steps of uneven size and wastes memory that was paid for.",
    fix="Choose a batch_size that divides the buckets, or crop pictures into fewer shapes.",
)
def batch_short(scene: Scene) -> Iterator[Hit]:
    """Batches left short."""
    batch = scene.options.batch_size
    short = {size: names for size, names in _members(scene).items() if len(names) % batch}
    if batch > 1 and short:
        told = joined(f"{width}×{height} ({len(names)} pictures)" for (width, height), names in short.items())
        some = tuple(name for names in short.values() for name in names)
        yield Hit(some, f"{len(short)} buckets leave a batch of {batch} short: {told}")
