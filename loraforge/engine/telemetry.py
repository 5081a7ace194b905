"""Exact figures of each step: written inside the engine's process, read by the one that watches it.

The engine prints a running mean with three digits. From its own process the loss, the learning rate, the time of every
step and the peak of memory so far go into a file, one JSON object a line. Standard library only at module level, as in
the shim.
"""

import contextlib
import json
import os
import time
from collections.abc import Callable
from io import RawIOBase
from pathlib import Path
from typing import Any

_PICTURES = "image_keys"  # the engine's word


def record_steps(path: Path) -> None:
    """Write a line to a file whenever the engine has recorded the loss of an optimizer step.

    The engine has waited for the GPU by then to read the loss, so nothing is delayed and the time is true: since the
    step before, or since the first batch. With gradient accumulation a step's loss is the mean of its batches. Only the
    first process of several writes.

    Raises:
        AttributeError, ImportError: this engine records, loads or trains elsewhere; nothing has been changed.
        OSError: the file can't be written.
    """
    if int(os.environ.get("RANK", "0")) != 0:
        return
    import train_network
    from library import train_util

    recorder, dataset, trainer = train_util.LossRecorder, train_util.BaseDataset, train_network.NetworkTrainer
    get_optimizer, add, process_batch = train_util.get_optimizer, recorder.add, trainer.process_batch
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = _Writer(path.open("ab", buffering=0), _memory, _stepped)
    train_util.get_optimizer = writer.following(get_optimizer)
    recorder.add = writer.listening(add)
    trainer.process_batch = writer.seeing(process_batch)
    dataset.__init__ = _naming(dataset.__init__)


def _naming(begin: Callable[..., None]) -> Callable[..., None]:
    """Have a dataset name the pictures of each batch, as the engine lets it do while it is debugged.

    The dataset itself knows it, and takes it along into data workers, however these are started.
    """

    def begin_named(dataset: Any, *arguments: Any, **named: Any) -> None:
        begin(dataset, *arguments, **named)
        dataset.debug_dataset = True

    return begin_named


class _Writer:
    def __init__(self, file: RawIOBase, memory: Callable[[], dict[str, int]], stepped: Callable[[], bool]) -> None:
        self._file, self._memory, self._stepped = file, memory, stepped
        self._recorder: object | None = None
        self._step = 0
        self._rate: float | None = None
        self._losses: list[float] = []
        self._batch: list[str] = []
        self._pictures: list[str] = []
        self._last: float | None = None

    def following(self, get_optimizer: Callable[..., Any]) -> Callable[..., Any]:
        def following(*arguments: Any, **named: Any) -> Any:
            made = get_optimizer(*arguments, **named)
            with contextlib.suppress(AttributeError):  # not one of torch's: its rate stays unknown
                made[-1].register_step_pre_hook(self._step_begins)
            return made

        return following

    def _step_begins(self, optimizer: Any, *_: Any) -> None:
        self._rate = optimizer.param_groups[0]["lr"]

    def listening(self, add: Callable[..., None]) -> Callable[..., None]:
        def listening(recorder: Any, **seen: Any) -> None:
            add(recorder, **seen)
            self._recorder = self._recorder or recorder  # the training's; those of validation come later
            if recorder is self._recorder:
                self._take(seen["loss"])

        return listening

    def seeing(self, process_batch: Callable[..., Any]) -> Callable[..., Any]:
        def seeing(trainer: Any, batch: Any, *arguments: Any, **named: Any) -> Any:
            self._last = self._last or time.perf_counter()
            self._batch = [Path(key).stem for key in batch.get(_PICTURES, ())]
            return process_batch(trainer, batch, *arguments, **named)

        return seeing

    def _take(self, loss: float) -> None:
        self._losses.append(loss)
        self._pictures += self._batch
        if not self._stepped():
            return
        self._step += 1
        now = time.perf_counter()
        seen = {
            "step": self._step,
            "loss": sum(self._losses) / len(self._losses),
            "learning_rate": None if self._rate is None else float(self._rate),
            "seconds": now - (self._last or now),
            "pictures": self._pictures,
            **self._memory(),
        }
        self._last, self._losses, self._pictures = now, [], []
        with contextlib.suppress(OSError):  # figures alone: a full disk is the engine's to meet when it saves
            self._file.write(f"{json.dumps(seen)}\n".encode())


def _stepped() -> bool:
    """Tell whether the batch in hand completes a step, as the engine counts them.

    In fp16 the optimizer is not called after an overflow, and the engine counts the step all the same.
    """
    from accelerate.state import GradientState

    return bool(GradientState().sync_gradients)


def _memory() -> dict[str, int]:
    import torch

    if not torch.cuda.is_available():
        return {}
    return {"allocated": torch.cuda.max_memory_allocated(), "reserved": torch.cuda.max_memory_reserved()}
