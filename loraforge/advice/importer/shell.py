"""Split pasted bash, PowerShell or cmd text into commands as their author meant them; name what a shell trips on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from loraforge.advice.importer.findings import found
from loraforge.advice.importer.words import BREAK, Line, scan
from loraforge.findings import Finding

_PROMPT = re.compile(
    r"\s*(?:\([\w.-]{1,40}\)\s*)?"  # (venv)
    r"(?:(?:\$|PS [^>\n]{0,200}>|[A-Za-z]:\\[^>\n]{0,200}>|[\w.-]{1,60}@[\w.-]{1,60}:[^$#\n]{0,200}[$#]|>)\s+|!\s*)"
    r"(?=[\w(./])"
)
_ASSIGNMENT = re.compile(r"(?:\$(?:env:)?)?([A-Za-z_]\w*)\s*=(.*)", re.DOTALL)
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(?:env:)?([A-Za-z_]\w*)|%([A-Za-z_]\w*)%")
_MARKS = {"\\": "bash", "`": "powershell", "^": "cmd"}
_LONGEST_VALUE = 4096

_FIXES = {
    "comment-after-continuation": (
        "A comment follows the continuation sign, so the shell ends the command here.",
        "put comments on lines above the command",
    ),
    "comment-inside-command": (
        "A comment line ends the command; the lines below run as commands of their own.",
        "put comments on lines above the command",
    ),
    "space-after-continuation": (
        "The continuation sign is not the last character, so it continues nothing.",
        "delete the spaces behind it",
    ),
    "missing-continuation": (
        "The line before does not end in a continuation sign.",
        "end each line but the last with one",
    ),
    "unclosed-quote": ("A quote is not closed; it was closed at the end of its word or line.", "close it"),
    "shell-prompt": ("The prompt was left out.", "copy what stands behind the prompt"),
    "windows-path-in-bash": (
        "bash eats the backslashes of an unquoted Windows path; they were kept.",
        "quote the path, or write forward slashes",
    ),
}


@dataclass(slots=True)
class Command:
    """One command.

    Attributes:
        words: what it is made of.
        faults: what a shell would have tripped on: code -> numbers of lines.
        marks: the continuation signs it is written with.
        unset: variables in it that are nowhere set.
    """

    words: list[str] = field(default_factory=list)
    faults: dict[str, list[int]] = field(default_factory=dict)
    marks: set[str] = field(default_factory=set)
    unset: set[str] = field(default_factory=set)

    def fault(self, code: str, number: int) -> None:
        """Note what is wrong with a line of it."""
        self.faults.setdefault(code, []).append(number)

    def findings(self) -> Iterator[Finding]:
        """Say what is wrong with it."""
        for code, numbers in self.faults.items():
            message, fix = _FIXES[code]
            some = ", ".join(map(str, dict.fromkeys(numbers[:8]))) + (" and more" if len(numbers) > 8 else "")
            yield found(code, f"line {some}" if len(numbers) == 1 else f"lines {some}", message, fix)
        for name in sorted(self.unset)[:20]:
            message = f"${name} is nowhere set, so that a shell puts nothing in its place."
            yield found("unset-variable", f"${name}", message, "write the value itself")
        if len(self.marks) > 1:
            message = f"Lines end in {' and '.join(sorted(self.marks))}, the signs of different shells; all were taken."
            fix = "end lines with \\ in bash, ` in PowerShell, ^ in cmd"
            yield found("foreign-continuation", "the command", message, fix)


def parse(text: str) -> list[Command]:
    """Take a cleaned text apart; never raises, whatever it is."""
    lines = text.split("\n")
    ends = [mark for line in lines if (mark := line.rstrip()[-1:]) in _MARKS]
    dialect = _MARKS[max(sorted(set(ends)), key=ends.count)] if ends else "bash"
    gathering = _Gathering()
    for number, line in enumerate(lines, 1):
        bare, prompts = _PROMPT.subn("", line, count=1) if _PROMPT.match(line) else (line, 0)
        scanned = scan(bare, dialect)
        if prompts:
            scanned.faults.append("shell-prompt")
        gathering.add(number, scanned)
    return gathering.commands()


class _Gathering:
    """Joins lines into commands."""

    def __init__(self) -> None:
        self.done: list[Command] = []
        self.current = Command()
        self.open = False  # the line before goes on, or was meant to
        self.in_list = False  # between ARGS=( and )

    def add(self, number: int, line: Line) -> None:
        if line.commented and not line.words:
            if self.open and not self.in_list and line.mark is None and self.current.words:
                self.current.fault("comment-inside-command", number)
            self.open = self.open or bool(line.mark)
            return
        if line.words:
            self._take(number, line)
        for code in line.faults:
            self.current.fault(code, number)
        if line.mark:
            self.current.marks.add(line.mark)
        self.in_list = (self.in_list or line.opens_list) and not line.closes_list
        if line.words or line.mark:
            self.open = line.mark is not None or self.in_list
        elif not self.in_list:
            self.open = False

    def _take(self, number: int, line: Line) -> None:
        first = line.words[0]
        if not self.open:
            optional = isinstance(first, str) and first.startswith("--")
            if not (optional and self.current.words):
                self._finish()
            elif any(word.startswith("--") or word.endswith(".py") or word == "launch" for word in self.current.words):
                self.current.fault("missing-continuation", number)
        for word in line.words:
            if word is BREAK:
                self._finish()
            else:
                self.current.words.append(str(word))

    def _finish(self) -> None:
        if self.current.words:
            self.done.append(self.current)
        self.current = Command()

    def commands(self) -> list[Command]:
        """Return the commands, with the variables put in that lines of their own assign."""
        self._finish()
        variables: dict[str, str] = {}
        commands = []
        for command in self.done:
            # PowerShell's `$name = value` names the variable it sets.
            named = 1 if command.words[1:2] == ["="] else 0
            command.words[named:] = [_expanded(word, variables, command.unset) for word in command.words[named:]]
            if assigned := _assigned(command.words):
                variables |= assigned
            else:
                commands.append(command)
        return commands


def _assigned(words: list[str]) -> dict[str, str]:
    """Return the variables that a whole command assigns; none where it does anything else."""
    if words and words[0].lower() in {"export", "set", "setx", "declare", "local"}:
        words = words[1:]
    if len(words) == 3 and words[1] == "=":  # PowerShell: $name = "value"
        words = ["".join(words)]
    matches = [_ASSIGNMENT.fullmatch(word) for word in words]
    if not words or not all(matches):
        return {}
    return {match[1]: match[2].strip() for match in matches if match}


def _expanded(word: str, variables: dict[str, str], unset: set[str]) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2] or match[3]
        if name in variables:
            return variables[name]
        if name not in {"HOME", "USERPROFILE", "PWD", "true", "false", "null"}:
            unset.add(name)
        return "~" if name in {"HOME", "USERPROFILE"} else match[0]

    if ("$" not in word and "%" not in word) or re.match(r"\$(?:env:)?\w+=?$", word):
        return _alone(word, variables, unset)
    # Variables may hold variables: without a limit a few lines could grow without end.
    return _VARIABLE.sub(value, word[:_LONGEST_VALUE])[:_LONGEST_VALUE]


def _alone(word: str, variables: dict[str, str], unset: set[str]) -> str:
    match = re.fullmatch(r"\$(?:env:)?(\w+)", word)
    if match is None:
        return word
    if match[1] in variables:
        return variables[match[1]]
    if match[1] == "HOME":
        return "~"
    unset.add(match[1])
    return word
