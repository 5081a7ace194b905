"""What the engine prints, recorded from real runs or copied from its source, becomes the right events."""

import math
from pathlib import Path

import pytest

from loraforge.engine.events import (
    CheckpointSaved,
    Event,
    Facts,
    Line,
    ModelSaved,
    NoData,
    PhaseStarted,
    Problem,
    Progress,
    SamplesStarted,
    StateSaved,
    Step,
)
from loraforge.engine.lines import RawLine, Splitter, Stream, replayed
from loraforge.engine.parser import Parser

_RECORDED = Path(__file__).with_name("recorded")
_OUT = "/home/me/run/out/tiny"


def _events(*texts: str, parser: Parser | None = None, stream: Stream = "stderr") -> list[Event]:
    """Feed texts to a parser and return the events without plain lines."""
    parser = parser or Parser()
    fed = [event for text in texts for event in parser.feed(RawLine(stream, text, "\n"))]
    return [event for event in fed if not isinstance(event, Line)]


def _replay(name: str) -> list[Event]:
    parser = Parser()
    return [event for line in replayed([(_RECORDED / name).read_bytes()]) for event in parser.feed(line)]


def _bar(done: int, total: int, loss: str | None = None, rate: str = "2.04s/it") -> str:
    postfix = f", avr_loss={loss}" if loss else ""
    return f"steps:  {100 * done // total}%|██▌       | {done}/{total} [00:20<16:40,  {rate}{postfix}]"


def _record(message: str, level: str = "INFO", time: str = "2026-01-31 23:59:59") -> str:
    return f"{time:19} {level:8} {message:80} train_network.py:519"


def test_a_bar_that_is_closed_begins_nothing() -> None:
    """The engine has saved its model by then; the loss of the last step may be told only now."""
    events = _events(_bar(1, 2), _bar(2, 2, "0.5"), _record("model saved."), _bar(2, 2, "0.4"))
    assert [event.phase for event in events if isinstance(event, PhaseStarted)] == ["training", "finishing"]
    assert events[-1].average_loss == 0.4


def test_a_recorded_run_is_told_in_order() -> None:
    """A real run of sd-scripts on tiny weights gives every phase, save, sample and step."""
    events = _replay("trained.log")
    phases: list[str] = []
    for event in events:
        if isinstance(event, PhaseStarted) and event.phase not in phases:
            phases.append(event.phase)
    assert phases == [
        *("loading", "caching-latents", "caching-text", "hashing", "training", "sampling", "saving", "finishing"),
    ]
    assert [event for event in events if isinstance(event, Facts)] == [
        Facts("examples", 4),
        Facts("batches-per-epoch", 4),
        Facts("epochs", 1),
        Facts("total-steps", 4),
    ]
    steps = [(event.step, event.total) for event in events if isinstance(event, Step) and event.average_loss]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [event for event in events if isinstance(event, CheckpointSaved | StateSaved)] == [
        CheckpointSaved(f"{_OUT}-step00000002.safetensors"),
        StateSaved(2),
        CheckpointSaved(f"{_OUT}-step00000004.safetensors"),
        StateSaved(4),
        StateSaved(4),
        CheckpointSaved(f"{_OUT}.safetensors"),
    ]
    assert [event.step for event in events if isinstance(event, SamplesStarted)] == [0, 2, 4]
    assert Progress("caching-latents", 4, 4) in events
    assert Progress("sampling", 3, 3) in events
    assert ModelSaved() in events
    assert not any(isinstance(event, Problem) and event.level != "warning" for event in events)


def test_a_recorded_run_without_pictures() -> None:
    """The engine's exit 0 without a training is told as an error and as what it is."""
    events = _replay("no_data.log")
    assert NoData() in events
    assert ModelSaved() not in events
    assert [event.text[:14] for event in events if isinstance(event, Problem) and event.level == "error"] == [
        "No data found."
    ]


def test_a_recorded_failure_keeps_its_tracebacks_whole() -> None:
    """The engine's own traceback comes first, then the launcher's; each is one problem."""
    problems = [
        event.text for event in _replay("failed.log") if isinstance(event, Problem) and event.level == "traceback"
    ]
    assert [text.rpartition("\n")[2].split(":")[0] for text in problems] == [
        "AttributeError",
        "subprocess.CalledProcessError",
    ]
    assert all(text.startswith("Traceback (most recent call last):\n  File ") for text in problems)


@pytest.mark.parametrize("name", ["trained.log", "no_data.log", "failed.log"])
def test_a_log_may_arrive_byte_by_byte(name: str) -> None:
    """The events don't depend on how the log was cut into reads."""
    data = (_RECORDED / name).read_bytes()
    splitter, parser = Splitter("stderr"), Parser()
    events = []
    for index in range(len(data)):
        for line in splitter.feed(data[index : index + 1]):
            events += parser.feed(line)
    if last := splitter.end():
        events += parser.feed(last)
    assert events == _replay(name)


def test_a_log_cut_at_every_byte_never_breaks() -> None:
    """Any beginning and any end of any line is survived, in any order, and the run is still told to its end."""
    logs = [(_RECORDED / name).read_bytes() for name in ("failed.log", "no_data.log", "trained.log")]
    texts = dict.fromkeys(line.text.rstrip() for line in replayed(logs))
    parser = Parser()
    for text in texts:
        for cut in range(len(text)):
            parser.feed(RawLine("stdout", text[:cut], "\n"))
            parser.feed(RawLine("stderr", text[cut:], "\r"))
    assert ModelSaved() in _events("", _record("model saved."), parser=parser, stream="stderr")


def test_a_step_is_told_twice_and_a_stale_loss_never() -> None:
    """The bar advances with the loss of the step before; only the second drawing carries the new one."""
    assert _events(_bar(0, 5), _bar(1, 5), _bar(1, 5, "0.5"), _bar(2, 5, "0.5"), _bar(2, 5, "0.45")) == [
        PhaseStarted("training"),
        Step(1, 5, 2.04, None),
        Step(1, 5, 2.04, 0.5),
        Step(2, 5, 2.04, None),
        Step(2, 5, 2.04, 0.45),
    ]


def test_an_unchanged_loss_is_known_at_the_second_drawing() -> None:
    """Three digits often stay the same; drawn again for the same step the figure is the new one, and told once."""
    events = _events(_bar(1, 5, "0.5"), _bar(2, 5, "0.5"), _bar(2, 5, "0.5"), _bar(2, 5, "0.5"))
    assert [event.average_loss for event in events if isinstance(event, Step)] == [0.5, None, 0.5]


def test_fast_steps_whose_first_drawing_is_skipped() -> None:
    """A changed figure is new, also when the bar was drawn but once for a step."""
    events = _events(_bar(1, 5, "0.5"), _bar(2, 5, "0.4"), _bar(4, 5, "0.3"))
    assert [(event.step, event.average_loss) for event in events if isinstance(event, Step)] == [
        (1, 0.5),
        (2, 0.4),
        (4, 0.3),
    ]


@pytest.mark.parametrize(
    ("rate", "seconds"), [("2.04s/it", 2.04), (" 4.00it/s", 0.25), ("?it/s", None), ("0.00it/s", None)]
)
def test_pace(rate: str, seconds: float | None) -> None:
    """Both of tqdm's units are seconds a step; an unknown pace is None."""
    assert _events(_bar(1, 5, "0.5", rate))[-1] == Step(1, 5, seconds, 0.5)


def test_a_diverged_loss_is_a_problem_once() -> None:
    """A nan stays in the engine's mean for good; it is told with its step, once."""
    events = _events(_bar(1, 5, "0.5"), _bar(2, 5, "nan"), _bar(3, 5, "nan"), _bar(3, 5, "nan"))
    assert [event for event in events if isinstance(event, Problem)] == [
        Problem("error", "the loss is nan since step 2: the run has diverged")
    ]
    assert math.isnan(
        next(event.average_loss or 0.0 for event in events if isinstance(event, Step) and event.step == 2)
    )


@pytest.mark.parametrize("header", [True, False])
def test_a_resumed_bar_counts_what_remains(header: bool) -> None:
    """Steps are counted from the start of the training: by the header's total, else by what the caller knows."""
    parser = Parser(first_step=0 if header else 300)
    if header:
        _events("  total optimization steps / 学習ステップ数: 500", parser=parser, stream="stdout")
    assert _events(_bar(7, 200, "0.5"), parser=parser)[-1] == Step(307, 500, 2.04, 0.5)


def test_a_record_behind_an_open_bar_is_read() -> None:
    """The engine logs behind the bar's end, on the same line, and moves the cursor with escape codes."""
    events = _events(_bar(2, 5, "0.5") + _record("generating sample images at step / サンプル画像生成 ステップ: 2"))
    assert events[1:] == [Step(2, 5, 2.04, 0.5), SamplesStarted(2), PhaseStarted("sampling")]
    assert _events("  5%|▌  | 1/20 [00:00<00:02,  6.6it/s]\x1b[A") == [Progress("starting", 1, 20)]
    assert _events("read caption: 100%|███| 3/3 [00:00<00:00, 9.9it/s]") == [Progress("starting", 3, 3)]
    glued = _events(_bar(2, 5, "0.5") + "Traceback (most recent call last):", '  File "x.py"', "KeyError: 'a'")
    assert glued[-1] == Problem("traceback", "Traceback (most recent call last):\n  File \"x.py\"\nKeyError: 'a'")


def test_a_save_is_over_only_when_a_later_tick_says_so() -> None:
    """Streams overtake each other: ticks from before the save don't end it, nor does the step's first drawing."""
    parser = Parser()
    path = "/a b / c/x-step00000002.safetensors"
    _events(_bar(1, 5), parser=parser)
    assert _events(f"saving checkpoint: {path}", parser=parser, stream="stdout") == [PhaseStarted("saving")]
    assert _events(_bar(1, 5, "0.5"), _bar(2, 5, "0.5"), parser=parser) == [
        Step(1, 5, 2.04, 0.5),
        Step(2, 5, 2.04, None),
    ]
    assert _events(_bar(2, 5, "0.4"), parser=parser) == [
        CheckpointSaved(path),
        PhaseStarted("training"),
        Step(2, 5, 2.04, 0.4),
    ]


def test_saves_in_a_row_prove_each_other() -> None:
    """A state's save proves the checkpoint's, a removal the state's; a last save is proven by the mark of success."""
    assert _events(
        "saving checkpoint: a-step00000002.safetensors",
        _record("saving state at step 2"),
        _record("Saving current state to a-step00000002-state"),
        "removing old checkpoint: a-step00000001.safetensors",
        _record("saving last state."),
        "saving checkpoint: a.safetensors",
        _record("model saved."),
    ) == [
        PhaseStarted("saving"),
        CheckpointSaved("a-step00000002.safetensors"),
        PhaseStarted("saving"),
        StateSaved(2),
        PhaseStarted("saving"),
        StateSaved(0),
        PhaseStarted("saving"),
        CheckpointSaved("a.safetensors"),
        ModelSaved(),
        PhaseStarted("finishing"),
    ]


@pytest.mark.parametrize("time", ["2026-01-31 23:59:59", "[01/31/26 23:59:59]", ""])
def test_records_in_every_dress(time: str) -> None:
    """Time stamps of either form, or blank for the same second, and the source at the end are taken off."""
    parser = Parser()
    assert parser.feed(RawLine("stderr", _record("preparing accelerator", time=time), "\n")) == [
        Line("preparing accelerator", "stderr"),
        PhaseStarted("loading"),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (_record("no caption / キャプションなし", "WARNING"), Problem("warning", "no caption")),
        (_record("not directory: /a / b", "WARNING"), Problem("warning", "not directory: /a / b")),
        (_record("bad thing", "ERROR"), Problem("error", "bad thing")),
        ("error: the embedded engine has no x", Problem("error", "error: the embedded engine has no x")),
        (
            "flux_train_network.py: error: unrecognized arguments: --x",
            Problem("error", "flux_train_network.py: error: unrecognized arguments: --x"),
        ),
    ],
)
def test_problems(text: str, problem: Problem) -> None:
    """Warnings and errors are told in English alone, and a path keeps its slashes."""
    assert _events(text) == [problem]


@pytest.mark.parametrize("text", ["", "   ", "\x1b[A", "0it [00:00, ?it/s]"])
def test_nothing_is_said_in_nothing(text: str) -> None:
    """Blank lines, cursor moves and bars over nothing give no event."""
    assert Parser().feed(RawLine("stderr", text, "\r")) == []
