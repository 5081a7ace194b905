"""A real child is read whole, and never left behind."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from loraforge.engine.lines import RawLine
from loraforge.run.family import MARK, Watchdog, kill_family
from loraforge.run.process import EngineProcess

pytestmark = pytest.mark.spawns
_Start = Callable[..., EngineProcess]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[_Start]:
    """Return a starter of `python -c CODE`, whose processes are closed at the end."""
    started = []

    def starter(code: str, *args: str, heartbeat: float = 0.5) -> EngineProcess:
        argv = [sys.executable, "-S", "-u", "-c", code, *args]
        log = tmp_path / "raw.log"
        started.append(EngineProcess(argv, env=dict(os.environ), cwd=tmp_path, log_path=log, heartbeat=heartbeat))
        return started[-1]

    yield starter
    for process in started:
        process.close()


def _texts(process: EngineProcess, stream: str) -> list[str]:
    return [line.text for line in process.lines() if line is not None and line.stream == stream]


def _gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # its parent here is no reaper
    except psutil.NoSuchProcess:
        return True


def _await(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def test_both_streams_and_the_exit_code(start: _Start, tmp_path: Path) -> None:
    """Lines of both streams arrive, the last one also without its end, and the raw log holds every byte."""
    process = start("import sys; print('out'); print('err\\nlast', end='', file=sys.stderr); sys.exit(3)")
    lines = [line for line in process.lines() if line is not None]
    assert sorted(lines) == [
        RawLine("stderr", "err", "\n"),
        RawLine("stderr", "last", "\n"),
        RawLine("stdout", "out", "\n"),
    ]
    assert process.wait() == 3
    assert sorted((tmp_path / "raw.log").read_text()) == sorted("out\nerr\nlast")


def test_no_line_of_twenty_thousand_is_lost(start: _Start, tmp_path: Path) -> None:
    """A flood on both streams at once arrives whole and in order, each stream with its own."""
    flood = "import sys\nfor i in range(10000): print('out', i); print('err', i, file=sys.stderr)"
    lines = [line for line in start(flood).lines() if line is not None]
    for stream, name in (("stdout", "out"), ("stderr", "err")):
        assert [line.text for line in lines if line.stream == stream] == [f"{name} {i}" for i in range(10000)]
    assert (tmp_path / "raw.log").read_bytes().count(b"\n") == 20000


@pytest.mark.parametrize("tick", ["'\\r10%'", "'10%\\r'"])
def test_a_tick_arrives_before_any_line_end(start: _Start, tick: str) -> None:
    """A progress bar's tick is delivered while the child still runs and has ended no line."""
    process = start(
        f"import sys; sys.stderr.write({tick}); sys.stderr.flush(); sys.stdin.read(); import time; time.sleep(60)"
    )
    line = next(line for line in process.lines() if line is not None and line.text)
    assert line == RawLine("stderr", "10%", "\r")
    assert process._process.poll() is None


def test_silence_beats(start: _Start) -> None:
    """While the child says nothing, heartbeats come at their pace."""
    process = start("import time; time.sleep(60)", heartbeat=0.2)
    lines, began = process.lines(), time.monotonic()
    assert [next(lines) for _ in range(3)] == [None] * 3
    assert 0.5 < time.monotonic() - began < 5.0


def test_interrupt_reaches_child_and_grandchild(start: _Start) -> None:
    """SIGINT goes to the whole group, as from a terminal: a launcher's child is asked, too."""
    code = (
        "import subprocess, sys\n"
        "child = 'import time\\ntry: print(1); time.sleep(60)\\nexcept KeyboardInterrupt: print(2)'\n"
        "p = subprocess.Popen([sys.executable, '-u', '-c', child])\n"
        "try: p.wait()\nexcept KeyboardInterrupt: p.wait(); sys.exit(5)"
    )
    process = start(code)
    seen = []
    for line in process.lines():
        if line is not None:
            seen.append(line.text)
            if line.text == "1":
                process.interrupt()
    assert (seen, process.wait()) == (["1", "2"], 5)


def test_interrupt_works_in_a_background_job(start: _Start) -> None:
    """Where SIGINT is ignored, which the child inherits, it is asked in another way."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = start("print(1); import time; time.sleep(60)")
        next(line for line in process.lines() if line is not None)
        process.interrupt()
        assert process.wait(10) == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGINT, before)


def test_terminate_ends_the_group(start: _Start) -> None:
    """SIGTERM goes to the group as well; the launcher alone would leave its child."""
    grandchild = "import subprocess as s, sys; p = s.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    process = start(f"{grandchild}; print(p.pid); p.wait()")
    lines = process.lines()
    pid = int(next(line.text for line in lines if line is not None))
    process.terminate()
    assert _await(lambda: _gone(pid))
    assert process.wait(10) == -signal.SIGTERM


@pytest.mark.parametrize("escape", ["", ", start_new_session=True"], ids=["same-group", "own-session"])
@pytest.mark.parametrize("parent", ["time.sleep(60)", "None"], ids=["parent-lives", "parent-ended"])
def test_no_orphan_is_left(start: _Start, escape: str, parent: str) -> None:
    """Closing kills grandchildren too, where the parent is gone and where they fled to a session of their own."""
    process = start(
        "import subprocess, sys, time\n"
        "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], stdout=subprocess.DEVNULL,"
        f" stderr=subprocess.DEVNULL{escape})\n"
        f"print(p.pid); {parent}"
    )
    pid = int(next(line.text for line in process.lines() if line is not None))
    assert not _gone(pid)
    process.close()
    assert _await(lambda: _gone(pid))
    assert _gone(process.pid)


def test_an_exception_leaves_nothing(start: _Start) -> None:
    """Leaving the context by an exception kills the child."""
    process = start("import time; time.sleep(60)")
    with pytest.raises(ZeroDivisionError), process:
        raise ZeroDivisionError
    assert _gone(process.pid)


def test_streams_held_open_by_a_stray_end(start: _Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grandchild that outlives the launcher and holds the streams is killed, and reading ends."""
    monkeypatch.setattr("loraforge.run.process._STRAYS", 0.3)
    process = start(
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)"
    )
    (pid,) = _texts(process, "stdout")
    assert _gone(int(pid))


def test_a_full_disk_does_not_stop_the_reading(tmp_path: Path) -> None:
    """Where the log can't be written the lines still come, and the fault is kept to be told."""
    argv = [sys.executable, "-S", "-c", "print('still here')"]
    with EngineProcess(argv, env=dict(os.environ), cwd=tmp_path, log_path=Path("/dev/full")) as process:
        assert _texts(process, "stdout") == ["still here"]
    assert process.log_error is not None
    assert process.log_error.errno == errno.ENOSPC


def test_a_command_that_does_not_exist(tmp_path: Path) -> None:
    """A missing program is the caller's error; no file or process stays behind."""
    with pytest.raises(FileNotFoundError):
        EngineProcess(["/no/such/program"], env={}, cwd=tmp_path, log_path=tmp_path / "raw.log")


def test_the_watchdog_outlives_its_starter(tmp_path: Path) -> None:
    """When the process that started the engine is killed outright, the engine is killed as well."""
    code = (
        "import os, sys, time\nfrom pathlib import Path\nfrom loraforge.run.process import EngineProcess\n"
        "p = EngineProcess([sys.executable, '-c', 'import time; time.sleep(60)'], env=dict(os.environ),\n"
        "    cwd=Path('.'), log_path=Path('raw.log'))\n"
        "print(p.pid, flush=True); time.sleep(60)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE)
    assert starter.stdout is not None
    with starter, starter.stdout:
        pid = int(starter.stdout.readline())
        assert not _gone(pid)
        starter.kill()
        assert _await(lambda: _gone(pid))


def test_only_the_marked_are_killed() -> None:
    """Processes with another mark, or none, are left alone; a released watchdog kills nobody."""
    sleeper = [sys.executable, "-S", "-c", "import time; time.sleep(60)"]
    marked = subprocess.Popen(sleeper, env={**os.environ, MARK: "a"})
    other = subprocess.Popen(sleeper, env={**os.environ, MARK: "b"})
    with marked, other:
        kill_family("a")
        assert marked.wait(10) == -signal.SIGKILL
        Watchdog("b").release()
        assert other.poll() is None
        other.kill()
