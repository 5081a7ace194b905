"""The generated pages are those of the registries."""

import re
from pathlib import Path

import pytest

from loraforge.advice import reference
from loraforge.advice.reference import BESIDE_RULES, failures_page, rules_page, write
from loraforge.advice.rules import RULES
from loraforge.advice.symptoms import symptoms
from loraforge.engine.failures import signatures

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize(("name", "page"), [("rules.md", rules_page), ("failures.md", failures_page)])
def test_pages_are_current(name, page):
    """docs/ holds what `python -m loraforge.advice.reference docs` would write."""
    assert (DOCS / name).read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("name", ["check", "forecast", "measure"])
def test_findings_beside_the_rules_are_documented(name):
    """Each code that these files give a finding has a row."""
    source = Path(reference.__file__).with_name(f"{name}.py").read_text("utf-8")
    codes = set(re.findall(r'Finding\(\s*"([a-z-]+)"|code = "([a-z-]+)" if .* else "([a-z-]+)"', source))
    assert codes
    assert {code for found in codes for code in found if code} <= set(BESIDE_RULES)


def test_pages_are_complete(tmp_path):
    """Every rule, signature and symptom has a row, and no bar breaks a table."""
    write(tmp_path / "new")
    rules, failures = ((tmp_path / "new" / name).read_text("utf-8") for name in ("rules.md", "failures.md"))
    assert all(f"| `{code}` |" in rules for code in RULES)
    assert all(f"| `{signature.code}` |" in failures for signature in signatures())
    assert all(f"| {symptom.title} |" in failures for symptom in symptoms())
    for line in [*rules.splitlines(), *failures.splitlines()]:
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") in {5, 7}, line
