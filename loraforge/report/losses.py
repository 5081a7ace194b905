"""The loss of a run, recovered from the engine's running mean as far as its three digits allow."""

import math
from collections.abc import Sequence
from itertools import groupby

from loraforge.run.history import StepPoint

_TOLERANCE = 0.1  # a recovered loss may be off by this share at most, through rounding alone
_SMOOTHING = 0.08  # share of the run over which the smoothed line looks back


def recent_losses(points: Sequence[StepPoint]) -> list[tuple[float, float]]:
    """Return (step, mean loss of the last few steps): as few as the rounding of the running mean lets be told apart.

    The engine prints the mean m of k losses to three digits. The losses of steps j+1 to k have the mean
    (k m_k - j m_j) / (k - j), which rounding moves by up to (k + j) d / (k - j) for half a digit d. At the start that
    is one step; near step 600 it is about 40.
    """
    recovered = []
    for _, group in groupby(points, key=lambda point: point.part):
        known, start = [(0, 0.0)], 0  # (number of losses, their mean)
        for point in group:
            if not 0 < point.mean_loss < math.inf:
                continue
            half_digit = 10 ** (math.floor(math.log10(point.mean_loss)) - 2) / 2
            allowed = _TOLERANCE * point.mean_loss
            while start + 1 < len(known) and _doubt(point.nth, known[start + 1][0], half_digit) <= allowed:
                start += 1
            while start and _doubt(point.nth, known[start][0], half_digit) > allowed:
                start -= 1
            before, mean = known[start]
            recovered.append((float(point.step), (point.nth * point.mean_loss - before * mean) / (point.nth - before)))
            known.append((point.nth, point.mean_loss))
    return recovered


def _doubt(nth: int, before: int, half_digit: float) -> float:
    return (nth + before) * half_digit / (nth - before)


def smoothed(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return an exponential mean over a twelfth of the run, without the usual pull of the first value."""
    if not points:
        return []
    keep = 1 - 1 / max(1.0, _SMOOTHING * len(points))
    total = weight = 0.0
    line = []
    for x, y in points:
        total, weight = keep * total + y, keep * weight + 1
        line.append((x, total / weight))
    return line
