"""Is this machine ready to train? Facts are gathered once, then each line is judged from them alone."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement

from loraforge.advice.checkup import Check, Facts
from loraforge.advice.checkup_files import file_checks
from loraforge.advice.checkup_machine import machine_checks
from loraforge.advice.checkup_python import python_checks
from loraforge.advice.chosen import gpu_of
from loraforge.config.job import Job
from loraforge.config.model import Model
from loraforge.engine.hub import token_source
from loraforge.engine.inspection import inspect_all
from loraforge.engine.locate import EngineHome, locate
from loraforge.engine.weights import TOKENIZERS, Found, Role, download_folder, find_weights, hub_cache
from loraforge.errors import MachineError
from loraforge.machine.gpu import Gpu, gpus
from loraforge.machine.host import Host, free_gib, host
from loraforge.machine.packages import PythonFacts, ask_python, pins


@dataclass(frozen=True, slots=True)
class Probes:
    """The ways of looking at this machine; a test gives its own."""

    gpus: Callable[[], Sequence[Gpu]] = gpus
    host: Callable[[], Host] = host
    python: Callable[[str], PythonFacts] = ask_python
    pins: Callable[[], Sequence[Requirement]] = pins
    engine: Callable[[Path | None, Mapping[str, str]], EngineHome] = lambda path, environ: locate(
        configured=path, environ=environ
    )
    weights: Callable[[Model, Mapping[str, str]], Found] = find_weights
    free_gib: Callable[[Path], float | None] = free_gib


def gather(job: Job, environ: Mapping[str, str] = os.environ, probes: Probes | None = None) -> Facts:
    """Look at everything once; takes the seconds that importing torch in a child process takes."""
    look = probes or Probes()
    try:
        engine: EngineHome | MachineError = look.engine(job.engine.path, environ)
    except MachineError as error:
        engine = error
    found = look.weights(job.model, environ)
    folder = download_folder(environ)
    cards = look.gpus()
    return Facts(
        gpus=cards,
        gpu=gpu_of(job, environ, cards),
        host=look.host(),
        python=look.python(str(job.engine.python or sys.executable)),
        pins=look.pins(),
        engine=engine,
        found=found,
        weight_bytes=_sizes(found),
        weight_findings=list(inspect_all(found, job.model.family)),
        cached_tokenizers=_cached_tokenizers(hub_cache(environ)),
        token=token_source(environ),
        output_free_gib=look.free_gib(job.output.dir),
        download_dir=folder,
        download_free_gib=look.free_gib(folder),
    )


def examine(job: Job, facts: Facts) -> list[Check]:
    """Judge the facts; pure."""
    return [*machine_checks(job, facts), *python_checks(job, facts), *file_checks(job, facts)]


def is_ready(checks: Iterable[Check]) -> bool:
    """Tell whether nothing is missing that a run needs."""
    return all(check.state != "missing" for check in checks)


def _sizes(found: Found) -> dict[Role, int]:
    return {role: path.stat().st_size for role, path in found.paths.items() if path is not None and path.is_file()}


def _cached_tokenizers(cache: Path) -> bool:
    folders = (cache / f"models--{name.replace('/', '--')}" / "snapshots" for name in TOKENIZERS)
    return all(any(folder.glob("*/tokenizer*")) for folder in folders)
