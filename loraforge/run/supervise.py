"""From the start of the engine to its end, whoever ends it."""

import contextlib
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import FrameType

from loraforge.engine.events import (
    CheckpointSaved,
    Event,
    Line,
    ModelSaved,
    NoData,
    Phase,
    PhaseStarted,
    Problem,
    StateSaved,
    Step,
)
from loraforge.engine.parser import Parser
from loraforge.run.ends import Verdict
from loraforge.run.process import EngineProcess
from loraforge.run.watch import Watch

_TAIL = 40
_GRACE_OF_A_VERDICT = 10.0  # seconds; an engine that is stalled or diverged has nothing to finish


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run of the engine ended; whether a LoRA came of it is for the verifier to say.

    Attributes:
        returncode: the launcher's; negative is the signal that ended it.
        interrupted: the user, or who ended loraforge, asked for it.
        saw_model_saved: the engine's own mark of success was seen.
        saw_no_data: the engine found no pictures, which it reports with exit code 0.
        last_step: optimizer steps done, 0 if training never began.
        tail: the last lines, progress bars left out.
        problems: the last warnings, errors and tracebacks.
        peak_gpu_gib: most memory in use on the card at any poll, in GiB; None where it can't be read.
        seconds: from start to end.
        phase: the last one.
        verdict: of the watch, where it ended the engine.
        log_fault: why the log lacks words of the engine, as on a full disk; empty where it has all.
    """

    returncode: int
    interrupted: bool
    saw_model_saved: bool
    saw_no_data: bool
    last_step: int
    tail: tuple[str, ...]
    problems: tuple[Problem, ...]
    peak_gpu_gib: float | None
    seconds: float
    phase: Phase = "starting"
    verdict: Verdict | None = None
    log_fault: str = ""


class StopRequests:
    """Counts how often somebody asked to stop.

    Attributes:
        count: requests so far.
        on_second: called at once with the second request, from the signal handler itself, so that a view that
            hangs can't delay it.
    """

    def __init__(self) -> None:
        self.count = 0
        self.on_second: Callable[[], None] = lambda: None

    def request(self) -> None:
        """Ask to stop; a second time, to stop at once."""
        self.count += 1
        if self.count > 1:
            self.on_second()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Take SIGINT, SIGTERM and SIGHUP as requests; what is ignored (`nohup`, background jobs) stays ignored."""
        before = {}
        if threading.current_thread() is threading.main_thread():  # elsewhere Python allows no handlers
            names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # the last two exist on one kind of system each
            for number in (getattr(signal, name) for name in names if hasattr(signal, name)):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, self._handle)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.request()


def supervise(
    start: Callable[[], EngineProcess],
    parser: Parser,
    on_event: Callable[[Event], None],
    *,
    grace_seconds: float,
    on_tick: Callable[[float], None] = lambda _now: None,
    gpu_gib: Callable[[], float | None] = lambda: None,
    measured: Callable[[], Sequence[Event]] = tuple,
    stop: StopRequests | None = None,
    watch: Watch | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Ending:
    """Run the engine to its end and pass on what happens.

    The first request to stop interrupts the engine's whole group, once a running save is over; the second kills
    it. Whatever is raised on the way, also by `on_event`, nothing of the engine is left running.

    Args:
        start: starts the engine; called once the signal handlers stand.
        parser: makes events of its lines.
        on_event: receives them, in the caller's thread.
        grace_seconds: time from the request to stop until the engine is killed.
        on_tick: called about twice a second with the clock's time.
        gpu_gib: memory in use on the card, polled with each tick.
        measured: what the engine has told beside its output since it was last asked.
        stop: the requests; by default those that signals make.
        watch: says when the engine has to be ended though nobody asked.
        clock: seconds, never going back.

    Returns:
        How it ended.
    """
    stop = stop or StopRequests()
    notes = _Notes()
    began = clock()
    with stop.listening(), start() as engine:
        stop.on_second = engine.kill
        stopping = _Stopping(engine, stop, grace_seconds, on_event, watch)
        on_event(PhaseStarted("starting"))

        def take(events: Iterable[Event]) -> None:
            for event in events:
                notes.take(event)
                stopping.take(event)
                if not (stopping.begun and isinstance(event, Problem)):  # a traceback is what stopping looks like
                    on_event(event)

        for line in engine.lines():
            said = [] if line is None else parser.feed(line)
            if line is not None:
                stopping.heard(clock())
            if line is None or any(isinstance(event, Step) for event in said):
                take(measured())  # first: it tells more of the same step
            take(said)
            stopping.look(clock(), saving=notes.saving)
            if line is None:
                notes.memory(gpu_gib())
                on_tick(clock())
        take(measured())
        returncode = engine.wait()
    # A verdict that came first stays the reason, whoever asked on top of it.
    interrupted = stop.count > 0 and stopping.verdict is None
    ending = notes.ending(returncode, interrupted=interrupted, seconds=clock() - began, verdict=stopping.verdict)
    return replace(ending, log_fault=str(engine.log_error or ""))


class _Stopping:
    """What is done about a request to stop, or a verdict of the watch, and when."""

    def __init__(
        self,
        engine: EngineProcess,
        stop: StopRequests,
        grace_seconds: float,
        tell: Callable[[Event], None],
        watch: Watch | None,
    ) -> None:
        self._engine, self._stop, self._grace, self._tell, self._watch = engine, stop, grace_seconds, tell, watch
        self._since: float | None = None
        self._interrupted = False
        self._killed = False
        self.verdict: Verdict | None = None

    @property
    def begun(self) -> bool:
        """Whether the engine is being ended."""
        return self._stop.count > 0 or self.verdict is not None

    def heard(self, now: float) -> None:
        if self._watch is not None:
            self._watch.heard(now)

    def take(self, event: Event) -> None:
        if self._watch is not None:
            self._watch.take(event)

    def look(self, now: float, *, saving: bool) -> None:
        if self._watch is not None and not self.begun:
            match self._watch.look(now):
                case Verdict() as verdict:
                    self.verdict = verdict
                    self._tell(Problem("error", verdict.cause))
                case Problem() as problem:
                    self._tell(problem)
                case None:
                    pass
        if not self.begun or self._killed:
            return
        if self._since is None:
            self._since = now
            if self.verdict is None:
                doing = "the running save is finished first" if saving else "the engine is ending"
                self._tell(Problem("warning", f"asked to stop: {doing}; ask again to kill it at once"))
        hopeless = self.verdict is not None and self.verdict.name != "disk-full"
        grace = min(self._grace, _GRACE_OF_A_VERDICT) if hopeless else self._grace
        if self._stop.count > 1 or now - self._since >= grace:
            self._killed = True
            self._engine.kill()
        elif (not saving or hopeless) and not self._interrupted:
            self._interrupted = True
            self._engine.interrupt()


class _Notes:
    """What the ending needs to know of the events."""

    def __init__(self) -> None:
        self.saving = False
        self._phase: Phase = "starting"
        self._model_saved = self._no_data = False
        self._step = 0
        self._tail: deque[str] = deque(maxlen=_TAIL)
        self._problems: deque[Problem] = deque(maxlen=_TAIL)
        self._peak: float | None = None

    def take(self, event: Event) -> None:
        match event:
            case Line(text=text):
                self._tail.append(text)
            case Step(step=step):
                self._step = step
            case PhaseStarted(phase=phase):
                self._phase = phase
                self.saving = phase == "saving"
            case CheckpointSaved() | StateSaved():
                self.saving = False
            case Problem():
                self._problems.append(event)
            case ModelSaved():
                self._model_saved = True
            case NoData():
                self._no_data = True
            case _:
                pass

    def memory(self, gib: float | None) -> None:
        if gib is not None:
            self._peak = max(gib, self._peak or 0.0)

    def ending(self, returncode: int, *, interrupted: bool, seconds: float, verdict: Verdict | None) -> Ending:
        return Ending(
            returncode=returncode,
            interrupted=interrupted,
            saw_model_saved=self._model_saved,
            saw_no_data=self._no_data,
            last_step=self._step,
            tail=tuple(self._tail),
            problems=tuple(self._problems),
            peak_gpu_gib=self._peak,
            seconds=seconds,
            phase=self._phase,
            verdict=verdict,
        )
