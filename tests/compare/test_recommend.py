import numpy as np
import pytest
from morphs import advise, draw_case

from loraforge.compare.recommend import recommend
from loraforge.compare.scores import Curve


def _curves(means, noise=0.0, prompts=6, seed=0):
    rng = np.random.default_rng(seed)
    own = rng.normal(0, 0.3, prompts)  # prompts differ in level, which must not count
    return [
        Curve(100 * index, tuple(mean + own + rng.normal(0, noise, prompts)), {"style": mean, "cooked": 0.0})
        for index, mean in enumerate(means, 1)
    ]


def test_the_peak_is_found():
    """A clear peak is named, with certainty and reasons."""
    advice = recommend(_curves([0.1, 0.5, 1.0, 0.6, 0.2], noise=0.02))
    assert (advice.step, advice.span, advice.sure) == (300, (300, 300), 1.0)
    assert advice.reasons


def test_of_equals_the_earliest():
    """On a plateau the first is taken: later ones have forgotten more."""
    assert recommend(_curves([0.1, 1.0, 1.0, 1.0])).step == 200


def test_flat_curves_cannot_be_told():
    """Noise is no peak."""
    for seed in range(20):
        assert recommend(_curves([0.5] * 6, noise=0.1, seed=seed)).step is None


def test_a_noisy_peak_has_a_span():
    """Where prompts disagree, the span says so."""
    advice = recommend(_curves([0.0, 0.8, 0.9, 0.85, 0.1], noise=0.2, prompts=8, seed=3))
    assert advice.span is not None
    assert advice.span[0] < advice.span[1]
    assert advice.sure < 0.95


@pytest.mark.parametrize("curves", [[], _curves([0.5]), _curves([0.1, 0.9], prompts=1)])
def test_too_little_to_tell(curves):
    """One checkpoint or one prompt is not enough, and the reason is told."""
    advice = recommend(curves)
    assert advice.step is None
    assert advice.reasons


@pytest.mark.parametrize(("seed", "kind"), [(2000, "normal"), (2001, "unripe"), (2002, "early"), (2003, "flat")])
def test_synthetic_runs_are_ranked_right(seed, kind):
    """A run of each kind; benchmarks/recommend.py does a hundred."""
    case = draw_case(seed, kind)
    advice = advise(case)
    assert advice.step in case.right if case.right else advice.step is None
