"""Which checkpoint to take, why, and how sure that is; "cannot tell" where the curves are flat."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loraforge.compare.scores import Curve

_DRAWS = 400
_SURE = 0.9  # share of the redrawn prompt sets whose choice the told range covers
_LEAST = 0.08  # a difference of merit below this is too small to see
_CHANCE = 0.01  # how often shuffled steps may agree across prompts as the real ones do
_LEAKS = 0.4  # drift without the trigger that is worth a warning
_RIPE = 0.9  # share of the most style at which it counts as there


@dataclass(frozen=True, slots=True)
class Recommendation:
    """The answer.

    Attributes:
        step: the checkpoint; None where it cannot be told.
        span: the steps among which the best lies, first and last, with the certainty of 9 in 10.
        sure: share of redrawn prompt sets that choose this very step.
        reasons: sentences.
        warnings: sentences on what looks wrong whatever is chosen.
    """

    step: int | None
    span: tuple[int, int] | None
    sure: float
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def recommend(curves: Sequence[Curve], *, seed: int = 0) -> Recommendation:
    """Choose a checkpoint.

    The best is that of the highest merit; of those that the prompts cannot tell from it the earliest that has the
    style is taken, since later ones have forgotten more. Prompts are redrawn with replacement to see how much the
    choice hangs on them.

    Args:
        curves: of each step, in order, over the same prompts.
        seed: of the redrawing.
    """
    curves = [curve for curve in curves if curve.merit]
    if len(curves) < 2:
        return Recommendation(None, None, 0.0, ("there are not two checkpoints with pictures to compare",))
    merits = np.array([curve.merit for curve in curves])
    if merits.shape[1] < 2:
        return Recommendation(None, None, 0.0, ("one prompt is too few: what it shows may be chance",))
    steps = [curve.step for curve in curves]
    means = merits.mean(1)
    gap, chance = float(np.ptp(means)), np.random.default_rng(seed)
    if gap < _LEAST or _by_chance(merits, chance) > _CHANCE:
        alike = f"the checkpoints look alike to these measurements: best and worst differ by {gap:.2f}"
        apart = f"the {merits.shape[1]} prompts disagree about the checkpoints: more prompts may tell (--generate)"
        return Recommendation(None, None, 0.0, (alike if gap < _LEAST else apart,), _warnings(curves, curves[-1]))
    columns = merits.shape[1]
    style = [curve.parts["style"] for curve in curves]
    votes = np.array([_choice(merits[:, chance.integers(0, columns, columns)], style) for _ in range(_DRAWS)])
    chosen = _choice(merits, style)
    span = _span(votes, chosen)
    sure = float((votes == chosen).mean())
    told = _reasons(curves, chosen), _warnings(curves, curves[chosen])
    return Recommendation(steps[chosen], (steps[span[0]], steps[span[1]]), sure, *told)


def _by_chance(merits: Any, chance: Any) -> float:
    """Return how often steps shuffled within each prompt agree as much: the variance of their means is as high."""
    variance = merits.mean(1).var()
    shuffled = [chance.permuted(merits, axis=0).mean(1).var() for _ in range(_DRAWS)]
    return float(np.mean(np.array(shuffled) >= variance - 1e-12))


def _error(differences: Any) -> float:
    return float(differences.std(ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else 0.0


def _choice(merits: Any, style: Sequence[float]) -> int:
    means = merits.mean(1)
    best = int(means.argmax())
    allowed = [
        index
        for index in range(best + 1)
        if means[best] - means[index] <= max(0.015, 0.5 * _error(merits[best] - merits[index]))
        and style[index] >= _RIPE * style[best]
    ]
    return allowed[0]


def _span(votes: Any, chosen: int) -> tuple[int, int]:
    tail = (1 - _SURE) / 2
    low, high = np.quantile(votes, [tail, 1 - tail], method="nearest")
    return min(int(low), chosen), max(int(high), chosen)


def _reasons(curves: Sequence[Curve], chosen: int) -> tuple[str, ...]:
    here, last = curves[chosen], curves[-1]
    style = [curve.parts["style"] for curve in curves]
    reasons = []
    if here.step == last.step:
        still = len(curves) > 1 and style[-1] - style[-2] > 0.03
        reasons.append("it is the last one" + (", and the style still grows: train longer" if still else ""))
    elif style[chosen] >= _RIPE * max(style):
        reasons.append(
            f"at step {here.step} the style has saturated: {style[chosen]:.0%} of the way to the training set"
        )
    else:
        reasons.append(f"style stands at {style[chosen]:.0%} of the way, and what more of it costs outweighs it")
    later = curves[chosen + 1 :]
    for name, threshold, words in (
        ("retention", -0.05, "composition drifts from the prompt after step {} ({:.0%} to {:.0%})"),
        (
            "cooked",
            0.25,
            "pictures are over-cooked after step {} ({:.1f} to {:.1f} deviations beyond the training set)",
        ),
        ("memory", 0.05, "training pictures come back after step {} ({:.0%} to {:.0%} likeness beyond chance)"),
        ("style", -0.05, "the style overshoots after step {} ({:.0%} to {:.0%})"),
        ("leak", 0.08, "pictures without the trigger drift after step {} ({:.0%} to {:.0%} of the way to the style)"),
    ):
        if name not in here.parts or not later:
            continue
        start = here.parts[name]
        turned = [one for one in later if (one.parts[name] - start) * np.sign(threshold) > abs(threshold)]
        if turned:
            before = curves[[one.step for one in curves].index(turned[0].step) - 1].step
            reasons.append(words.format(before, start, later[-1].parts[name]))
    return tuple(reasons)


def _warnings(curves: Sequence[Curve], taken: Curve) -> tuple[str, ...]:
    told = []
    if max(curve.parts["style"] for curve in curves) < 0.3:
        told.append("no checkpoint comes near the training set's style: train longer, or with a higher rate")
    if taken.parts.get("leak", 0.0) > _LEAKS:
        share = f"{taken.parts['leak']:.0%} of the way to the style"
        told.append(f"at step {taken.step} pictures without the trigger change too, by {share}: it leaks")
    if min(curve.parts["cooked"] for curve in curves) > 1.0:
        told.append("every checkpoint is over-cooked: save earlier ones, or halve the learning rate")
    return tuple(told)
