"""The registry of import findings and the page made of it."""

import re
from pathlib import Path

from loraforge.advice.importer import findings, page
from loraforge.advice.importer.defaults import DEFAULTS
from loraforge.engine.options import snapshot

_PACKAGE = Path(findings.__file__).parent
_PAGE = _PACKAGE.parents[2] / "docs" / "import.md"


def test_the_page_is_the_registry() -> None:
    """docs/import.md is what the registry makes of itself."""
    assert _PAGE.read_text(encoding="utf-8") == page.page()


def test_every_code_is_kebab_case_and_used() -> None:
    """A code is stable, kebab-case, and raised somewhere."""
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in _PACKAGE.glob("*.py")
        if path.name not in {"findings.py", "page.py"}
    )
    for code in findings.CODES:
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", code)
        assert f'"{code}"' in source, code


def test_every_default_is_an_option_of_the_engine() -> None:
    """A default left unset is one that the engine has."""
    assert {default.option for default in DEFAULTS.values()} <= set(snapshot())


def test_a_long_place_is_cut() -> None:
    """A finding stays readable whatever was pasted."""
    assert len(findings.found("stray-word", "x" * 1000, "m", "f").where) == 100
