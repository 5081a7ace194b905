import numpy as np
import pytest

from loraforge.compare.looks import Look
from loraforge.compare.scores import Reference, curve

RNG = np.random.default_rng(5)
BASE = np.zeros(27)
STYLE = np.linspace(0.5, 1.5, 27)


def look_of(style):
    """Make a look with a given hand."""
    return Look(np.asarray(style, float), np.ones(128) / 8, np.ones(256) / 16, np.zeros(4))


SET = [look_of(STYLE + RNG.normal(0, 0.1, 27)) for _ in range(12)]
REFERENCE = Reference(SET, [look_of(BASE)])


def scored(way):
    """Score a picture that went a part of the way from the base's hand to the set's."""
    return REFERENCE.score(look_of(STYLE * way), look_of(BASE))


def test_style_rises_to_the_set_and_falls_beyond():
    """It grows along the way, is whole where the set's own pictures lie, and falls past them."""
    half, there, over, far = (scored(way).style for way in (0.5, 1.0, 1.5, 3.0))
    assert half == pytest.approx(0.5, abs=0.06)
    assert there == pytest.approx(1.0, abs=0.06)
    assert half < over < there
    assert far == 0


def test_drift_never_falls():
    """Where the style falls again the drift goes on, and it sees what leads away from the style too."""
    drifts = [scored(way).drift for way in (0.0, 0.2, 0.5, 1.0, 1.5, 3.0)]
    assert drifts[0] == 0
    assert drifts == sorted(drifts)
    assert drifts[3] == pytest.approx(1.0, abs=0.1)
    assert scored(-1.0).drift == pytest.approx(drifts[3])


def test_the_leak_is_the_drift_without_the_trigger():
    """Of several pictures it is the mean; it is told and moves no merit."""
    called = [scored(0.9), scored(1.0)]
    with_leak = curve(100, called, [scored(0.2), scored(0.4)])
    assert with_leak.parts["leak"] == pytest.approx(0.3, abs=0.03)
    assert with_leak.merit == curve(100, called).merit


def test_without_a_base_there_is_no_drift():
    """Style is judged by distance then, and there is nothing that could have leaked."""
    alone = Reference(SET)
    near, far = alone.score(look_of(STYLE), None), alone.score(look_of(BASE), None)
    assert near.style > far.style
    assert (near.drift, near.retention) == (None, None)
    assert "leak" not in curve(100, [near], [far]).parts
