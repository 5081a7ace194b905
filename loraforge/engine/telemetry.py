"""Exact figures of each step: written inside the engine's process, read by the one that watches it.

The engine prints a running mean with three digits. From its own process the loss, the learning rate, the time and the
memory of every step go into a file, one JSON object a line. Standard library only at module level, as in the shim.
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

    The engine has waited for the GPU by then to read the loss, so nothing is delayed and the time is true. With
    gradient accumulation a step's loss is the mean of its batches. Only the first process of several writes.
    """
    if int(os.environ.get("RANK", "0")) != 0:
        return
    import train_network
    from library import train_util

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = _Writer(path.open("ab", buffering=0), _memory, _stepped)
    train_util.get_optimizer = writer.following(train_util.get_optimizer)
    train_util.LossRecorder.add = writer.listening(train_util.LossRecorder.add)
    train_util.BaseDataset.__getitem__ = _naming(train_util.BaseDataset.__getitem__)
    train_network.NetworkTrainer.process_batch = writer.seeing(train_network.NetworkTrainer.process_batch)


def _naming(get_item: Callable[[Any, int], Any]) -> Callable[[Any, int], Any]:
    """Have a dataset name the pictures of each batch, as the engine itself does while it is debugged."""

    def named(dataset: Any, index: int) -> Any:
        example = get_item(dataset, index)
        where = dataset.buckets_indices[index]
        first = where.batch_index * where.bucket_batch_size
        bucket = dataset.bucket_manager.buckets[where.bucket_index]
        return {**example, _PICTURES: bucket[first : first + where.bucket_batch_size]}

    return named


class _Writer:
    def __init__(self, file: RawIOBase, memory: Callable[[], dict[str, int]], stepped: Callable[[], bool]) -> None:
        self._file, self._memory, self._stepped = file, memory, stepped
        self._recorder: object | None = None
        self._step = 0
        self._rate: float | None = None
        self._losses: list[float] = []
        self._batch: list[str] = []
        self._pictures: list[str] = []
        self._last = time.perf_counter()

    def following(self, get_optimizer: Callable[..., Any]) -> Callable[..., Any]:
        def following(*arguments: Any, **named: Any) -> Any:
            made = get_optimizer(*arguments, **named)
            made[-1].register_step_pre_hook(self._step_begins)
            return made

        return following

    def _step_begins(self, optimizer: Any, *_: Any) -> None:
        self._rate = optimizer.param_groups[0]["lr"]

    def listening(self, add: Callable[..., None]) -> Callable[..., None]:
        def listening(recorder: Any, *, epoch: int, step: int, loss: float) -> None:
            add(recorder, epoch=epoch, step=step, loss=loss)
            self._recorder = self._recorder or recorder  # the training's; those of validation come later
            if recorder is self._recorder:
                self._take(loss)

        return listening

    def seeing(self, process_batch: Callable[..., Any]) -> Callable[..., Any]:
        def seeing(trainer: Any, batch: Any, *arguments: Any, **named: Any) -> Any:
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
            "seconds": now - self._last,
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
