"""`check --measure`: three steps, with less and less."""

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from bench import Bench
from jobs import WEIGHTS
from PIL import Image

from loraforge.config.definite import definite
from loraforge.config.job import Job
from loraforge.dataset.staging import Entry
from loraforge.engine.gauge import VARIABLE
from loraforge.engine.locate import EngineHome
from loraforge.engine.shim import FAST_VARIABLE
from loraforge.errors import Interrupted, MachineError, TrainingError
from loraforge.run.measure import largest, measure
from loraforge.run.settle import Ready, settle


def ready(folder, sizes=((64, 64),), **sections):
    """Return a settled job over drawn pictures."""
    set_ = []
    for index, size in enumerate(sizes):
        path = folder / f"{index}.png"
        Image.new("RGB", size).save(path)
        set_.append(Entry(f"{index}", path, "a"))
    home = EngineHome(Path("/opt/sd-scripts"), None, "test")
    return Ready(definite(Job.model_validate(sections), len(set_), 80.0), WEIGHTS, True, home, tuple(set_))  # noqa: FBT003


def engine(needs, *, end="gpu-memory", plans=None):
    """Return an engine that runs a plan if its job satisfies `needs`, and else ends with `end`."""

    def run(plan, _environ):
        if plans is not None:
            plans.append(plan)
        if needs(plan.job):
            lines = [{"at": 10.0 * step, "allocated_gib": 5.0 + step, "reserved_gib": 8.0} for step in (1, 2, 3)]
            Path(plan.env[VARIABLE]).write_text("".join(json.dumps(line) + "\n" for line in lines))
        return SimpleNamespace(end=SimpleNamespace(name=end), cause="it broke")

    return run


def test_three_steps_are_read_back(tmp_path):
    """The last step's time, the highest peaks, and no change where none was needed."""
    plans, told = [], []
    took = measure(ready(tmp_path), tell=told.append, run=engine(lambda _: True, plans=plans))
    assert (took.seconds_per_step, took.allocated_gib, took.reserved_gib, took.change) == (10.0, 8.0, 8.0, {})
    (plan,) = plans
    assert (plan.job.training.steps, plan.job.sampling.prompts, plan.job.training.save_states) == (3, [], False)
    assert [Path(part).name for part in plan.argv[-4:-2]] == ["gauge.py", "shim.py"]
    assert plan.env[FAST_VARIABLE] == "hash,encoders,segments,norms,adafactor,compile", (
        "what pays for the whole run, not for three steps"
    )
    assert not plan.folder.path.exists()
    assert told == ["3 steps"]


def test_out_of_memory_walks_down_the_ladder(tmp_path):
    """Recomputing, 8 bits, swapping more and more, the batch, the resolution last."""
    plans = []
    sections = {"memory": {"profile": "80gb"}, "dataset": {"batch_size": 2}}
    took = measure(
        ready(tmp_path, **sections),
        tell=lambda _: None,
        run=engine(lambda job: job.dataset.resolution == 768, plans=plans),
    )
    tried = [
        (
            plan.job.memory.gradient_checkpointing,
            plan.job.memory.fp8_base,
            plan.job.memory.blocks_to_swap,
            plan.job.dataset.batch_size,
            plan.job.dataset.resolution,
        )
        for plan in plans
    ]
    assert tried[:3] == [(False, False, None, 2, 1024), (True, False, None, 2, 1024), (True, True, None, 2, 1024)]
    assert [row[2] for row in tried[3:9]] == [8, 16, 22, 28, 32, 35]
    assert tried[9:] == [(True, True, 35, 1, 1024), (True, True, 35, 1, 768)]
    assert took.change["dataset.resolution"] == 768
    assert took.job.memory.blocks_to_swap == 35


def test_the_ladder_has_an_end(tmp_path):
    """Where even the smallest does not fit the card is too small."""
    with pytest.raises(MachineError, match="do not fit"):
        measure(ready(tmp_path), tell=lambda _: None, run=engine(lambda _: False))


def test_another_fault_is_told_and_not_walked_down(tmp_path):
    """Only memory is a reason to ask for less."""
    plans = []
    with pytest.raises(TrainingError, match="it broke"):
        measure(ready(tmp_path), tell=lambda _: None, run=engine(lambda _: False, end="engine-error", plans=plans))
    assert len(plans) == 1


def test_the_largest_bucket_is_taken(tmp_path):
    """Its picture stands for all; broken ones are passed over."""
    job = ready(tmp_path, [(64, 64), (600, 900), (300, 300)])
    (tmp_path / "bad.png").write_bytes(b"no picture")
    assert largest(replace(job, set_=(Entry("bad", tmp_path / "bad.png", ""), *job.set_))).stem == "1"


def test_an_interruption_is_no_fault(tmp_path):
    """Ctrl-C while measuring ends as everywhere else."""
    with pytest.raises(Interrupted):
        measure(ready(tmp_path), tell=lambda _: None, run=engine(lambda _: False, end="interrupted"))


@pytest.mark.engine
def test_the_real_engine_is_measured(tmp_path, engine_home):
    """Three steps of sd-scripts on tiny weights, on the processor."""
    bench = Bench(tmp_path)
    paths = {name: str(getattr(bench.weights, name)) for name in ("transformer", "clip_l", "t5xxl", "autoencoder")}
    job = Job.model_validate(
        {
            "model": {**paths, "tokenizers": str(bench.weights.tokenizers)},
            "dataset": {"images": str(tmp_path / "art"), "resolution": 128, "buckets": {"min": 64, "max": 256}},
            "launch": {"device": "cpu"},
            "engine": {"path": str(engine_home.path)},
            "training": {"t5_tokens": 48},
        }
    )
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    took = measure(settle(job, vram_gib=None, environ=environ), tell=lambda _: None, environ=environ)
    assert took.seconds_per_step > 0
    assert took.reserved_gib is None
