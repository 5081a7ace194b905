import numpy as np
import pytest
from fake_runs import make_run
from PIL import Image

from loraforge.compare import judge as judging
from loraforge.compare.grid import Version, from_training
from loraforge.compare.judge import judge
from loraforge.run.history import read_run


@pytest.fixture
def grid(tmp_path):
    """Gather the samples of a run: three prompts, the base and three steps."""
    return from_training(read_run(make_run(tmp_path / "1").path))


@pytest.fixture
def training(tmp_path):
    """Draw four training pictures."""
    rng = np.random.default_rng(3)
    paths = [tmp_path / f"{index}.png" for index in range(4)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(path)
    return paths


def test_every_picture_but_the_bases_is_scored(grid, training):
    """Nine cells have scores; each step has a curve over the two prompts with the trigger, with its leak."""
    judged = judge(grid, training)
    assert set(judged.scores) == {place for place in grid.cells if place[1].step}
    assert [(one.step, len(one.merit)) for one in judged.curves] == [(100, 2), (200, 2), (300, 2)]
    assert all("leak" in one.parts for one in judged.curves)


def test_steps_are_compared_over_the_same_prompts(grid, training):
    """A picture that can't be read is told, and its prompt counts for no step."""
    broken = grid.cells[0, Version(200)]
    broken.write_bytes(broken.read_bytes()[:30])
    judged = judge(grid, training)
    assert list(judged.faults) == [(0, Version(200))]
    assert {len(one.merit) for one in judged.curves} == {1}


def test_only_a_checkpoint_is_recommended(grid, training, monkeypatch):
    """Samples may be drawn more often than checkpoints are saved: their curves are shown, not chosen from."""
    asked = []
    monkeypatch.setattr(judging, "recommend", lambda curves: asked.append([one.step for one in curves]))
    judged = judge(grid, training, checkpoints=(100, 300))
    assert [one.step for one in judged.curves] == [100, 200, 300]
    assert asked == [[100, 300]]


def test_without_a_training_set_nothing_is_scored(grid, training):
    """Two pictures tell no hand."""
    judged = judge(grid, training[:2])
    assert (judged.scores, judged.curves, judged.advice.step) == ({}, (), None)
    assert "2 of its pictures" in judged.advice.reasons[0]


def test_a_model_judges_style_alone(grid, training, monkeypatch):
    """What a model sees replaces the measurements of the hand; composition and cooking stay measured on pixels."""
    ways = {place: place[1].step / 300 for place in grid.cells}
    by_path = {grid.cells[place]: way for place, way in ways.items()} | dict.fromkeys(training, 1.0)

    def seen(paths, model):
        assert model == "a/model"
        return [[1 - by_path[path], by_path[path], 0.0, 0.0] for path in paths]

    monkeypatch.setattr(judging, "embed", seen)
    plain, judged = judge(grid, training), judge(grid, training, model="a/model")
    style = [one.parts["style"] for one in judged.curves]
    assert style == sorted(style)
    assert style[-1] == pytest.approx(1.0)
    assert [one.parts["cooked"] for one in judged.curves] == [one.parts["cooked"] for one in plain.curves]
