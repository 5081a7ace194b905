"""What the lines of a script do before its command: they set variables, gather options in lists, ask for conditions."""

import re
from collections.abc import Sequence

from loraforge.advice.importer.words import Quoted, scan

_ASSIGNMENT = re.compile(r"(?:\$(?:env:)?)?([A-Za-z_]\w*)\s*(\+?=)(.*)", re.DOTALL)
_LIST = re.compile(r"\$?([A-Za-z_]\w*)(\+?=)\(")
_ADD = re.compile(r"(?:\[void\])?\$([A-Za-z_]\w*)\.Add\((.*)\)", re.DOTALL | re.IGNORECASE)
_WHOLE = re.compile(r"\$\{([A-Za-z_]\w*)(?:\[[@*]\])?\}|[$@]([A-Za-z_]\w*)|%([A-Za-z_]\w*)%")
_VARIABLE = re.compile(r"\$\{([A-Za-z_]\w*)(?::?[-=](?P<unless>[^{}]*))?\}|\$(?:env:)?([A-Za-z_]\w*)|%([A-Za-z_]\w*)%")
_PRINTED = re.compile(r"\$\([^()]*(?:\([^()]*\)[^()]*)*\)|`[^`]+`")
_FOLDER = re.compile(r"\$\(\s*pwd\s*\)|`pwd`|\$\{PWD\}|\$PWD\b|%CD%|%~dp0")
_PREFIXES = frozenset({"export", "set", "setx", "declare", "local", "readonly", "-a"})
_KEYWORDS = frozenset({"then", "do", "{", "}", "fi", "done"})
_CONDITIONS = frozenset({"if", "elif", "elseif"})
_TESTS = frozenset({"[", "[[", "test"})
_SAME = frozenset({"==", "=", "-eq", "-ceq"})
_OTHER = frozenset({"!=", "-ne"})
_TRUTH = {
    "$true": True,
    "true": True,
    "1": True,
    "$false": False,
    "false": False,
    "0": False,
    "": False,
    "$null": False,
}
_ALONE = frozenset({"HOME", "USERPROFILE", "true", "false", "null"})
_LONGEST_VALUE = 4096
_MOST_WORDS = 2000


class Script:
    """What a script has set so far.

    Attributes:
        lists: lists of options by name.
        unread: what a list or variable gets in a way that can't be followed, by its name.
    """

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.lists: dict[str, list[str]] = {}
        self.unread: dict[str, list[str]] = {}
        self._values: dict[str, str] = {}
        # Of each block around: whether it is run, and whether it or one before it was; None can't be told.
        self._conditions: list[tuple[bool | None, bool | None]] = []
        self._closed: bool | None = None  # the latter of the block that ended last
        self._next: list[bool | None] = []  # of the next command alone

    def take(self, words: Sequence[str]) -> str | None:
        """Take a command that only sets something; return the name of what it set, "" where it asks a condition."""
        once, self._next = self._next, []
        words = self._block(list(words), once)
        while words and words[0].lower() in _PREFIXES:
            words = words[1:]
        states = [*(state for state, _ in self._conditions), *once]
        holds = False if False in states else None if None in states else True
        return self._assign(words, holds) if words else ""

    def expanded(self, words: Sequence[str], unset: set[str], used: set[str]) -> list[str]:
        """Return words with variables put in; name those that are nowhere set, and those that are used."""
        done: list[str] = []
        for at, word in enumerate(words):
            whole = _WHOLE.fullmatch(word)
            name = next(filter(None, whole.groups()), "") if whole else ""
            if name:
                used.add(name)
            if name in self.lists:
                done += self.lists[name]
            elif whole and ("[" in word or (name in self.unread and name not in self._values)):
                unset.update({name} - self.unread.keys())  # an empty list leaves no word
            elif name in self._values and self._splits(word, self._values[name], first=at == 0):
                done += [part for part in scan(self._values[name], self.dialect).words if part is not None]
            elif name in self._values or not word.startswith("@"):
                done.append(self._value(word, unset, used))
            else:
                done.append(word)
        return done[:_MOST_WORDS]

    def _block(self, words: list[str], once: list[bool | None]) -> list[str]:
        """Follow conditions; return what else the command does, and add to `once` what holds for it alone."""
        while words:
            word = words[0].lower()
            if word in _TESTS:
                self._next = [self._holds(words)]
                return []
            if word == "else" or (word in _CONDITIONS and ("{" in words or (words[1:2] and words[1] in _TESTS))):
                words = self._condition(words, once)
            elif word in _KEYWORDS:
                if word in {"fi", "}"} and self._conditions:
                    self._closed = self._conditions.pop()[1]
                words = words[1:]
            elif words[-1] == "{":  # a loop or a function
                self._conditions.append((True, True))
                return []
            else:
                break
        return words

    def _condition(self, words: list[str], once: list[bool | None]) -> list[str]:
        word = words[0].lower()
        begin = words.index("{") if "{" in words else len(words)
        braces = begin < len(words)
        before: bool | None = False  # whether a branch above was taken
        if word != "if":
            before = self._closed if braces else self._conditions.pop()[1] if self._conditions else None
        held = True if word == "else" else self._holds(words[1:begin])
        state = False if before else None if before is None else held
        taken = True if before or state else None if None in (before, state) else False
        if braces and words[-1] == "}":
            self._closed = taken
            inner = words[begin + 1 : -1]
            once.append(None if "}" in inner else state)
            return inner
        self._conditions.append((state, taken))
        return words[1:] if word == "else" and not braces else []

    def _holds(self, words: Sequence[str]) -> bool | None:
        """Tell whether a condition of known values holds; None where that can't be told."""
        unset: set[str] = set()
        told = [self._value(word, unset, set()) for word in words if word not in _TESTS | {"]", "]]"}]
        if unset:
            return None
        if len(told) == 1:
            return _TRUTH.get(told[0].lower())
        if len(told) == 2 and told[0] in {"-n", "-z"}:
            return bool(told[1]) == (told[0] == "-n")
        if len(told) == 3 and told[1].lower() in _SAME | _OTHER:
            sides = {_TRUTH.get(side.lower(), side.lower()) for side in (told[0], told[2])}
            return (len(sides) == 1) == (told[1].lower() in _SAME)
        return None

    def _assign(self, words: list[str], holds: bool | None) -> str | None:
        if words[0].lower() == "if":  # cmd: if %X%==1 set OPTS=%OPTS% --name
            return self._lost(words)
        for word in words:
            if added := _ADD.fullmatch(word):
                return self._extend(added[1], [added[2]], holds, fresh=False)
        if begun := _LIST.fullmatch(words[0]):
            return self._extend(begun[1], words[1:], holds, fresh=begun[2] == "=")
        if words[1:2] in (["="], ["+="]) and words[0].startswith("$"):
            return self._powershell(words[0][1:], words[1], words[2:], holds)
        name = None
        for match in map(_ASSIGNMENT.fullmatch, words):
            if match is None:
                return None
            name = match[1]
        for match in filter(None, map(_ASSIGNMENT.fullmatch, words)):
            self._set(match[1], match[2], match[3], holds)
        return name

    def _lost(self, words: Sequence[str]) -> str | None:
        at = next((at for at, word in enumerate(words) if word.lower() == "set"), len(words))
        name, _, value = " ".join(words[at + 1 :]).partition("=")
        return self._extend(name, [value], None, fresh=False) if value else None

    def _powershell(self, name: str, sign: str, words: Sequence[str], holds: bool | None) -> str | None:
        if len(words) == 1 and ("List]" in words[0] or "List[" in words[0]):
            return self._extend(name, [], holds, fresh=True)
        if (sign == "+=" and name in self.lists) or (
            len(words) > 1 and all(isinstance(word, Quoted) for word in words)
        ):
            return self._extend(name, words, holds, fresh=sign == "=")
        if len(words) != 1:
            return None
        self._set(name.removeprefix("env:"), sign, words[0], holds)
        return name

    def _extend(self, name: str, words: Sequence[str], holds: bool | None, *, fresh: bool) -> str:
        if holds is None:
            self.unread.setdefault(name, []).extend(words)
        elif holds:
            told: list[str] = []
            for word in self.expanded(words, set(), set()):
                split = scan(word, self.dialect).words if word.startswith("--") and " " in word else [word]
                told += [part for part in split if part is not None]
            self.lists[name] = [*([] if fresh else self.lists.get(name, [])), *told][:_MOST_WORDS]
        return name

    def _set(self, name: str, sign: str, value: str, holds: bool | None) -> None:
        value = self._value(value.strip() if sign == "=" else value, set(), set())
        if holds is None and value.lstrip().startswith("-"):
            self.unread.setdefault(name, []).append(value.strip())
        elif holds or (holds is None and name not in self._values):
            self._values[name] = (self._values.get(name, "") if sign == "+=" else "") + value

    def _splits(self, word: str, value: str, *, first: bool) -> bool:
        """Tell whether a value is several words: options, arguments, or what a command begins with."""
        if " " not in value.strip():
            return False
        arguments = not isinstance(word, Quoted) and all("=" in part for part in value.split())
        return first or arguments or re.match(r"\s*--?[A-Za-z]", value) is not None

    def _value(self, word: str, unset: set[str], used: set[str]) -> str:
        def put(match: re.Match[str]) -> str:
            name = match[1] or match[3] or match[4]
            used.add(name)
            if self._values.get(name):
                return self._values[name]
            if match["unless"] is not None:
                return self._value(match["unless"], unset, used)
            if name in self._values:
                return ""
            if name not in _ALONE:
                unset.add(name)
            return "~" if name in {"HOME", "USERPROFILE"} else match[0]

        if "$" not in word and "%" not in word and "`" not in word:
            return word
        # Variables may hold variables: without a limit a few lines could grow without end.
        word = _FOLDER.sub(lambda match: "./" if match[0] == "%~dp0" else ".", word[:_LONGEST_VALUE])
        unset.update(found[0][:60] for found in _PRINTED.finditer(word))
        return _VARIABLE.sub(put, _PRINTED.sub("", word))[:_LONGEST_VALUE]
