"""A remedy is told as the difference that it makes to a job."""

import pytest

from loraforge.engine.remedy import Remedy, relieved, rungs
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


@pytest.mark.parametrize(("batch", "accumulation", "smaller"), [(2, 1, (1, 2)), (3, 1, (1, 3)), (9, 2, (3, 6))])
def test_a_smaller_batch_sees_as_many_pictures(make_job, batch, accumulation, smaller):
    """What a batch loses, accumulation gains."""
    sizes = (f"dataset.batch_size={batch}", f"training.gradient_accumulation={accumulation}")
    change = next(change for change in rungs(make_job(*sizes)) if "dataset.batch_size" in change)
    assert tuple(change.values()) == smaller


def test_a_batch_that_accumulation_can_not_make_up_for_stays(make_job):
    """Steps of fewer pictures would learn something else."""
    job = make_job("dataset.batch_size=2", "training.gradient_accumulation=200")
    assert not [change for change in rungs(job) if "dataset.batch_size" in change]


def test_the_stand_in_has_neither_8_bits_nor_swapping(make_job):
    """Recomputation and a smaller resolution are left."""
    paths = {path for change in rungs(make_job('engine.kind="embedded"')) for path in change}
    assert paths == {"memory.gradient_checkpointing", "dataset.resolution"}


def test_without_mixed_precision_there_are_no_8_bits(make_job):
    """The engine refuses them."""
    job = make_job("training.precision=no")
    assert {"memory.fp8_base": True} not in list(rungs(job))
    assert Remedy(set={"memory.fp8_base": True}).settings(job) == {}


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
