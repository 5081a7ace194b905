"""The lint report on a terminal: grouped by family, the gravest first, many pictures in one line."""

from collections import defaultdict

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from loraforge.dataset.lint import RULES, Report
from loraforge.dataset.lint.base import joined
from loraforge.findings import Finding, Severity, counted, printable

STYLES: dict[Severity, str] = {"error": "bold red", "warning": "yellow", "info": "cyan"}
_SIGNS: dict[Severity, str] = {"error": "✗", "warning": "!", "info": "i"}
_ORDER: tuple[Severity, ...] = ("error", "warning", "info")
_TITLES = {
    "files": "Files",
    "sets": "The set",
    "pictures": "Pictures",
    "trigger": "The trigger word",
    "captions": "Captions",
    "wording": "Wording",
    "buckets": "Buckets",
    "text": "Text in pictures",
}
_LISTED = 6


def show(report: Report, console: Console) -> None:
    """Print the whole report."""
    console.print(render(report))


def render(report: Report) -> RenderableType:
    """Return the report as one renderable; nothing in it is read as markup."""
    parts: list[RenderableType] = [_headline(report)]
    by_family: dict[str, list[Finding]] = defaultdict(list)
    for finding in report.findings:
        by_family[RULES[finding.code].family].append(finding)
    for family, title in _TITLES.items():
        if by_family[family]:
            parts += [Text(), Text(title, style="bold underline"), *_groups(by_family[family])]
    if any(subject.placement for subject in report.subjects):
        parts += [Text(), Text("Where pictures are trained", style="bold underline"), _buckets(report)]
    return Group(*parts, Text(), _verdict(report))


def _headline(report: Report) -> Text:
    count = len(report.subjects)
    captioned = sum(bool(subject.caption.text) for subject in report.subjects)
    sides = report.options.sides
    text = Text.assemble(
        (printable(str(report.folder)), "bold"), f"  {count} picture{'s' * (count != 1)}, {captioned} captions"
    )
    return text.append(f", judged for training at {sides[0]}×{sides[1]}", style="dim")


def _groups(findings: list[Finding]) -> list[RenderableType]:
    groups: dict[tuple[Severity, str], list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.severity, finding.code].append(finding)
    return [
        Padding(_group(severity, code, members), (0, 0, 0, 2))
        for severity in _ORDER
        for (grade, code), members in groups.items()
        if grade == severity
    ]


def _group(severity: Severity, code: str, findings: list[Finding]) -> Table:
    told = Text(overflow="fold")
    if len(findings) == 1:
        only = findings[0]
        if only.where != "the set" and not only.message.endswith(only.where):
            told.append(f"{only.where}: ", style="bold")
        told.append(only.message)
    else:
        names = joined((finding.where for finding in findings), _LISTED)
        told.append(f"{len(findings)}× {names}", style="bold")
        told.append(f": {findings[0].message}").append(" (the first)", style="dim")
    told.append(f"  [{code}]", style="dim")
    reason = Text(RULES[code].reason, style="dim", overflow="fold")
    fix = _beside(("→", Text(findings[0].fix, overflow="fold")))
    return _beside((Text(_SIGNS[severity], style=STYLES[severity]), told), ("", reason), ("", fix))


def _beside(*rows: tuple[RenderableType, RenderableType]) -> Table:
    """Return rows of a sign and what it stands for, whose lines keep clear of the sign when they wrap."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for row in rows:
        grid.add_row(*row)
    return grid


def _buckets(report: Report) -> Table:
    members: dict[tuple[int, int], list[float]] = defaultdict(list)
    for subject in report.subjects:
        if subject.placement is not None:
            members[subject.placement.bucket].append(subject.placement.cropped_percent)
    most = max(len(crops) for crops in members.values())
    table = Table(box=None, padding=(0, 2, 0, 2), show_edge=False)
    for title in ("bucket", "pictures", "", "cut away, at most"):
        table.add_column(title, justify="right" if title in {"pictures", "bucket"} else "left", header_style="dim")
    for (width, height), crops in sorted(members.items()):
        bar = "█" * max(1, round(24 * len(crops) / most))
        table.add_row(f"{width}×{height}", str(len(crops)), Text(bar, style="blue"), f"{max(crops):.0f}%")
    return table


def _verdict(report: Report) -> Text:
    counts = {severity: sum(finding.severity == severity for finding in report.findings) for severity in _ORDER}
    if not any(counts.values()):
        return Text("Nothing to complain about.", style="green")
    words = {"error": "error", "warning": "warning", "info": "remark"}
    told = [(counted(count, words[severity]), STYLES[severity]) for severity, count in counts.items() if count]
    parts: list[tuple[str, str] | str] = []
    for index, part in enumerate(told):
        parts += [", ", part] if index else [part]
    end = "; a run would not start." if counts["error"] else "; nothing stops a run."
    return Text.assemble(*parts, end)
