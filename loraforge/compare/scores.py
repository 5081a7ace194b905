"""Scores that explain: how much style, how much of the prompt, what was memorised, what leaked, what is over-cooked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loraforge.compare.looks import Look

_FLOOR = 0.12  # differences of style of this size are chance even between pictures of one hand
_COOKED_FLOOR = 0.15


@dataclass(frozen=True, slots=True)
class Scores:
    """The numbers of one picture; None where there is nothing to compare with.

    Attributes:
        style: the way gone from the base model's picture (0) to the training set's hand (1); falls again beyond it.
        retention: how far composition follows the base model's picture of the same prompt, 0 to 1.
        memory: likeness to the nearest training picture beyond that of the base model's picture, 0 to 1.
        cooked: saturation, contrast, hard edges and fine detail beyond the training set's, in its standard deviations.
        nearest: index of the nearest training picture.
    """

    style: float
    retention: float | None
    memory: float
    cooked: float
    nearest: int


class Reference:
    """What pictures are measured against.

    Args:
        training: the training set; at least two pictures.
        base: the base model's pictures, of any prompts; empty where there are none.
    """

    def __init__(self, training: Sequence[Look], base: Sequence[Look] = ()) -> None:
        styles = np.array([look.style for look in training])
        self._middle = styles.mean(0)
        self._spread = np.sqrt(styles.var(0) + _FLOOR**2)
        self._thumbs = np.array([look.thumb for look in training])
        cooked = np.array([look.cooked for look in training])
        self._cooked, self._cooked_spread = cooked.mean(0), np.sqrt(cooked.var(0) + _COOKED_FLOOR**2)
        self._base = np.array([look.style for look in base]).mean(0) if base else None
        self._usual = float(np.median([self._distance(style) for style in styles]))

    def score(self, look: Look, base: Look | None) -> Scores:
        """Score a picture, against the base model's picture of the same prompt where there is one."""
        likeness = self._thumbs @ look.thumb
        known = float((self._thumbs @ base.thumb).max()) if base is not None else 0.5
        return Scores(
            style=self._style(look, base),
            retention=float(np.clip(look.layout @ base.layout / 2, 0, 1)) if base is not None else None,
            memory=float(np.clip(likeness.max() - max(known, 0.5), 0, 1)),
            cooked=self._excess(look),
            nearest=int(likeness.argmax()),
        )

    def _distance(self, style: Any) -> float:
        return float(np.sqrt(np.square((style - self._middle) / self._spread).mean()))

    def _style(self, look: Look, base: Look | None) -> float:
        """Measure along the line from the base model's hand to the training set's; without a base, by distance."""
        if base is None or self._base is None:
            return 1 / (1 + (self._distance(look.style) / (2 * self._usual)) ** 2)
        axis = (self._middle - self._base) / self._spread
        length = float(axis @ axis)
        if length < 1e-6:  # the base model draws like the training set already
            return 1.0
        gone = float((look.style - base.style) / self._spread @ axis) / length
        return float(np.clip(1 - abs(1 - gone), 0, 1))

    def _excess(self, look: Look) -> float:
        beyond = (look.cooked - self._cooked) / self._cooked_spread - 1
        return float(np.maximum(beyond, 0).mean())


def leak(reference: Reference, look: Look, base: Look) -> float:
    """Return how far a picture without the trigger went towards the style, 0 to 1."""
    return reference.score(look, base).style


@dataclass(frozen=True, slots=True)
class Curve:
    """What the prompts of one step say on average; `spread` is the standard error of the merit.

    Attributes:
        step: the checkpoint.
        merit: the number that checkpoints are ranked by, per prompt.
        parts: mean of each score by name.
    """

    step: int
    merit: tuple[float, ...]
    parts: Mapping[str, float]

    @property
    def mean(self) -> float:
        """The mean merit."""
        return float(np.mean(self.merit))


# What a unit of each score is worth against a whole unit of style.
_WORTH = {"retention": 0.35, "memory": -0.6, "cooked": -0.35}
_LEAK_WORTH = -0.2


def curve(step: int, scores: Sequence[Scores], leaks: Sequence[float] = ()) -> Curve:
    """Sum up a step: one merit a prompt, and the mean of each score."""
    leaked = float(np.mean(leaks)) if leaks else None
    merits = [
        one.style
        + sum(worth * value for name, worth in _WORTH.items() if (value := getattr(one, name)) is not None)
        + _LEAK_WORTH * (leaked or 0.0)
        for one in scores
    ]
    parts = {
        name: float(np.mean([value for one in scores if (value := getattr(one, name)) is not None] or [np.nan]))
        for name in ("style", "retention", "memory", "cooked")
    }
    parts = {name: value for name, value in parts.items() if not np.isnan(value)}
    return Curve(step, tuple(merits), parts | ({} if leaked is None else {"leak": leaked}))
