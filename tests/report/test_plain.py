"""Plain lines say what matters, and not too often."""

import io

from loraforge.engine.events import (
    CheckpointSaved,
    Line,
    Measured,
    ModelSaved,
    NoData,
    PhaseStarted,
    Problem,
    Progress,
    SamplesStarted,
    Step,
)
from loraforge.report.plain import PlainView


class _Plain:
    def __init__(self) -> None:
        self.now = 0.0
        self.out = io.StringIO()
        self.view = PlainView(self.out, clock=lambda: self.now)

    @property
    def lines(self) -> list[str]:
        return self.out.getvalue().splitlines()


def test_one_line_a_phase() -> None:
    """A phase is told once, though training comes back after each sample; plain lines and bars are not repeated."""
    plain = _Plain()
    for event in (
        PhaseStarted("starting"),
        Line("Loading", "stderr"),
        PhaseStarted("caching-latents"),
        Progress("caching-latents", 1, 20),
        PhaseStarted("training"),
        SamplesStarted(100),
        PhaseStarted("sampling"),
        PhaseStarted("training"),
        CheckpointSaved("a.safetensors"),
        Problem("warning", "careful"),
        ModelSaved(),
        NoData(),
    ):
        plain.view.handle(event)
    plain.view.close()
    assert plain.lines == [
        "starting the engine",
        "caching the pictures' latents",
        "training",
        "drawing samples at step 100",
        "saved a.safetensors",
        "warning: careful",
        "the engine says: model saved",
        "error: the engine found no pictures",
    ]


def test_steps_are_told_now_and_then() -> None:
    """At two seconds a step a line comes every twentieth of the way; the last step is told always."""
    plain = _Plain()
    for step in range(1, 501):
        plain.now += 2.0
        plain.view.handle(Step(step, 500, 2.0, None))
        plain.view.handle(Step(step, 500, 2.0, 0.5))
    assert len(plain.lines) == 20
    assert plain.lines[0] == "step 25/500, 2.00 s/it, 15:50 min left, average loss 0.5"
    assert plain.lines[-1] == "step 500/500, 2.00 s/it, average loss 0.5"


def test_fast_and_slow_steps() -> None:
    """Fast steps tell no more than a line in ten seconds, slow ones at least one a minute."""
    fast, slow = _Plain(), _Plain()
    for step in range(1, 101):
        fast.now += 0.1
        fast.view.handle(Step(step, 100, 0.1, 0.5))
    assert len(fast.lines) <= 2
    for step in range(1, 11):
        slow.now += 61.0
        slow.view.handle(Step(step, 1000, 61.0, 0.5))
    assert len(slow.lines) == 10


def test_measured_steps_decide_the_pace() -> None:
    """The engine's bar leaves out what it did not draw; the first step of a start says little of those to come."""
    plain = _Plain()
    for step in range(1, 5):
        plain.now += 60.0
        plain.view.handle(Measured(step, 0.5, None, 90.0 if step == 1 else 60.0))
        plain.view.handle(Step(step, 500, 0.01, 0.5))
    assert plain.lines[-1] == "step 4/500, 60.00 s/it, 8:16 h left, average loss 0.5"


def test_silence_is_told_each_minute() -> None:
    """While nothing happens a line a minute says that it still goes on."""
    plain = _Plain()
    plain.view.handle(PhaseStarted("hashing"))
    for second in range(130):
        plain.now = float(second)
        plain.view.tick(plain.now)
    assert plain.lines == [
        "hashing the base model",
        "still hashing the base model, 1:00 min",
        "still hashing the base model, 2:00 min",
    ]
