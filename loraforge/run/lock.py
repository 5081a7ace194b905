"""One owner a run folder, and a word when two runs share a card. The system frees a lock with whoever held it."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from shlex import quote
from typing import IO, Any

from loraforge.errors import MachineError

NAME = ".lock"
_PATIENCE = 10.0  # seconds: what a killed run leaves behind is gone by then
_BYTE = 1 << 30  # Windows locks bytes, also against reading; this one lies behind all text


class Lock:
    """A locked file that says who holds it.

    Args:
        file: open and locked.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @property
    def descriptor(self) -> int:
        """Whoever inherits it holds the lock, too, until it ends."""
        return self._file.fileno()

    def release(self) -> None:
        """Let go."""
        self._file.close()


def take(path: Path, about: str, *, patience: float = _PATIENCE) -> Lock | None:
    """Lock a file, made when missing, and write into it who holds it.

    Args:
        path: the file.
        about: what the holder does with it.
        patience: seconds to wait for a holder that is just ending.

    Returns:
        The lock, or None while somebody else holds it.

    Raises:
        OSError: the file can't be written.
    """
    file = path.open("a+", encoding="utf-8")
    until = time.monotonic() + patience
    while not _locked(file):
        if time.monotonic() >= until:
            file.close()
            return None
        time.sleep(0.1)
    file.seek(0)
    file.truncate()
    json.dump({"pid": os.getpid(), "about": about}, file)
    file.flush()
    return Lock(file)


def holder(path: Path) -> dict[str, Any] | None:
    """Return what the holder of a lock wrote; None where nobody holds it."""
    try:
        with path.open("r+" if sys.platform == "win32" else "r", encoding="utf-8") as file:
            if _locked(file, looking=True):
                return None
            file.seek(0)
            said = json.loads(file.read() or "{}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


@contextlib.contextmanager
def owned(folder: Path, *, patience: float = _PATIENCE) -> Iterator[Lock]:
    """Hold a run folder.

    Raises:
        MachineError: another process holds it, or it can't be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = take(folder / NAME, str(folder), patience=patience)
    except OSError as fault:
        hint = "choose another [output] dir with --set output.dir=PATH, or mend its permissions"
        raise MachineError(f"{fault.filename or folder}: can't be written: {fault.strerror}", hint) from None
    if lock is None:
        pid = (holder(folder / NAME) or {}).get("pid", "?")
        raise MachineError(
            f"{folder}: another loraforge (process {pid}) is at work in it",
            f"loraforge attach {quote(str(folder))} shows it; with --stop it ends it",
        )
    try:
        yield lock
    finally:
        lock.release()


def claim_cards(cards: Sequence[str], run: Path, places: Path) -> tuple[list[Lock], list[str]]:
    """Say of each card that it is in use, and return whose runs use it already.

    Args:
        cards: numbers of the cards.
        run: folder of the run that will use them.
        places: where such notes are kept on this machine.

    Returns:
        The locks to release at the end, and a sentence for each card that another run holds.
    """
    locks, told = [], []
    for card in cards:
        path = places / f"gpu-{card}.lock"
        try:
            places.mkdir(parents=True, exist_ok=True)
            lock = take(path, str(run), patience=0.0)
        except OSError:  # no place for notes: nothing can be told
            continue
        if lock is not None:
            locks.append(lock)
            continue
        other = holder(path) or {}
        told.append(
            f"GPU {card} is in use by another run ({other.get('about', 'unknown')}, process {other.get('pid', '?')}): "
            "both will be slower, and may run out of memory"
        )
    return locks, told


if sys.platform == "win32":

    def _locked(file: IO[str], *, looking: bool = False) -> bool:  # noqa: ARG001  # no shared locks here
        import msvcrt

        file.seek(_BYTE)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:

    def _locked(file: IO[str], *, looking: bool = False) -> bool:
        import fcntl

        # Those who only look must not take each other for a holder.
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if looking else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
