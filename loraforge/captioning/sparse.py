"""Sparse captions: the subject and its setting in two to five words, so that the style is left to the trigger.

"a beautiful young woman with long brown hair wearing a red dress, standing in a garden" becomes "woman in garden". No
model and no statistics: a small grammar over the vocabulary in words.py, so equal captions always give equal results.
"""

from collections.abc import Iterator

from loraforge.captioning import words as w
from loraforge.captioning.clause import Clause, Place
from loraforge.captioning.grammar import read_clause
from loraforge.captioning.style import STYLE_WORDS, style_words_in, without_style

__all__ = ["STYLE_WORDS", "sparse", "style_words_in", "without_style"]


def sparse(caption: str, words: tuple[int, int] = (2, 5)) -> str:
    """Trim a caption to subject and setting, lower case, without articles and style words.

    Args:
        caption: a sentence or a list of tags, of any length.
        words: the fewest and the most words wanted. Fewer come back when the caption says no more ("a cat"), and
            none when it names nothing but its style ("an oil painting").
    """
    least, most = words
    clause = read_clause(without_style(caption))
    if clause.subject is None:
        return ""
    best = next(text for text in _shortening(clause) if _count(text) <= max(most, 1))
    if _count(best) < least:
        return next((text for text in _filling(clause) if least <= _count(text) <= most), best)
    return best


def _count(text: str) -> int:
    return len(text.split())


def _shortening(clause: Clause) -> Iterator[str]:
    """From the fullest form to the subject's bare head word."""
    subject = clause.subject
    if subject is None:
        return
    whole = [subject, *clause.partners]
    place = setting(clause)
    action = clause.action
    for what in (whole, [subject]):
        full = " and ".join(noun.text() for noun in what)
        heads = " and ".join(noun.head() for noun in what)
        # "still life of a jug and lemons": the lemons are lost before "of a jug" is; a silhouette is nothing by itself.
        kept = subject.of and (len(what) > 1 or subject.last in w.HOLLOW)
        for deed in (action.text(), action.head(), "") if action else ("",):
            for subject_text in dict.fromkeys((full,) if kept else (full, heads)):
                for where in (place.text(), place.head(), place.listed()) if place else ("",):
                    # Both halves or, further down, neither: a caption that lost its setting is the last resort.
                    yield _joined(subject_text, deed, where)
    yield subject.text()
    yield subject.head()
    yield subject.head().split()[-1]


def _filling(clause: Clause) -> Iterator[str]:
    """What makes a lone subject longer, the most telling first."""
    subject = clause.subject
    if subject is None:
        return
    for extra in (*clause.companions, *clause.incidentals, *clause.looks):
        yield f"{subject.text()} {extra.preposition} {extra.noun.described()}"
        yield f"{subject.text()} {extra.preposition} {extra.noun.text()}"
    yield subject.described()
    for tag in clause.tags:
        yield f"{subject.text()}, {tag.text()}"
    for verb in clause.verbs:
        yield f"{subject.text()} {verb}"


def _joined(subject: str, deed: str, where: str) -> str:
    text = f"{subject} {deed}" if deed else subject
    if not where:
        return text
    return f"{text}{where}" if where.startswith(",") else f"{text} {where}"


def setting(clause: Clause) -> Place | None:
    """Choose where it happens: a known place, then scenery, then anything a preposition leads to, then the hour."""
    subject = clause.subject
    placing = [place for place in clause.places if place.noun.last not in w.TIMES]
    known = [place for place in placing if place.noun.is_place()]
    if known:
        return known[0]
    scenery = [noun for noun in clause.scenery if noun.is_place()]
    if scenery and subject is not None and subject.is_place():
        return Place(",", scenery[0])
    tags = [noun for noun in clause.tags if noun.is_place()]
    if tags:
        return Place(",", tags[0])
    if placing:  # what is beside it is company before it is a setting: "cat by dog on couch"
        return next((place for place in placing if place.preposition not in w.BESIDE), placing[0])
    return clause.places[0] if clause.places else None
