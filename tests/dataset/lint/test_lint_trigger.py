from pathlib import Path

import pytest

from loraforge.dataset.captions import Caption
from loraforge.dataset.lint import RULES, LintOptions
from loraforge.dataset.lint.base import Scene, Subject
from loraforge.trigger import Tokenizers, trigger_findings
from loraforge.trigger.vocabulary import Vocabulary


class Library:
    """A tokenizer that knows what it is told: text -> tokens."""

    def __init__(self, words) -> None:
        self.words = words

    def encode(self, text, **_):
        """Cut a text as told, an unknown one into its letters."""
        tokens = self.words.get(text, list(text))
        encoding = type("Encoding", (), {})()
        encoding.tokens, encoding.ids = tokens, [{"ß": 9}.get(token, 45_000) for token in tokens]
        return encoding

    def token_to_id(self, token):
        """Number the unknown token only."""
        return {"<unk>": 9}.get(token)


def scene(trigger: str | None, tokenizers: Tokenizers | None = None, caption: str = "") -> Scene:
    """Return one picture to train under a trigger."""
    subject = Subject(Path("/pictures/a.png"), Caption(caption), None, None, None)
    options = LintOptions(trigger=trigger, tokenizers=tokenizers)
    return Scene(Path("/pictures"), (), {}, (subject,), options, can_read_text=True)


def found(code: str, where: Scene):
    """Return what one rule says."""
    return [finding for finding, _ in RULES[code].findings(where)]


CLIP = Tokenizers(Vocabulary("CLIP-L", Path("clip"), Library({"qxv": ["qxv"]})), None, ("T5's tokenizer is missing",))
FIRES = {
    "trigger-invalid": ("two words", None),
    "trigger-style-word": ("painting", None),
    "trigger-known-word": ("background", None),
    "trigger-contains-style-word": ("zxy_style", None),
    "trigger-contains-word": ("zxy_garden", None),
    "trigger-one-token": ("qxv", CLIP),
    "trigger-unknown-characters": ("zxß", CLIP),
    "trigger-case": ("Zxqv", None),
    "trigger-long": ("zxqvzxqv", CLIP),
    "trigger-unchecked": ("zxqv", CLIP),
}


def test_every_trigger_rule_is_tested():
    """The table names every rule on the trigger word."""
    assert set(FIRES) == {code for code, rule in RULES.items() if rule.family == "trigger"}


@pytest.mark.parametrize("code", FIRES)
def test_fires(code):
    """Lint says what `loraforge trigger` says, in its words, and nothing of it without a trigger."""
    word, tokenizers = FIRES[code]
    (finding, *_) = found(code, scene(word, tokenizers))
    assert finding in list(trigger_findings(word, (), tokenizers))
    assert finding.severity == RULES[code].severity
    assert not found(code, scene(None, tokenizers))
    assert not found(code, scene("zxqv"))


def test_no_trigger_code_is_left_out():
    """Each finding on these triggers has a documented rule; how captions spell it is the business of another."""
    told = {
        finding.code
        for word, tokenizers in FIRES.values()
        for finding in trigger_findings(word, [word.upper(), word.lower()], tokenizers)
    }
    assert set(FIRES) < told <= set(RULES)


def test_tokens_are_counted_where_a_tokenizer_is():
    """The exact count replaces the estimate for the encoder whose tokenizer was found."""
    caption = " ".join(["mill"] * 60)
    (guessed,) = found("caption-over-limit", scene("zxqv", None, caption))
    assert "about 81 CLIP tokens" in guessed.message
    (counted,) = found("caption-over-limit", scene("zxqv", CLIP, caption))
    assert "has 299 CLIP tokens" in counted.message
