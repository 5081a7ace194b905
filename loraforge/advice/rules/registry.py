"""The registry: every rule registers itself with a code, a severity, its reason and its evidence."""

import json
import shlex
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from loraforge.advice.rules.case import Case
from loraforge.findings import Finding, Severity


@dataclass(frozen=True, slots=True)
class Hit:
    """One place where a rule applies.

    Attributes:
        where: the setting it is about, dotted.
        said: what is there, with its figures, as a clause.
        fix: dotted setting -> the value that mends it; None unsets.
    """

    where: str
    said: str
    fix: Mapping[str, object]


Check = Callable[[Case], Iterator[Hit]]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        code: stable and kebab-case; the function's name.
        severity: an error stops a run, a warning stops it under `--strict`.
        family: the file it stands in, which is the section it is mostly about.
        why: one sentence; the function's docstring.
        evidence: where that is known from.
        check: yields a hit for each place where it applies.
    """

    code: str
    severity: Severity
    family: str
    why: str
    evidence: str
    check: Check

    def findings(self, case: Case) -> Iterator[Finding]:
        """Judge one case."""
        for hit in self.check(case):
            message = f"{hit.said}. {self.why} ({self.evidence})"
            yield Finding(self.code, self.severity, hit.where, message, as_flags(hit.fix))


RULES: dict[str, Rule] = {}


def rule(severity: Severity, evidence: str) -> Callable[[Check], Check]:
    """Register the decorated function as a rule: its name is the code, its docstring the reason."""

    def register(check: Check) -> Check:
        code = check.__name__.replace("_", "-")
        if code in RULES:
            raise ValueError(f"two rules are called {code}")
        family = check.__module__.rpartition(".")[2]
        why = " ".join((check.__doc__ or "").split())
        RULES[code] = Rule(code, severity, family, why, evidence, check)
        return check

    return register


def as_flags(settings: Mapping[str, object]) -> str:
    """Write settings as the `--set` flags that apply them, quoted for a shell."""
    return shlex.join(word for path, value in settings.items() for word in ("--set", f"{path}={literal(value)}"))


def literal(value: object) -> str:
    """Write a value as `--set` reads it: TOML, bare words for text, `none` for None."""
    if value is None:
        return "none"
    return value if isinstance(value, str) and _is_bare(value) else json.dumps(value, ensure_ascii=False)


def _is_bare(text: str) -> bool:
    """Tell whether a text is one without quotes too, as "style" is and "0" is not."""
    try:
        tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text != "none"
    return False
