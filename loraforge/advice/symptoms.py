"""From how people describe a bad result to its likely causes: words against a table."""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from loraforge.engine.remedy import Remedy

# Words that say nothing about what is wrong. "not" and "no" do.
_FILLERS = """
a all am an and any are as at be been but by can come do for from get give go has have how i if in is it its just like
look lora me model my of on or our out picture image so some still than that the their them then there they this to
train training up use very was we what when which while why with you your word really seem after does did done else
everything other thing things
"""
_EMPTY = frozenset(_FILLERS.split())
_NEGATIONS = {
    "doesnt": "not",
    "dont": "not",
    "isnt": "not",
    "wont": "not",
    "cant": "not",
    "no": "not",
    "without": "not",
}
_SAME = {"colour": "color", "color": "color", "memorised": "memorise", "memorized": "memorise", "vram": "memory"}
_CLOSE = 0.75
_CLOSE_ALONE = 0.9  # a phrase of one word has no other to bear it out: "hands" is no "hangs"
_LEAST = 0.6


@dataclass(frozen=True, slots=True)
class Cause:
    """One likely cause of a symptom, with its remedy in words and as settings."""

    cause: str
    fix: str
    source: str
    remedy: Remedy


@dataclass(frozen=True, slots=True)
class Symptom:
    """One thing that is seen.

    Attributes:
        code: stable and kebab-case.
        title: what is seen, a clause.
        says: phrases that people use for it.
        causes: the likeliest first.
    """

    code: str
    title: str
    says: tuple[str, ...]
    causes: tuple[Cause, ...]


@cache
def symptoms() -> tuple[Symptom, ...]:
    """Return the table."""
    text = (files(__package__) / "symptoms.toml").read_text("utf-8")
    return tuple(_symptom(row) for row in tomllib.loads(text)["symptom"])


def matching(text: str) -> list[Symptom]:
    """Return the symptoms that a description means, the best match first; none when it means no known one."""
    said = telling(text)
    scored = [(max(_score(phrase, said) for phrase in _phrases(symptom.says)), symptom) for symptom in symptoms()]
    best = max(score for score, _ in scored)
    good = [(score, symptom) for score, symptom in scored if score >= max(_LEAST, best * 0.8)]
    return [symptom for _, symptom in sorted(good, key=lambda entry: -entry[0])]


Word = tuple[str, str]  # as written, and its stem


def telling(text: str) -> tuple[Word, ...]:
    """Return the words of a text that say what is wrong, in order."""
    words = re.findall(r"[a-z0-9]+", re.sub(r"['’]", "", text.lower()))
    plain = (_NEGATIONS.get(word, word) for word in words)
    return tuple((word, _stem(word)) for word in plain if word not in _EMPTY and _stem(word) not in _EMPTY)


def _stem(word: str) -> str:
    word = _SAME.get(word, word)
    for ending in ("ting", "ning", "ing", "ies", "ied", "ted", "ed", "es", "ly", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word.removesuffix(ending)
    return word


@cache
def _phrases(says: tuple[str, ...]) -> tuple[tuple[Word, ...], ...]:
    return tuple(telling(phrase) for phrase in says)


@cache
def _rarity() -> dict[str, float]:
    """Weigh stems by how few symptoms use them."""
    users: dict[str, set[str]] = {}
    for symptom in symptoms():
        for phrase in _phrases(symptom.says):
            for _, stem in phrase:
                users.setdefault(stem, set()).add(symptom.code)
    return {stem: 1 / len(codes) for stem, codes in users.items()}


def _score(phrase: tuple[Word, ...], said: tuple[Word, ...]) -> float:
    """Return the share of a phrase's weight that was said; of two said in full the more telling one scores more."""
    rarity = _rarity()
    weight = sum(rarity[stem] for _, stem in phrase)
    close = _CLOSE if len(phrase) > 1 else _CLOSE_ALONE
    hit = sum(rarity[word[1]] * _closest(word, said, close) for word in phrase)
    return hit / weight * (1 + 0.02 * len(phrase) + 0.02 * weight)


def _closest(word: Word, said: tuple[Word, ...], close: float) -> float:
    """Return 1 for a word that was said, its likeness for one mistyped, 0 for neither."""
    if any(word[1] == stem for _, stem in said):
        return 1.0
    if len(word[0]) < 4:
        return 0.0
    likeness = max((difflib.SequenceMatcher(None, word[0], other).ratio() for other, _ in said), default=0.0)
    return likeness if likeness >= close else 0.0


def _symptom(row: Mapping[str, Any]) -> Symptom:
    causes = (Cause(item["cause"], item["fix"], item["source"], Remedy.read(item)) for item in row["causes"])
    return Symptom(row["code"], row["title"], tuple(row["says"]), tuple(causes))
