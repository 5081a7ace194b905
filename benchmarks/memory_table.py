"""Predictions beside the record of benchmarks/memory.py, as the tables of memory.md and of the README."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loraforge.advice.cards import card_named
from loraforge.advice.duration import seconds_per_step
from loraforge.advice.facts import DatasetFacts, WeightFacts
from loraforge.advice.fitting import decided
from loraforge.advice.forecast import forecast
from loraforge.advice.memory import Peak, Phase, predict_memory
from loraforge.config.job import Job
from loraforge.report.fit_table import forecasts
from loraforge.settings import load

sys.path.insert(0, str(Path(__file__).parent))
from memory_configurations import Configuration  # beside this script

HERE = Path(__file__).parent
RECORD = HERE / "memory.jsonl"
RUNS = HERE / "engine_runs.jsonl"
_BEGIN, _END = "<!-- tables: python benchmarks/memory.py --table -->", "<!-- end of tables -->"
_README_BEGIN = "<!-- tables: python benchmarks/memory.py --table, from here -->"
SIDE = 1024
_MEASURED_CARD = "H100 80GB HBM3"
_PHASES: dict[str, Phase] = {
    "train": "training", "sample": "sampling", "latents": "latent-caching", "text": "text-caching",
}  # fmt: skip


@dataclass(frozen=True)
class Compared:
    """One configuration, measured and predicted.

    Attributes:
        configuration: what was run.
        measured: its peak.
        predicted: likewise.
        seconds: a step as measured and as predicted; None for other phases.
    """

    configuration: Configuration
    measured: Peak
    predicted: Peak
    seconds: tuple[float, float] | None

    @property
    def allocated_error(self) -> float:
        """How far the prediction is off, as a share."""
        return self.predicted.allocated_gib / self.measured.allocated_gib - 1

    @property
    def reserved_error(self) -> float:
        """Likewise."""
        return self.predicted.reserved_gib / self.measured.reserved_gib - 1

    @property
    def time_error(self) -> float | None:
        """Likewise; None where no step was timed."""
        return self.seconds[1] / self.seconds[0] - 1 if self.seconds else None


def job_of(configuration: Configuration) -> Job:
    """Return the settings that a configuration stands for."""
    return Job.model_validate(
        {
            "dataset": {"batch_size": configuration.batch},
            "network": {
                "rank": configuration.rank,
                "targets": configuration.targets,
                "train_clip_l": configuration.train_clip_l,
            },
            "optimizer": {"name": configuration.optimizer},
            "training": {"t5_tokens": configuration.tokens},
            "memory": {
                "gradient_checkpointing": configuration.checkpointing,
                "fp8_base": configuration.fp8,
                "blocks_to_swap": configuration.swap or None,
                "cache_latents": "disk" if configuration.latents_cached else "off",
                "cache_text_encoders": "disk" if configuration.text_cached else "off",
            },
            "sampling": {"prompts": ["p"], "width": configuration.width or 64, "height": configuration.height or 64},
        }
    )


def compared(record: Path = RECORD) -> tuple[list[dict[str, Any]], list[Compared]]:
    """Return the machines of a record, and every configuration that was measured, as it was last."""
    entries = [json.loads(line) for line in record.read_text("utf-8").splitlines()]
    machines = [entry for entry in entries if "card" in entry]
    newest = {json.dumps(entry["configuration"]): entry for entry in entries if "reserved_gib" in entry}
    return machines, [_compared(entry, machines[0]["card"]) for entry in newest.values()]


def _compared(entry: dict[str, Any], name: str) -> Compared:
    configuration = Configuration(**entry["configuration"])
    job, size = job_of(configuration), (configuration.width, configuration.height)
    predicted = predict_memory(job, size, t5_fp8=configuration.fp8).phases[_PHASES[configuration.phase]]
    seconds = None
    card = card_named(name)
    if configuration.phase == "train" and card is not None:
        last = entry["seconds"][-2:]  # the two steps on the largest bucket, once all is warm
        seconds = sum(last) / len(last), seconds_per_step(job, size, card, launch=1.0)
    measured = Peak(entry["allocated_gib"], entry["reserved_gib"])
    return Compared(configuration, measured, predicted, seconds)


@dataclass(frozen=True)
class EngineRun:
    """The step of a run of the engine itself, with its whole loop.

    Attributes:
        name: of the configuration.
        side: of the pictures in pixels.
        source: where it was measured.
        seconds: a step.
        predicted: likewise.
    """

    name: str
    side: int
    source: str
    seconds: float
    predicted: float

    @property
    def error(self) -> float:
        """How far the prediction is off, as a share."""
        return self.predicted / self.seconds - 1


def engine_runs(record: Path = RUNS) -> list[EngineRun]:
    """Return the runs of a record with their predictions."""
    card = card_named(_MEASURED_CARD)
    assert card is not None
    runs = []
    for line in record.read_text("utf-8").splitlines():
        entry = json.loads(line)
        network = {"train_clip_l": entry.get("train_clip_l", False)}
        job = Job.model_validate({"memory": entry["memory"], "network": network})
        predicted = seconds_per_step(job, (entry["side"], entry["side"]), card, entry["parts"])
        runs.append(EngineRun(entry["name"], entry["side"], entry["source"], entry["seconds"], predicted))
    return runs


def tables() -> list[tuple[Path, str, str]]:
    """Return the files that hold tables, each with the mark above its tables and their text."""
    machines, rows = compared()
    return [
        (HERE / "memory.md", _BEGIN, "".join(_lines(machines, rows))),
        (HERE.parent / "README.md", _README_BEGIN, "".join([*_cards(), *_tiers(rows)])),
    ]


def write_table() -> None:
    """Renew the tables between the marks."""
    for target, mark, text in tables():
        before, _, rest = target.read_text("utf-8").partition(mark)
        _, _, after = rest.partition(_END)
        target.write_text(f"{before}{mark}\n{text}{_END}{after}", encoding="utf-8")


def _cards() -> Iterator[str]:
    """Yield what the style preset takes on each size of card, with twenty pictures and T5 in 8 bits."""
    job = load(None, preset="style", cwd=HERE).job
    seen = forecast(decided(job, 20, 80), DatasetFacts(20), None, 80, WeightFacts(t5_fp8=True))
    yield "\n| card | `auto` takes | peak, predicted | s a step, predicted | whole run |\n|---|---|---|---|---|\n"
    for card in forecasts(job, seen):
        memory, duration = card.job.memory, card.duration
        taken = ["checkpointing"] if memory.gradient_checkpointing else ["all in bf16, nothing recomputed"]
        taken += ["8 bits"] if memory.fp8_base else []
        taken += [f"{memory.blocks_to_swap} blocks swapped"] if memory.blocks_to_swap else []
        taken += [f"samples of {card.job.sampling.width}"] if card.job.sampling.width < SIDE else []
        kind = "" if duration.measured else f" ({card.card.name}, estimate)"
        yield f"| {card.vram_gib:.0f} GB | {', '.join(taken)} | {card.memory.peak.reserved_gib:.1f} GiB "
        yield f"| {duration.seconds_per_step:.1f}{kind} | {duration.total_seconds / 60:.0f} min |\n"


def _tiers(rows: list[Compared]) -> Iterator[str]:
    """Yield, for the configurations that were also run fast, what was measured and how far predictions are off."""
    runs = {run.name: run for run in engine_runs() if run.side == SIDE and run.source == "fast.md"}
    yield "\n| on an H100, at 1024 | GiB reserved | plain s a step | fast s a step |\n|---|---|---|---|\n"
    for row in rows[:4]:
        setting = row.configuration
        name = ", ".join(
            filter(
                None,
                [
                    "checkpointing" if setting.checkpointing else "no checkpointing",
                    "fp8" if setting.fp8 else "bf16",
                    f"{setting.swap} swapped" if setting.swap else "",
                ],
            )
        )
        peak = f"{row.measured.reserved_gib:.2f} ({row.reserved_error:+.1%})"
        times = [f"{runs[key].seconds:.2f} ({runs[key].error:+.0%})" for key in (name, f"{name}, fast")]
        yield f"| {name} | {peak} | {' | '.join(times)} |\n"
    yield "\n"


def _lines(machines: list[dict[str, Any]], rows: list[Compared]) -> Iterator[str]:
    for machine in machines:
        yield f"\n{machine['card']}, {machine['vram_gib']} GiB, torch {machine['torch']}, "
        yield f"{machine['processors']} cores; "
        yield f"{machine['tflops']} TFLOP/s in a bf16 matrix product, {machine['gb_per_s']} GB/s in a copy; "
        yield f"{machine['date']}.\n"
    yield "\n"
    yield _worst("used to calibrate", [row for row in rows if row.configuration.calibrates])
    yield _worst("only predicted", [row for row in rows if not row.configuration.calibrates])
    times = sorted(abs(row.time_error) for row in rows if row.time_error is not None)
    within = sum(error <= 0.15 for error in times)
    yield f"- time: {within} of {len(times)} steps within 15 %, the worst {times[-1]:.1%} off, "
    yield f"the median {times[len(times) // 2]:.1%}\n\n"
    yield "| configuration | fit | allocated GiB, predicted | off | reserved GiB, predicted | off "
    yield "| s/it, predicted | off |\n"
    yield "|---|---|---|---|---|---|---|---|\n"
    yield from map(_row, rows)
    yield "\nA step in runs of the engine itself:\n\n"
    yield "| configuration, batch 1, rank 16, adafactor | s/it, predicted | off | from |\n|---|---|---|---|\n"
    for run in engine_runs():
        yield f"| {run.side}, {run.name} | {run.seconds:.2f}, {run.predicted:.2f} | {run.error:+.0%} | {run.source} |\n"
    yield "\n"


def _worst(name: str, rows: list[Compared]) -> str:
    allocated = max(abs(row.allocated_error) for row in rows)
    reserved = max(abs(row.reserved_error) for row in rows)
    return f"- {name}: {len(rows)} configurations, worst error {reserved:.1%} reserved, {allocated:.1%} allocated\n"


def _row(row: Compared) -> str:
    measured, predicted = row.measured, row.predicted
    cells = (
        _name(row.configuration),
        "x" if row.configuration.calibrates else "",
        f"{measured.allocated_gib:.2f}, {predicted.allocated_gib:.2f}",
        f"{row.allocated_error:+.1%}",
        f"{measured.reserved_gib:.2f}, {predicted.reserved_gib:.2f}",
        f"{row.reserved_error:+.1%}",
        f"{row.seconds[0]:.2f}, {row.seconds[1]:.2f}" if row.seconds else "",
        f"{row.time_error:+.0%}" if row.seconds else "",
    )
    return f"| {' | '.join(cells)} |\n"


def _name(configuration: Configuration) -> str:
    named = configuration
    size = f"{named.width}" if named.width == named.height else f"{named.width}x{named.height}"
    if named.phase == "text":
        return f"captions, batch {named.batch}, {named.tokens} tokens{', fp8 T5' * named.fp8}"
    if named.phase == "latents":
        return f"pictures, {size}"
    parts = [
        "sample" if named.phase == "sample" else "train", size, f"b{named.batch}", f"r{named.rank}", named.optimizer,
        "fp8" if named.fp8 else "bf16", "" if named.checkpointing else "no checkpointing",
        f"swap {named.swap}" if named.swap else "", named.targets if named.targets != "all" else "",
        "" if named.latents_cached else "no latent cache", "" if named.text_cached else "no text cache",
        "CLIP-L trained" if named.train_clip_l else "",
    ]  # fmt: skip
    return " ".join(filter(None, parts))
