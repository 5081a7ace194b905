"""Bytes of the engine's two streams -> pieces of text, told apart by how they ended."""

import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

Stream = Literal["stdout", "stderr"]
_END = re.compile(rb"\r\n?|\n")


class RawLine(NamedTuple):
    """One piece of output, without its ending.

    Attributes:
        stream: which pipe it came from.
        text: decoded; bytes that are not UTF-8 become replacement characters.
        ended_by: a return means that the piece is about to be overwritten, as the ticks of a progress bar are.
    """

    stream: Stream
    text: str
    ended_by: Literal["\n", "\r"]


class Splitter:
    r"""Cuts one stream at `\n`, `\r` and `\r\n`, however the bytes arrive.

    A progress bar writes the return *before* each tick and nothing after it, so the newest tick stays open until
    the next one; `open_tick` hands it out meanwhile.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._rest = b""
        self._after_return = False

    def feed(self, chunk: bytes) -> list[RawLine]:
        """Take the next bytes and return every piece that they complete."""
        if self._after_return and not self._rest and chunk.startswith(b"\n"):
            chunk = chunk[1:]  # the second half of a Windows line end whose first half was delivered already
        elif not chunk:
            return []
        data = self._rest + chunk
        pieces = []
        end = 0
        for match in _END.finditer(data):
            pieces.append(self._line(data[end : match.start()], "\r" if match[0] == b"\r" else "\n"))
            end = match.end()
        if end:
            self._after_return = data[end - 1 : end] == b"\r"
        self._rest = data[end:]
        return pieces

    def open_tick(self) -> RawLine | None:
        """Hand out the text since the last return, if there is any; it is not handed out again."""
        return self._take("\r") if self._after_return else None

    def end(self) -> RawLine | None:
        """Hand out what the stream ended with, if it lacked a line end."""
        return self._take("\n")

    def _take(self, ended_by: Literal["\n", "\r"]) -> RawLine | None:
        if not self._rest:
            return None
        rest, self._rest = self._rest, b""
        return self._line(rest, ended_by)

    def _line(self, piece: bytes, ended_by: Literal["\n", "\r"]) -> RawLine:
        return RawLine(self._stream, piece.decode("utf-8", errors="replace"), ended_by)


def replayed(chunks: Iterable[bytes]) -> Iterator[RawLine]:
    """Yield the pieces of a finished run from its raw log, where both streams lie in one file."""
    splitter = Splitter("stderr")
    for chunk in chunks:
        yield from splitter.feed(chunk)
    if last := splitter.end():
        yield last
