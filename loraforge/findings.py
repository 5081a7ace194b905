"""One shape for everything loraforge has to say about settings, pictures, machines and runs."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
_ORDER: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One fact worth acting on.

    Attributes:
        code: stable, kebab-case, documented.
        severity: an error stops a run, a warning does not, an info is advice.
        where: the setting (dotted path), file or picture it is about.
        message: what is wrong and why it matters, in one or two sentences.
        fix: what to do next; the `--set` or command that does it where there is one.
    """

    code: str
    severity: Severity
    where: str
    message: str
    fix: str

    def as_dict(self) -> dict[str, str]:
        """Return the JSON form that `--json` prints."""
        return asdict(self)


def printable(text: str, keep: str = "") -> str:
    """Return a text, such as a file's name or a caption, in printable characters.

    Escapes stand for control characters and for bytes that are no text, but for the characters to `keep`.
    """
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape", "surrogatepass").decode()
        for char in text
    )


def ranked(findings: Iterable[Finding]) -> list[Finding]:
    """Sort by severity, keeping the order in which rules spoke."""
    return sorted(findings, key=lambda finding: _ORDER[finding.severity])


def has_errors(findings: Iterable[Finding], *, strict: bool = False) -> bool:
    """Tell whether a run must not start; `strict` counts warnings too."""
    stopping = {"error", "warning"} if strict else {"error"}
    return any(finding.severity in stopping for finding in findings)


def counted(count: int, what: str) -> str:
    """Return a number with its noun: "1 error", "2 errors"."""
    return f"{count} {what}{'s' * (count != 1)}"
