"""A remedy is told as the difference that it makes to a job."""

import pytest

from loraforge.engine.remedy import Remedy, relieved
from loraforge.settings import load


@pytest.fixture
def make_job(tmp_path):
    """Return a maker of jobs from assignments over the style preset."""
    return lambda *assignments: load(None, preset="style", assignments=assignments, cwd=tmp_path).job


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"set": {"training.precision": "fp16"}}, {"training.precision": "fp16"}),
        ({"set": {"training.precision": "bf16"}}, {}),
        ({"set": {"training.save_every_steps": "none"}}, {"training.save_every_steps": None}),
        ({"scale": {"optimizer.learning_rate": 0.5}}, {"optimizer.learning_rate": 5e-5}),
        ({"scale": {"network.rank": 2.0}}, {"network.rank": 32}),
        ({"scale": {"training.steps": 2.0}}, {}),
        ({"at_most": {"sampling.width": 512, "training.max_steps": 900}}, {"sampling.width": 512}),
        ({"at_least": {"dataset.resolution": 1280}}, {"dataset.resolution": 1280}),
        ({"set": {"engine.extra.sdpa": "none"}}, {}),
    ],
)
def test_settings(make_job, table, expected):
    """Values are set, scaled and bounded; what the job has already, or leaves open, is left out."""
    assert Remedy.read(table).settings(make_job()) == expected


def test_ladder(make_job):
    """Memory is given up rung by rung: caches, recomputation, 8 bits, batch, swap, and resolution last."""
    taken: list[str] = ["memory.cache_latents=off", "dataset.batch_size=2"]
    rungs = []
    while change := relieved(make_job(*taken)):
        rungs.append(next(iter(change)))
        taken += [f"{path}={str(value).lower()}" for path, value in change.items()]
    assert rungs[:4] == [
        "memory.cache_latents",
        "memory.gradient_checkpointing",
        "memory.fp8_base",
        "dataset.batch_size",
    ]
    assert rungs[4:-2] == ["memory.blocks_to_swap"] * 6
    assert rungs[-2:] == ["dataset.resolution"] * 2
    assert "memory.blocks_to_swap=35" in taken


def test_ladder_frees_text_encoders(make_job):
    """Trained text encoders can't be cached, so that they are fixed with it."""
    change = relieved(make_job("memory.cache_text_encoders=off", "network.train_clip_l=true"))
    assert change == {
        "network.train_clip_l": False,
        "network.train_t5xxl": False,
        "memory.cache_text_encoders": "disk",
    }


def test_ladder_swaps_on_one_gpu_only(make_job):
    """Several processes can't swap blocks, so that the resolution is next."""
    tight = ("memory.gradient_checkpointing=true", "memory.fp8_base=true", "launch.processes=2")
    assert relieved(make_job(*tight)) == {"dataset.resolution": 768}
