"""Caption files."""

import os
import stat
import string
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from loraforge.dataset import captions
from loraforge.dataset.captions import (
    Caption,
    parse_caption,
    read_caption,
    replace_bytes,
    with_trigger,
    write_caption,
)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"zxy, a woman\n", Caption("zxy, a woman")),
        (b"  zxy, a woman  ", Caption("zxy, a woman")),
        ("zxy, café 🌸".encode(), Caption("zxy, café 🌸")),
        (b"one\ttwo\r\n\r\n", Caption("one two")),
        (b"", Caption("", ("empty",))),
        (b" \n\n", Caption("", ("empty",))),
        (b"\n\nlate", Caption("", ("first-line-blank",))),
        (b"first\nsecond", Caption("first", ("several-lines",))),
        (b"first\rsecond", Caption("first", ("several-lines",))),
        (b"\xef\xbb\xbfmarked", Caption("marked", ("bom",))),
        (b"caf\xe9", Caption("café", ("not-utf8",))),
        ("wide".encode("utf-16"), Caption("wide", ("not-utf8",))),
        (b"a\x00b\x1b[31m", Caption("ab[31m", ("control-characters",))),
        (b"w" * 1_000_000, Caption("w" * captions.MAX_BYTES, ("too-large",))),
        (b"w" * (captions.MAX_BYTES - 1) + "é".encode(), Caption("w" * (captions.MAX_BYTES - 1), ("too-large",))),
        (b"<script>alert(1)</script>", Caption("<script>alert(1)</script>")),
    ],
)
def test_parsing_is_forgiving_and_names_the_problem(data, expected):
    """Whatever the bytes, there is a text and a list of problems."""
    assert parse_caption(data) == expected


@given(st.binary(max_size=200))
def test_any_bytes_parse(data):
    """No bytes raise, and the text is one printable line."""
    text = parse_caption(data).text
    assert text == text.strip()
    assert not set(text) & {"\n", "\r", "\x00", "\x1b"}


def test_reading_what_is_no_file(tmp_path):
    """A missing file, a folder, a named pipe and an impossible name are problems, not exceptions."""
    os.mkfifo(tmp_path / "pipe.txt")
    assert read_caption(tmp_path / "none.txt").problems == ("missing",)
    assert read_caption(tmp_path).problems == ("unreadable",)
    assert read_caption(tmp_path / "pipe.txt").problems == ("unreadable",)
    assert read_caption(tmp_path / "nul\0.txt").problems == ("unreadable",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("woman in garden", "zxy, woman in garden"),
        ("zxy, woman in garden", "zxy, woman in garden"),
        ("woman, zxy, garden", "zxy, woman, garden"),
        ("woman in garden, zxy", "zxy, woman in garden"),
        ("zxy zxy zxy", "zxy"),
        ("zxy woman", "zxy, woman"),
        ("zxy: a woman, zxy.", "zxy, a woman."),
        ("", "zxy"),
        ("  ,, ", "zxy"),
        ("a zxy_style and a zxy-like ZXY", "zxy, a zxy_style and a zxy-like ZXY"),
        ("woman\nin  garden", "zxy, woman in garden"),
        ("3:2 format, f/1.8", "zxy, 3:2 format, f/1.8"),
        (".5 mile road", "zxy, .5 mile road"),
    ],
)
def test_trigger_stands_first_exactly_once(text, expected):
    """The trigger leads, repeats go, look-alikes stay."""
    assert with_trigger(text, "zxy") == expected


@given(st.text(max_size=60), st.text(string.ascii_letters + string.digits + "_-!?.:;()*$é", min_size=1, max_size=4))
def test_placing_the_trigger_twice_changes_nothing(text, trigger):
    """Idempotent, one whole word, first, for any text and any permitted trigger."""
    once = with_trigger(text, trigger)
    assert with_trigger(once, trigger) == once
    assert once == trigger or once.startswith(f"{trigger}, ")
    assert not captions.trigger_pattern(trigger).search(once.removeprefix(trigger).removeprefix(", "))


def test_the_trigger_of_a_messy_caption_is_placed_in_one_pass():
    """A trigger that touches itself is taken out wholly."""
    assert with_trigger("x!x! y", "x!") == "x!, y"


def test_writing_is_atomic_and_keeps_permissions(tmp_path, monkeypatch):
    """A failed replacement leaves the old text and no temporary file."""
    path = tmp_path / "a.txt"
    write_caption(path, "zxy,  woman\n")
    assert path.read_bytes() == b"zxy, woman\n"
    path.chmod(0o640)
    write_caption(path, "new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640

    def broken(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", broken)
    with pytest.raises(OSError, match="No space"):
        write_caption(path, "lost")
    assert path.read_text() == "new\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of POSIX")
def test_a_link_is_followed_to_captions_only(tmp_path):
    """To one in the folder or beside a picture; a token or a diary of the reader's is none."""
    folder = tmp_path / "set"
    (folder / "deep").mkdir(parents=True)
    inside, beside, diary, token = folder / "deep/x.txt", tmp_path / "y.txt", tmp_path / "diary.txt", tmp_path / "token"
    for path in (inside, beside, diary, token):
        path.write_text(path.name)
    (tmp_path / "y.JPG").touch()
    read = {}
    for target in (inside, beside, diary, token):
        link = folder / f"{target.stem}.txt"
        link.symlink_to(target)
        read[target.name] = read_caption(link)
    assert read == {
        "x.txt": Caption("x.txt"),
        "y.txt": Caption("y.txt"),
        "diary.txt": Caption("", ("not-followed",)),
        "token": Caption("", ("not-followed",)),
    }
    (tmp_path / "linked").symlink_to(folder)
    assert read_caption(tmp_path / "linked" / "x.txt") == Caption("x.txt"), "the folder itself may be a link"


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of POSIX")
def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    """Also a link to a file that is not there yet."""
    for name, before in (("old.txt", b"old"), ("new.txt", None)):
        target, link = tmp_path / name, tmp_path / f"link to {name}"
        if before:
            target.write_bytes(before)
        link.symlink_to(target)
        replace_bytes(link, b"said")
        assert link.is_symlink()
        assert target.read_bytes() == b"said"


@pytest.mark.skipif(os.name == "nt", reason="links and pipes of POSIX")
def test_a_pipe_is_written_into(tmp_path):
    """What is no regular file is not replaced by one."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        replace_bytes(pipe, b"said")
        assert os.read(reader, 10) == b"said"
        assert stat.S_ISFIFO(pipe.stat().st_mode)
    finally:
        os.close(reader)
