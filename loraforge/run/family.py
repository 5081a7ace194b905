"""Ending a whole tree of processes, also when loraforge itself is killed.

Processes are found by a mark in their environment, which every descendant inherits: a process whose parent died,
or that moved to a session of its own, is out of reach of parent links and process groups.

Run as a script with a mark as its argument, this file is a watchdog: when its stdin ends without a word, its
starter is gone, and it kills what the starter left behind. A death signal (PR_SET_PDEATHSIG) would reach only
the launcher and never the training below it, exists on Linux alone, and needs code between fork and exec.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

MARK: Final = "LORAFORGE_FAMILY"
_ROUNDS = 50  # a process may fork while it is being looked for, and takes a moment to die
_PAUSE = 0.05  # seconds
_NEEDED = ("PATH", "SYSTEMROOT", "TEMP", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")  # no tokens: it has no use for any


def kill_family(mark: str) -> None:
    """Kill every process whose environment carries the mark; returns when none is left.

    Nothing is reaped: exit codes stay for those who started the processes.
    """
    import psutil  # here, since the watchdog should weigh next to nothing while it waits

    for _ in range(_ROUNDS):
        found = False
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):  # gone meanwhile, a zombie, or somebody else's
                if process.environ().get(MARK) == mark:
                    found = True
                    process.kill()
        if not found:
            return
        time.sleep(_PAUSE)


class Watchdog:
    """A process that kills the family of `mark` unless it is released first.

    Args:
        mark: what the environment of the family carries.
        holding: open files that it inherits. A lock on them lasts until the family is gone.
    """

    def __init__(self, mark: str, holding: Sequence[int] = ()) -> None:
        flags = 0
        if sys.platform == "win32":  # where no session is made
            flags = subprocess.CREATE_NEW_PROCESS_GROUP
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__, mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # the terminal's Ctrl-C must not end it
            creationflags=flags,
            env={name: os.environ[name] for name in _NEEDED if name in os.environ},
            pass_fds=() if sys.platform == "win32" else tuple(holding),
        )

    def release(self) -> None:
        """Tell it that nothing is left to watch, and wait for its end. Safe to call twice."""
        if self._process.returncode is None:
            self._process.communicate(b".")


def _watch(mark: str) -> None:
    if not sys.stdin.buffer.read(1):
        kill_family(mark)


if __name__ == "__main__":
    _watch(sys.argv[1])
