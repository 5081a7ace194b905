"""Caption files: read forgivingly, written atomically, with the trigger standing first exactly once."""

import os
import re
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from loraforge.dataset.images import IMAGE_EXTENSIONS

CAPTION_SUFFIX = ".txt"

# A caption is a sentence; whoever put a megabyte here did not mean to, and both text encoders would cut it anyway.
MAX_BYTES = 64 * 1024

Problem = Literal[
    "missing",  # there is no such file
    "unreadable",  # no permission, not a regular file, or it vanished meanwhile
    "not-followed",  # a link that leads out of the folder, to what need not be a caption
    "empty",  # the engine stops on an empty file
    "first-line-blank",  # text exists, but the engine reads the first line only
    "several-lines",  # what follows the first line is never trained
    "not-utf8",  # the engine stops on it; the text was guessed from UTF-16 or Latin-1
    "bom",  # the engine keeps the mark and trains it as part of the first word
    "control-characters",  # dropped here
    "too-large",  # over MAX_BYTES; only the beginning was read
]


@dataclass(frozen=True, slots=True)
class Caption:
    """What a caption file says.

    Attributes:
        text: the stripped first line, as the engine reads it, without byte-order mark and control characters.
        problems: what is wrong with the file, in the order found; empty when it is fine.
    """

    text: str
    problems: tuple[Problem, ...] = ()


def caption_path(picture: Path) -> Path:
    """Return where the caption of a picture lies, whether or not it exists."""
    return picture.with_suffix(CAPTION_SUFFIX)


def is_outside(path: Path) -> bool:
    """Tell whether a caption is a link out of its folder, or to what is no text: it is never written through."""
    if not path.is_symlink():
        return False
    target, folder = Path(os.path.realpath(path)), Path(os.path.realpath(path.parent))
    return target.suffix != CAPTION_SUFFIX or not target.is_relative_to(folder)


def leads_out(path: Path) -> bool:
    """Tell whether a caption is a link out of its folder, to anything but the caption of a picture there.

    A folder from elsewhere could have its reader's own files shown and trained by such links.
    """
    if not is_outside(path):
        return False
    target = Path(os.path.realpath(path))
    suffixes = (form for suffix in IMAGE_EXTENSIONS for form in (suffix, suffix.upper()))
    return target.suffix != CAPTION_SUFFIX or not any(target.with_suffix(suffix).is_file() for suffix in suffixes)


def read_caption(path: Path) -> Caption:
    """Read a caption file without ever raising; problems are named in the result."""
    try:
        if leads_out(path):
            return Caption("", ("not-followed",))
        if not stat.S_ISREG(path.stat().st_mode):  # opening a named pipe would wait for ever
            return Caption("", ("unreadable",))
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Caption("", ("missing",))
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return Caption("", ("unreadable",))
    return parse_caption(data)


def parse_caption(data: bytes) -> Caption:
    """Decode the bytes of a caption file; see `read_caption`."""
    problems: list[Problem] = []
    if len(data) > MAX_BYTES:
        problems.append("too-large")
        data = data[:MAX_BYTES]
    whole = _decoded(data, problems)
    lines = re.split(r"\r\n|\r|\n", whole)
    first = _printable(lines[0])
    if first != lines[0].replace("\t", " "):
        problems.append("control-characters")
    rest = any(line.strip() for line in lines[1:])
    text = first.strip()
    if not text:
        problems.append("first-line-blank" if rest else "empty")
    elif rest:
        problems.append("several-lines")
    return Caption(text, tuple(problems))


def _decoded(data: bytes, problems: list[Problem]) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        problems.append("not-utf8")
        return data.decode("utf-16", errors="replace")
    if data.startswith(b"\xef\xbb\xbf"):
        problems.append("bom")
        data = data[3:]
    try:
        # A cut at MAX_BYTES may have split the last character; that is not an encoding fault.
        return data.decode("utf-8", errors="ignore" if "too-large" in problems else "strict")
    except UnicodeDecodeError:
        problems.append("not-utf8")
        return data.decode("latin-1")


def _printable(line: str) -> str:
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ufeff]", "", line.replace("\t", " "))


def trigger_pattern(trigger: str) -> re.Pattern[str]:
    """Match the trigger as a whole word, case-sensitively: `zxy` is found in "a zxy, b", not in "zxy_b" or "zxy-b"."""
    return re.compile(rf"(?<![\w-]){re.escape(trigger)}(?![\w-])")


def with_trigger(text: str, trigger: str) -> str:
    """Put the trigger first, exactly once: ("a woman, zxy", "zxy") gives "zxy, a woman".

    Any other occurrence as a whole word is taken out together with the separator it leaves behind. Applying it twice
    changes nothing; a caption without other words becomes the trigger alone.
    """
    pattern = trigger_pattern(trigger)
    rest, previous = text, ""
    while rest != previous:  # taking one out may lay bare another: "x!x!" with the trigger "x!"
        previous, rest = rest, tidy(pattern.sub(" ", rest))
    return f"{trigger}, {rest}" if rest else trigger


def tidy(text: str) -> str:
    """Close the gaps that a removed word leaves: one space, no doubled, leading or trailing separators."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"\s+(?=[,;:.!?](?:\s|$))", "", text)  # "woman , garden"
    text = re.sub(r"[,;:]+\s*(?=[,;:.!?](?:\s|$)|\s*$)", "", text)  # "woman,, garden" and "woman,."
    return re.sub(r"^(?:[,;:.!?]+(?=\s|$)|\s)+", "", text).strip()


def write_caption(path: Path, text: str) -> None:
    """Write one line of UTF-8 text and a newline, atomically; an existing file keeps its permissions.

    Raises:
        OSError: the folder vanished or can't be written to.
        UnicodeEncodeError: the text holds lone surrogates, which no file can.
    """
    replace_bytes(path, (" ".join(text.split()) + "\n").encode())


def replace_bytes(path: Path, data: bytes) -> None:
    """Replace the content of a file in one step: a reader or a crash sees the old file or the new one, never a part.

    A link stays: the file that it leads to is replaced. Devices and pipes are written into, as they can't be replaced.
    """
    try:
        found = path.stat().st_mode
    except FileNotFoundError:
        mode = 0o666 & ~_umask()
    else:
        if not stat.S_ISREG(found):
            path.write_bytes(data)
            return
        mode = stat.S_IMODE(found)
    path = Path(os.path.realpath(path))
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".loraforge-", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # else a power cut may leave the new name with nothing in it
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    """The only portable way to ask for the umask is to set it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
