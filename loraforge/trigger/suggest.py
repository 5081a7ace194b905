"""Words to call a style by that mean nothing yet."""

import hashlib
from collections.abc import Iterable

from loraforge.trigger.meaning import LOADED, STYLE_TERMS, is_word
from loraforge.trigger.vocabulary import Tokenizers

# No vowels, nor the consonants that words are abbreviated to ("smmr"): what can't be said is seldom a word or a name.
_LETTERS = "bcdfghjkpqvwxz"
_DRAWS = 600
_MOST_PIECES = 4


def suggest(word: str, captions: Iterable[str] = (), tokenizers: Tokenizers | None = None, count: int = 5) -> list[str]:
    """Draw words of four or five letters, the fewest pieces first; the same seed word always gives the same ones.

    A good trigger is rare as a whole and made of pieces that mean nothing. A word with a token of its own is left out:
    it got it by being frequent on the web. Without tokenizers nothing but the spelling is known.

    Args:
        word: the seed; any text.
        captions: texts that must not hold the suggestions.
        tokenizers: those found.
        count: how many.
    """
    taken = " ".join(captions).lower()
    found = tokenizers or Tokenizers()
    rated = []
    for draw in range(_DRAWS):
        candidate = _drawn(word, draw)
        if candidate in taken or any(term in candidate for term in (*STYLE_TERMS, *LOADED)):
            continue
        pieces = [(vocabulary, vocabulary.pieces(candidate)) for vocabulary in found.present]
        if any(len(cut) == 1 or len(cut) > _MOST_PIECES for _, cut in pieces):
            continue
        if any(is_word(piece.text, vocabulary) or not piece.known for vocabulary, cut in pieces for piece in cut):
            continue
        rated.append((sum(len(cut) for _, cut in pieces), draw, candidate))
    return list(dict.fromkeys(candidate for _, _, candidate in sorted(rated)))[:count]


def _drawn(word: str, draw: int) -> str:
    digest = hashlib.sha256(f"{word}\0{draw}".encode("utf-8", "surrogatepass")).digest()
    letters = [_LETTERS[byte % len(_LETTERS)] for byte in digest[1 : 5 + digest[0] % 2]]
    return "".join(letters)
