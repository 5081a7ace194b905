"""What is wrong with a trigger word, as findings."""

import functools
import shlex
from collections.abc import Iterable, Iterator, Sequence

from pydantic import TypeAdapter, ValidationError

from loraforge.config.dataset import Trigger
from loraforge.findings import Finding, Severity
from loraforge.trigger.meaning import LOADED, STYLE_TERMS, is_word, written_words
from loraforge.trigger.sources import HOW_TO_GET
from loraforge.trigger.vocabulary import Piece, Tokenizers, Vocabulary

_WHERE = "dataset.trigger"
BETTER = "`loraforge trigger WORD` suggests words that are free"
# Beyond these the trigger takes more of the caption's attention than two words of content do.
_MOST_PIECES = 6
_MOST_CHARACTERS = 20
_RARE_ID = 40_000


def trigger_findings(
    word: str, captions: Iterable[str] = (), tokenizers: Tokenizers | None = None
) -> Iterator[Finding]:
    """Say what training with this trigger will suffer from.

    Args:
        word: the trigger.
        captions: the set's captions, without or with the trigger.
        tokenizers: what `find_tokenizers` found; None or an empty one leaves the checks that need them out and says so.
    """
    try:
        _form().validate_python(word)
    except ValidationError:
        yield _finding(
            "trigger-invalid",
            "error",
            f"{word[:80]!r} can't be a trigger: it must be one word of 1 to 64 characters without a comma",
            "join its parts with _ or leave them out",
        )
        return
    found = tokenizers or Tokenizers()
    meaning = list(_meaning(word, found))
    yield from meaning
    if not meaning:
        yield from _pieces(word, found)
    yield from _spelling(word, captions, found)
    yield from _length(word, found)
    if tokenizers is not None and tokenizers.missing:
        yield _finding("trigger-unchecked", "info", "; ".join(tokenizers.missing), HOW_TO_GET)


@functools.cache
def _form() -> TypeAdapter[str]:
    return TypeAdapter(Trigger)  # takes longer to build than most commands take to check a word


def _finding(code: str, severity: Severity, message: str, fix: str = BETTER) -> Finding:
    return Finding(code, severity, _WHERE, message, fix)


def _meaning(word: str, found: Tokenizers) -> Iterator[Finding]:
    """The whole trigger is a word that both encoders know."""
    plain = word.lower()
    if plain in STYLE_TERMS:
        yield _finding("trigger-style-word", "warning", f"{word} names styles in general, so it can't stand for yours")
        return
    if plain in LOADED:
        yield _finding("trigger-known-word", "warning", f"{word} already stands for {LOADED[plain]}")
        return
    for vocabulary in found.present:
        if is_word(word, vocabulary) or _is_frequent_token(word, vocabulary):
            number = vocabulary.word_id(word)
            token = "" if number is None else f": {vocabulary.encoder} has a token for it ({number})"
            yield _finding("trigger-known-word", "warning", f"{word} already means something to the base model{token}")
            return
    if not found.present and is_word(word):
        yield _finding("trigger-known-word", "warning", f"{word} already means something to the base model")


def _is_frequent_token(word: str, vocabulary: Vocabulary) -> bool:
    pieces = vocabulary.pieces(word)
    # T5 holds 32,000 tokens, all of them frequent.
    return len(pieces) == 1 and pieces[0].known and pieces[0].id < _RARE_ID


def _pieces(word: str, found: Tokenizers) -> Iterator[Finding]:
    """The trigger is cut into pieces, some of which are words."""
    seen = {part: "as written" for part in written_words(word) if is_word(part)}
    for vocabulary in found.present:
        pieces = vocabulary.pieces(word)
        for piece in pieces:
            if is_word(piece.text, vocabulary):
                seen.setdefault(piece.text.lower(), f"for {vocabulary.encoder}: {shown(pieces)}")
        if len(pieces) == 1:
            yield _finding(
                "trigger-one-token",
                "info",
                f"{word} is one rare token of {vocabulary.encoder} ({pieces[0].id}); it earned it by meaning something "
                "somewhere",
                f'draw a picture of "{word}" with the base model: it should show nothing in particular',
            )
        if unknown := [piece.text for piece in pieces if not piece.known]:
            yield _finding(
                "trigger-unknown-characters",
                "warning",
                f"{vocabulary.encoder} has no token for {', '.join(unknown)} and reads <unk>, as for any other unknown "
                "character",
                "use the letters a to z",
            )
    if not found.present:
        seen |= {term: "inside" for term in _terms_inside(word) if term not in seen}
    for part, how in seen.items():
        style = part in STYLE_TERMS
        yield _finding(
            "trigger-contains-style-word" if style else "trigger-contains-word",
            "warning" if style else "info",
            f'{word} contains "{part}" ({how}), which brings its own meaning along',
        )


def _terms_inside(word: str) -> list[str]:
    """The longest style terms inside a word; only asked when no tokenizer can tell where it is cut."""
    inside = [term for term in sorted(STYLE_TERMS) if term in word.lower()]
    return [term for term in inside if not any(term != other and term in other for other in inside)]


def _spelling(word: str, captions: Iterable[str], found: Tokenizers) -> Iterator[Finding]:
    if word != word.lower():
        yield _finding(
            "trigger-case",
            "warning",
            f'CLIP-L reads {word} as "{word.lower()}" and T5 does not: whoever types it in another case calls half of '
            "it",
            f"use {word.lower()}",
        )
    others = {part for caption in captions for part in _words(caption) if part != word and part.lower() == word.lower()}
    if others:
        yield _finding(
            "trigger-misspelt",
            "warning",
            f"captions spell {word} as {', '.join(sorted(others)[:5])} too; T5 reads those as other words",
            f"`loraforge caption DIR --find {shlex.quote(min(others))} --replace {shlex.quote(word)}` corrects them",
        )
    if not word.isascii() and found.t5 is None:
        yield _finding(
            "trigger-unknown-characters",
            "warning",
            f"{word} holds characters beyond a to z, which T5 may read as <unk>",
            "use the letters a to z",
        )


def _words(caption: str) -> list[str]:
    return [part.strip(".,;:!?\"'()") for part in caption.split()]


def _length(word: str, found: Tokenizers) -> Iterator[Finding]:
    for vocabulary in found.present:
        pieces = vocabulary.pieces(word)
        if len(pieces) > _MOST_PIECES:
            yield _finding(
                "trigger-long",
                "warning",
                f"{vocabulary.encoder} cuts {word} into {len(pieces)} pieces ({shown(pieces)}); what is learned is "
                "spread over all of them",
            )
            return
    if len(word) > _MOST_CHARACTERS:
        yield _finding("trigger-long", "warning", f"{word} has {len(word)} characters, which become many pieces")


def shown(pieces: Sequence[Piece]) -> str:
    """Return pieces as a person reads them: z + xy + _ + style."""
    return " + ".join(piece.text if piece.known else f"{piece.text} (<unk>)" for piece in pieces)
