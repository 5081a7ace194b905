"""What is done by itself after a failure, and what never is."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from jobs import WEIGHTS

from loraforge.config.definite import definite
from loraforge.config.job import Job
from loraforge.dataset.staging import Entry
from loraforge.run.ends import End
from loraforge.run.folder import RunFolder
from loraforge.run.heal import MOST, Healer, changed, changes, run_healed
from loraforge.run.plan import build_plan
from loraforge.run.record import Record, read, write
from loraforge.run.settle import Ready

NO_ROOM = End("gpu-memory", "The GPU's memory ran out.", ("CUDA out of memory",), "training", "gpu-memory-training")
TRANSIENT = End("transient", "A loader worker died.", (), "training", "loader-process-died")
JOB = {"dataset": {"batch_size": 2}, "memory": {"gradient_checkpointing": False, "fp8_base": False}}


def plan(folder=Path("/runs/x"), sections=JOB):
    """Return a plan of a job for a large card."""
    job = definite(Job.model_validate(sections), 20, 80.0)
    return build_plan(
        Ready(job, WEIGHTS, full_size=True, home=None, set_=(Entry("abc", Path("/a.png"), "zx"),)), RunFolder(folder)
    )


def climbed(healer, end=NO_ROOM, sections=JOB):
    """Return the changes of run after run that all fail alike."""
    current, seen = plan(sections=sections), []
    while (step := healer.next(current, end)) is not None:
        seen.append(dict(step.change))
        current = step.plan
    return seen


def test_the_ladder_keeps_what_is_learnt():
    """Recomputation, then swap, then smaller batches that are accumulated; never 8 bits or resolution unasked."""
    seen = climbed(Healer(most=99))
    assert seen[0] == {"memory.gradient_checkpointing": True}
    assert [change["memory.blocks_to_swap"] for change in seen[1:-1]] == [8, 16, 22, 28, 32, 35]
    assert seen[-1] == {"dataset.batch_size": 1, "training.gradient_accumulation": 2}


def test_consent_opens_the_other_rungs():
    """8 bits come before swap, resolution comes last, each when it was allowed."""
    seen = [next(iter(change)) for change in climbed(Healer(["fp8", "resolution"], most=99))]
    assert seen[:2] == ["memory.gradient_checkpointing", "memory.fp8_base"]
    assert seen[-2:] == ["dataset.resolution"] * 2


def out_of(room):
    """Return the end of a run that has so many GiB, in torch's words."""
    said = (
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 54.00 MiB. GPU 0 has a total capacity of 79.18 "
        "GiB of which 20.48 MiB is free. Process 1829 has 55.17 GiB memory in use. Including non-PyTorch memory, this "
        f"process has {room - 0.02:.2f} GiB memory in use. Of the allocated memory 23.25 GiB is allocated by PyTorch"
    )
    return replace(NO_ROOM, evidence=(said,))


@pytest.mark.parametrize(
    ("room", "allowed", "change"),
    [
        (24, ["fp8"], {"memory.gradient_checkpointing": True, "memory.fp8_base": True}),
        (24, [], {"memory.gradient_checkpointing": True, "memory.blocks_to_swap": 8}),
        (40, [], {"memory.gradient_checkpointing": True}),
        (2, [], {"memory.gradient_checkpointing": True}),
    ],
)
def test_rungs_that_will_not_fit_are_not_tried(room, allowed, change):
    """Torch says how much there is; changes add up until they fit. Where none does the first is tried all the same."""
    sections = {"memory": JOB["memory"]}
    assert Healer(allowed).next(plan(sections=sections), out_of(room)).change == change


def test_a_toy_is_not_predicted():
    """What FLUX.1 takes says nothing of a tiny model."""
    tiny = plan(sections={"memory": JOB["memory"]})
    tiny = replace(tiny, ready=replace(tiny.ready, full_size=False))
    assert Healer(["fp8"]).next(tiny, out_of(24)).change == {"memory.gradient_checkpointing": True}


def test_it_ends_after_so_many_changes():
    """A run that fits nowhere is given up."""
    assert len(climbed(Healer())) == MOST


def test_a_fault_that_passes_is_tried_once_more():
    """Once, and without a change; a crash that says nothing is not."""
    assert climbed(Healer(), TRANSIENT) == [{}]
    assert climbed(Healer(), End("engine-crash", "?")) == []
    assert climbed(Healer(), replace(NO_ROOM, name="host-memory")) == []


def test_after_a_second_fault_of_the_gpu_nothing_is_compiled():
    """Once more as it was, then sd-scripts as it is, then no more; where nothing was compiled, once."""
    fault = replace(TRANSIENT, code="cuda-fault")
    assert climbed(Healer(), fault) == [{}, {"engine.fast": "off"}]
    assert climbed(Healer(), fault, {"engine": {"fast": "off"}}) == [{}]
    assert climbed(Healer(), replace(fault, name="machine", code="compile-failed")) == [{"engine.fast": "off"}]


@pytest.mark.parametrize(
    ("settings", "allowed", "expected"),
    [
        ({"sampling.width": 512, "sampling.height": 512}, (), [{"sampling.width": 512, "sampling.height": 512}]),
        ({"engine.extra.vae_batch_size": 1, "dataset.resolution": 768}, (), [{"engine.extra.vae_batch_size": 1}]),
        ({"memory.fp8_base": True}, (), []),
        ({"memory.fp8_base": True}, ("fp8",), [{"memory.fp8_base": True}]),
        ({"optimizer.learning_rate": 1e-5}, ("fp8", "resolution"), []),
    ],
)
def test_elsewhere_only_what_helps_there_is_changed(settings, allowed, expected):
    """What runs out while sampling is not helped by swapping blocks, nor by half of a smaller sample."""
    end = End("gpu-memory", "", (), "sampling", "gpu-memory-sampling", settings)
    job = plan(sections={**JOB, "sampling": {"width": 1024, "height": 1024}}).job
    assert list(changes(job, end, allowed)) == expected


def test_contradictions_are_no_way():
    """A change that the settings refuse is skipped."""
    assert changed(Job(), {"memory.blocks_to_swap": -1}) is None
    assert changed(Job(), {"memory.blocks_to_swap": 8}).memory.blocks_to_swap == 8


def test_every_change_is_told_and_recorded(tmp_path):
    """state.json keeps step, reason, and both values of each setting; the new files say the same."""
    first, ends, told, prepared = plan(tmp_path), [NO_ROOM, TRANSIENT, End("done")], [], []

    def run(current, record):
        end = ends.pop(0)
        write(current.folder, record or Record(starts=1))
        ending = SimpleNamespace(last_step=7)
        return SimpleNamespace(status="done" if end.name == "done" else "failed", end=end, ending=ending)

    last, outcome = run_healed(first, run, healer=Healer(), prepare=prepared.append, tell=told.append)
    assert outcome.status == "done"
    assert prepared == [prepared[0], last]
    assert last.job.memory.gradient_checkpointing is True
    assert "gradient_checkpointing = true" in last.files[last.folder.config]
    assert read(last.folder.state).changes == (
        {"step": 7, "because": "gpu-memory", "settings": {"memory.gradient_checkpointing": [False, True]}},
        {"step": 7, "because": "transient", "settings": {}},
    )
    assert "beginning again with memory.gradient_checkpointing = True" in told[0]
    assert "once" in told[1]
    assert json.loads(last.folder.state.read_text())["status"] == "running"


def test_without_a_healer_an_end_is_an_end(tmp_path):
    """--no-heal leaves the first failure as it is."""
    outcome = SimpleNamespace(status="failed", end=NO_ROOM, ending=SimpleNamespace(last_step=7))
    first = plan(tmp_path)
    assert run_healed(first, lambda *_: outcome, healer=None, prepare=print, tell=print) == (first, outcome)
