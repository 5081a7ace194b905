"""Findings about triggers."""

import pytest
from hypothesis import given, strategies as st

from loraforge.trigger import Tokenizers, suggest, trigger_findings

MISSING = Tokenizers(missing=("CLIP-L's tokenizer is not on this machine", "T5's tokenizer is not on this machine"))


def _codes(word, tokenizers, captions=()):
    return {finding.code for finding in trigger_findings(word, captions, tokenizers)} - {"trigger-unchecked"}


@pytest.mark.parametrize(
    ("word", "codes"),
    [
        ("zxy_style", {"trigger-contains-style-word"}),
        ("myartst2024", {"trigger-contains-style-word", "trigger-long"}),
        ("v1st", set()),
        ("vqxj", set()),
        ("sks", {"trigger-known-word"}),
        ("ohwx", {"trigger-one-token"}),
        ("style", {"trigger-style-word"}),
        ("Painting", {"trigger-style-word", "trigger-case"}),
        ("woman", {"trigger-known-word"}),
        ("forge", {"trigger-known-word"}),
        ("zxy_garden", {"trigger-contains-word"}),
        ("zxyForest", {"trigger-contains-word", "trigger-case"}),
        ("a,b", {"trigger-invalid"}),
        ("two words", {"trigger-invalid"}),
        ("", {"trigger-invalid"}),
        ("x" * 65, {"trigger-invalid"}),
        ("a\nb", {"trigger-invalid"}),
        ("qzqzqzqzqzqzqzqzqzqzqz", {"trigger-long"}),
    ],
)
def test_each_fault_is_found_with_the_real_clip_vocabulary(clip_only, word, codes):
    """Every rule fires where it should and nowhere else."""
    assert _codes(word, clip_only) == codes


@pytest.mark.parametrize(
    ("word", "codes"),
    [
        ("zxy_style", {"trigger-contains-style-word"}),
        ("myartst2024", {"trigger-contains-style-word"}),
        ("sks", {"trigger-known-word"}),
        ("painting", {"trigger-style-word"}),
        ("woman", {"trigger-known-word"}),
        ("ZXQV", {"trigger-case"}),
        ("vqxj", set()),
        ("zxqé", {"trigger-unknown-characters"}),
        ("a b", {"trigger-invalid"}),
    ],
)
def test_without_tokenizers_the_spelling_still_tells(word, codes):
    """The checks that need no vocabulary run."""
    assert _codes(word, MISSING) == codes
    assert _codes(word, None) == codes


def test_what_is_missing_is_said(clip_only):
    """One info names each tokenizer that was not found and how to get it."""
    (finding,) = [finding for finding in trigger_findings("vqxj", (), MISSING) if finding.code == "trigger-unchecked"]
    assert "CLIP-L's tokenizer is not" in finding.message
    assert "T5's" in finding.message
    assert "--download" in finding.fix
    (finding,) = [finding for finding in trigger_findings("vqxj", (), clip_only) if finding.code == "trigger-unchecked"]
    assert "CLIP" not in finding.message


def test_other_cases_in_captions_are_told(clip_only):
    """T5 tells ZXQ from zxq."""
    captions = ["zxq, woman", "ZXQ, man in garden", "Zxq."]
    (finding,) = [f for f in trigger_findings("zxq", captions, clip_only) if f.code == "trigger-misspelt"]
    assert "ZXQ, Zxq" in finding.message
    assert "trigger-misspelt" not in _codes("zxq", clip_only, ["zxq, woman", "zxqa"])


def test_t5_is_asked_too(both):
    """Unknown characters and words of T5's vocabulary are found."""
    assert "trigger-unknown-characters" in _codes("zxq日", both)
    assert _codes("a", both) == {"trigger-known-word"}


@given(st.text(max_size=80))
def test_any_word_is_survived(word):
    """Whatever is typed, there are findings or none, never an exception."""
    assert all(finding.where == "dataset.trigger" for finding in trigger_findings(word, [word], None))


def test_suggestions_are_clean_deterministic_and_free(clip_only, both):
    """The same seed gives the same words; none has a finding, a token of its own, or a place in the captions."""
    for tokenizers in (clip_only, both):
        words = suggest("zxy_style", (), tokenizers)
        assert len(words) == 5
        assert words == suggest("zxy_style", (), tokenizers)
        assert words != suggest("other", (), tokenizers)
        assert all(not _codes(word, tokenizers) for word in words)
        assert all(2 <= len(tokenizers.clip.pieces(word)) <= 4 for word in words)
        left = suggest("zxy_style", [f"a {words[0].upper()} here"], tokenizers)
        assert words[0] not in left
        assert left[:4] == words[1:]


def test_suggestions_without_tokenizers():
    """Spelling alone still gives words."""
    words = suggest("zxy_style", ["a woman"], MISSING, count=3)
    assert len(words) == 3
    assert all(word.isalpha() and 4 <= len(word) <= 5 for word in words)
