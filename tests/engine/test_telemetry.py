"""Each optimizer step becomes one line with its exact figures."""

import io
import json
import types
from collections.abc import Callable
from typing import Any

from loraforge.engine.telemetry import _naming, _Writer


class _Optimizer:
    def __init__(self) -> None:
        self.param_groups = [{"lr": 1e-4}]
        self.hook: Callable[..., None] = lambda *_: None

    def register_step_pre_hook(self, hook: Callable[..., None]) -> None:
        self.hook = hook


def test_a_line_for_every_optimizer_step() -> None:
    """Accumulated batches are averaged, the rate is the one the step used, and validation losses are left out."""
    file, added = io.StringIO(), []
    writer = _Writer(file, lambda: {"allocated": 3, "reserved": 4})
    optimizer = _Optimizer()
    assert writer.following(lambda: ("name", "args", optimizer))()[-1] is optimizer
    add = writer.listening(lambda _, **seen: added.append(seen["loss"]))
    training, validation = types.SimpleNamespace(), types.SimpleNamespace()

    def batch(loss: float, recorder: Any = training) -> None:
        add(recorder, epoch=0, step=0, loss=loss)

    batch(1.0)
    optimizer.hook(optimizer)
    optimizer.param_groups[0]["lr"] = 5e-5  # the scheduler steps before the loss is read
    batch(2.0)
    batch(9.0, validation)
    optimizer.hook(optimizer)
    batch(0.25)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [(line["step"], line["loss"], line["learning_rate"]) for line in lines] == [(1, 1.5, 1e-4), (2, 0.25, 5e-5)]
    assert all(line["seconds"] >= 0 and (line["allocated"], line["reserved"]) == (3, 4) for line in lines)
    assert added == [1.0, 2.0, 9.0, 0.25]


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
    file = io.StringIO()
    writer = _Writer(file, dict)
    process = writer.seeing(lambda _trainer, batch, *_: batch["captions"])
    add = writer.listening(lambda _, **__: None)
    recorder = object()
    for steps in ((0, 1), (1,)):
        for index in steps:
            assert process("trainer", get_item(dataset, index), "text encoders") == index
            if index == steps[-1]:
                writer._step_begins(types.SimpleNamespace(param_groups=[{"lr": 1.0}]))
            add(recorder, epoch=0, step=index, loss=0.5)
    assert [json.loads(line)["pictures"] for line in file.getvalue().splitlines()] == [["a", "b", "c"], ["c"]]
