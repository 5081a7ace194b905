import math
import random

import pytest

from loraforge.report.losses import recent_losses, smoothed
from loraforge.run.history import StepPoint


def _points(losses, part=0):
    total, points = 0.0, []
    for nth, loss in enumerate(losses, 1):
        total += loss
        points.append(StepPoint(nth, part, nth, float(f"{total / nth:.3g}"), None, None))
    return points


def test_recovered_losses_follow_the_true_ones():
    """Against a window of the true losses, the recovered value is within the promised tenth of the mean."""
    chance = random.Random(1)  # noqa: S311  # no secrets
    losses = [0.2 + 0.5 * math.exp(-step / 200) + abs(chance.gauss(0, 0.05)) for step in range(600)]
    recovered = dict(recent_losses(_points(losses)))
    assert recovered[1] == pytest.approx(losses[0], abs=0.001)
    for step in (50, 200, 400, 600):
        mean = sum(losses[:step]) / step
        nearby = [sum(losses[step - width : step]) / width for width in range(1, 41)]
        assert min(abs(recovered[step] - value) for value in nearby) <= 0.1 * mean


def test_a_jump_is_seen_late_in_a_run():
    """The engine's mean hardly moves when the loss doubles at step 500; the recovered loss does."""
    recovered = recent_losses(_points([0.4] * 500 + [0.8] * 100))
    assert recovered[-1][1] > 0.7


def test_a_resumed_part_starts_anew():
    """Means of another start of the engine are not subtracted."""
    points = _points([0.5] * 5) + _points([0.3] * 5, part=1)
    assert [round(loss, 3) for _, loss in recent_losses(points)] == [0.5] * 5 + [0.3] * 5


def test_smoothing_keeps_a_constant_and_the_length():
    """No pull of the first value, no shift."""
    assert smoothed([(float(x), 2.0) for x in range(50)]) == [(float(x), pytest.approx(2.0)) for x in range(50)]
    assert smoothed([]) == []
