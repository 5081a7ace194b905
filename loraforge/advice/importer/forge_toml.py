"""The imported settings as a forge.toml, with a word beside what its author never wrote."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import tomli_w

from loraforge.advice.importer.defaults import DEFAULTS
from loraforge.config.job import Job
from loraforge.findings import Finding, Severity

_TOLD: tuple[Severity, ...] = ("error", "warning", "info")


def forge_toml(values: Mapping[str, Any], findings: Iterable[Finding], name: str) -> str:
    """Write a forge.toml; None is written as "none", which unsets."""
    findings = list(findings)
    comments = _comments(findings)
    counts = {kind: sum(finding.severity == kind for finding in findings) for kind in _TOLD}
    summary = ", ".join(f"{count} {kind}{'s' * (count != 1)}" for kind, count in counts.items() if count)
    source = "".join(char if char.isprintable() else "?" for char in name)[:100]
    lines = [f"# Imported from {source}" + (f": {summary}." if summary else ".")]
    if "preset" in values:
        lines.append(tomli_w.dumps({"preset": values["preset"]}).strip())
    for section in Job.model_fields:
        table = values.get(section)
        if isinstance(table, dict) and table:
            lines += ["", *_table(section, _ordered(section, table), comments)]
    if values.get("dataset", {}).get("images") is None:
        lines += _missing_pictures("dataset" in values)
    return "\n".join(lines) + "\n"


def _table(path: str, table: Mapping[str, Any], comments: Mapping[str, str]) -> Iterator[str]:
    leaves = {key: value for key, value in table.items() if not isinstance(value, dict)}
    if leaves:
        yield f"[{path}]"
    for key, value in leaves.items():
        text = tomli_w.dumps({key: "none" if value is None else value}).rstrip("\n")
        comment = comments.get(f"{path}.{key}")
        if comment and "\n" not in text:
            yield f"{text}  # {comment}"
        else:
            yield from ([f"# {comment}"] if comment else [])
            yield text
    for key, value in table.items():
        if isinstance(value, dict) and value:
            if leaves:
                yield ""
            yield from _table(f"{path}.{key}", value, comments)


def _ordered(section: str, table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section's values in the order of the settings' documentation."""
    fields = list(getattr(Job(), section).__class__.model_fields)
    return dict(sorted(table.items(), key=lambda item: fields.index(item[0])))


def _comments(findings: Iterable[Finding]) -> dict[str, str]:
    defaults = {default.code: default for default in DEFAULTS.values()}
    comments: dict[str, str] = {}
    for finding in findings:
        if finding.code in defaults and finding.where != "dataset.images":
            comments[finding.where] = f"unset there: the engine's default ({finding.code})"
        elif finding.code in {
            "value-adjusted",
            "engine-refuses",
            "settings-contradict",
            "warmup-with-constant",
            "optimizer-unsupported",
            "schedule-unsupported",
        }:
            comments.setdefault(finding.where, finding.code)
    return comments


def _missing_pictures(has_table: bool) -> list[str]:
    place = "under [dataset]" if has_table else "under a [dataset] of its own"
    return ["", f'# Training needs the pictures: write images = "FOLDER" {place}, or use --images FOLDER.']
