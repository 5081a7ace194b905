"""Read an English caption into subject, action, places and looks, by closed word lists alone."""

import re
from dataclasses import replace

from loraforge.captioning import words as w
from loraforge.captioning.clause import Clause, Noun, Place, singular

_TOKEN = re.compile(r"[^\W_][\w'’\-]*|[,;.]")
_REWRITES = [(re.compile(rf"\b{re.escape(phrase)}\b"), word) for phrase, word in w.REWRITES]
_NOISE = re.compile(r"(?<![\w-])(?:" + "|".join(sorted(map(re.escape, w.NOISE), key=len, reverse=True)) + r")(?![\w-])")
_COMPOUNDS = [(re.compile(rf"\b{phrase}(?=s?\b)"), phrase.replace(" ", "_")) for phrase in w.COMPOUNDS]
_FUNCTION_WORDS = w.DETERMINERS | w.PREPOSITIONS | w.CONNECTORS | {"of", "with", "&", "as"}
_MOST_NOUNS = 3
_MOST_TOKENS = 300  # the subject stands long before
# After these verbs "at" leads to what is seen, not to where it happens.
_AIMING = frozenset({"looking", "staring", "gazing", "pointing", "howling", "barking", "shooting", "aiming", "waving"})
# So many nouns in a row are no English compound: a language or jargon these lists don't know.
_TOO_MANY_NOUNS = 5


def read_clause(text: str) -> Clause:
    """Read the first sentence of `text` that names a thing."""
    clause = Clause()
    for sentence in re.split(r"[.!?\n]+(?:\s|$)", text.lower()):
        clause = _Reader(_tokens(sentence)).read()
        if clause.subject is not None:
            break
    return clause


def _tokens(sentence: str) -> list[str]:
    sentence = re.sub(r"\b(\d)(girl|boy)s\b", lambda m: f"{_number(m[1])} {m[2]}s", sentence)
    sentence = re.sub(r"\b1(girl|boy)\b", r"\1", sentence)
    sentence = sentence.replace("_", " ")
    for pattern, word in _REWRITES:
        sentence = pattern.sub(word, sentence)
    sentence = _NOISE.sub(" ", sentence)
    for pattern, word in _COMPOUNDS:
        sentence = pattern.sub(word, sentence)
    return _TOKEN.findall(sentence)[:_MOST_TOKENS]


def _number(digit: str) -> str:
    return {"2": "two", "3": "three", "4": "four", "5": "five", "6": "six"}.get(digit, "several")


def _is_adjective(word: str) -> bool:
    if word in w.ADJECTIVES:
        return True
    return word.endswith(w.ADJECTIVE_ENDINGS) and word not in w.NOT_ADJECTIVES and singular(word) not in w.PLACES


def _is_verb(word: str, following: str = "") -> bool:
    if word in w.ALSO_VERBS and following in w.ARTICLES:  # "building a castle"
        return True
    if word in w.POSTURES or word in w.INCIDENTAL or word in w.DEEDS:
        return True
    return word.endswith("ing") and word not in w.ING_NOUNS and "_" not in word


class _Reader:
    """One pass over the tokens, never back."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.at = 0
        self.clause = Clause()
        self.one = False  # the phrase is about one thing, which "stands" and does not "stand"
        self.company = False  # the latest companion came when the place was known

    def peek(self, ahead: int = 0) -> str:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else ""

    def read(self) -> Clause:
        clause = self.clause
        while self.at < len(self.tokens) and clause.subject is None:
            clause.subject = self.noun()
            self.at += clause.subject is None
        self.partners()
        while self.at < len(self.tokens):
            self.step()
        return clause

    def partners(self) -> None:
        """Read "and a woman", directly behind the subject or behind what he wears."""
        while self.peek() in {"and", "&"} and not _is_verb(self.peek(1), self.peek(2)):
            self.at += 1
            partner = self.noun()
            if partner is None:
                return
            self.clause.partners.append(partner)

    def step(self) -> None:
        word = self.peek()
        self.at += 1
        if word == "with":
            self.companion()
        elif word in w.PREPOSITIONS or word == "of":
            self.place(word)
        elif _is_verb(word, self.peek()):
            self.verb(word)
        elif word in {",", ";"} and not _is_verb(self.peek()) and (noun := self.noun()) is not None:
            self.clause.tags.append(noun)

    def companion(self) -> None:
        noun = self.noun()
        if noun is None:
            return
        self.clause.companions.append(Place("with", noun))
        self.company = bool(self.clause.places)
        self.clause.scenery.append(noun)
        while self.peek() == "and" and not _is_verb(self.peek(1)):
            self.at += 1
            if (noun := self.noun()) is not None:
                self.clause.scenery.append(noun)

    def place(self, preposition: str) -> None:
        noun = self.noun()
        if noun is None or preposition in w.NOT_PLACING | {"of"}:
            if noun is not None and preposition == "from" and not self.clause.verbs:
                self.clause.companions.append(Place("from", noun))
            return
        if noun.last in w.BODY:
            return
        if noun.is_worn():
            self.clause.looks.append(Place(preposition, noun))
            if self.peek() == "and" and _names_person(self.tokens[self.at + 1 : self.at + 4]):
                self.partners()
            return
        if self.places_companion(preposition, noun):
            return
        if preposition in w.PATHS:
            on = singular(noun.last) in w.ON_PLACES or noun.last in w.ON_PLACES
            preposition = "on" if on or (preposition in w.SLOPES and not noun.is_place()) else "in"
        self.clause.places.append(Place(preposition, noun))

    def places_companion(self, preposition: str, noun: Noun) -> bool:
        """Tell whether a place belongs to what "with" brought: "a river with boats on the shore" places the boats.

        So does any place that comes when the subject has one: "a witch over a hut with a moon in the sky".
        """
        if not self.clause.companions or noun.last in w.TIMES:
            return False
        return (self.is_scene() and not self.clause.verbs) or self.company or preposition == "among"

    def is_scene(self) -> bool:
        """Tell whether it is a place with something in it, which then is what acts: "a kitchen with chefs cooking"."""
        return bool(self.clause.companions) and self.clause.subject is not None and self.clause.subject.is_place()

    def verb(self, word: str) -> None:
        if (doing := w.INCIDENTAL.get(word, word if word in _AIMING else None)) is not None:
            if doing in _AIMING and (way := self.peek()) in {"at", "through"}:
                self.at += 1
                doing += f" {way}"
            if (noun := self.noun()) is not None:
                self.clause.incidentals.append(Place(doing, noun))
                if doing.endswith(" at"):  # where the bird is does not say where the cat is
                    while self.peek() not in {"", ","}:
                        self.at += 1
            return
        doing = w.DEEDS.get(word, word)
        if word in w.POSTURES:
            if doing.endswith("ing"):
                self.clause.verbs.append(doing)
            return
        noun = self.noun()
        if noun is None:
            self.clause.verbs.append(doing)
        elif self.clause.action is None and noun.last not in w.BODY and not self.is_scene():
            self.clause.action = Place(doing, noun)

    def noun(self) -> Noun | None:
        """Read determiners, count, adjectives, nouns and an "of" behind them; None when no noun stands here."""
        start, count, trailing = self.at, "", ""
        self.one = self.peek() in {"a", "an"}
        adjectives: list[str] = []
        nouns: list[str] = []
        while (word := self.peek()) and not self._stops(word, adjectives, nouns):
            self.at += 1
            if word in w.NUMBERS and not nouns:
                count = word
            elif self._qualifies(word, nouns):
                if nouns:  # "mouth open"
                    trailing = word
                    break
                adjectives.append(word)
            elif not self._is_filler(word):
                nouns.append(word)
        if not nouns and adjectives and adjectives[-1] not in w.PRAISE and not _is_verb(adjectives[-1]):
            nouns = [adjectives.pop()]  # "in the dark"
        if not nouns:
            if not adjectives and not count:
                self.at = start
            return None
        kept = nouns[:_TOO_MANY_NOUNS] if len(nouns) >= _TOO_MANY_NOUNS else nouns[-_MOST_NOUNS:]
        noun = Noun(tuple(kept), tuple(adjectives), trailing, count)
        return self._of(noun) if self.peek() == "of" else noun

    def _stops(self, word: str, adjectives: list[str], nouns: list[str]) -> bool:
        """Tell whether the phrase ends before `word`."""
        if word in w.DETERMINERS:
            return bool(nouns)
        following = self.peek(1)
        if word in {",", "and"}:  # "tall, dark figure" and "blue and white bird" go on
            return bool(nouns) or not adjectives or not _is_adjective(following)
        if not word[0].isalnum() or word in _FUNCTION_WORDS:
            return True
        if _is_adjective(word):  # "mouth open" ends the phrase, "boat parked" ended it already
            return bool(nouns) and not self._ends(following)
        if nouns and self.one and word in w.PLAIN_POSTURES:  # "a fruit stand"
            return False
        return _is_verb(word, following) and not self._describes(nouns, following)

    @staticmethod
    def _is_filler(word: str) -> bool:
        adverb = word.endswith("ly") and word not in w.LY_NOUNS
        return adverb or word in w.DETERMINERS or word in {",", "and"}

    @staticmethod
    def _qualifies(word: str, nouns: list[str]) -> bool:
        return _is_adjective(word) or (_is_verb(word) and not nouns)

    def _describes(self, nouns: list[str], following: str) -> bool:
        """An -ing word before a noun describes it ("flying cars"), behind one it acts ("man flying")."""
        return not nouns and not self._ends(following) and following not in _FUNCTION_WORDS

    @staticmethod
    def _ends(word: str) -> bool:
        return word in {"", ",", "and", ";"}

    def _of(self, noun: Noun) -> Noun:
        self.at += 1
        inner = self.noun()
        if inner is None:
            return noun
        if noun.last in w.VIEWS or (noun.last in w.QUANTITIES and len(noun.nouns) == 1):
            return inner
        return replace(noun, of=replace(inner, of=None))


def _names_person(tokens: list[str]) -> bool:
    return any(token in w.PEOPLE for token in tokens)
