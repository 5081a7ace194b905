"""What a caption says, sorted: subject, action, places, looks."""

from dataclasses import dataclass, field

from loraforge.captioning import words as w


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun with what surrounds it: `two` `small` `coffee cups` of ..."""

    nouns: tuple[str, ...]
    adjectives: tuple[str, ...] = ()
    trailing: str = ""
    count: str = ""
    of: "Noun | None" = None

    @property
    def last(self) -> str:
        """The head word."""
        return self.nouns[-1]

    def text(self) -> str:
        """Count, compound and what it is made of or holds."""
        of = f" of {self.of.head()}" if self.of else ""
        return self.head() + of

    def head(self) -> str:
        """Count and compound only."""
        words = " ".join(self.nouns).replace("_", " ")
        return f"{self.count} {words}" if self.count else words

    def described(self) -> str:
        """With the nearest adjective that says something."""
        telling = [adjective for adjective in self.adjectives if adjective not in w.PRAISE]
        words = f"{telling[-1]} {self.text()}" if telling and not self.count else self.text()
        return f"{words} {self.trailing}" if self.trailing else words

    def is_place(self) -> bool:
        """Tell whether one could be there."""
        word = self.last.rpartition("_")[2]
        return singular(word) in w.PLACES or word in w.PLACES

    def is_worn(self) -> bool:
        """Tell whether one could wear it."""
        return singular(self.last) in w.CLOTHES or self.last in w.CLOTHES


@dataclass(frozen=True, slots=True)
class Place:
    """Something a preposition, a comma or a verb leads to."""

    preposition: str
    noun: Noun

    def text(self) -> str:
        """The whole phrase; the preposition "," gives ", noun"."""
        return f"{self.preposition} {self.noun.text()}"

    def head(self) -> str:
        """The phrase with the head word only."""
        return f"{self.preposition} {self.noun.last.replace('_', ' ')}"

    def listed(self) -> str:
        """After a comma, which saves a word; only a known place is told by its head word alone."""
        word = self.noun.last if self.noun.is_place() else " ".join(self.noun.nouns)
        return f", {word.replace('_', ' ')}"


@dataclass(slots=True)
class Clause:
    """What a caption says, sorted."""

    subject: Noun | None = None
    partners: list[Noun] = field(default_factory=list)  # "and a dog"
    action: Place | None = None  # "eating bamboo", the verb in place of a preposition
    places: list[Place] = field(default_factory=list)
    scenery: list[Noun] = field(default_factory=list)  # what "with" adds to a landscape
    tags: list[Noun] = field(default_factory=list)  # nouns of a comma-separated list
    companions: list[Place] = field(default_factory=list)  # "with a hat"
    incidentals: list[Place] = field(default_factory=list)  # "holding a sword"
    looks: list[Place] = field(default_factory=list)  # "in a suit"
    verbs: list[str] = field(default_factory=list)  # "running"


def singular(word: str) -> str:
    """Undo a plain English plural."""
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word
