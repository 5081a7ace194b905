"""`loraforge train`."""

import os
from datetime import datetime
from pathlib import Path

import typer

from loraforge.advice.fitting import decided
from loraforge.cli.common import JOB_FILE, human, load_settings, result, say_findings
from loraforge.cli.start import carry_out
from loraforge.engine.locate import engine_findings
from loraforge.errors import ConfigError
from loraforge.machine.gpu import gpus
from loraforge.run.folder import RunFolder, latest, new_folder
from loraforge.run.plan import RunPlan, build_plan, command_line
from loraforge.run.resume import newest_state, ready_again, refuse_changes
from loraforge.run.settle import settle
from loraforge.settings import Settings


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
    plan = _resumed(target, settings) if resume else _fresh(settings)
    if dry_run:
        result(command_line(plan))
        return 0
    if not json:
        human().print(_opening(plan), markup=False)
        say_findings(engine_findings(plan.ready.home) if plan.ready.home else ())
    carry_out(plan, json=json)
    return 0


def _fresh(settings: Settings) -> RunPlan:
    job = settings.job
    ready = settle(job, vram_gib=vram_gib(), environ=os.environ)
    return build_plan(ready, new_folder(job.output.dir, job.output.name, datetime.now().astimezone()))


def _resumed(target: Path | None, settings: Settings) -> RunPlan:
    job = settings.job
    folder = RunFolder(target.absolute()) if target is not None and (target / JOB_FILE).exists() else None
    if folder is None:
        folder = latest(job.output.dir, job.output.name)
    if folder is None:
        raise ConfigError(f"{job.output.dir / job.output.name}: holds no run to go on with", "leave --resume out")
    ready = ready_again(folder, os.environ)
    refuse_changes(ready.job, decided(job, len(ready.set_), vram_gib()))
    return build_plan(ready, folder, resume=newest_state(folder, ready.job.output.name))


def vram_gib() -> float | None:
    """Return the memory of the first card, None where there is none."""
    return next((gpu.total_gib for gpu in gpus()), None)


def _opening(plan: RunPlan) -> str:
    job = plan.job
    going_on = f"\ngoing on from {plan.resume.name}" if plan.resume else ""
    return (
        f"{job.output.name}: {len(plan.ready.set_)} pictures, {plan.steps} steps, rank {job.network.rank}, "
        f"{job.optimizer.learning_rate:g}, memory profile {job.memory.profile}, engine {job.engine.kind}\n"
        f"run folder: {plan.folder.path}{going_on}"
    )
