"""Each optimizer step becomes one line with its exact figures."""

import io
import json
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loraforge.engine import fast, shapes, shim, telemetry
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


class _Dataset:
    """As the engine's: it names the pictures of a batch while it is debugged."""

    def __init__(self, bucket: list[str], *, debug_dataset: bool = False) -> None:
        self.bucket, self.debug_dataset = bucket, debug_dataset

    def __getitem__(self, index: int) -> dict[str, Any]:
        named = {"image_keys": self.bucket[2 * index : 2 * index + 2]} if self.debug_dataset else {}
        return {"captions": index, **named}


def test_a_step_names_its_pictures() -> None:
    """A dataset tells which pictures a batch holds, in another process too; those of a whole step are named, once."""
    dataset = _Dataset.__new__(_Dataset)
    _naming(_Dataset.__init__)(dataset, ["/staged/a.png", "/staged/b.png", "/staged/c.jpg"])
    dataset = pickle.loads(pickle.dumps(dataset))  # as it reaches a worker  # noqa: S301
    file, last = io.BytesIO(), [False]
    writer = _Writer(file, dict, lambda: last[0])
    process = writer.seeing(lambda _trainer, batch, *_: batch["captions"])
    add = writer.listening(lambda _, **__: None)
    recorder = object()
    for steps in ((0, 1), (1,)):
        for index in steps:
            assert process("trainer", dataset[index], "text encoders") == index
            last[0] = index == steps[-1]
            add(recorder, epoch=0, step=index, loss=0.5)
    assert [json.loads(line)["pictures"] for line in file.getvalue().splitlines()] == [["a", "b", "c"], ["c"]]


def test_the_first_step_begins_with_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading and caching, which come before, are not in its time."""
    clock = iter((100.0, 102.0, 103.5))
    monkeypatch.setattr("loraforge.engine.telemetry.time.perf_counter", lambda: next(clock))
    file = io.BytesIO()
    writer = _Writer(file, dict, lambda: True)
    process, add = writer.seeing(lambda *_: None), writer.listening(lambda _, **__: None)
    for step in range(2):
        process("trainer", {})
        add("recorder", epoch=0, step=step, loss=0.5)
    assert [json.loads(line)["seconds"] for line in file.getvalue().splitlines()] == [2.0, 1.5]


def test_an_unknown_engine_trains_without_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing of it has been changed, and the reason is said in one line."""
    recorder, dataset = (type(name, (), {"add": print, "__init__": print}) for name in ("Recorder", "Dataset"))
    util = types.SimpleNamespace(LossRecorder=recorder, BaseDataset=dataset, get_optimizer=print)
    trainer = types.SimpleNamespace(NetworkTrainer=type("NetworkTrainer", (), {}))
    for name, module in (("library", types.SimpleNamespace(train_util=util)), ("train_network", trainer)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setenv("LORAFORGE_TELEMETRY", str(tmp_path / "steps.ndjson"))
    monkeypatch.setattr("loraforge.engine.shim.ADAPTATIONS", ())
    shim.adapt_engine(shim.Launch({}, shapes), fast, telemetry)
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("loraforge: without exact figures: AttributeError: ")
    assert said.endswith("'process_batch'")
    assert (recorder.add, dataset.__init__, util.get_optimizer) == (print, print, print)
    assert not any(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_a_full_disk_ends_no_training() -> None:
    """Figures are lost, and the next step is tried again."""
    with open("/dev/full", "wb", buffering=0) as file:  # noqa: PTH123
        writer = _Writer(file, dict, lambda: True)
        add = writer.listening(lambda _, **__: None)
        for step in range(3):
            add("recorder", epoch=0, step=step, loss=0.5)
