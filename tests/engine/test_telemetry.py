"""Each optimizer step becomes one line with its exact figures."""

import io
import json
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loraforge.engine.telemetry import _naming, _Writer


class _Optimizer:
    def __init__(self) -> None:
        self.param_groups = [{"lr": 1e-4}]
        self.hook: Callable[..., None] = lambda *_: None

    def register_step_pre_hook(self, hook: Callable[..., None]) -> None:
        self.hook = hook


def test_a_line_for_every_optimizer_step() -> None:
    """Accumulated batches are averaged, the rate is the one the step used, and validation losses are left out."""
    file, added, last = io.BytesIO(), [], [False]
    writer = _Writer(file, lambda: {"allocated": 3, "reserved": 4}, lambda: last[0])
    optimizer = _Optimizer()
    assert writer.following(lambda: ("name", "args", optimizer))()[-1] is optimizer
    add = writer.listening(lambda _, **seen: added.append(seen["loss"]))
    training, validation = types.SimpleNamespace(), types.SimpleNamespace()

    def batch(loss: float, recorder: Any = training, *, completes: bool = True) -> None:
        last[0] = completes
        add(recorder, epoch=0, step=0, loss=loss)

    batch(1.0, completes=False)
    optimizer.hook(optimizer)
    optimizer.param_groups[0]["lr"] = 5e-5  # the scheduler steps before the loss is read
    batch(2.0)
    batch(9.0, validation)
    optimizer.hook(optimizer)
    batch(0.25)
    batch(0.5)  # fp16 has overflown: the engine counts a step that the optimizer does not see
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [(line["step"], line["loss"], line["learning_rate"]) for line in lines] == [
        (1, 1.5, 1e-4),
        (2, 0.25, 5e-5),
        (3, 0.5, 5e-5),
    ]
    assert all(line["seconds"] >= 0 and (line["allocated"], line["reserved"]) == (3, 4) for line in lines)
    assert added == [1.0, 2.0, 9.0, 0.25, 0.5]


def test_a_step_names_its_pictures() -> None:
    """A dataset tells which pictures a batch holds; those of all batches of a step are named, once."""
    bucket = ["/staged/a.png", "/staged/b.png", "/staged/c.jpg"]
    dataset = types.SimpleNamespace(
        buckets_indices=[
            types.SimpleNamespace(bucket_index=0, bucket_batch_size=2, batch_index=number) for number in (0, 1)
        ],
        bucket_manager=types.SimpleNamespace(buckets=[bucket]),
    )
    get_item = _naming(lambda _, index: {"captions": index})
    file, last = io.BytesIO(), [False]
    writer = _Writer(file, dict, lambda: last[0])
    process = writer.seeing(lambda _trainer, batch, *_: batch["captions"])
    add = writer.listening(lambda _, **__: None)
    recorder = object()
    for steps in ((0, 1), (1,)):
        for index in steps:
            assert process("trainer", get_item(dataset, index), "text encoders") == index
            last[0] = index == steps[-1]
            add(recorder, epoch=0, step=index, loss=0.5)
    assert [json.loads(line)["pictures"] for line in file.getvalue().splitlines()] == [["a", "b", "c"], ["c"]]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_a_full_disk_ends_no_training() -> None:
    """Figures are lost, and the next step is tried again."""
    with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
        writer = _Writer(file, dict, lambda: True)
        add = writer.listening(lambda _, **__: None)
        for step in range(3):
            add("recorder", epoch=0, step=step, loss=0.5)
