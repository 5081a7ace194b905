from pathlib import Path

from loraforge.dataset.lint import RULES
from loraforge.dataset.lint.docs import markdown


def test_the_documentation_is_current():
    """docs/lint.md is what the registry says; `python -m loraforge.dataset.lint.docs > docs/lint.md` renews it."""
    assert (Path(__file__).parents[3] / "docs" / "lint.md").read_text("utf-8") == markdown()


def test_every_rule_is_documented():
    """Each code has a section of its own, with reason and fix."""
    page = markdown()
    for rule in RULES.values():
        assert f"### `{rule.code}` ({rule.severity})" in page
        assert rule.reason in page
        assert rule.fix in page
