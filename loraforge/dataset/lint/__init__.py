"""Lint: everything worth knowing about a folder of pictures before it is trained on. Never changes a file."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

from loraforge.dataset import embedding, features, lettering
from loraforge.dataset.buckets import Placement, bucket_for
from loraforge.dataset.captions import CAPTION_SUFFIX, caption_path, read_caption
from loraforge.dataset.images import (
    PictureError,
    is_folder,
    is_picture_inside,
    is_picture_name,
    list_folder,
    list_pictures,
)

# The modules of rules register themselves; their order is the order of the report.
from loraforge.dataset.lint import (  # isort: skip
    files as files,
    sets as sets,
    pictures as pictures,
    trigger as trigger,
    captions as captions,
    wording as wording,
    buckets as buckets,
    text as text,
)
from loraforge.dataset.lint.base import RULES, Entry, LintOptions, Rule, Scene, Subject
from loraforge.errors import DatasetError
from loraforge.findings import Finding, has_errors

__all__ = ["RULES", "Finding", "LintOptions", "Report", "Rule", "Subject", "lint"]

FAMILIES = tuple(dict.fromkeys(rule.family for rule in RULES.values()))


@dataclass(frozen=True, slots=True)
class Report:
    """What lint found.

    Attributes:
        folder: the folder, absolute.
        options: what the pictures were judged for.
        subjects: every picture with its measurements, caption and bucket.
        findings: in the order of the rules.
        about: for each finding the names of the pictures or files it is about.
    """

    folder: Path
    options: LintOptions
    subjects: tuple[Subject, ...]
    findings: tuple[Finding, ...]
    about: tuple[tuple[str, ...], ...]

    @property
    def has_errors(self) -> bool:
        """Whether a run on this folder must not start."""
        return has_errors(self.findings)

    def of(self, subject: Subject) -> list[Finding]:
        """Return the findings that name a picture."""
        return [finding for finding, names in zip(self.findings, self.about, strict=True) if subject.name in names]

    def as_dict(self) -> dict[str, object]:
        """Return the document that `--json` prints; raw file names are under "file"."""
        return {
            "folder": str(self.folder),
            "findings": [finding.as_dict() for finding in self.findings],
            "pictures": [_facts(subject) for subject in self.subjects],
        }


def lint(folder: Path, options: LintOptions | None = None) -> Report:
    """Look through the pictures and captions directly inside `folder`.

    Raises:
        DatasetError: the folder is missing, no folder, or can't be read. What is wrong with a picture is a finding.
        MachineError: `options.embed` names a model that can't be loaded.
    """
    options = options or LintOptions()
    folder = Path(os.path.abspath(folder))  # noqa: PTH100  # resolve() would hide that the folder itself is a link
    scene = _scene(folder, options)
    found = [pair for rule in RULES.values() for pair in rule.findings(scene)]
    about = tuple(names for _, names in found)
    return Report(folder, options, scene.subjects, tuple(finding for finding, _ in found), about)


def _scene(folder: Path, options: LintOptions) -> Scene:
    listed = list_folder(folder)
    # Hidden files are the system's or ours: .DS_Store, ._copies of a Mac, the history of captions.
    entries = tuple(_entry(folder, entry) for entry in listed if not entry.name.startswith("."))
    nested = {entry.name: _count_pictures(folder / entry.name) for entry in entries if entry.is_folder}
    paths = [picture.path for picture in list_pictures(folder)]
    total = len(paths)
    measured = features.measure_all(
        paths,
        cache=options.cache,
        workers=options.workers,
        progress=lambda done: options.progress("measuring", done, total),
    )
    subjects = [_subject(path, known, options) for path, known in zip(paths, measured, strict=True)]
    can_read_text = lettering.available()
    if options.text and can_read_text:
        subjects = _with_text(subjects, options)
    if options.embed:
        subjects = _with_embeddings(subjects, options)
    real = Path(os.path.realpath(folder))  # links are compared by where they lead
    counted = {name: count for name, count in nested.items() if count}
    return Scene(real, entries, counted, tuple(subjects), options, can_read_text)


def _entry(folder: Path, entry: "os.DirEntry[str]") -> Entry:
    target = Path(os.path.realpath(folder / entry.name)) if entry.is_symlink() else None
    named = is_picture_name(entry.name) or entry.name.endswith(CAPTION_SUFFIX)
    return Entry(entry.name, is_folder(entry), target, disguised=not named and is_picture_inside(entry))


def _count_pictures(folder: Path) -> int:
    try:
        with os.scandir(folder) as inside:
            return sum(is_picture_name(entry.name) for entry in inside)
    except OSError:
        return 0


def _subject(path: Path, known: features.Measured, options: LintOptions) -> Subject:
    caption = read_caption(caption_path(path))
    if isinstance(known, PictureError):
        return Subject(path, caption, None, known, None)
    return Subject(path, caption, known, None, _placed(known, options))


def _placed(known: features.Features, options: LintOptions) -> Placement | None:
    try:
        return bucket_for(known.size, list(options.sides), options.buckets)
    except DatasetError:
        return None  # its own rule tells why


def _with_text(subjects: list[Subject], options: LintOptions) -> list[Subject]:
    wanted = [(subject.path, subject.features.digest) for subject in subjects if subject.features is not None]
    total = len(wanted)
    found = lettering.read_text(
        wanted, cache=options.cache, progress=lambda done: options.progress("looking for text", done, total)
    )
    lines = {path: line for (path, _), line in zip(wanted, found, strict=True)}
    return [replace(subject, text=lines.get(subject.path)) for subject in subjects]


def _with_embeddings(subjects: list[Subject], options: LintOptions) -> list[Subject]:
    paths = [subject.path for subject in subjects if subject.features is not None]
    total = len(paths)
    vectors = embedding.embed(
        paths, options.embed or "", progress=lambda done: options.progress("embedding", done, total)
    )
    by_path = dict(zip(paths, vectors, strict=True))
    return [replace(subject, embedding=by_path.get(subject.path)) for subject in subjects]


def _facts(subject: Subject) -> dict[str, object]:
    known, placed = subject.features, subject.placement
    facts: dict[str, object] = {"file": subject.path.name, "caption": subject.caption.text}
    if known is not None:
        facts |= {
            "size": list(known.size),
            "format": known.format,
            "bytes": known.bytes,
            "sharpness": known.sharpness,
            "detail_loss": known.detail_loss,
            "jpeg_quality": known.quality,
            "former_jpeg_quality": known.former_quality,
            "text": list(subject.text) if subject.text is not None else None,
        }
    if placed is not None:
        facts |= {
            "bucket": list(placed.bucket),
            "resized": list(placed.resized),
            "cropped_percent": round(placed.cropped_percent, 2),
            "upscaled": placed.upscaled,
        }
    return facts
