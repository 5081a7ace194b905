"""What fast_rows.py sees of a training's steps."""

import time
from pathlib import Path
from typing import Any

WARM = 3  # steps at a row's begin that do not count


class Steps:
    """Takes the time and the loss as the engine records it, right after it has waited for the GPU.

    Args:
        profile: file for what the card and Python do in two steps, which then take longer; None for none.
    """

    def __init__(self, profile: Path | None = None) -> None:
        self.seconds: list[float] = []
        self.losses: list[float] = []
        self._profile, self._profiler = profile, None
        self._last = time.perf_counter()

    def watch(self, recorder: Any) -> None:
        """Take them from the class of the engine that records losses."""
        add = recorder.add

        def watching(recorder: Any, *, epoch: int, step: int, loss: float) -> None:
            now = time.perf_counter()
            self.seconds.append(now - self._last)
            self.losses.append(loss)
            add(recorder, epoch=epoch, step=step, loss=loss)
            if self._profile is not None:
                self._look(self._profile)
            self._last = time.perf_counter()

        recorder.add = watching

    def _look(self, file: Path) -> None:
        """Begin to profile before two steps in the middle, and write what was seen after them."""
        from torch import profiler

        if len(self.seconds) == WARM + 1:
            self._profiler = profiler.profile()
            self._profiler.start()
        elif len(self.seconds) == WARM + 3 and self._profiler is not None:
            self._profiler.stop()
            found = self._profiler.key_averages()
            orders = ("self_cpu_time_total", "self_device_time_total")
            text = "\n".join(found.table(sort_by=order, row_limit=30, max_name_column_width=70) for order in orders)
            file.write_text(text, encoding="utf-8")
