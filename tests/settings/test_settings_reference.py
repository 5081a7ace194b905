"""docs/settings.md is what the fields say."""

from pathlib import Path

from loraforge.settings.meaning import meanings
from loraforge.settings.reference import reference
from loraforge.settings.schema import settings

DOCS = Path(__file__).parents[2] / "docs"


def test_settings_reference_is_current():
    """Regenerate with `python -m loraforge.settings.reference > docs/settings.md`."""
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == reference()


def test_every_setting_says_what_it_means():
    """A sentence stands under each field, and one that can be absent says what None means."""
    for setting in settings().values():
        meaning = meanings()[setting.path]
        assert meaning.endswith("."), setting.path
        if setting.nullable:
            assert "None" in meaning, setting.path
