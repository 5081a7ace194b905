"""`loraforge train`."""

import os
from datetime import datetime
from pathlib import Path

import typer

from loraforge.cli.common import human, load_settings, result
from loraforge.cli.start import carry_out
from loraforge.errors import ConfigError
from loraforge.machine.gpu import gpus
from loraforge.run.folder import new_folder
from loraforge.run.plan import RunPlan, build_plan, command_line
from loraforge.run.settle import settle


def train(
    target: Path | None = typer.Argument(
        None, metavar="FORGE.TOML", help="Settings, or a run folder to repeat; by default ./forge.toml."
    ),
    preset: str | None = typer.Option(None, help="What to start from; `style` where nothing else says."),
    images: Path | None = typer.Option(None, help="Folder of pictures and .txt captions."),
    trigger: str | None = typer.Option(None, help="The word that will call the style."),
    assignments: list[str] = typer.Option([], "--set", metavar="A.B=C", help="One setting; may be repeated."),
    engine: Path | None = typer.Option(None, help="Folder of sd-scripts."),
    resume: bool = typer.Option(False, "--resume", help="Go on with the newest run from its last state."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Settle everything, print the command, start nothing."),
    json: bool = typer.Option(False, "--json", help="One JSON object a line on stdout."),
) -> int:
    """Train a LoRA: settings and pictures in, proven .safetensors out."""
    settings = load_settings(
        target, preset=preset, images=images, trigger=trigger, assignments=assignments, engine=engine
    )
    ready = settle(settings.job, vram_gib=vram_gib(), environ=os.environ)
    if resume:
        raise ConfigError("--resume is not there yet", "start the run again; staged pictures and caches are reused")
    folder = new_folder(settings.job.output.dir, settings.job.output.name, datetime.now().astimezone())
    plan = build_plan(ready, folder)
    if dry_run:
        result(command_line(plan))
        return 0
    if not json:
        human().print(_opening(plan), markup=False)
    carry_out(plan, json=json)
    return 0


def vram_gib() -> float | None:
    """Return the memory of the first card, None where there is none."""
    return next((gpu.total_gib for gpu in gpus()), None)


def _opening(plan: RunPlan) -> str:
    job = plan.job
    return (
        f"{job.output.name}: {len(plan.ready.set_)} pictures, {plan.steps} steps, rank {job.network.rank}, "
        f"{job.optimizer.learning_rate:g}, memory profile {job.memory.profile}, engine {job.engine.kind}\n"
        f"run folder: {plan.folder.path}"
    )
