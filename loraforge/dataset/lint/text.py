"""Text in pictures: watermarks, signatures, speech bubbles, page numbers."""

from collections.abc import Iterator

from loraforge.dataset.lint.base import Hit, Scene, joined, rule
from loraforge.findings import printable


@rule(
    "picture-text",
    "warning",
    reason="Watermarks, signatures and lettering are learnt with the style and come out as scribbles.",
    fix="Crop or paint it out, or leave the picture out.",
)
def text(scene: Scene) -> Iterator[Hit]:
    """Readable text."""
    for subject in scene.subjects:
        if subject.text:
            lines = joined((f"“{printable(line[:60])}”" for line in subject.text), 3)
            yield Hit((subject.name,), f"text in the picture: {lines}")


@rule(
    "text-not-looked-for",
    "info",
    reason="Finding text needs rapidocr, an optional extra whose models ship inside it.",
    fix='pip install "loraforge[text-detection]"',
)
def not_looked_for(scene: Scene) -> Iterator[Hit]:
    """No rapidocr."""
    if scene.options.text and scene.subjects and not scene.can_read_text:
        yield Hit((), "not looked for text, watermarks and signatures")
