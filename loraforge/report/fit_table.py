"""`check --table`: what a job takes on each size of card, as one table."""

import io
from collections.abc import Iterator
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from loraforge.advice.cards import TABLE
from loraforge.advice.fitting import decided, fits
from loraforge.advice.forecast import Forecast
from loraforge.config.job import Job

_NUMBERS = {"swapped", "peak GiB", "s a step", "whole run"}
_COLUMNS = (
    "card", "fits", "checkpointing", "fp8", "swapped", "peak GiB", "decided by", "s a step", "whole run", "speed",
)  # fmt: skip


def forecasts(job: Job, seen: Forecast) -> Iterator[Forecast]:
    """Yield the forecast for each of 8, 10, 12, 16, 24, 32, 48 and 80 GB, with the settings `auto` takes there.

    Args:
        job: validated settings; those of the memory section that are left open are decided for each card.
        seen: the forecast for this machine: it knows pictures and weight files.
    """
    open_job = job.model_copy(update={"memory": job.memory.model_copy(update={"profile": "auto"})})
    for card in TABLE:
        settled = decided(open_job, seen.pictures, card.vram_gib)
        yield replace(seen, job=settled, card=card, vram_gib=card.vram_gib)


def fit_table(job: Job, seen: Forecast) -> Table:
    """Return the table that `check --table` prints; its arguments are those of `forecasts`."""
    width, height = seen.size
    title = f"up to {width} x {height}, batch {job.dataset.batch_size}, rank {job.network.rank}, {job.optimizer.name}"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=True)
    for forecast in forecasts(job, seen):
        table.add_row(*_cells(forecast))
    return table


def as_text(table: Table) -> str:
    """Return a table as lines of text, as wide as it needs to be."""
    console = Console(width=200, no_color=True, file=io.StringIO())
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def _cells(forecast: Forecast) -> Iterator[str]:
    memory, duration, settings = forecast.memory, forecast.duration, forecast.job.memory
    room, fit = forecast.card.vram_gib, "yes"
    if not fits(memory, room):  # a smaller T5 file may make it: its size is no setting
        smaller = replace(forecast, weights=replace(forecast.weights, t5_fp8=True)).memory
        memory, fit = (smaller, "with fp8 T5") if fits(smaller, room) else (memory, "no")
    yield f"{room:.0f} GB"
    yield fit
    yield "on" if settings.gradient_checkpointing else "off"
    yield "on" if settings.fp8_base else "off"
    yield str(settings.blocks_to_swap or "")
    yield f"{memory.peak.reserved_gib:.1f}"
    yield memory.phase
    yield f"{duration.seconds_per_step:.1f}"
    yield f"{duration.total_seconds / 60:.0f} min"
    yield f"{'measured' if duration.measured else 'estimate'}, {forecast.card.name}"
