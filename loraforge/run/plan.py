"""The plan of a run: a frozen value that `plan` prints and `train` executes."""

import json
import os
import shlex
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from loraforge import engine
from loraforge.config.job import Job
from loraforge.engine.embedded_scope import beyond
from loraforge.engine.render import Ground, Rendered, render
from loraforge.errors import ConfigError
from loraforge.machine.secrets import without_secrets
from loraforge.run.folder import RunFolder
from loraforge.run.settle import Ready

# Read by the launcher in place of the user's own default_config.yaml, which may belong to another project.
_ACCELERATE = """\
compute_environment: LOCAL_MACHINE
distributed_type: 'NO'
debug: false
use_cpu: {cpu}
"""
# Colours and links would end up in the log; the engine wraps lines at 80 columns unless told otherwise.
_ENV = {
    "PYTHONUNBUFFERED": "1",
    "PYTHONUTF8": "1",
    "PYTHONIOENCODING": "utf-8",
    "COLUMNS": "1000",
    "NO_COLOR": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # cards are counted as nvidia-smi does
    # All that the engine may fetch is public; the token that a login left in the user's home stays there.
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
}
_UNSET = ("FORCE_COLOR", "TTY_COMPATIBLE", "PYTHONSTARTUP")


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything a run will do.

    Attributes:
        folder: the run folder.
        files: path -> text of the files to write before the start, in this order.
        argv: the command; never a shell's.
        env: variables set for it on top of the inherited ones.
        cwd: the folder it starts in.
        ready: what it was made from.
        resume: the state it goes on from, None for a fresh start.
    """

    folder: RunFolder
    files: Mapping[Path, str]
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    ready: Ready
    resume: Path | None = None

    @property
    def job(self) -> Job:
        """The settled job."""
        return self.ready.job

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.ready.job.training.steps or 0


def build_plan(
    ready: Ready, folder: RunFolder, *, resume: Path | None = None, origins: Mapping[str, str] | None = None
) -> RunPlan:
    """Plan a run into a folder; nothing is written.

    Args:
        ready: the settled job and what it stands on.
        folder: where the run will live.
        resume: state folder to go on from.
        origins: dotted path -> layer that decided it, for the record; None leaves what is recorded.

    Raises:
        ConfigError: the embedded engine shall train, and the job asks for what it has not.
    """
    job = ready.job
    ground = Ground(
        dataset_dir=folder.dataset,
        output_dir=folder.output,
        dataset_file=folder.dataset_file,
        prompts_file=folder.prompts,
        weights=ready.weights,
        pictures=len(ready.set_),
        resume=resume,
    )
    rendered = render(job, ground)
    if job.engine.kind == "embedded":
        _refuse_beyond(rendered)
    cpu = job.launch.device == "cpu"
    files = {
        folder.config: rendered.config,
        folder.dataset_file: rendered.dataset,
        folder.manifest: _manifest(ready),
        folder.accelerate: _ACCELERATE.format(cpu=str(cpu).lower()),
    }
    if origins is not None:
        files[folder.origins] = json.dumps(dict(origins), indent=1) + "\n"
    if rendered.prompts is not None:
        files[folder.prompts] = rendered.prompts
    files[folder.job] = job_text(job)  # last, as it makes a run folder of it
    env = {**_ENV, **job.launch.env}
    script, cwd = _script(ready, folder, resume)
    if ready.home is not None and script.name == "shim.py":
        env["LORAFORGE_ENGINE_DIR"] = str(ready.home.path)  # read by shim.py
    return RunPlan(folder, files, _argv(ready, folder, script), env, cwd, ready, resume)


def environment(plan: RunPlan, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the child's whole environment: the inherited one without secrets, then the plan's."""
    kept = {name: value for name, value in without_secrets(environ).items() if name not in _UNSET}
    return {**kept, **plan.env}


def command_line(plan: RunPlan) -> str:
    """Return the command for show; it is executed as a list."""
    return shlex.join(plan.argv)


def job_text(job: Job) -> str:
    """Write a job as TOML; what is None is left out, and only that."""
    return tomli_w.dumps(_dense(job.model_dump(mode="json")))


def _dense(values: Mapping[str, object]) -> dict[str, object]:
    return {
        key: _dense(value) if isinstance(value, dict) else value
        for key, value in values.items()
        if value is not None and value != {}
    }


def _refuse_beyond(rendered: Rendered) -> None:
    if faults := beyond(tomllib.loads(rendered.config), tomllib.loads(rendered.dataset)):
        raise ConfigError(
            "\n".join(f"the embedded engine {fault}" for fault in faults),
            'leave these settings to the preset, or train with sd-scripts: engine.kind = "kohya"',
        )


def _script(ready: Ready, folder: RunFolder, resume: Path | None) -> tuple[Path, Path]:
    here = Path(engine.__file__).parent
    if ready.home is None:
        return here / "embedded.py", folder.path
    # The engine alone goes on from a state with other pictures and other noise; see engine/exact.py.
    plain = ready.full_size and resume is None
    return (ready.home.script if plain else here / "shim.py"), ready.home.path


def _argv(ready: Ready, folder: RunFolder, script: Path) -> tuple[str, ...]:
    job, launch = ready.job, ready.job.launch
    # Always explicit: accelerate guesses what is left out, from other projects' settings and the cards it sees.
    # fmt: off
    return (
        str(job.engine.python or sys.executable), "-m", "accelerate.commands.launch",
        "--config_file", str(folder.accelerate),
        *(("--cpu",) if launch.device == "cpu" else ()),
        *(("--multi_gpu",) if launch.processes > 1 else ()),
        "--num_processes", str(launch.processes),
        "--num_machines", str(launch.machines),
        "--dynamo_backend", "no",
        "--mixed_precision", job.training.precision,
        "--gpu_ids", ",".join(ready.cards) or "-1",
        str(script),
        "--config_file", str(folder.config),
    )
    # fmt: on


def _manifest(ready: Ready) -> str:
    rows = [{"staged": entry.stem, "source": str(entry.source), "caption": entry.caption} for entry in ready.set_]
    return json.dumps(rows, indent=1, ensure_ascii=True) + "\n"
