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
        style: the way gone from the base model's picture (0) to the training set's hand (1); falls again beyond where
            the set's own pictures lie.
        retention: how far composition follows the base model's picture of the same prompt, 0 to 1.
        memory: likeness to the nearest training picture beyond that of the base model's picture, 0 to 1.
        cooked: saturation, contrast, hard edges and fine detail beyond the training set's, in its standard deviations.
        drift: how far the hand moved from the base model's picture, whatever the direction, as a share of the way
            from the base model's hand to the training set's; it goes on beyond 1. Without the trigger it is the leak.
        nearest: index of the nearest training picture.
    """

    style: float
    retention: float | None
    memory: float
    cooked: float
    drift: float | None
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
        if self._base is not None:
            # From the base model's hand to the training set's, in spreads; along it the set's own pictures scatter.
            self._axis = (self._middle - self._base) / self._spread
            self._length = float(self._axis @ self._axis)
            self._scatter = float(np.std((styles - self._middle) / self._spread @ self._axis))
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
            drift=self._drift(look, base),
            nearest=int(likeness.argmax()),
        )

    def _distance(self, style: Any) -> float:
        return float(np.sqrt(np.square((style - self._middle) / self._spread).mean()))

    def _style(self, look: Look, base: Look | None) -> float:
        """Measure along the line from the base model's hand to the training set's; without a base, by distance."""
        if base is None or self._base is None:
            return 1 / (1 + (self._distance(look.style) / (2 * self._usual)) ** 2)
        if self._length < 1e-6:  # the base model draws like the training set already
            return 1.0
        gone = float((look.style - base.style) / self._spread @ self._axis) / self._length
        beyond = gone - 1 - self._scatter / self._length  # no further than pictures of the set itself is not beyond it
        return float(np.clip(min(gone, 1) - max(0.0, beyond), 0, 1))

    def _drift(self, look: Look, base: Look | None) -> float | None:
        if base is None or self._base is None:
            return None
        return float(np.linalg.norm((look.style - base.style) / self._spread) / max(self._length**0.5, 1e-3))

    def _excess(self, look: Look) -> float:
        beyond = (look.cooked - self._cooked) / self._cooked_spread - 1
        return float(np.maximum(beyond, 0).mean())


@dataclass(frozen=True, slots=True)
class Curve:
    """What the prompts of one step say.

    Attributes:
        step: the checkpoint.
        merit: the number that checkpoints are ranked by, per prompt.
        parts: mean of each score by name; `leak` is the drift of the pictures without the trigger.
    """

    step: int
    merit: tuple[float, ...]
    parts: Mapping[str, float]

    @property
    def mean(self) -> float:
        """The mean merit."""
        return float(np.mean(self.merit))


# What a unit of each score is worth against a whole unit of style. Leak is told and not weighed: how much of it is too
# much depends on the use, and it grows with the style itself.
_WORTH = {"retention": 0.35, "memory": -0.6, "cooked": -0.35}


def curve(step: int, called: Sequence[Scores], plain: Sequence[Scores] = ()) -> Curve:
    """Sum up a step: one merit a prompt, and the mean of each score.

    Args:
        step: the checkpoint.
        called: its pictures with the trigger.
        plain: those without, where the base model drew them too.
    """
    leaks = [one.drift for one in plain if one.drift is not None]
    leaked = float(np.mean(leaks)) if leaks else None
    merits = [
        one.style + sum(worth * value for name, worth in _WORTH.items() if (value := getattr(one, name)) is not None)
        for one in called
    ]
    parts = {
        name: float(np.mean([value for one in called if (value := getattr(one, name)) is not None] or [np.nan]))
        for name in ("style", "retention", "memory", "cooked")
    }
    parts = {name: value for name, value in parts.items() if not np.isnan(value)}
    return Curve(step, tuple(merits), parts | ({} if leaked is None else {"leak": leaked}))
