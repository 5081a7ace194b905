"""`loraforge train`."""

import contextlib
import os
from dataclasses import replace
from datetime import datetime
from json import dumps
from pathlib import Path
from shlex import quote

import typer

from loraforge.advice.check import check_all
from loraforge.advice.chosen import vram_gib
from loraforge.advice.fitting import decided, with_change
from loraforge.cli.common import JOB_FILE, human, load_settings, result, say_findings
from loraforge.cli.start import carry_out, ready_to_start
from loraforge.config.job import Job
from loraforge.dataset.captions import replace_bytes
from loraforge.engine.locate import engine_findings
from loraforge.errors import ConfigError, DatasetError, LoraforgeError, MachineError
from loraforge.report.provenance import origins_of
from loraforge.run.detach import send_off
from loraforge.run.folder import RunFolder, latest, new_folder
from loraforge.run.heal import CONSENTS
from loraforge.run.lock import owned
from loraforge.run.plan import RunPlan, build_plan, command_line
from loraforge.run.quicken import fast_plan, quickened
from loraforge.run.record import Record, read, write
from loraforge.run.resume import newest_state, not_restored, ready_again, weights_of
from loraforge.run.settle import Ready, settle
from loraforge.run.unchanged import as_decided, refuse_changes, refuse_pictures
from loraforge.run.verify import adapted_layers
from loraforge.settings import Settings
from loraforge.ship.lora_file import read_lora
from loraforge.ship.refit import refit

_REFUSALS = {kind.exit_code: kind for kind in (ConfigError, MachineError, DatasetError)}


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
    from_weights: Path | None = typer.Option(
        None, "--from-weights", metavar="RUN|FILE", help="Begin a new run with the weights of a run or a LoRA."
    ),
    detach: bool = typer.Option(False, "--detach", help="Train in the background; `loraforge attach` shows it."),
    heal: bool = typer.Option(True, "--heal/--no-heal", help="Go on with less memory, or once more, by itself."),
    allow: list[str] = typer.Option([], "--allow", metavar="fp8|resolution", help="What healing may change, too."),
) -> int:
    """Train a LoRA: settings and pictures in, proven .safetensors out."""
    if unknown := sorted({*allow} - {*CONSENTS.values()}):
        raise ConfigError(f"--allow {unknown[0]}: only {' and '.join(CONSENTS.values())} can be allowed")
    if from_weights is not None:
        if resume:
            raise ConfigError("--resume goes on with a run, --from-weights begins a new one", "leave one of them out")
        from_weights = weights_of(from_weights)
    elif not resume and target is not None and RunFolder(target).begin.exists():
        from_weights = RunFolder(target).begin.absolute()  # what is repeated begins with its own
    if from_weights is not None:
        assignments = [*assignments, f"engine.extra.network_weights={from_weights}"]
    settings = load_settings(
        target, preset=preset, images=images, trigger=trigger, assignments=assignments, engine=engine
    )

    def resumed(run: Path | None) -> RunPlan:
        return _resumed(run, settings, own_engine=engine is not None)

    plan = resumed(target) if resume else _fresh(settings, from_weights, take=not dry_run)
    if dry_run:
        shown = quickened(plan)
        result(dumps({"run": str(plan.folder.path), "command": shown.argv}) if json else command_line(shown))
        return 0
    if not json:
        human().print(_opening(plan), markup=False)
        say_findings(engine_findings(plan.ready.home) if plan.ready.home else ())
    if detach:
        options = ["--json"] * json + ["--no-heal"] * (not heal) + [f"--allow={word}" for word in allow]
        return _detached(plan, options, json=json)
    carry_out(plan, json=json, heal=heal, allowed=allow, again=(lambda: resumed(plan.folder.path)) if resume else None)
    return 0


def _detached(plan: RunPlan, options: list[str], *, json: bool) -> int:
    with owned(plan.folder.path):
        ready_to_start(plan)
        if read(plan.folder.state) is None:  # so that it can be attached to at once
            write(plan.folder, Record(name=plan.job.output.name, steps=plan.steps, starts=0))
    pid = send_off(plan.folder, options)
    human().print(
        f"training in the background (process {pid})\n"
        f"  loraforge attach {quote(str(plan.folder.path))}          shows it; Ctrl-C leaves it running\n"
        f"  loraforge attach {quote(str(plan.folder.path))} --stop   ends it",
        markup=False,
    )
    result(dumps({"run": str(plan.folder.path), "pid": pid}) if json else str(plan.folder.path))
    return 0


def _checked(job: Job) -> Ready:
    """Settle a job that nothing known beforehand speaks against, but for a prediction: healing is there for that.

    Raises:
        LoraforgeError: something does; what settling does not tell itself is told before.
    """
    checked = check_all(job, environ=os.environ, predict=False)
    errors = [finding for finding in checked.findings if finding.severity == "error"]
    try:
        ready = settle(job, vram_gib=vram_gib(job), environ=os.environ)
    except LoraforgeError as fault:
        say_findings(one for one in errors if one.code != "no-images" and one.message not in fault.message)
        raise
    if errors:
        say_findings(errors)
        raise _REFUSALS[checked.exit_code]("nothing was started", "mend what is named above, then start again")
    return ready


def _fresh(settings: Settings, weights: Path | None, *, take: bool) -> RunPlan:
    job = settings.job
    ready = _checked(job)
    begin = _beginning(weights, ready) if weights is not None else None
    while True:
        folder = new_folder(job.output.dir, job.output.name, datetime.now().astimezone())
        if begin is not None:
            extra = {**ready.job.engine.extra, "network_weights": str(folder.begin)}
            ready = replace(ready, job=with_change(ready.job, {"engine.extra": extra}))
        plan = build_plan(ready, folder, origins=origins_of(settings, ready.job))
        if not take:
            return plan
        try:  # so that another start in the same second takes another folder
            folder.path.mkdir(parents=True)
        except FileExistsError:
            if folder.path.is_dir():
                continue
        except OSError:  # told with its remedy, once the folder is to be held
            return plan
        if begin is not None:
            _write(folder, begin)
        return plan


def _write(folder: RunFolder, begin: bytes) -> None:
    """Write what a run begins with; where that can't be, no folder stays."""
    try:
        replace_bytes(folder.begin, begin)
    except OSError as fault:
        with contextlib.suppress(OSError):
            folder.path.rmdir()
        hint = "free space, or choose another [output] dir with --set output.dir=PATH"
        raise MachineError(f"{folder.begin}: can't be written: {fault.strerror}", hint) from None


def _beginning(weights: Path, ready: Ready) -> bytes:
    """Return the LoRA that a run begins with, brought to the run's rank and alpha where it has others, and say so.

    Raises:
        ConfigError: it is none, or adapts no layer of those that the run trains.
    """
    job = ready.job
    lora = read_lora(weights, hint="name a run folder, or a LoRA as sd-scripts writes it")
    layers = adapted_layers(ready.weights.transformer, job)
    if not (known := {*lora.modules()}.intersection(layers)):
        raise ConfigError(f"{weights}: adapts none of the layers that the run trains", "name a LoRA of this model")
    told = [f"{len(known)} of {len(layers)} layers begin with it"] if len(known) < len(layers) else []
    rank, alpha = job.network.rank, job.network.alpha
    fitted = refit(lora, rank, alpha, seed=job.training.seed)
    if fitted is not None:
        told.append(f"rank {', '.join(map(str, fitted.ranks))} brought to rank {rank}, alpha {alpha:g}")
        if fitted.error:
            told.append(f"{fitted.error:.1%} of what it had learnt does not fit")
    if told:
        human().print(f"{weights.name}: {'; '.join(told)}", markup=False)
    return fitted.to_bytes() if fitted is not None else weights.read_bytes()


def _resumed(target: Path | None, settings: Settings, *, own_engine: bool) -> RunPlan:
    job = settings.job
    named = RunFolder(target.absolute()) if target is not None and (target / JOB_FILE).exists() else None
    folder = named or latest(job.output.dir, job.output.name)
    if folder is None:
        raise ConfigError(f"{job.output.dir / job.output.name}: holds no run to go on with", "leave --resume out")
    record = read(folder.state)
    healed = record.changed_paths if record is not None else frozenset()
    ready = ready_again(folder, os.environ, settings, healed, engine=job.engine.path if own_engine else None)
    now = decided(job, len(ready.set_), vram_gib(job))
    refuse_changes(ready.job, as_decided(ready.job, settings, now), healed)
    # A run that is named goes on with what it has staged.
    if named is None or job.dataset.images != ready.job.dataset.images:
        refuse_pictures(ready.set_, job.dataset.images, job.dataset.trigger)
    name = ready.job.output.name
    if record is not None and record.status == "done" and folder.lora(name).exists():
        raise ConfigError(f"{folder.path}: this run is done", f"loraforge train {quote(str(folder.path))} repeats it")
    return build_plan(ready, folder, resume=newest_state(folder, name, ready.job.training.steps or 0))


def _opening(plan: RunPlan) -> str:
    job = plan.job
    going_on = f"\ngoing on from {plan.resume.name}" if plan.resume else ""
    if lost := not_restored(plan):
        going_on += f"\nnot restored: {lost}" if plan.resume else f"\na resume would not restore {lost}"
    return (
        f"{job.output.name}: {len(plan.ready.set_)} pictures, {plan.steps} steps, rank {job.network.rank}, "
        f"{job.optimizer.learning_rate:g}, memory profile {job.memory.profile}, engine {job.engine.kind}\n"
        f"speed-up: {fast_plan(plan).as_text()}\n"
        f"run folder: {plan.folder.path}{going_on}"
    )
