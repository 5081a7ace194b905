"""A run that outlives its terminal, and following it from another one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shlex import quote

from loraforge.engine.events import Event
from loraforge.engine.lines import Splitter
from loraforge.engine.parser import Parser
from loraforge.errors import MachineError
from loraforge.run.folder import RunFolder
from loraforge.run.lock import NAME, holder
from loraforge.run.record import Record, read, standing

CONSOLE = "console.log"
_PATIENCE = 60.0  # seconds until a run that was sent off must have taken its folder
_POLL = 0.5
_CHUNK = 1 << 16


def send_off(folder: RunFolder, options: Sequence[str] = ()) -> int:
    """Start a prepared run in a session of its own and return its process id once it has taken the folder.

    Args:
        folder: the prepared run folder.
        options: further options of `train`.

    Raises:
        MachineError: it ended before it began.
    """
    console = folder.path / CONSOLE
    flags = 0
    if sys.platform == "win32":  # no console, whose end would be its own
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.DETACHED_PROCESS
    with console.open("ab") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "loraforge", "train", str(folder.path), "--resume", *options],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            creationflags=flags,
            cwd=folder.path,
        )
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        pid = (holder(folder.path / NAME) or {}).get("pid")
        # On Windows a virtual environment's python starts another one, and that takes the folder.
        if isinstance(pid, int) and (pid == process.pid or sys.platform == "win32"):
            return pid
        if process.poll() is not None:
            break
        time.sleep(0.1)
    tail = console.read_text("utf-8", "replace").splitlines()[-10:]
    raise MachineError("\n".join([f"{folder.path}: the run did not start", *(f"    {line}" for line in tail)]))


def follow(folder: RunFolder, handle: Callable[[Event], None], tick: Callable[[float], None]) -> Record | None:
    """Pass on what the engine says, from the beginning of its last start, until nobody runs it any more.

    Returns:
        How it stands then; None where there is no record.
    """
    record = read(folder.state)
    at = record.log_from if record else 0
    starts = record.starts if record else 0
    parser, splitter = _reader(folder, record)
    while True:
        going = holder(folder.path / NAME) is not None
        for chunk in _since(folder.log, at):
            at += len(chunk)
            for line in splitter.feed(chunk):
                for event in parser.feed(line):
                    handle(event)
        if not going:
            return standing(folder)
        if (tickling := splitter.open_tick()) is not None:
            for event in parser.feed(tickling):
                handle(event)
        tick(time.monotonic())
        time.sleep(_POLL)
        again = read(folder.state)
        if again is not None and again.starts != starts:  # it healed itself, and counts from its last state
            starts, (parser, splitter) = again.starts, _reader(folder, again)


def ask_to_stop(folder: RunFolder) -> int:
    """Ask whoever runs a folder to stop, as Ctrl-C would, and return its process id.

    Raises:
        MachineError: nobody does.
    """
    pid = (holder(folder.path / NAME) or {}).get("pid")
    if not isinstance(pid, int):
        raise MachineError(
            f"{folder.path}: nobody runs it", f"loraforge train {quote(str(folder.path))} --resume goes on with it"
        )
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:  # what it has started may hold the folder for a moment longer
        raise MachineError(f"{folder.path}: process {pid} has just ended", "look again in a moment") from None
    return pid


def _reader(folder: RunFolder, record: Record | None) -> tuple[Parser, Splitter]:
    first = _first_step(folder) if record else 0
    return Parser(first_step=first), Splitter("stderr")


def _first_step(folder: RunFolder) -> int:
    """Return the step that this start goes on from, as config.toml names its state."""
    import tomllib

    try:
        tables = tomllib.loads(folder.config.read_text("utf-8"))
    except (OSError, ValueError):
        return 0
    flat = {key: value for table in tables.values() if isinstance(table, dict) for key, value in table.items()} | tables
    state = str(flat.get("resume", ""))
    step = state.removesuffix("-state").rpartition("-step")[2]
    return int(step) if step.isdecimal() else 0


def _since(path: Path, at: int) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            file.seek(at)
            while chunk := file.read(_CHUNK):
                yield chunk
    except FileNotFoundError:  # not begun yet
        return
