"""Bulk edits of captions: what would change, shown before it is done."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from loraforge.captioning.sparse import sparse
from loraforge.dataset.caption_history import CaptionHistory
from loraforge.dataset.captions import caption_path, is_outside, parse_caption, tidy, trigger_pattern, with_trigger
from loraforge.dataset.images import list_pictures

Edit = Callable[[str], str]

_LINE_END = re.compile(rb"\r\n|\r|\n")  # as `parse_caption` has it
_NOT_EDITED = {
    "too-large": "is too large for a caption",
    "not-utf8": "is not UTF-8 text: save it as UTF-8 first",
    "first-line-blank": "begins with an empty line: its text is never trained",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One caption that an edit changes.

    Attributes:
        path: its file.
        before: the caption now.
        after: the caption then.
        data: the file's new content; lines behind the caption are kept.
    """

    path: Path
    before: str
    after: str
    data: bytes


def _ignored(_path: Path, _why: str) -> None:
    pass


def replacing(find: str, replace: str) -> Edit:
    """Replace a text wherever it stands, letter for letter."""
    return lambda text: text.replace(find, replace)


def removing(phrase: str) -> Edit:
    """Take out a word or phrase, whole words only, and close the gap."""
    pattern = trigger_pattern(phrase)
    return lambda text: tidy(pattern.sub(" ", text)) if pattern.search(text) else text


def prepending(phrase: str, trigger: str | None = None) -> Edit:
    """Put a phrase in front, behind the trigger where there is one; a caption that has it there stays.

    The trigger itself is put first exactly once, wherever it stood.
    """
    if phrase == trigger:
        return lambda text: with_trigger(text, phrase)

    def edit(text: str) -> str:
        lead = f"{trigger}, " if trigger and re.match(rf"{re.escape(trigger)}(?:, |$)", text) else ""
        rest = text[len(lead) :]
        if rest == phrase or rest.startswith((f"{phrase},", f"{phrase} ")):
            return text
        return f"{lead}{phrase}, {rest}" if rest else f"{lead}{phrase}"

    return edit


def trimming(trigger: str | None = None) -> Edit:
    """Trim a caption to subject and setting, the trigger kept in front."""

    def edit(text: str) -> str:
        if trigger is None:
            return sparse(text)
        content = with_trigger(text, trigger).removeprefix(trigger).removeprefix(", ")
        return with_trigger(sparse(content), trigger)

    return edit


def changes(folder: Path, edits: list[Edit], passed_over: Callable[[Path, str], None] = _ignored) -> Iterator[Change]:
    """Yield what the edits, one after the other, change in the captions of a folder.

    Args:
        folder: pictures and captions.
        edits: what to do.
        passed_over: called with each file that is left alone, as it is no sound caption, and with the reason.

    Raises:
        DatasetError: no such folder.
    """
    for path in sorted({caption_path(picture.path) for picture in list_pictures(folder)}):
        if is_outside(path):
            passed_over(path, "is a link out of the folder")
            continue
        try:
            data = path.read_bytes() if path.is_file() else None
        except OSError as fault:
            passed_over(path, f"can't be read: {fault.strerror}")
            continue
        if data is None:
            continue
        caption = parse_caption(data)
        if faults := [_NOT_EDITED[problem] for problem in caption.problems if problem in _NOT_EDITED]:
            passed_over(path, faults[0])
            continue
        text = caption.text
        for edit in edits:
            text = edit(text)
        text = " ".join(text.split())
        if text != caption.text:
            end = _LINE_END.search(data)
            yield Change(path, caption.text, text, text.encode() + (data[end.start() :] if end else b"\n"))


def apply(change: Change, history: CaptionHistory) -> None:
    """Write one change and remember what it replaced.

    Raises:
        DatasetError: it can't be written.
    """
    history.write(change.path, change.data, "edit")
