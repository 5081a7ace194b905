"""A run is followed to its end, whoever ends it."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from loraforge.engine.events import CheckpointSaved, Event, Line, Measured, ModelSaved, PhaseStarted, Problem, Step
from loraforge.engine.parser import Parser
from loraforge.run.process import EngineProcess
from loraforge.run.supervise import Ending, StopRequests, supervise
from loraforge.run.watch import Watch

pytestmark = pytest.mark.spawns


@pytest.fixture
def starting(tmp_path: Path) -> Callable[[str], Callable[[], EngineProcess]]:
    """Return a maker of starters of `python -c CODE`."""

    def maker(code: str) -> Callable[[], EngineProcess]:
        argv = [sys.executable, "-S", "-u", "-c", "import sys, time, signal\n" + code]
        return lambda: EngineProcess(
            argv, env=dict(os.environ), cwd=tmp_path, log_path=tmp_path / "raw.log", heartbeat=0.05
        )

    return maker


class _Run:
    """Supervises a child and asks to stop, on a line of its output, as often as `requests` says."""

    def __init__(
        self, start: Callable[[], EngineProcess], *, at: str = "", grace: float = 30.0, requests: int = 1
    ) -> None:
        self.events: list[Event] = []
        self.pid = 0
        self._start, self._at, self._requests = start, at, requests
        self.stop = StopRequests()
        began = time.monotonic()
        self.ending: Ending = supervise(self._started, Parser(), self._take, grace_seconds=grace, stop=self.stop)
        self.seconds = time.monotonic() - began

    def _started(self) -> EngineProcess:
        process = self._start()
        self.pid = process.pid
        return process

    def _take(self, event: Event) -> None:
        self.events.append(event)
        if self._at and isinstance(event, Line) and event.text == self._at:
            for _ in range(self._requests):
                self.stop.request()


def test_a_run_that_ends_by_itself(starting) -> None:
    """Events come in order and the ending sums them up, progress bars left out of its tail."""
    run = _Run(
        starting(
            "print('saving checkpoint: x-step00000002.safetensors')\n"
            "bar = '\\rsteps:  40%|##   | 2/5 [00:20<16:40,  2.04s/it, avr_loss='\n"
            "time.sleep(0.3); sys.stderr.write(bar + '0.5]' + bar + '0.4]\\n'); time.sleep(0.3)\n"
            "print('model saved.')"
        )
    )
    assert [event for event in run.events if not isinstance(event, Line)] == [
        PhaseStarted("starting"),
        PhaseStarted("saving"),
        CheckpointSaved("x-step00000002.safetensors"),
        PhaseStarted("training"),
        Step(2, 5, 2.04, 0.5),
        Step(2, 5, 2.04, 0.4),
        ModelSaved(),
        PhaseStarted("finishing"),
    ]
    ending = run.ending
    assert (ending.returncode, ending.interrupted, ending.saw_model_saved, ending.saw_no_data) == (
        0,
        False,
        True,
        False,
    )
    assert (ending.last_step, ending.peak_gpu_gib) == (2, None)
    assert ending.tail == ("saving checkpoint: x-step00000002.safetensors", "model saved.")


def test_a_failure_is_described(starting) -> None:
    """The exit code, the traceback and no more than the last forty lines are kept."""
    ending = _Run(starting("for i in range(100): print(i, file=sys.stderr)\nraise KeyError('why')")).ending
    assert ending.returncode == 1
    assert len(ending.tail) == 40
    assert ending.tail[-1] == "KeyError: 'why'"
    assert [problem.level for problem in ending.problems] == ["traceback"]


def test_no_data_is_seen(starting) -> None:
    """An exit code of 0 without pictures is told apart."""
    ending = _Run(starting("print('No data found. Please verify arguments')")).ending
    assert (ending.returncode, ending.saw_no_data, ending.saw_model_saved) == (0, True, False)


def test_the_first_request_asks(starting) -> None:
    """The child gets a KeyboardInterrupt and time to leave; its traceback is not told as a problem."""
    run = _Run(starting("try: print('ready'); time.sleep(60)\nfinally: print('bye')"), at="ready")
    assert run.ending.interrupted
    assert "bye" in run.ending.tail
    assert run.ending.returncode != 0
    assert [event.text for event in run.events if isinstance(event, Problem)] == [
        "asked to stop: the engine is ending; ask again to kill it at once"
    ]
    assert run.seconds < 20


def test_the_second_request_kills(starting) -> None:
    """A child that ignores SIGINT dies at once with the second request."""
    code = "signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('ready')\ntime.sleep(60)"
    run = _Run(starting(code), at="ready", requests=2)
    assert run.ending.interrupted
    assert run.ending.returncode == -signal.SIGKILL
    assert not psutil.pid_exists(run.pid)


def test_grace_has_an_end(starting) -> None:
    """A child that ignores SIGINT is killed once its time is over, without a second request."""
    code = "signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('ready')\ntime.sleep(60)"
    run = _Run(starting(code), at="ready", grace=0.5)
    assert run.ending.returncode == -signal.SIGKILL
    assert 0.5 <= run.seconds < 20


_FIRST = "the running save is finished first"
_SAVE = "saving checkpoint: x-step00000002.safetensors"


def test_a_running_save_is_waited_for(starting) -> None:
    """The interrupt comes after the save: what the child writes for a second is written to its end."""
    code = (
        f"print('{_SAVE}')\n"
        "time.sleep(1)\n"
        "print('saved'); sys.stderr.write('\\rsteps:  60%|##   | 3/5 [00:20<16:40,  2.04s/it, avr_loss=0.4]')\n"
        "time.sleep(60)"
    )
    run = _Run(starting(code), at=_SAVE)
    assert "saved" in run.ending.tail
    told = run.events.index(Problem("warning", f"asked to stop: {_FIRST}; ask again to kill it at once"))
    assert told < run.events.index(CheckpointSaved("x-step00000002.safetensors"))
    assert run.ending.interrupted
    assert 1 <= run.seconds < 20


def test_a_save_without_end_is_not_waited_for_longer_than_grace(starting) -> None:
    """A save that never ends is cut off when the time is over."""
    run = _Run(starting(f"print('{_SAVE}'); time.sleep(60)"), at=_SAVE, grace=0.5)
    assert run.ending.returncode == -signal.SIGKILL
    assert CheckpointSaved("x-step00000002.safetensors") not in run.events
    assert run.seconds < 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_are_requests(starting, number: signal.Signals) -> None:
    """Ctrl-C, a service manager's stop and a closed terminal all ask; the old handlers come back."""
    before = signal.getsignal(number)

    def on_event(event: Event) -> None:
        if isinstance(event, Line) and event.text == "ready":
            os.kill(os.getpid(), number)

    ending = supervise(starting("print('ready'); time.sleep(60)"), Parser(), on_event, grace_seconds=20.0)
    assert ending.interrupted
    assert signal.getsignal(number) is before


def test_what_is_ignored_stays_ignored() -> None:
    """Under `nohup` a closed terminal must not stop the run."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequests().listening():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_exception_of_the_view_leaves_nothing(starting) -> None:
    """Whatever a view raises comes through, and the child is dead by then."""
    pids = []

    def start() -> EngineProcess:
        process = starting("print('ready'); time.sleep(60)")()
        pids.append(process.pid)
        return process

    def on_event(event: Event) -> None:
        if isinstance(event, Line):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        supervise(start, Parser(), on_event, grace_seconds=20.0)
    assert not psutil.pid_exists(pids[0])


def test_what_is_measured_comes_before_the_step_that_it_tells_of(starting, tmp_path: Path) -> None:
    """Exact figures are asked for with each step, and the watch sees them first: they name the pictures."""
    bar = "\\rsteps:  40%|##   | 2/5 [00:20<16:40,  2.04s/it, avr_loss=nan]\\n"
    events: list[Event] = []
    figures = iter([[Measured(2, float("nan"), None, 1.0, pictures=("cat.png",))]])
    ending = supervise(
        starting(f"open('written', 'w').close(); sys.stderr.write('{bar}'); time.sleep(60)"),
        Parser(),
        events.append,
        grace_seconds=20.0,
        measured=lambda: next(figures, []) if (tmp_path / "written").exists() else [],
        watch=Watch(),
    )
    assert isinstance(next(event for event in events if isinstance(event, Measured | Step)), Measured)
    assert ending.verdict is not None
    assert "on cat.png" in ending.verdict.cause


def test_ticks_and_memory(starting) -> None:
    """Ticks come while the child is silent, and the most memory seen is kept."""
    readings, ticks = iter([1.0, 3.0, None, 2.0]), []
    ending = supervise(
        starting("time.sleep(0.6)"),
        Parser(),
        lambda _event: None,
        grace_seconds=1.0,
        on_tick=ticks.append,
        gpu_gib=lambda: next(readings, None),
        clock=lambda: 7.0,
    )
    assert ending.peak_gpu_gib == 3.0
    assert ending.seconds == 0.0
    assert set(ticks) == {7.0}
    assert len(ticks) >= 4


def test_a_second_request_kills_while_the_view_hangs(starting) -> None:
    """The second Ctrl-C does not wait for a view that is stuck: the child is dead before the view returns."""
    pids: list[int] = []
    alive_after = []
    stop = StopRequests()

    def start() -> EngineProcess:
        process = starting("signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('ready')\ntime.sleep(60)")()
        pids.append(process.pid)
        return process

    def on_event(event: Event) -> None:
        if isinstance(event, Line) and event.text == "ready":
            timer = threading.Timer(
                0.2, lambda: [os.kill(os.getpid(), signal.SIGINT), time.sleep(0.2), os.kill(os.getpid(), signal.SIGINT)]
            )
            timer.start()
            time.sleep(1.5)
            alive_after.append(psutil.Process(pids[0]).status() != psutil.STATUS_ZOMBIE)
            timer.join()

    supervise(start, Parser(), on_event, grace_seconds=30.0, stop=stop)
    assert alive_after == [False]
    assert stop.count == 2
