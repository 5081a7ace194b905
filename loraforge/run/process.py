"""The engine as a process: every byte kept, every line delivered, nothing left behind."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from loraforge.engine.lines import RawLine, Splitter, Stream
from loraforge.run.family import MARK, Watchdog, kill_family

_CHUNK = 1 << 16
_QUIET = 0.1  # seconds after which a tick is taken to be written whole
_STRAYS = 5.0  # seconds that children may outlive the process that was started


class EngineProcess:
    """A command in a session of its own, read on both streams; a context that kills it on leaving.

    Args:
        argv: the command, never a shell's.
        env: its whole environment.
        cwd: where it runs.
        log_path: receives the bytes of both streams as they come, appended.
        heartbeat: seconds between the `None`s of `lines`.
        holding: open files whose locks last until the last process of the engine is gone, whatever happens here.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log_path: Path,
        heartbeat: float = 0.5,
        holding: Sequence[int] = (),
    ) -> None:
        self._mark = uuid.uuid4().hex
        self._heartbeat = heartbeat
        self._queue: queue.SimpleQueue[list[RawLine] | None] = queue.SimpleQueue()
        self._log_lock = threading.Lock()
        self.log_error: OSError | None = None
        self._log = log_path.open("ab", buffering=0)
        try:
            self._watchdog = Watchdog(self._mark, holding)
            self._process = _start(argv, {**env, MARK: self._mark}, cwd)
        except BaseException:
            self._log.close()
            if hasattr(self, "_watchdog"):
                self._watchdog.release()
            raise
        self._readers = [
            _Reader(self, "stdout", self._process.stdout),
            _Reader(self, "stderr", self._process.stderr),
        ]

    @property
    def pid(self) -> int:
        """The id of the process that was started, and of its group."""
        return self._process.pid

    @property
    def mark(self) -> str:
        """What the environment of every process of the engine carries."""
        return self._mark

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def lines(self) -> Iterator[RawLine | None]:
        """Yield every piece of output until both streams end, and `None` as a heartbeat in between.

        Children that hold the streams open after the started process has ended are killed after a few seconds.
        """
        open_streams = len(self._readers)
        beat, ended = time.monotonic() + self._heartbeat, None
        while open_streams or self._process.poll() is None:
            with contextlib.suppress(queue.Empty):
                batch = self._queue.get(timeout=min(_QUIET, self._heartbeat))
                if batch is None:
                    open_streams -= 1
                else:
                    yield from batch
                    if time.monotonic() < beat:
                        continue
            now = time.monotonic()
            for reader in self._readers:
                yield from reader.open_tick(now)
            if now >= beat:
                beat = now + self._heartbeat
                yield None
            if self._process.poll() is not None:
                ended = ended or now
                if now - ended > 2 * _STRAYS:
                    return  # something out of our reach holds the streams
                # A launcher that was killed leaves the training running, unwatched.
                if now - ended > _STRAYS or self._process.returncode < 0:
                    self.kill()

    def interrupt(self) -> None:
        """Ask the whole group to stop, as Ctrl-C in a terminal does."""
        # A script's background job ignores SIGINT, and so does then whatever it starts.
        self._signal(signal.SIGTERM if signal.getsignal(signal.SIGINT) is signal.SIG_IGN else signal.SIGINT)

    def terminate(self) -> None:
        """Tell the whole group to end; a launcher alone would leave the training running."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the process and all that descend from it, at once."""
        if sys.platform != "win32" and self._process.returncode is None:
            self._signal(signal.SIGKILL)  # the group in one stroke, before anything in it can react
        kill_family(self._mark)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the started process and return its exit code; negative is the signal that ended it.

        Raises:
            subprocess.TimeoutExpired: it still runs after `timeout` seconds.
        """
        return self._process.wait(timeout)

    def close(self) -> None:
        """Leave nothing behind: no process, no thread, no open file. Safe to call twice."""
        self.kill()
        self._process.wait()
        for reader in self._readers:
            reader.close()
        self._log.close()
        self._watchdog.release()

    def _signal(self, number: signal.Signals) -> None:
        if sys.platform == "win32":
            # Windows has no other signal for a group; Python ends on it without a traceback.
            self._process.send_signal(signal.CTRL_BREAK_EVENT)
        else:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def keep(self, chunk: bytes) -> None:
        """Append to the raw log; a full disk must not stop the reading, which would stall the engine."""
        with self._log_lock:
            try:
                view = memoryview(chunk)
                while view:
                    view = view[self._log.write(view) :]
            except OSError as error:
                self.log_error = self.log_error or error

    def deliver(self, lines: list[RawLine] | None) -> None:
        """Hand pieces to `lines`; None is the end of a stream."""
        self._queue.put(lines)


class _Reader:
    """A thread that drains one stream, so that the engine never waits for a slow view."""

    def __init__(self, owner: EngineProcess, stream: Stream, pipe: IO[bytes] | None) -> None:
        if pipe is None:
            raise AssertionError("both streams are pipes")
        self._owner, self._pipe = owner, pipe
        self._splitter = Splitter(stream)
        self._lock = threading.Lock()  # the splitter is fed here and emptied of its open tick by the consumer
        self._fed_at = 0.0
        self._thread = threading.Thread(target=self._drain, name=f"engine-{stream}", daemon=True)
        self._thread.start()

    def open_tick(self, now: float) -> list[RawLine]:
        with self._lock:
            tick = self._splitter.open_tick() if now - self._fed_at >= _QUIET else None
        return [tick] if tick else []

    def close(self) -> None:
        self._thread.join(timeout=_STRAYS)
        if not self._thread.is_alive():
            self._pipe.close()

    def _drain(self) -> None:
        descriptor = self._pipe.fileno()
        while chunk := os.read(descriptor, _CHUNK):
            self._owner.keep(chunk)
            with self._lock:
                self._fed_at = time.monotonic()
                if lines := self._splitter.feed(chunk):
                    self._owner.deliver(lines)
        last = self._splitter.end()
        self._owner.deliver([last] if last else [])
        self._owner.deliver(None)


def _start(argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> "subprocess.Popen[bytes]":
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP
    return subprocess.Popen(
        list(argv),
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        creationflags=flags,
    )
