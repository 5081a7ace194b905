"""A live panel for a terminal."""

import math
import time
from collections.abc import Callable, Sequence

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from loraforge.engine.events import Event, NoData, Phase, PhaseStarted, Problem, Progress, Step
from loraforge.report.state import DOING, RunState, clock_text, pace_text

_BLOCKS = "▁▂▃▄▅▆▇█"
_SPARK_WIDTH = 40
_BEFORE_TRAINING: tuple[Phase, ...] = ("starting", "loading", "caching-latents", "caching-text", "hashing")
_STYLES = {"warning": "yellow", "error": "red", "traceback": "red"}


class LiveView:
    """Draws the phases, the training's bar and figures, and what was saved last.

    Warnings and errors are printed above the panel, where they stay.

    Args:
        console: a terminal.
        clock: seconds, never going back.
        gpu_gib: memory in use on the card in GiB, where it can be read.
        learning_rate: the rate at a step by the schedule, where it is known and the engine does not print it.
    """

    def __init__(
        self,
        console: Console,
        *,
        clock: Callable[[], float] = time.monotonic,
        gpu_gib: Callable[[], float | None] = lambda: None,
        learning_rate: Callable[[int], float | None] = lambda _step: None,
    ) -> None:
        self._clock, self._gpu_gib, self._learning_rate = clock, gpu_gib, learning_rate
        self._state = RunState(since=clock())
        self._began = self._heard = clock()
        self._spinner = Spinner("dots", style="cyan")
        # Drawn from `tick` alone: a thread of Rich's own would draw while the state changes.
        self._live = Live(console=console, auto_refresh=False, get_renderable=self._panel, transient=False)
        self._live.start()

    def handle(self, event: Event) -> None:
        """Take one event; the panel shows it with the next tick."""
        self._state.take(event, self._clock())
        match event:
            case PhaseStarted() | Progress() | Step():
                self._heard = self._clock()
            case Problem(level=level, text=text):
                shown = text.rpartition("\n")[2] if level == "traceback" else text  # whole in the raw log
                self._live.console.print(Text(f"{level}: {shown}", _STYLES[level]))
            case NoData():
                self._live.console.print(Text("error: the engine found no pictures", "red"))
            case _:
                pass

    def tick(self, now: float) -> None:
        """Draw the panel."""
        del now  # the panel reads the clock as it is drawn
        self._live.refresh()

    def close(self) -> None:
        """Draw a last time and give the terminal back."""
        self._live.refresh()
        self._live.stop()

    def _panel(self) -> Panel:
        now = self._clock()
        parts: list[RenderableType] = [self._phases(now), self._heartbeat(now)]
        if self._state.steps:
            parts.append(self._training())
        parts.append(self._figures())
        return Panel(Group(*parts), title="loraforge", subtitle=clock_text(now - self._began), border_style="cyan")

    def _phases(self, now: float) -> Text:
        state, text = self._state, Text()
        for phase in _BEFORE_TRAINING:
            if phase == state.phase:
                text.append(f"● {phase} {clock_text(now - state.since)}  ", "bold cyan")
            elif phase in state.visits:
                text.append(f"✓ {phase} {clock_text(state.visits[phase])}  ", "green")
        return text

    def _heartbeat(self, now: float) -> Spinner:
        state = self._state
        text = f"{DOING[state.phase]}, {clock_text(now - state.since)}"
        if now - self._heard >= 5.0:
            text = "still " + text
        if state.of:
            text += f"  {state.done}/{state.of}"
        self._spinner.update(text=Text(text))
        return self._spinner

    def _training(self) -> Table:
        state = self._state
        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True)
        pace, eta = state.seconds_per_step, state.eta_seconds
        speed = f"{pace_text(pace)}, {clock_text(eta or 0.0)} left" if pace is not None else ""
        bar = ProgressBar(total=state.steps, completed=state.step, complete_style="cyan")
        grid.add_row(f"step {state.step}/{state.steps}", bar, speed)
        return grid

    def _figures(self) -> Table:
        state = self._state
        grid = Table.grid(padding=(0, 2))
        if state.losses:
            loss = state.losses[-1]
            style = "" if math.isfinite(loss) else "bold red"
            spark = Text(sparkline(state.losses, _SPARK_WIDTH), "cyan")
            grid.add_row("average loss", Text.assemble((f"{loss:.4g}", style), "  ", spark))
        rate = self._learning_rate(state.step) if state.learning_rate is None else state.learning_rate
        if rate is not None and state.step:
            grid.add_row("learning rate", f"{rate:.3g}")
        if (gib := self._gpu_gib()) is not None:
            grid.add_row("GPU memory", f"{gib:.1f} GiB")
        if state.checkpoint:
            grid.add_row("last checkpoint", Text(state.checkpoint))
        if state.sample_step is not None:
            grid.add_row("last samples", f"at step {state.sample_step}")
        return grid


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw values as at most `width` blocks, each the mean of its share; those that are not finite are left out.

    The height is relative: the lowest block is the least of the means, the highest the greatest.
    """
    finite = [value for value in values if math.isfinite(value)]
    count = min(width, len(finite))
    means = []
    for index in range(count):
        share = finite[index * len(finite) // count : (index + 1) * len(finite) // count]
        means.append(sum(share) / len(share))
    low, high = min(means, default=0.0), max(means, default=0.0)
    span = high - low
    return "".join(_BLOCKS[round((mean - low) / span * 7) if span else 0] for mean in means)
