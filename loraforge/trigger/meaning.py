"""Which words already mean something to the text encoders."""

import re

from loraforge.captioning.style import STYLE_WORDS
from loraforge.captioning.words import ADJECTIVES, BODY, CLOTHES, PEOPLE, PLACES, TIMES
from loraforge.trigger.vocabulary import Vocabulary

# Single words that name a style; short for substring search: "myartst2024" holds "art".
STYLE_TERMS = frozenset(word for word in STYLE_WORDS if word.isalpha())
# Words that tutorials use as triggers, or put into them.
_ORDINARY = frozenset({
    "background", "cat", "character", "concept", "digital", "dog", "draw", "image", "ink", "masterpiece", "oil",
    "paint", "pencil", "picture", "pixel", "portrait", "quality", "styled", "the",
})  # fmt: skip
KNOWN_WORDS = STYLE_TERMS | _ORDINARY | PLACES | PEOPLE | CLOTHES | BODY | TIMES | frozenset(
    word for word in ADJECTIVES if len(word) > 2
)  # fmt: skip
# Favourite triggers of tutorials that draw something of their own.
LOADED = {"sks": "a rifle (the SKS)"}

# Both vocabularies are ordered by frequency. Up to these numbers a whole-word token of four letters or more is, going
# by CLIP's vocabulary, an ordinary word; three letters are mostly abbreviations unless very frequent.
_COMMON_ID = 12_000
_VERY_COMMON_ID = 3_000


def is_word(text: str, vocabulary: Vocabulary | None = None) -> bool:
    """Tell whether a piece of a trigger is a word in its own right."""
    word = text.lower()
    if not word.isalpha() or len(word) < 3:
        return False
    if word in KNOWN_WORDS:
        return True
    if vocabulary is None:
        return False
    number = vocabulary.word_id(word)
    return number is not None and number < (_COMMON_ID if len(word) > 3 else _VERY_COMMON_ID)


def written_words(trigger: str) -> list[str]:
    """Return the parts a reader sees, cut at everything but letters: "zxy_style" gives "zxy", "style"."""
    return re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+", trigger)
