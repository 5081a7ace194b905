"""Streams are cut into the same pieces however their bytes arrive."""

import pytest

from loraforge.engine.lines import RawLine, Splitter, replayed


def _pieces(chunks: list[bytes]) -> list[tuple[str, str]]:
    splitter = Splitter("stderr")
    pieces = [piece for chunk in chunks for piece in splitter.feed(chunk)]
    last = splitter.end()
    return [(piece.text, piece.ended_by) for piece in [*pieces, *([last] if last else [])]]


@pytest.mark.parametrize(
    ("data", "pieces"),
    [
        (b"", []),
        (b"a\nb\n", [("a", "\n"), ("b", "\n")]),
        (b"a\n\nb", [("a", "\n"), ("", "\n"), ("b", "\n")]),
        (b"1\r2\r3\n", [("1", "\r"), ("2", "\r"), ("3", "\n")]),
        (b"\r1\r2", [("", "\r"), ("1", "\r"), ("2", "\n")]),
        ("é ß 学習\n".encode(), [("é ß 学習", "\n")]),
        (b"bad \xff byte\n", [("bad \N{REPLACEMENT CHARACTER} byte", "\n")]),
    ],
)
def test_pieces_do_not_depend_on_the_chunks(data: bytes, pieces: list[tuple[str, str]]) -> None:
    """Whole, cut anywhere, or byte by byte: the pieces are the same."""
    assert _pieces([data]) == pieces
    assert _pieces([bytes([byte]) for byte in data]) == pieces
    for cut in range(len(data) + 1):
        assert _pieces([data[:cut], b"", data[cut:]]) == pieces


def test_windows_line_ends_are_one_end() -> None:
    r"""`\r\n` ends one piece, also where the two bytes arrive apart and the piece was delivered at the first."""
    assert _pieces([b"a\r\nb\r\n"]) == [("a", "\n"), ("b", "\n")]
    assert _pieces([b"a\r", b"\nb\r", b"\n"]) == [("a", "\r"), ("b", "\r")]


def test_the_newest_tick_is_handed_out_once() -> None:
    """A bar's newest tick has no end yet; it comes on asking, once, and plain text without an end does not."""
    splitter = Splitter("stderr")
    assert splitter.feed(b"\r10%") == [RawLine("stderr", "", "\r")]
    assert splitter.open_tick() == RawLine("stderr", "10%", "\r")
    assert splitter.open_tick() is None
    assert splitter.feed(b" and more\npart") == [RawLine("stderr", " and more", "\n")]
    assert splitter.open_tick() is None
    assert splitter.end() == RawLine("stderr", "part", "\n")


def test_a_log_is_replayed_in_order() -> None:
    """A raw log gives its pieces again, whatever the size of the chunks it is read in."""
    assert [line.text for line in replayed([b"a\nb", b"c\r", b"d"])] == ["a", "bc", "d"]
