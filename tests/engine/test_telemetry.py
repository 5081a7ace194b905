"""Each optimizer step becomes one line with its exact figures."""

import io
import json
import types
from collections.abc import Callable
from typing import Any

from loraforge.engine.telemetry import _Writer


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
