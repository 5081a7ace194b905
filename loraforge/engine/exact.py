"""Makes sd-scripts go on from a state as if it had never stopped, bit for bit. Runs inside the engine's process.

The engine restores its random numbers first and shuffles the data with them afterwards, so that a resumed run sees
other pictures and other noise. Here what belongs to the state takes effect when the first step begins that is not
skipped; until then the process draws what a fresh run draws. A run that is not resumed computes what plain sd-scripts
computes from the same latents.

It holds while the whole run is one epoch, which is how loraforge renders it.
"""

import contextlib
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LOSSES = "loss_recorder.json"


def adapt() -> None:
    """Wrap the four places where the engine saves, loads, skips and averages."""
    import accelerate
    from library import train_util

    kept = _Kept()
    kind: Any = accelerate.Accelerator
    kind.save_state = _saving(kind.save_state, kept)
    kind.load_state = _loading(kind.load_state, kept)
    kind.skip_first_batches = _skipping(kind.skip_first_batches, kept)
    train_util.resume_from_local_or_hf_if_specified = _resuming(train_util.resume_from_local_or_hf_if_specified, kept)
    train_util.LossRecorder = _recorder(train_util.LossRecorder, kept)


class _Kept:
    """What has to outlive the call that knew it.

    Attributes:
        then: random states of the moment when the state was saved; None in a run that is not resumed.
        accumulation: batches an optimizer step.
        losses: of the steps before the state, for the average that the engine shows.
        state: folder of a state whose last loss is not known yet.
        recorder: the one of the training; the engine makes it first.
    """

    def __init__(self) -> None:
        self.then: _Randomness | None = None
        self.accumulation = 1
        self.losses: list[float] = []
        self.state: Path | None = None
        self.recorder: Any = None


class _Randomness:
    """The states of all generators that training draws from."""

    def __init__(self) -> None:
        import numpy as np
        import torch

        self._python, self._torch = random.getstate(), torch.get_rng_state()
        self._numpy: Any = np.random.get_state()  # noqa: NPY002  # the engine's libraries draw from the old one
        self._cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []

    def restore(self) -> None:
        """Go back to them."""
        import numpy as np
        import torch

        random.setstate(self._python)
        torch.set_rng_state(self._torch)
        np.random.set_state(self._numpy)  # noqa: NPY002  # as above
        if self._cuda:
            torch.cuda.set_rng_state_all(self._cuda)


def _saving(original: Callable[..., Any], kept: _Kept) -> Callable[..., Any]:
    def save_state(accelerator: Any, output_dir: Any = None, *arguments: Any, **named: Any) -> Any:
        saved = original(accelerator, output_dir, *arguments, **named)
        if output_dir is not None and accelerator.is_main_process:
            _sync(Path(output_dir))
            kept.state = Path(output_dir)
        return saved

    return save_state


def _loading(original: Callable[..., Any], kept: _Kept) -> Callable[..., Any]:
    def load_state(accelerator: Any, input_dir: Any = None, *arguments: Any, **named: Any) -> Any:
        now = _Randomness()
        loaded = original(accelerator, input_dir, *arguments, **named)
        kept.then = _Randomness()
        now.restore()
        try:
            kept.losses = [float(loss) for loss in json.loads(Path(input_dir, LOSSES).read_text("utf-8"))]
        except (OSError, ValueError, TypeError):  # a state of plain sd-scripts: the average begins anew
            kept.losses = []
        return loaded

    return load_state


def _resuming(original: Callable[..., None], kept: _Kept) -> Callable[..., None]:
    def resume(accelerator: Any, args: Any) -> None:
        original(accelerator, args)
        if args.resume:
            kept.accumulation = args.gradient_accumulation_steps
            args.gradient_accumulation_steps = _Accumulation(kept.accumulation)

    return resume


class _Accumulation(int):
    """Batches a step, in an engine that counts batches where it means steps once it skips (sd-scripts#2407).

    It multiplies by this number twice: for the size of a whole batch, which is right, and for the step to go on from,
    which has to stay a step. The accumulation itself is the accelerator's.
    """

    asked = False

    def __rmul__(self, other: int) -> int:
        first, self.asked = not self.asked, True
        return other * int(self) if first else other


def _skipping(original: Callable[..., Any], kept: _Kept) -> Callable[..., Any]:
    def skip_first_batches(accelerator: Any, dataloader: Any, num_batches: int = 0) -> Any:
        if kept.then is None:
            return original(accelerator, dataloader, num_batches)
        # Every worker would shuffle its first batch as before the first epoch.
        dataloader.dataset.set_current_epoch(1)
        skipped = original(accelerator, dataloader, (num_batches + 1) * kept.accumulation - 1)
        return _Skipped(skipped, kept.then)

    return skip_first_batches


class _Skipped:
    """The batches after a skip. The engine drops the first, which is the last one before the state was saved."""

    def __init__(self, batches: Any, then: _Randomness) -> None:
        self._batches, self._then = batches, then

    def __iter__(self) -> Iterator[Any]:
        for number, batch in enumerate(self._batches):
            if number == 0:  # the state was saved with this batch in hand and the next one fetched
                self._then.restore()
            yield batch


def _recorder(original: type, kept: _Kept) -> type:
    base: Any = original

    class LossRecorder(base):  # type: ignore[misc]  # known only while the engine runs
        def __init__(self) -> None:
            super().__init__()
            if kept.recorder is None:
                kept.recorder = self
                for step, loss in enumerate(kept.losses):
                    super().add(epoch=0, step=step, loss=loss)

        def add(self, *, epoch: int, step: int, loss: float) -> None:
            super().add(epoch=epoch, step=step, loss=loss)
            if self is kept.recorder and kept.state is not None:  # the engine saves before it adds
                state, kept.state = kept.state, None
                _write(state / LOSSES, json.dumps(self.loss_list))

    return LossRecorder


def _write(path: Path, text: str) -> None:
    scratch = path.with_suffix(".part")
    with contextlib.suppress(OSError):  # an average to show: not worth a run, on a disk that is full
        scratch.write_text(text, "utf-8")
        scratch.replace(path)


def _sync(folder: Path) -> None:
    """Have a state on the disk before the one before it is removed, so that a power cut leaves one of both."""
    for path in (*folder.iterdir(), folder):
        try:
            handle = os.open(path, os.O_RDONLY)
        except OSError:  # a system that opens no folders
            continue
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
