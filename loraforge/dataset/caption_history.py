"""Every write to a caption is remembered, so that it can be undone and a person's text is told from ours.

The history lies in the dataset, in `.loraforge-history/captions.jsonl`: it moves and is copied with the captions it
belongs to, and the engine never sees it, as it doesn't look into subfolders. It is only ever appended to, and a record
is on disk before the caption it tells of.
"""

import json
import os
import time
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from loraforge.dataset.captions import CAPTION_SUFFIX, is_outside, replace_bytes
from loraforge.errors import DatasetError

FOLDER = ".loraforge-history"
_FILE = "captions.jsonl"

What = Literal["caption", "edit", "undo"]


class CaptionError(DatasetError):
    """One caption that can't be read or replaced; the others may do."""


@dataclass(frozen=True, slots=True)
class Record:
    """One write.

    Attributes:
        operation: shared by the writes of one command.
        time: seconds since 1970.
        what: a captioner's text, a bulk edit, or an undo.
        file: the caption's file name.
        before: the content it replaced, None where there was no file. Bytes that are not UTF-8 are surrogates.
        after: the content written, None where the file was removed.
        made_with: the captioner's settings; equal settings need not be run again.
        undoes: the operation that an undo took back.
    """

    operation: str
    time: float
    what: What
    file: str
    before: str | None
    after: str | None
    made_with: Mapping[str, object] = field(default_factory=dict)
    undoes: str = ""


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo did, by file name.

    Attributes:
        what: the kind of operation taken back.
        restored: files that have their old text again, or are gone again.
        kept: files changed since by other hands, which were left alone.
    """

    what: What
    restored: tuple[str, ...]
    kept: tuple[str, ...]


class CaptionHistory:
    """The history of one folder of captions.

    Args:
        folder: the dataset.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / FOLDER / _FILE
        if self.path.is_symlink() or self.path.parent.is_symlink():
            raise DatasetError(f"{self.path} is a link, which is not followed", "move it away to begin a new history")
        self._operation = uuid.uuid4().hex
        self._records = self._read()
        self._last = {record.file: record for record in self._records}

    def ours(self, caption: Path) -> Record | None:
        """Return the record of a caption that a captioner wrote and nobody changed since; None for a person's text."""
        record = self._last.get(caption.name)
        if record is None or record.what != "caption":
            return None
        return record if self._is_one_of(caption, record.after) else None

    def write(
        self,
        caption: Path,
        data: bytes | None,
        what: What,
        made_with: Mapping[str, object] | None = None,
        undoes: str = "",
    ) -> None:
        """Remember a caption's content, then replace it; None removes the file.

        Raises:
            CaptionError: what is there can't be read, so it would be lost.
            DatasetError: the folder can't be written to, or is gone.
        """
        after = None if data is None else _text(data)
        if is_outside(caption):
            raise CaptionError(
                f"{caption} is a link out of its folder, to {os.path.realpath(caption)}", "put a file in its place"
            )
        try:
            before = _content(caption)
        except OSError as error:
            raise CaptionError(
                f"{caption} is there but can't be read: {error.strerror or error}",
                "give yourself permission to read it",
            ) from None
        self._append(Record(self._operation, time.time(), what, caption.name, before, after, made_with or {}, undoes))
        try:
            if data is None:
                caption.unlink(missing_ok=True)
            else:
                replace_bytes(caption, data)
        except OSError as error:
            raise _unwritable(caption, error) from None

    def undo(self) -> Undone | None:
        """Take back the latest operation that was not taken back yet; None when there is none.

        Raises:
            DatasetError: a caption can't be written.
        """
        undone = {record.undoes for record in self._records}
        done = [record for record in self._records if record.what != "undo" and record.operation not in undone]
        if not done:
            return None
        operation, what = done[-1].operation, done[-1].what
        restored, kept = [], []
        for record in reversed([record for record in done if record.operation == operation]):
            caption = self.folder / record.file
            if not self._is_one_of(caption, record.after, record.before):
                kept.append(record.file)
                continue
            before = None if record.before is None else record.before.encode("utf-8", "surrogateescape")
            self.write(caption, before, "undo", undoes=operation)
            restored.append(record.file)
        if not restored:  # else the next undo would meet the same operation again
            self._append(Record(self._operation, time.time(), "undo", kept[0], None, None, {}, operation))
        return Undone(what, tuple(restored), tuple(kept))

    @staticmethod
    def _is_one_of(caption: Path, *contents: str | None) -> bool:
        try:
            return _content(caption) in contents
        except OSError:  # what can't be read is not known to be ours
            return False

    def _append(self, record: Record) -> None:
        try:
            self.path.parent.mkdir(exist_ok=True)
            with self.path.open("ab") as file:
                torn = file.tell() and not self._ends_in_newline()
                file.write(b"\n" * bool(torn) + json.dumps(asdict(record)).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(self.folder / record.file, error) from None
        self._records.append(record)
        self._last[record.file] = record

    def _ends_in_newline(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read() == b"\n"

    def _read(self) -> list[Record]:
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DatasetError(
                f"{self.path} can't be read: {error.strerror}",
                "give yourself permission to read it, or move it away to begin a new history",
            ) from None
        records = []
        for line in lines:
            try:
                record = Record(**json.loads(line))
                safe = Path(record.file).name == record.file and Path(record.file).suffix == CAPTION_SUFFIX
            except (ValueError, TypeError):  # cut off by a crash, or another version's
                continue
            if safe:  # a history that came with a stranger's dataset must not reach outside its folder, or other files
                records.append(record)
        return records


def _unwritable(path: Path, error: OSError) -> DatasetError:
    return DatasetError(
        f"{path} can't be written: {error.strerror or error}",
        "see that the folder is there and may be written to, then run the same command again",
    )


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _content(path: Path) -> str | None:
    data = _bytes(path)
    return None if data is None else _text(data)
