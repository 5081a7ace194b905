"""One line of shell text into words: quotes, escapes, comments, operators and the sign that continues it."""

import re
from dataclasses import dataclass, field
from typing import Final

BREAK: Final = None  # between two commands of one line
_SIGNS = {"bash": "\\", "powershell": "`", "cmd": "^"}
_COMMENT_LINE = re.compile(r"\s*(?:#|//|::|rem\s|REM\s|<#)")
_PLACEHOLDER = re.compile(r"<[^<>\s|&;]{1,80}>")
_OPERATOR = re.compile(r"&&|\|\||[;|]|&(?=\s|$)|\d?>{1,2}(?:&\d)?|<")
_BEHIND_SIGN = re.compile(r"\s+(#|--|$)")
_WINDOWS = re.compile(r"[A-Za-z]:\\")
_ESCAPED = re.compile(r"""[\s"'\\$#&|;()*?<>!]""")
_PRINTED = re.compile(r"\$\([^()]{0,300}(?:\([^()]{0,300}\)[^()]{0,300}){0,9}\)")  # what a command prints
_PATH_GOES_ON = re.compile(r"[\w.]")  # behind a backslash in bash: more likely a Windows path than an escape


class Quoted(str):
    """A word of which a part was quoted."""

    __slots__ = ()


@dataclass(slots=True)
class Line:
    """One physical line.

    Attributes:
        words: its words; BREAK between commands.
        mark: the continuation sign at its end.
        commented: whether it has a comment.
        faults: codes of what a shell would trip on.
        opens_list: whether it opens an array of arguments that it does not close.
        closes_list: whether it closes one.
    """

    words: list[str | None] = field(default_factory=list)
    mark: str | None = None
    commented: bool = False
    faults: list[str] = field(default_factory=list)
    opens_list: bool = False
    closes_list: bool = False


def scan(text: str, dialect: str) -> Line:
    """Scan one line, in time proportional to its length."""
    if _COMMENT_LINE.match(text):
        # `# --flag value \` is a flag that was switched off; the sign at its end is part of the comment.
        return Line(commented=True)
    scanner = _Scanner(text, dialect)
    scanner.run()
    return scanner.line


class _Scanner:
    def __init__(self, text: str, dialect: str) -> None:
        self.text = text
        self.dialect = dialect
        self.at = 0
        self.line = Line()
        self.word: list[str] | None = None
        self.skip_word = False  # the target of a redirection
        self.after_quote = False
        self.has_quote = False

    def run(self) -> None:
        while self.at < len(self.text):
            char = self.text[self.at]
            if char.isspace():
                self._end()
                self.at += 1
            elif char in "\\`^":
                if self._sign(char):
                    break
            elif char == "#" and self.word is None:
                self.line.commented = True
                break
            elif char in "\"'":
                self._quoted(char)
            elif char == "$" and (printed := _PRINTED.match(self.text, self.at)):
                self._put(printed[0])
                self.at = printed.end()
            elif char in "()[]@," and self._bracket(char):
                self.at += 1
            elif char in "&|;<>0123456789" and self._operator():
                continue
            else:
                self._put(char)
                self.at += 1
        self._end()

    def _put(self, chars: str) -> None:
        if self.word is None:
            self.word = []
        self.word.append(chars)
        self.after_quote = False

    def _end(self) -> None:
        if self.word is not None:
            if self.skip_word:
                self.skip_word = False
            else:
                word = "".join(self.word)
                self.line.words.append(Quoted(word) if self.has_quote else word)
        self.word = None
        self.has_quote = False
        self.after_quote = False

    def _sign(self, char: str) -> bool:
        """Take a sign that may continue the line; tell whether the line ends here."""
        if self.at + 1 == len(self.text):
            self.line.mark = char
            return True
        behind = _BEHIND_SIGN.match(self.text, self.at + 1)
        if behind is not None and behind[1] != "--":
            self.line.mark = char
            self.line.commented = bool(behind[1])
            self.line.faults.append("comment-after-continuation" if behind[1] else "space-after-continuation")
            return True
        if behind is not None:  # lines that were joined when they were copied
            self.line.faults.append("space-after-continuation")
            self.at += 1
            self._end()
            return False
        self._escape(char)
        return False

    def _escape(self, char: str) -> None:
        following = self.text[self.at + 1]
        word = "".join(self.word[:4]) if self.word else ""
        escaped = not _PATH_GOES_ON.match(following) if self.dialect == "bash" else _ESCAPED.match(following)
        if char == "\\" and (_WINDOWS.match(word + char) or not escaped):
            if (
                self.dialect == "bash"
                and _WINDOWS.match(word + char)
                and "windows-path-in-bash" not in self.line.faults
            ):
                self.line.faults.append("windows-path-in-bash")
            self._put(char)
            self.at += 1
        elif char == _SIGNS[self.dialect] or char == "\\":
            self._put(following)
            self.at += 2
        elif char == "`":  # left over from Markdown
            self.at += 1
        else:
            self._put(char)
            self.at += 1

    def _quoted(self, quote: str) -> None:
        end = self._closing(quote)
        if end is None:
            self.line.faults.append("unclosed-quote")
            # `"path --next 1`: what follows is more likely the next option than part of the text.
            cut = self.text.find(" --", self.at)
            end = cut if cut != -1 else len(self.text.rstrip(" \\`^"))
            end = max(end, self.at + 1)
        body = self.text[self.at + 1 : end]
        if quote == '"':
            body = re.sub(r'\\(["\\$`])', r"\1", body) if self.dialect != "cmd" else body.replace('\\"', '"')
        self._put(body)
        self.after_quote = self.has_quote = True
        self.at = end + (1 if self.text[end : end + 1] == quote else 0)

    def _closing(self, quote: str) -> int | None:
        """Return where a quote closes; a backslash before the last quote of a Windows path is no escape."""
        last = self.text.rfind(quote, self.at + 1)
        at = self.at + 1
        while at <= last:
            char = self.text[at]
            if char == "\\" and quote == '"' and at + 1 != last:
                at += 2
                continue
            if char == quote:
                return at
            at += 1
        return last if last > self.at else None

    def _bracket(self, char: str) -> bool:
        """Take brackets and commas of arrays of arguments for spaces; those of paths and values stay."""
        before = self.word[-1] if self.word else ""
        following = self.text[self.at + 1 : self.at + 2]
        if char == "(" and (self.word is None or before in {"=", "@"}):
            self._list_begins()
            self.line.opens_list, self.line.closes_list = True, False
            return True
        if char == ")" and not (self.word and "(" in self.word):
            self._end()
            self.line.opens_list, self.line.closes_list = False, True
            return True
        if char == "@" and self.word is None and following == "(":
            return True
        if char == "[" and self.word is None and following in {'"', "'"}:
            return True
        if char in ",]" and self.after_quote:
            self._end()
            return True
        return False

    def _list_begins(self) -> None:
        """Keep the name of a list: ARGS=( in bash, $trainArgs = @( in PowerShell."""
        words = self.line.words
        name = "".join(self.word or ())
        if not name and len(words) > 1 and words[-1] in {"=", "+="}:
            name = f"{words[-2]}{words[-1]}"
            del words[-2:]
        self.word = None
        if name.endswith("="):
            words.append(f"{name}(")

    def _operator(self) -> bool:
        match = _OPERATOR.match(self.text, self.at)
        if match is None or (match[0][0].isdigit() and self.word is not None):
            return False
        if match[0] == ";" and self.dialect == "cmd":
            return False
        if match[0] == "<" and (placeholder := _PLACEHOLDER.match(self.text, self.at)):
            self._put(placeholder[0])
            self.at = placeholder.end()
            return True
        self._end()
        if ">" in match[0] or match[0] == "<":
            self.skip_word = "&" not in match[0]
        else:
            self.line.words.append(BREAK)
        self.at = match.end()
        return True
