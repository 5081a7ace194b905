"""docs/lint.md, written from the registry: python -m loraforge.dataset.lint.docs > docs/lint.md."""

import sys

from loraforge.dataset.lint import RULES
from loraforge.dataset.lint.base import Rule

_FAMILIES = {
    "files": "Files",
    "sets": "The set",
    "pictures": "Pictures",
    "trigger": "The trigger word",
    "captions": "Caption files, and the trigger in them",
    "wording": "Wording of captions",
    "buckets": "Buckets",
    "text": "Text in pictures",
}


def markdown() -> str:
    """Return the documentation of every rule."""
    head = (
        "`loraforge lint DIR` and `loraforge check` judge pictures and captions by these rules. Codes are stable. An "
        "error stops a run, a warning does not, an info is advice. Nothing in the folder is ever changed."
    )
    parts = ["# What lint looks for", head]
    for family, title in _FAMILIES.items():
        parts.append(f"## {title}")
        parts += [_section(rule) for rule in RULES.values() if rule.family == family]
    return "\n\n".join(parts) + "\n"


def _section(rule: Rule) -> str:
    return f"### `{rule.code}` ({rule.severity})\n\n{rule.title}. {rule.reason}\n\n→ {rule.fix}"


if __name__ == "__main__":
    sys.stdout.write(markdown())
