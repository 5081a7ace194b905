"""Bulk edits of captions: what would change, shown before it is done."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from loraforge.captioning.sparse import sparse
from loraforge.dataset.caption_history import CaptionHistory
from loraforge.dataset.captions import caption_path, parse_caption, tidy, trigger_pattern, with_trigger
from loraforge.dataset.images import list_pictures

Edit = Callable[[str], str]


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


def changes(folder: Path, edits: list[Edit]) -> Iterator[Change]:
    """Yield what the edits, one after the other, change in the captions of a folder.

    Files that can't be read are left alone; `loraforge lint` names them.

    Raises:
        DatasetError: no such folder.
    """
    for path in sorted({caption_path(picture.path) for picture in list_pictures(folder)}):
        try:
            data = path.read_bytes() if path.is_file() else None
        except OSError:
            continue
        if data is None:
            continue
        caption = parse_caption(data)
        if {"too-large", "not-utf8", "first-line-blank"} & set(caption.problems):
            continue
        text = caption.text
        for edit in edits:
            text = edit(text)
        text = " ".join(text.split())
        if text != caption.text:
            _, newline, rest = data.partition(b"\n")
            yield Change(path, caption.text, text, text.encode() + (newline or b"\n") + rest)


def apply(change: Change, history: CaptionHistory) -> None:
    """Write one change and remember what it replaced.

    Raises:
        DatasetError: it can't be written.
    """
    history.write(change.path, change.data, "edit")
