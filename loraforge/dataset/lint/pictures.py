"""The single picture: too small, blurred, enlarged, over-compressed, framed or empty."""

from collections.abc import Iterator

from loraforge.dataset.features import Features
from loraforge.dataset.lint.base import Hit, Scene, Subject, rule
from loraforge.dataset.lint.judged import is_blurred, is_empty, is_enlarged

_POOR_QUALITY = 50


def _few(found: list[tuple[Subject, Features]], scene: Scene) -> bool:
    """Tell whether it is a fault of some pictures rather than the look of the set."""
    return len(found) <= max(1, len(scene.readable) // 2)


@rule(
    "picture-tiny",
    "warning",
    reason="Under 512×512 pixels there is too little of the style to learn from.",
    fix="Find a larger version or leave it out; enlarging adds nothing.",
)
def tiny(scene: Scene) -> Iterator[Hit]:
    """Under 512 by 512."""
    for subject, features in scene.readable:
        width, height = features.size
        if width * height < 0.95 * 512 * 512:
            yield Hit((subject.name,), f"{width}×{height} is less than 512×512")


@rule(
    "picture-small",
    "warning",
    reason="A picture smaller than the training resolution is trained at its own size, or enlarged and soft.",
    fix="Find a larger version, or train at a lower resolution (`loraforge train --set dataset.resolution=768`).",
)
def small(scene: Scene) -> Iterator[Hit]:
    """Under the training resolution."""
    area = scene.options.area
    for subject, features in scene.readable:
        width, height = features.size
        if 0.95 * 512 * 512 <= width * height < 0.9 * area:
            yield Hit((subject.name,), f"{width}×{height} has {width * height / area:.0%} of the training pixels")


@rule(
    "picture-blurred",
    "warning",
    reason="Blur is learnt as part of the style: one soft picture in ten is enough to see it.",
    fix="Take a sharp version, or leave it out.",
)
def blurred(scene: Scene) -> Iterator[Hit]:
    """Edges wider than any pen."""
    found = [(subject, features) for subject, features in scene.readable if is_blurred(features)]
    if _few(found, scene):
        for subject, features in found:
            width = 1 / max(features.sharpness, 0.02)
            yield Hit((subject.name,), f"its edges are some {width:.0f} pixels wide at training size")


@rule(
    "picture-upscaled",
    "warning",
    reason="An enlarged picture has the softness of enlarging, and that is learnt with the style.",
    fix="Take the original; at its own size it teaches more.",
)
def upscaled(scene: Scene) -> Iterator[Hit]:
    """No more detail than at half the size."""
    found = [(subject, features) for subject, features in scene.readable if is_enlarged(features, scene)]
    if _few(found, scene):
        for subject, features in found:
            width, height = (side // 2 for side in features.size)
            message = f"it holds no more detail than at {width}×{height} or less: enlarged from a smaller picture"
            yield Hit((subject.name,), message)


@rule(
    "soft-set",
    "info",
    reason="Most pictures are soft. That may be the style; if enlarging or scanning did it, it is learnt too.",
    fix="If the originals are sharper, use them.",
)
def soft_set(scene: Scene) -> Iterator[Hit]:
    """Softness that most share."""
    soft = [pair for pair in scene.readable if is_blurred(pair[1]) or is_enlarged(pair[1], scene)]
    if not _few(soft, scene):
        names = tuple(subject.name for subject, _ in soft)
        yield Hit(names, f"{len(soft)} of {len(scene.readable)} pictures are soft at training size")


@rule(
    "picture-jpeg-artefacts",
    "warning",
    reason="Blocks and rings of strong compression are texture like any other and come out in what is drawn later.",
    fix="Take the original, or one saved at quality 85 or more.",
)
def jpeg_artefacts(scene: Scene) -> Iterator[Hit]:
    """Strong compression, also in a picture saved again as something else."""
    for subject, features in scene.readable:
        if features.quality is not None and features.quality < _POOR_QUALITY:
            yield Hit((subject.name,), f"it was saved at JPEG quality {features.quality} or so")
        elif features.former_quality is not None:
            message = f"it was once saved at JPEG quality {features.former_quality} or so, and the damage stays"
            yield Hit((subject.name,), message)


@rule(
    "picture-framed",
    "warning",
    reason="A border, matte or letterbox is learnt as part of the style; the LoRA will draw frames.",
    fix="Crop it to the picture itself.",
)
def framed(scene: Scene) -> Iterator[Hit]:
    """Plain strips on opposite sides."""
    for subject, features in scene.readable:
        left, top, right, bottom = features.borders
        if (left and right) or (top and bottom):
            widest = max(features.borders)
            sides = sum(bool(width) for width in features.borders)
            yield Hit((subject.name,), f"a plain border on {sides} sides, up to {widest:.0%} wide")


@rule(
    "picture-near-empty",
    "warning",
    reason="A picture of little but one colour teaches empty pictures.",
    fix="Crop it to its subject, or leave it out.",
)
def near_empty(scene: Scene) -> Iterator[Hit]:
    """Less than 2% differs from one colour."""
    for subject, features in scene.readable:
        if is_empty(features):
            yield Hit((subject.name,), f"{1 - features.occupied:.1%} of it is one colour")
