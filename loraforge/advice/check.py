"""Everything that can be known before the GPU: settings, engine, weights and pictures, as findings."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from loraforge.config.definite import definite
from loraforge.config.job import Job
from loraforge.dataset.staging import entries
from loraforge.engine.extras import check_extra
from loraforge.engine.inspection import inspect_all
from loraforge.engine.locate import EngineHome, engine_findings, find
from loraforge.engine.options import known_options
from loraforge.engine.owned import OWNED
from loraforge.engine.weights import find_weights
from loraforge.errors import LoraforgeError
from loraforge.findings import Finding, has_errors
from loraforge.machine.gpu import gpus

# What a finding's code says about whose fault it is decides the exit code; the gravest wins.
_EXIT = {"settings": 2, "machine": 3, "dataset": 4}


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check.

    Attributes:
        findings: everything found.
        job: the settled job, None where the settings could not be read.
        exit_code: of a check that has errors.
        pictures: how many will be trained.
    """

    findings: tuple[Finding, ...]
    job: Job | None
    exit_code: int = 2
    pictures: int = 0

    def as_json(self) -> str:
        """Return the document that `check --json` prints."""
        return json.dumps(
            {
                "ok": not has_errors(self.findings),
                "pictures": self.pictures,
                "steps": self.job.training.steps if self.job else None,
                "profile": self.job.memory.profile if self.job else None,
                "findings": [finding.as_dict() for finding in self.findings],
            },
            indent=1,
        )

    def verdict(self, *, strict: bool) -> str:
        """Say in one line whether the run can start."""
        counts = [sum(finding.severity == kind for finding in self.findings) for kind in ("error", "warning")]
        if has_errors(self.findings, strict=strict):
            return f"not ready: {counts[0]} errors, {counts[1]} warnings"
        assert self.job is not None  # noqa: S101  # without a job there was an error
        return (
            f"ready: {self.pictures} pictures, {self.job.training.steps} steps, "
            f"memory profile {self.job.memory.profile}, {counts[1]} warnings"
        )


def check_all(job: Job, *, environ: Mapping[str, str], vram_gib: float | None = None) -> Checked:
    """Look at everything a run stands on; nothing is written and nothing heavy imported.

    Args:
        job: validated settings.
        environ: the environment, for the places of engine and weights.
        vram_gib: card to check for; None takes the one found.
    """
    found: list[tuple[str, Finding]] = []
    home, engine_faults = _engine(job, environ)
    found += [("machine", finding) for finding in engine_faults]
    for path, why in check_extra(job.engine.extra, known_options(home), OWNED) if job.engine.extra else ():
        found.append(("settings", Finding("engine-extra", "error", path, f"{path} {why}", "see docs/settings.md")))
    weights = find_weights(job.model, environ)
    found += [("machine", finding) for finding in inspect_all(weights, job.model.family)]
    pictures, picture_faults = _pictures(job)
    found += [("dataset" if finding.code != "no-images" else "settings", finding) for finding in picture_faults]
    card = vram_gib if vram_gib is not None else next((gpu.total_gib for gpu in gpus()), None)
    found += [("machine", finding) for finding in _card(job, card)]
    final = definite(job, pictures, card)
    codes = [_EXIT[kind] for kind, finding in found if finding.severity == "error"]
    return Checked(tuple(finding for _, finding in found), final, min(codes, default=2), pictures)


def _engine(job: Job, environ: Mapping[str, str]) -> tuple[EngineHome | None, list[Finding]]:
    if job.engine.kind == "embedded":
        return None, []
    try:
        home = find(configured=job.engine.path, environ=environ)
    except LoraforgeError as fault:
        return None, [Finding("engine-missing", "error", "engine.path", fault.message, fault.hint)]
    if home is None:
        message = "sd-scripts, the training engine, is not on this machine."
        return None, [
            Finding("engine-missing", "error", "engine.path", message, "loraforge doctor tells how to get it")
        ]
    return home, list(engine_findings(home))


def _pictures(job: Job) -> tuple[int, list[Finding]]:
    if job.dataset.images is None:
        message = "There is nothing to train on: dataset.images is not set."
        return 0, [Finding("no-images", "error", "dataset.images", message, "--images FOLDER")]
    try:
        return len(entries(job.dataset.images, job.dataset.trigger, "")), []
    except LoraforgeError as fault:
        return 0, [Finding("dataset-unusable", "error", "dataset.images", fault.message, fault.hint)]


def _card(job: Job, card: float | None) -> Iterator[Finding]:
    if card is None and job.launch.device != "cpu":
        yield Finding(
            "no-gpu",
            "warning",
            "launch.device",
            "No NVIDIA GPU was found here; training FLUX.1 on a processor would take months.",
            "run on a machine with a GPU, or check for its card with --vram GB",
        )
