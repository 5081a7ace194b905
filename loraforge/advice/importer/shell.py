"""Split pasted bash, PowerShell or cmd text into commands as their author meant them; name what a shell trips on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from loraforge.advice.importer.findings import found
from loraforge.advice.importer.script import Script
from loraforge.advice.importer.words import BREAK, Line, Quoted, scan
from loraforge.findings import Finding

_PROMPT = re.compile(
    r"\s*(?:\([\w.-]{1,40}\)\s*)?"  # (venv)
    r"(?:(?:\$|PS [^>\n]{0,200}>|[A-Za-z]:\\[^>\n]{0,200}>|[\w.-]{1,60}@[\w.-]{1,60}:[^$#\n]{0,200}[$#]|>)\s+|!\s*)"
    r"(?=[\w(./])"
)
_NAME = r"([A-Za-z_]\w*)"
_SET = re.compile(rf"""\s*@?set\s+(?:"{_NAME}=([^"]*)"|{_NAME}=([^&|]*)(?<!\^))\s*""", re.IGNORECASE)
_SHELL = re.compile(r"(?:\S*/)?(?:ba|z|da)?sh")
_RUNS_TEXT = re.compile(r"-[a-z]{0,4}c")
_MARKS = {"\\": "bash", "`": "powershell", "^": "cmd"}

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
        unset: variables in it that are nowhere set, and commands whose output it takes.
        unread: options that a variable in it gets in a way that can't be followed, by its name.
    """

    words: list[str] = field(default_factory=list)
    faults: dict[str, list[int]] = field(default_factory=dict)
    marks: set[str] = field(default_factory=set)
    unset: set[str] = field(default_factory=set)
    unread: dict[str, list[str]] = field(default_factory=dict)

    def fault(self, code: str, number: int) -> None:
        """Note what is wrong with a line of it."""
        self.faults.setdefault(code, []).append(number)

    def take_faults(self, part: "Command") -> None:
        """Note also what is wrong with a list that it uses."""
        for code, numbers in part.faults.items():
            self.faults.setdefault(code, []).extend(numbers)
        self.marks |= part.marks

    def findings(self) -> Iterator[Finding]:
        """Say what is wrong with it."""
        for code, numbers in self.faults.items():
            message, fix = _FIXES[code]
            some = ", ".join(map(str, dict.fromkeys(numbers[:8]))) + (" and more" if len(numbers) > 8 else "")
            yield found(code, f"line {some}" if len(numbers) == 1 else f"lines {some}", message, fix)
        for name in sorted(self.unset)[:20]:
            if name[0] in "$`":
                message = f"{name} is what a command prints; import runs none, and leaves it out."
                yield found("command-not-run", name, message, "write the value itself")
                continue
            message = f"${name} is nowhere set, so that a shell puts nothing in its place."
            yield found("unset-variable", f"${name}", message, "write the value itself")
        for name, words in sorted(self.unread.items())[:20]:
            message = f"It gets {' '.join(words)[:120]} on a condition that can't be told here: left out."
            yield found("condition-not-told", f"${name}", message, "where it holds, add them to the command itself")
        if len(self.marks) > 1:
            message = f"Lines end in {' and '.join(sorted(self.marks))}, the signs of different shells; all were taken."
            fix = "end lines with \\ in bash, ` in PowerShell, ^ in cmd"
            yield found("foreign-continuation", "the command", message, fix)


def parse(text: str) -> list[Command]:
    """Take a cleaned text apart; never raises, whatever it is."""
    lines = text.split("\n")
    ends = [mark for line in lines if (mark := line.rstrip()[-1:]) in _MARKS]
    dialect = _MARKS[max(sorted(set(ends)), key=ends.count)] if ends else "bash"
    gathering = _Gathering(dialect)
    for number, line in enumerate(lines, 1):
        bare, prompts = _PROMPT.subn("", line, count=1) if _PROMPT.match(line) else (line, 0)
        assigned = None if gathering.open else _SET.fullmatch(bare)
        scanned = Line([_assignment(assigned)]) if assigned else scan(bare, dialect)
        if prompts:
            scanned.faults.append("shell-prompt")
        gathering.add(number, scanned)
    return [inner for command in gathering.commands() for inner in _inside(command, len(text))]


def _inside(command: Command, length: int) -> list[Command]:
    """Return what a command hands to a shell of its own, as `docker run IMAGE bash -c "..."` does, or itself."""
    for shell, flag, text in zip(command.words, command.words[1:], command.words[2:], strict=False):
        # Variables could make a text that holds itself: each must be shorter than the one around it.
        if _SHELL.fullmatch(shell) and _RUNS_TEXT.fullmatch(flag) and len(text) < length:
            handed = parse(text)
            for inner in handed:
                inner.take_faults(command)
            return handed
    return [command]


def _assignment(match: re.Match[str]) -> str:
    """Return what cmd's `set` does as one word: the value is all that follows, spaces too."""
    value = (match[2] or match[4] or "").strip()
    inner = re.fullmatch(r'"([^"]*)"', value)
    return Quoted(f"{match[1] or match[3]}={inner[1] if inner else value}")


class _Gathering:
    """Joins lines into commands."""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
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
                self.current.words.append(word)

    def _finish(self) -> None:
        if self.current.words:
            self.done.append(self.current)
        self.current = Command()

    def commands(self) -> list[Command]:
        """Return the commands, with the variables and lists put in that lines of their own set."""
        self._finish()
        script = Script(self.dialect)
        commands: list[Command] = []
        lists: dict[str, list[Command]] = {}
        used: set[str] = set()
        for command in self.done:
            name = script.take(command.words)
            if name in script.lists:
                lists.setdefault(name, []).append(command)
            if name is not None:
                continue
            names: set[str] = set()
            command.words = script.expanded(command.words, command.unset, names)
            command.unread = {each: script.unread[each] for each in names if each in script.unread}
            for part in (part for each in names for part in lists.get(each, ())):
                command.take_faults(part)
            used |= names
            commands.append(command)
        # A list that was pasted without its command.
        return [*commands, *(Command(script.lists[name]) for name in lists if name not in used)]
