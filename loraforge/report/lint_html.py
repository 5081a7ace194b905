"""The lint report as one self-contained page: thumbnails with the crop drawn on, findings beside, a bucket chart."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from loraforge.dataset.lint import RULES, Report, Subject
from loraforge.findings import Finding, printable, ranked
from loraforge.report.pages import environment, picture_data, write_page

_SIDE = 420
_MOST_CARDS = 400  # a page of 10,000 thumbnails opens in no browser
_CAPTION_CHARACTERS = 600
_NAMES_IN_FULL = 4  # findings about more pictures are told above the pictures, and each card has their title


@dataclass(frozen=True, slots=True)
class Remark:
    """A finding as the page shows it; `where` is empty where the message says it."""

    severity: str
    code: str
    where: str
    message: str
    reason: str
    fix: str


@dataclass(frozen=True, slots=True)
class Card:
    """A picture as the page shows it; the crop is in percent of the picture."""

    name: str
    thumbnail: str
    facts: str
    caption: str
    crop: tuple[float, float, float, float] | None
    cropped: float
    remarks: list[Remark]
    severity: str


@dataclass(frozen=True, slots=True)
class Bar:
    """A bucket in the chart, in the chart's units."""

    label: str
    count: int
    length: float
    y: float
    width: float
    height: float


def write(report: Report, page: Path) -> None:
    """Write the page; names, captions and messages are escaped and nothing is loaded from elsewhere.

    Raises:
        ConfigError: the page can't be written.
    """
    write_page(page, render(report))


def render(report: Report) -> str:
    """Return the page as HTML."""
    cards = _cards(report)
    bars = _bars(report)
    counts = Counter(finding.severity for finding in report.findings)
    return (
        environment()
        .get_template("lint.html.j2")
        .render(
            folder=printable(report.folder.name or str(report.folder)),
            trigger=report.options.trigger,
            sides=report.options.sides,
            total=len(report.subjects),
            captioned=sum(bool(subject.caption.text) for subject in report.subjects),
            counts={severity: counts[severity] for severity in ("error", "warning", "info")},
            general=_general(report),
            cards=cards,
            bars=bars,
            chart_height=max((bar.y for bar in bars), default=0) + 48,
        )
    )


def _remark(finding: Finding) -> Remark:
    told = finding.where == "the set" or finding.message.endswith(finding.where)
    where, reason = "" if told else finding.where, RULES[finding.code].reason
    return Remark(finding.severity, finding.code, where, finding.message, reason, finding.fix)


def _general(report: Report) -> list[Remark]:
    """Return what concerns the set or files that are no pictures of it."""
    names = {subject.name for subject in report.subjects}
    pairs = zip(report.findings, report.about, strict=True)
    wide = [finding for finding, about in pairs if not names.intersection(about) or len(about) > _NAMES_IN_FULL]
    return [_remark(finding) for finding in ranked(wide)]


def _cards(report: Report) -> list[Card]:
    by_name: dict[str, list[Finding]] = {}
    for finding, about in zip(report.findings, report.about, strict=True):
        wide = len(about) > _NAMES_IN_FULL
        told = replace(finding, message=RULES[finding.code].title) if wide else finding
        for name in about:
            by_name.setdefault(name, []).append(told)
    subjects = sorted(report.subjects, key=lambda subject: subject.name not in by_name)[:_MOST_CARDS]
    if len(report.subjects) <= _MOST_CARDS:
        subjects = list(report.subjects)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        thumbnails = list(pool.map(_thumbnail, subjects))
    pairs = zip(subjects, thumbnails, strict=True)
    return [_card(subject, thumbnail, ranked(by_name.get(subject.name, []))) for subject, thumbnail in pairs]


def _card(subject: Subject, thumbnail: str, findings: list[Finding]) -> Card:
    placed = subject.placement
    crop = None
    if placed is not None:
        left, top, right, bottom = placed.crop_box
        crop = (100 * left, 100 * top, 100 * (right - left), 100 * (bottom - top))
    caption = subject.caption.text
    cut = f"{caption[:_CAPTION_CHARACTERS]}…" if len(caption) > _CAPTION_CHARACTERS else caption
    return Card(
        name=subject.name,
        thumbnail=thumbnail,
        facts=_facts(subject),
        caption=printable(cut),
        crop=crop,
        cropped=placed.cropped_percent if placed is not None else 0.0,
        remarks=[_remark(finding) for finding in findings],
        severity=findings[0].severity if findings else "clean",
    )


def _facts(subject: Subject) -> str:
    if subject.features is None:
        return "can't be read"
    width, height = subject.features.size
    facts = f"{width}×{height}"
    if subject.placement is not None:
        bucket = subject.placement.bucket
        facts += f" → {bucket[0]}×{bucket[1]}, {subject.placement.cropped_percent:.0f}% cut away"
    return facts


def _thumbnail(subject: Subject) -> str:
    return picture_data(subject.path, _SIDE) if subject.features is not None else ""


def _bars(report: Report) -> list[Bar]:
    counts = Counter(subject.placement.bucket for subject in report.subjects if subject.placement is not None)
    most = max(counts.values(), default=1)
    bars = []
    for index, ((width, height), count) in enumerate(sorted(counts.items(), key=lambda item: item[0][0] / item[0][1])):
        scale = 30 / max(width, height)
        label = f"{width}×{height}"
        bars.append(Bar(label, count, 230 * count / most, 8 + 40 * index, width * scale, height * scale))
    return bars
