"""Why the engine failed: its output against a table of signatures. Pure; nothing is read but the text given."""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from loraforge.config.job import Job
from loraforge.engine.events import ModelSaved, Phase, PhaseStarted, Problem
from loraforge.engine.lines import replayed
from loraforge.engine.parser import Parser
from loraforge.engine.remedy import Remedy

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# The launcher's own traceback, which only says that the engine failed.
_LAUNCHER = "subprocess.CalledProcessError"
# Lines of code in a traceback: they hold messages that were not said.
_SOURCE = re.compile(r"    \S|  File ")
_BARS = re.compile(r".*\d+/\d+ \[[^\]]*\]\s*")
_CONTEXT = 3
_ENOUGH = 3
# Codes of endings that no signature explains.
UNKNOWN = frozenset({"ended-without-lora", "unrecognised"})


@dataclass(frozen=True, slots=True)
class Signature:
    """One way in which the engine fails; the fields are those of failures.toml."""

    code: str
    cause: str
    fix: str
    seen: str
    patterns: tuple[str, ...]
    pattern: re.Pattern[str]
    phases: frozenset[Phase]
    returncodes: frozenset[int]
    weight: int
    remedy: Remedy


@dataclass(frozen=True, slots=True)
class Evidence:
    """A line of the log.

    Attributes:
        line: its number, from 1; 0 for the exit code.
        text: the line, without colours.
    """

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What happened, and what to change.

    Attributes:
        code: stable and kebab-case.
        phase: what the engine was doing.
        cause: what happened, a sentence.
        fix: what to do, in words.
        evidence: the lines that tell it, the first ones.
        settings: dotted setting -> new value, where settings help; only what differs from the job.
    """

    code: str
    phase: Phase
    cause: str
    fix: str
    evidence: tuple[Evidence, ...]
    settings: Mapping[str, object] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        """Return the JSON form."""
        return {
            "code": self.code,
            "phase": self.phase,
            "cause": self.cause,
            "fix": self.fix,
            "evidence": [{"line": item.line, "text": item.text} for item in self.evidence],
            "settings": dict(self.settings),
        }


@cache
def signatures() -> tuple[Signature, ...]:
    """Return the table."""
    text = (files(__package__) / "failures.toml").read_text("utf-8")
    return tuple(_signature(row) for row in tomllib.loads(text)["signature"])


def classify(log_text: str, returncode: int | None = None, job: Job | None = None) -> list[Diagnosis]:
    """Say why a run failed, the likeliest cause first; an empty list means that nothing is wrong.

    Args:
        log_text: the engine's output, both streams, as logged.
        returncode: how the process ended; None where unknown.
        job: the run's settings, which the proposed ones are compared with; the defaults without it.
    """
    job = job or Job()
    read = _Reading()
    for line in replayed([log_text.encode("utf-8", "surrogateescape")]):
        read.take(line)
    found = [*read.found(job), *_by_returncode(read, returncode, job)]
    if read.saved and returncode in {0, None}:
        return [diagnosis for diagnosis in found if diagnosis.code == "loss-nan"]
    # A hint alone fails no run, so that it comes after whatever did.
    fatal = [diagnosis for diagnosis in found if _weight(diagnosis.code)]
    hints = [diagnosis for diagnosis in found if not _weight(diagnosis.code)]
    return [*(fatal or _otherwise(read, returncode)), *hints]


class _Reading:
    """One pass over a log: matches by signature, the phase of each, the last problem told."""

    def __init__(self) -> None:
        self._parser = Parser()
        self._any = re.compile("|".join(f"(?:{item.pattern.pattern})" for item in signatures()))
        self._matches: dict[str, list[tuple[Phase, Evidence]]] = {}
        self._number = 0
        self.phase: Phase = "starting"
        self.saved = False
        self.problem: Evidence | None = None

    def take(self, raw: Any) -> None:
        self._number += raw.ended_by == "\n"
        for event in self._parser.feed(raw):
            match event:
                case PhaseStarted(phase=phase):
                    self.phase = phase
                case ModelSaved():
                    self.saved = True
                case Problem(level="error" | "traceback", text=text) if _LAUNCHER not in text:
                    self.problem = Evidence(self._number, "\n".join(text.splitlines()[-_CONTEXT:]))
                case _:
                    pass
        text = _ANSI.sub("", raw.text)
        if _SOURCE.match(text) or not self._any.search(text := text.strip()):
            return
        number = self._number if raw.ended_by == "\n" else self._number + 1
        for signature in signatures():
            if self.phase in signature.phases and signature.pattern.search(text):
                evidence = Evidence(number, _told(text, signature.pattern))
                self._matches.setdefault(signature.code, []).append((self.phase, evidence))

    def found(self, job: Job) -> Iterator[Diagnosis]:
        """Yield what matched: heavier signatures first, then in the order of the log."""
        table = {signature.code: signature for signature in signatures()}
        order = sorted(self._matches.items(), key=lambda item: (-table[item[0]].weight, item[1][0][1].line))
        for code, matches in order:
            first = {evidence.text: evidence for _, evidence in reversed(matches)}
            lines = sorted(first.values(), key=lambda evidence: evidence.line)[:_ENOUGH]
            yield _diagnosis(table[code], matches[0][0], tuple(lines), job)


def _by_returncode(read: _Reading, returncode: int | None, job: Job) -> Iterator[Diagnosis]:
    told = {diagnosis.code for diagnosis in read.found(job)}
    for signature in signatures():
        # A process that is killed after it told what is wrong was ended for that.
        if returncode in signature.returncodes and not any(_weight(code) for code in told):
            yield _diagnosis(signature, read.phase, (Evidence(0, f"exit code {returncode}"),), job)


def _otherwise(read: _Reading, returncode: int | None) -> list[Diagnosis]:
    """Tell of a failure that no signature covers."""
    if returncode == 0:
        cause = "The engine ended with exit code 0 without saving a LoRA."
        fix = "Read the end of engine.log; `loraforge check` finds most reasons before a run."
        lines = (read.problem,) if read.problem else (Evidence(0, "exit code 0, and no `model saved.`"),)
        return [Diagnosis("ended-without-lora", read.phase, cause, fix, lines)]
    if read.problem is None and returncode is None:
        return []
    ending = Evidence(0, f"exit code {returncode}")
    cause = f"The engine failed while {read.phase}, in a way that is not in the table."
    fix = "The evidence is its own last word; the whole of it stands in engine.log."
    return [Diagnosis("unrecognised", read.phase, cause, fix, (read.problem or ending,))]


def _diagnosis(signature: Signature, phase: Phase, lines: tuple[Evidence, ...], job: Job) -> Diagnosis:
    settings = signature.remedy.settings(job)
    return Diagnosis(signature.code, phase, signature.cause, signature.fix, lines, settings)


def _told(text: str, pattern: re.Pattern[str]) -> str:
    """Drop the progress bar that a message was written behind, and the padding of the engine's columns."""
    tail = _BARS.sub("", text)
    return re.sub(r" {3,}", "  ", tail if pattern.search(tail) else text)


def _weight(code: str) -> int:
    return next((signature.weight for signature in signatures() if signature.code == code), 1)


_ALL_PHASES: frozenset[Phase] = frozenset(
    {
        "starting",
        "loading",
        "caching-latents",
        "caching-text",
        "hashing",
        "training",
        "sampling",
        "saving",
        "finishing",
    }
)


def _signature(row: Mapping[str, Any]) -> Signature:
    return Signature(
        code=row["code"],
        cause=row["cause"],
        fix=row["fix"],
        seen=row["seen"],
        patterns=tuple(row["pattern"]),
        pattern=re.compile("|".join(f"(?:{pattern})" for pattern in row["pattern"])),
        phases=frozenset(row.get("phases", _ALL_PHASES)),
        returncodes=frozenset(row.get("returncodes", ())),
        weight=row.get("weight", 1),
        remedy=Remedy.read(row),
    )
