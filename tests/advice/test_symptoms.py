"""People's words lead to symptoms, however they say them."""

import pytest

from loraforge.advice.symptoms import matching, symptoms
from loraforge.settings.schema import settings


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("deep fried", "deep-fried"),
        ("Output looks like molten lava / deep fried", "deep-fried"),
        ("depp freid colors", "deep-fried"),
        ("Trigger word has no effect", "trigger-without-effect"),
        ("trigger does nothing", "trigger-without-effect"),
        ("my trigger doesn't do anything!", "trigger-without-effect"),
        ("the trigger word is being ignored", "trigger-without-effect"),
        ("Style learned but quality terrible", "poor-quality"),
        ("blurry images", "poor-quality"),
        ("Style works but catastrophic forgetting", "forgetting"),
        ("it forgot how to draw cats", "forgetting"),
        ("overfitted", "forgetting"),
        ("Only generates one composition", "one-composition"),
        ("always the SAME pose", "one-composition"),
        ("OOM despite gradient checkpointing", "out-of-memory"),
        ("cuda out of memory", "out-of-memory"),
        ("images come out black", "black-samples"),
        ("training is super slow", "too-slow"),
        ("style is barely visible", "weak-style"),
        ("style too strong", "strong-style"),
        ("the style is way too strong", "strong-style"),
        ("style not strong enough", "weak-style"),
        ("blury", "poor-quality"),
        ("there is no lora file", "no-file"),
    ],
)
def test_matches(said, code):
    """The guide's own words, spoken ones and mistyped ones find their symptom first."""
    assert matching(said)[0].code == code


@pytest.mark.parametrize(
    "said", ["", "model", "trigger", "purple elephants", "¿qué?", "the and of", "not", "hands are bad"]
)
def test_matches_nothing(said):
    """Words that tell nothing, or nothing known, find nothing."""
    assert matching(said) == []


def test_every_phrase_finds_its_symptom():
    """Each phrase of the table leads to its own symptom first."""
    for symptom in symptoms():
        for phrase in symptom.says:
            assert matching(phrase)[0].code == symptom.code, phrase


def test_remedies_name_settings():
    """Every path in the table is a setting."""
    paths = {path for symptom in symptoms() for cause in symptom.causes for path in cause.remedy.paths}
    assert paths <= set(settings())


def test_guides_table_is_covered():
    """The six rows of the guide's table of failures are there, each with a cause and what to do."""
    codes = {symptom.code for symptom in symptoms() if symptom.causes}
    guide = {"deep-fried", "trigger-without-effect", "poor-quality", "forgetting", "one-composition", "out-of-memory"}
    assert guide <= codes
