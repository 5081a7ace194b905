"""Caption files: what the engine misreads, and the trigger's place in them."""

import difflib
from collections.abc import Callable, Iterator
from itertools import pairwise

from loraforge.dataset.captions import CAPTION_SUFFIX, Problem, trigger_pattern
from loraforge.dataset.lint.base import Hit, Scene, Subject, joined, rule
from loraforge.findings import printable

_SIDECARS = frozenset({".caption", ".cap", ".tags", ".text"})


def _beside_trigger(subject: Subject, scene: Scene) -> str:
    trigger = scene.options.trigger
    return trigger_pattern(trigger).sub(" ", subject.caption.text) if trigger else subject.caption.text


def _problem(scene: Scene, problem: Problem, message: str | Callable[[Subject], str]) -> Iterator[Hit]:
    for subject in scene.subjects:
        if problem in subject.caption.problems:
            yield Hit((subject.name,), message if isinstance(message, str) else message(subject))


def _quoted(text: str, most: int = 60) -> str:
    return f"“{printable(text[:most])}{'…' if len(text) > most else ''}”"


@rule(
    "caption-missing",
    "warning",
    reason="Without a caption the picture is trained on the trigger alone, subject and all.",
    fix="`loraforge caption DIR --trigger WORD` writes short ones.",
)
def missing(scene: Scene) -> Iterator[Hit]:
    """No .txt beside the picture."""
    names = tuple(subject.name for subject in scene.subjects if "missing" in subject.caption.problems)
    if names:
        some = f"{len(names)} of {len(scene.subjects)} pictures have no caption: {joined(names)}"
        yield Hit(names, "no picture has a caption" if len(names) == len(scene.subjects) else some)


@rule(
    "caption-empty",
    "warning",
    reason="The engine stops with an assertion on an empty caption file; `loraforge train` uses the trigger alone.",
    fix="Write two to five words on the subject, or delete the file.",
)
def empty(scene: Scene) -> Iterator[Hit]:
    """Nothing, or a blank first line."""
    yield from _problem(scene, "empty", "the caption file is empty")
    yield from _problem(scene, "first-line-blank", "the first line is blank, and only the first line is trained")


@rule(
    "caption-not-utf8",
    "warning",
    reason="The engine stops on captions that are not UTF-8; what they say was guessed here.",
    fix="Save the file as UTF-8.",
)
def not_utf8(scene: Scene) -> Iterator[Hit]:
    """Another encoding."""
    yield from _problem(scene, "not-utf8", lambda subject: f"not UTF-8; read as {_quoted(subject.caption.text)}")


@rule(
    "caption-byte-order-mark",
    "info",
    reason="The engine trains the invisible mark as part of the first word, which should be the trigger.",
    fix="Save the file as UTF-8 without BOM; `loraforge train` drops it in its copy.",
)
def byte_order_mark(scene: Scene) -> Iterator[Hit]:
    """A byte-order mark in front."""
    yield from _problem(scene, "bom", "the caption begins with a byte-order mark")


@rule(
    "caption-several-lines",
    "warning",
    reason="The engine reads the first line only; the rest is never trained.",
    fix="Join the lines, or delete the rest.",
)
def several_lines(scene: Scene) -> Iterator[Hit]:
    """More than one line."""
    yield from _problem(scene, "several-lines", lambda subject: f"only {_quoted(subject.caption.text)} is trained")


@rule(
    "caption-control-characters",
    "warning",
    reason="Invisible characters are trained as tokens of their own.",
    fix="Type the caption again.",
)
def control_characters(scene: Scene) -> Iterator[Hit]:
    """Characters that nobody sees."""
    yield from _problem(scene, "control-characters", "the caption holds control characters")


@rule(
    "caption-too-large",
    "warning",
    reason="This is no caption: only its beginning was read.",
    fix="Replace it by a few words.",
)
def too_large(scene: Scene) -> Iterator[Hit]:
    """Over 64 KiB."""
    yield from _problem(scene, "too-large", "the caption file is larger than 64 KiB")


@rule(
    "caption-unreadable",
    "error",
    reason="The caption can't be opened, so nobody knows what would be trained.",
    fix="Give yourself permission to read it (chmod u+r), or delete it.",
)
def unreadable(scene: Scene) -> Iterator[Hit]:
    """No permission, or not a file."""
    yield from _problem(scene, "unreadable", "the caption file can't be read")


@rule(
    "caption-not-followed",
    "error",
    reason="In a set from elsewhere such a link could have any file of yours shown and trained.",
    fix="Put the caption itself in its place; links to captions in this folder, or beside a picture, are followed.",
)
def not_followed(scene: Scene) -> Iterator[Hit]:
    """A link out of the folder, to no picture's caption."""
    yield from _problem(scene, "not-followed", "the caption is a link out of the folder, and not read")


@rule(
    "caption-wrong-extension",
    "warning",
    reason="Captions are read from .txt files; what stands in others is never trained.",
    fix="Rename it to the picture's name with .txt.",
)
def wrong_extension(scene: Scene) -> Iterator[Hit]:
    """a.caption, a.TXT, a.png.txt."""
    stems = {subject.path.stem for subject in scene.subjects}
    names = {subject.path.name for subject in scene.subjects}
    for entry in scene.entries:
        stem, dot, extension = entry.name.rpartition(".")
        kind = (dot + extension).lower()
        lost = stem in stems and (kind in _SIDECARS or (kind == CAPTION_SUFFIX and dot + extension != CAPTION_SUFFIX))
        if not entry.is_folder and (lost or (stem in names and kind == CAPTION_SUFFIX)):
            yield Hit((printable(entry.name),), "it is not read as a caption")


@rule(
    "caption-without-picture",
    "info",
    reason="A caption whose picture is missing or named otherwise is never trained.",
    fix="Rename it after its picture, or delete it.",
)
def orphan(scene: Scene) -> Iterator[Hit]:
    """A .txt that belongs to no picture."""
    known = {subject.path.stem for subject in scene.subjects} | {subject.path.name for subject in scene.subjects}
    for entry in scene.entries:
        if not entry.is_folder and entry.name.endswith(CAPTION_SUFFIX) and entry.name[:-4] not in known:
            yield Hit((printable(entry.name),), "no picture has this name")


def _captioned(scene: Scene) -> list[Subject]:
    return [subject for subject in scene.subjects if subject.caption.text]


def _near_miss(caption: str, trigger: str) -> str | None:
    """Return the word (or two words) of a caption that is nearly the trigger."""
    words = caption.replace(",", " ").split()[:200]
    for word in [*words, *(f"{one} {two}" for one, two in pairwise(words))]:
        plain = word.strip(".,;:!?\"'()").lower()
        close = difflib.SequenceMatcher(None, plain, trigger.lower()).ratio()
        if plain and abs(len(plain) - len(trigger)) <= 2 and close >= max(0.75, 1 - 2 / len(trigger)):
            return word
    return None


@rule(
    "trigger-absent",
    "warning",
    reason="A caption without the trigger teaches the style to its other words. `loraforge train` puts it in front.",
    fix="For other trainers `loraforge caption DIR --trigger WORD --prepend WORD` writes it into the files.",
)
def trigger_absent(scene: Scene) -> Iterator[Hit]:
    """Captions without the trigger."""
    trigger = scene.options.trigger
    if not trigger:
        return
    pattern = trigger_pattern(trigger)
    captioned = _captioned(scene)
    without = [subject for subject in captioned if not pattern.search(subject.caption.text)]
    names = tuple(subject.name for subject in without if _near_miss(subject.caption.text, trigger) is None)
    if names and len(without) == len(captioned):
        yield Hit(names, f"no caption has the trigger {trigger}; it is put in front while staging", severity="info")
    elif names:
        yield Hit(names, f"{len(names)} of {len(captioned)} captions lack the trigger {trigger}: {joined(names)}")


@rule(
    "trigger-misspelt",
    "warning",
    reason="A misspelt trigger is another word: the style is learnt under both, half each.",
    fix="`loraforge caption DIR --find WRONG --replace RIGHT` corrects all captions at once.",
)
def trigger_misspelt(scene: Scene) -> Iterator[Hit]:
    """A word that is nearly the trigger."""
    trigger = scene.options.trigger
    for subject in _captioned(scene) if trigger else ():
        rest = _beside_trigger(subject, scene)
        near = _near_miss(rest, trigger or "")
        if near is not None:
            yield Hit((subject.name,), f"{_quoted(near)} is nearly the trigger {trigger}")


@rule(
    "trigger-not-first",
    "info",
    reason="Both text encoders weigh the first words most; the trigger belongs there. `loraforge train` moves it.",
    fix="For other trainers `loraforge caption DIR --trigger WORD --prepend WORD` moves it to the front.",
)
def trigger_not_first(scene: Scene) -> Iterator[Hit]:
    """The trigger somewhere behind."""
    trigger = scene.options.trigger
    for subject in _captioned(scene) if trigger else ():
        found = trigger_pattern(trigger or "").search(subject.caption.text)
        if found and found.start() > 0:
            yield Hit(
                (subject.name,), f"the trigger stands behind {_quoted(subject.caption.text[: found.start()], 30)}"
            )


@rule(
    "trigger-repeated",
    "info",
    reason="Once is enough; repetition only makes the trigger need repetition. `loraforge train` keeps the first.",
    fix="For other trainers `loraforge caption DIR --trigger WORD --prepend WORD` keeps the first.",
)
def trigger_repeated(scene: Scene) -> Iterator[Hit]:
    """The trigger more than once."""
    trigger = scene.options.trigger
    for subject in _captioned(scene) if trigger else ():
        count = len(trigger_pattern(trigger or "").findall(subject.caption.text))
        if count > 1:
            yield Hit((subject.name,), f"the trigger stands {count} times in the caption")
