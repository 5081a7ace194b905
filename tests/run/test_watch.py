"""What the watchdogs see, and when they act."""

import math
from types import SimpleNamespace

import pytest

from loraforge.engine.events import Measured, PhaseStarted, Problem, Step
from loraforge.run.ends import Verdict
from loraforge.run.watch import SILENCE, Limits, Watch, enough_space, next_save


def looked(watch, means, start=1):
    """Feed means of the loss and return (step, verdict) of the first verdict, or None."""
    for step, mean in enumerate(means, start):
        watch.take(Step(step, 1000, 1.0, mean))
        if isinstance(found := watch.look(0.0), Verdict):
            return step, found
    return None


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_stops_at_once(bad):
    """The verdict names step and rate."""
    step, verdict = looked(Watch(rate=lambda _: 1e-3), [0.5, 0.5, bad])
    assert (step, verdict.name) == (3, "diverged")
    assert "step 3" in verdict.cause
    assert "0.001" in verdict.cause


def test_exact_figures_name_the_pictures():
    """The step's own loss and rate tell more than the engine's bar, and they come first."""
    watch = Watch(rate=lambda _: 1e-3)
    watch.take(Measured(7, math.nan, 2e-4, 1.0, pictures=("cat.png", "dog.png")))
    watch.take(Step(7, 1000, 1.0, math.nan))
    assert watch.look(0.0).cause == "the loss became nan at step 7 on cat.png, dog.png at a learning rate of 0.0002"


def test_a_first_step_blames_what_was_there_before():
    """Neither rate nor pictures can have spoilt a network that has learnt nothing yet."""
    watch = Watch()
    watch.take(Measured(1, math.nan, 0.0, 1.0))
    assert "the weights or the precision are at fault" in watch.look(0.0).cause


def test_an_explosion_late_in_a_long_run_is_seen():
    """The engine's mean over 2000 steps would not show it for long; the mean of the last exact losses does."""
    watch, mean = Watch(), 0.0
    for step in range(1, 2200):
        loss = 0.3 + 0.4 * (step % 7) / 6 if step <= 2000 else 4.0
        mean += (loss - mean) / step
        watch.take(Step(step, 4000, 1.0, mean))
        watch.take(Measured(step, loss, 1e-3, 1.0))
        if isinstance(found := watch.look(0.0), Verdict):
            break
    assert 2000 < step <= 2020
    assert "at a learning rate of 0.001: the run is diverging" in found.cause


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ([0.5] * 100, None),
        ([0.05, 0.9, 0.6, *[0.5] * 60], None),  # the mean of few steps wanders
        ([*[0.5] * 30, *[0.5 + 0.01 * step for step in range(40)]], None),  # climbs, which is advice, not a verdict
        ([*[0.5] * 30, 1.6], 31),
        ([*[0.5] * 30, 1e9], 31),
    ],
)
def test_only_a_loss_that_explodes_stops_a_run(means, expected):
    """Noise and a slow climb go on; three times the lowest settled mean does not."""
    found = looked(Watch(), means)
    assert (found[0] if found else None) == expected


def looking(watch, start, end):
    """Look every ten seconds, and at the end, and return what was told last, None if nothing was."""
    told = [watch.look(float(now)) for now in range(int(start), int(end), 10)] + [watch.look(end)]
    return next((found for found in reversed(told) if found is not None), None)


@pytest.mark.parametrize("phase", SILENCE)
def test_silence_is_told_then_acted_on(phase):
    """Half the time is a warning, told once; the whole time ends it; any word starts it anew."""
    watch, limit = Watch(), SILENCE[phase]
    watch.take(PhaseStarted(phase))
    watch.heard(100.0)
    assert looking(watch, 100.0, 100.0 + limit / 2 - 1) is None
    assert isinstance(watch.look(100.0 + limit / 2), Problem)
    assert looking(watch, 101.0 + limit / 2, 99.0 + limit) is None
    watch.heard(100.0 + limit)
    assert watch.look(100.0 + limit + 1) is None
    verdict = looking(watch, 102.0 + limit, 100.0 + 2 * limit)
    assert (verdict.name, phase in verdict.cause) == ("stalled", True)


def test_slow_steps_are_no_silence():
    """A machine of 100 s a step may be silent for 20 of them."""
    watch = Watch()
    watch.take(PhaseStarted("training"))
    watch.take(Step(1, 10, 100.0, 0.5))
    watch.heard(0.0)
    assert not isinstance(looking(watch, 0.0, 1900.0), Verdict)
    assert looking(watch, 1910.0, 2000.0).name == "stalled"


def test_a_machine_that_slept_is_no_silence():
    """Hours between two looks were nobody's silence: the clock went on, and the engine did not run either."""
    watch = Watch()
    watch.take(PhaseStarted("training"))
    watch.heard(0.0)
    assert looking(watch, 0.0, 100.0) is None
    assert looking(watch, 40_000.0, 40_300.0) is None
    assert looking(watch, 40_300.0, 40_850.0).name == "stalled"


def test_the_disk_must_hold_the_next_save(tmp_path):
    """What the last checkpoint and state took, and something to spare, has to be free."""
    (tmp_path / "a-step00000002.safetensors").write_bytes(bytes(1000))
    state = tmp_path / "a-step00000002-state"
    state.mkdir()
    (state / "optimizer.bin").write_bytes(bytes(500))
    assert next_save(tmp_path) == 1500
    for free, name in ((1600, None), (1599, "disk-full")):
        watch = Watch(tmp_path, limits=Limits(spare=100), free=lambda _path, free=free: free)
        assert getattr(watch.look(0.0), "name", None) == name


def test_the_disk_is_looked_at_now_and_then(tmp_path):
    """Every few seconds, not at each line."""
    asked = []
    watch = Watch(tmp_path, free=lambda path: asked.append(path) or 10**12)
    for now in range(12):
        watch.look(float(now))
    assert len(asked) == 3


def test_space_is_judged_before_the_start(tmp_path):
    """A folder that does not exist yet is judged by the one that does."""
    free = SimpleNamespace(of=lambda _path: 2 * 10**9).of
    assert enough_space(tmp_path / "a" / "b", 10**9, free=free) is None
    assert "2.0 GB are free" in enough_space(tmp_path / "a" / "b", 2 * 10**9, free=free)
