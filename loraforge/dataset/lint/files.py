"""Files: what can't be read, what the engine would skip, and formats that change when they are trained."""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from loraforge.dataset.images import FaultKind, is_picture_name
from loraforge.dataset.lint.base import Hit, Scene, rule
from loraforge.findings import printable

# Picture formats that people bring and the engine does not read.
_FOREIGN = frozenset({
    ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2", ".jfif", ".psd", ".svg", ".ico", ".tga", ".ppm",
    ".exr", ".raw", ".cr2", ".nef", ".dng", ".apng",
})  # fmt: skip
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".bmp": "BMP"}


def _extension(name: str) -> str:
    return os.path.splitext(name)[1]  # noqa: PTH122  # plain names, 10,000 of them


@rule(
    "no-pictures",
    "error",
    reason="There is nothing to train on; the engine would end without an error and without a LoRA.",
    fix="Name the folder that directly holds the png, jpg, webp or bmp files.",
)
def no_pictures(scene: Scene) -> Iterator[Hit]:
    """A folder without pictures."""
    if not scene.subjects:
        yield Hit((), f"{printable(str(scene.folder))} holds no picture")


def _faulty(scene: Scene, kind: FaultKind) -> Iterator[Hit]:
    for subject in scene.subjects:
        if subject.fault is not None and subject.fault.kind == kind:
            yield Hit((subject.name,), printable(subject.fault.detail))


@rule(
    "picture-unreadable",
    "error",
    reason="The engine stops in the middle of preparing when it meets a file that is no picture.",
    fix="Open and save it as PNG, or delete it.",
)
def unreadable(scene: Scene) -> Iterator[Hit]:
    """Files that are no pictures."""
    yield from _faulty(scene, "unreadable")


@rule(
    "picture-truncated",
    "error",
    reason="The file breaks off: a copy or download that was cut short.",
    fix="Copy it again from its source, or delete it.",
)
def truncated(scene: Scene) -> Iterator[Hit]:
    """Pictures that end too early."""
    yield from _faulty(scene, "truncated")


@rule(
    "picture-zero-bytes",
    "error",
    reason="A file without content: a copy or download that failed.",
    fix="Copy it again from its source, or delete it.",
)
def zero_bytes(scene: Scene) -> Iterator[Hit]:
    """Files of zero bytes."""
    yield from _faulty(scene, "empty")


@rule(
    "picture-bomb",
    "error",
    reason="The header claims so many pixels that opening it would fill the memory.",
    fix="Shrink it, or delete it if you do not know where it comes from.",
)
def bomb(scene: Scene) -> Iterator[Hit]:
    """Decompression bombs."""
    yield from _faulty(scene, "bomb")


@rule(
    "picture-not-accessible",
    "error",
    reason="The file may not be read, or was gone when it was its turn.",
    fix="Give yourself permission to read it (chmod u+r) or put it back, then run again.",
)
def not_accessible(scene: Scene) -> Iterator[Hit]:
    """No permission, or vanished meanwhile."""
    yield from _faulty(scene, "denied")
    yield from _faulty(scene, "vanished")


@rule(
    "picture-animated",
    "warning",
    reason="Only the first frame of an animation is trained.",
    fix="Save the frame you want as PNG.",
)
def animated(scene: Scene) -> Iterator[Hit]:
    """Several frames."""
    for subject, features in scene.readable:
        if features.frames > 1:
            yield Hit((subject.name,), f"it has {features.frames} frames; the first is trained")


@rule(
    "picture-cmyk",
    "warning",
    reason="CMYK is made for printing; converted without its profile the colours shift, and the shift is trained.",
    fix="Convert it to sRGB in an image editor.",
)
def cmyk(scene: Scene) -> Iterator[Hit]:
    """CMYK colours."""
    for subject, features in scene.readable:
        if features.mode == "CMYK":
            yield Hit((subject.name,), "it is stored in CMYK")


@rule(
    "picture-deep",
    "info",
    reason="Training sees 8 bits a channel; what 16 bits hold beyond is lost, and some tools clip instead of scaling.",
    fix="Save it with 8 bits a channel to decide yourself how it looks.",
)
def deep(scene: Scene) -> Iterator[Hit]:
    """More than 8 bits a channel."""
    for subject, features in scene.readable:
        if features.deep:
            yield Hit((subject.name,), "it has more than 8 bits a channel")


@rule(
    "picture-palette",
    "info",
    reason="A palette holds 256 colours at most, so gradients show steps, which are then part of the style.",
    fix="Take the original with full colours if there is one.",
)
def palette(scene: Scene) -> Iterator[Hit]:
    """Palette colours."""
    for subject, features in scene.readable:
        if features.mode in {"P", "PA"}:
            yield Hit((subject.name,), "its colours come from a palette of at most 256")


@rule(
    "picture-transparent",
    "warning",
    reason="The engine drops transparency and trains whatever colours lie hidden beneath, often black.",
    fix="Flatten it on the background you want; `loraforge train` lays it on white.",
)
def transparent(scene: Scene) -> Iterator[Hit]:
    """See-through pixels."""
    for subject, features in scene.readable:
        if features.transparent > 0.001:
            yield Hit((subject.name,), f"{features.transparent:.0%} of it is transparent")


@rule(
    "picture-turned",
    "info",
    reason="The engine ignores the camera's orientation mark and trains the picture lying on its side.",
    fix="`loraforge train` turns it upright in its copy; for other trainers save it upright.",
)
def turned(scene: Scene) -> Iterator[Hit]:
    """EXIF orientation."""
    for subject, features in scene.readable:
        if features.orientation != 1:
            yield Hit((subject.name,), f"it is stored turned (EXIF orientation {features.orientation})")


@rule(
    "extension-mixed-case",
    "warning",
    reason="The engine looks for .jpg and .JPG; it skips .Jpg without a word.",
    fix="Write the extension in lower case; `loraforge train` does so in its copy.",
)
def mixed_case(scene: Scene) -> Iterator[Hit]:
    """Extensions such as .Jpg."""
    for subject in scene.subjects:
        extension = _extension(subject.path.name)
        if extension not in {extension.lower(), extension.upper()}:
            yield Hit((subject.name,), f"{printable(extension)} is in mixed case")


@rule(
    "extension-wrong",
    "info",
    reason="Content and extension disagree; most tools cope, some refuse.",
    fix="Rename it after its content.",
)
def wrong_extension(scene: Scene) -> Iterator[Hit]:
    """A JPEG called .png."""
    for subject, features in scene.readable:
        claimed = _FORMATS[_extension(subject.path.name).lower()]
        if features.format not in {claimed, "MPO"}:  # MPO is what Pillow calls a phone's JPEG with a preview
            yield Hit((subject.name,), f"it is a {features.format} file")


@rule(
    "extension-unknown",
    "warning",
    reason="The engine reads png, jpg, webp and bmp; other pictures in the folder are not trained.",
    fix="Save it as PNG, or move it out of the folder.",
)
def unknown_extension(scene: Scene) -> Iterator[Hit]:
    """Pictures in formats that are skipped."""
    for entry in scene.entries:
        extension = _extension(entry.name).lower()
        if not entry.is_folder and (extension in _FOREIGN or entry.disguised):
            what = f"{printable(extension)} files" if extension else "files without extension"
            yield Hit((printable(entry.name),), f"{what} are skipped")


@rule(
    "same-stem",
    "warning",
    reason="Pictures that differ only in extension share one caption file, and one cache file in the engine.",
    fix="Rename all but one, with their captions.",
)
def same_stem(scene: Scene) -> Iterator[Hit]:
    """a.jpg beside a.png."""
    stems: dict[str, list[str]] = defaultdict(list)
    for subject in scene.subjects:
        stems[subject.path.stem].append(subject.name)
    for names in stems.values():
        if len(names) > 1:
            yield Hit(tuple(names), f"{len(names)} pictures share the caption {printable(Path(names[0]).stem)}.txt")


@rule(
    "nested-folder",
    "warning",
    reason="Pictures in subfolders are not trained: the engine does not look into them.",
    fix="Move the pictures up, or lint and train the subfolder.",
)
def nested(scene: Scene) -> Iterator[Hit]:
    """Subfolders with pictures."""
    for name, count in scene.nested.items():
        yield Hit(
            (printable(name),),
            f"{count} picture{'s' * (count > 1)} in this subfolder {'are' if count > 1 else 'is'} skipped",
        )


@rule(
    "link-outside",
    "info",
    reason="A link that leads out of the folder trains a picture that can change or vanish without notice.",
    fix="Copy the picture into the folder.",
)
def link_outside(scene: Scene) -> Iterator[Hit]:
    """Symbolic links that leave the folder."""
    for entry in scene.entries:
        outside = entry.target is not None and not entry.target.is_relative_to(scene.folder)
        if outside and (entry.is_folder or is_picture_name(entry.name)):
            yield Hit((printable(entry.name),), f"it is a link to {printable(str(entry.target))}")
