"""Everything that can be known before the GPU: settings, engine, weights and pictures, as findings."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from loraforge.advice.chosen import gpu_of
from loraforge.advice.duration import Duration
from loraforge.advice.facts import DatasetFacts, MachineFacts, WeightFacts
from loraforge.advice.fitting import decided
from loraforge.advice.forecast import Forecast, forecast
from loraforge.advice.measure import Measurement
from loraforge.advice.rules import RULES, check_job
from loraforge.config.job import Job
from loraforge.config.profiles import profile_for
from loraforge.engine.inspection import inspect_all
from loraforge.engine.locate import EngineHome, engine_findings, find
from loraforge.engine.owned import OWNED
from loraforge.engine.weights import find_weights
from loraforge.errors import LoraforgeError
from loraforge.findings import Finding, counted, has_errors
from loraforge.machine.gpu import Gpu, gpus
from loraforge.machine.host import free_gib, host
from loraforge.trigger import find_tokenizers, trigger_findings

# What a finding's code says about whose fault it is decides the exit code; the gravest wins.
_EXIT = {"settings": 2, "machine": 3, "dataset": 4}
_OPTIONS = "`python flux_train_network.py --help` in the sd-scripts folder lists its options"


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of a check.

    Attributes:
        findings: everything found.
        job: the settled job, None where the settings could not be read.
        exit_code: of a check that has errors.
        pictures: how many will be trained.
        forecast: memory and time; None where there is no job, or its weights are not of FLUX.1's size.
        measurement: what three real steps took; None where none were made.
    """

    findings: tuple[Finding, ...]
    job: Job | None
    exit_code: int = 2
    pictures: int = 0
    forecast: Forecast | None = None
    measurement: Measurement | None = None

    def as_json(self, *, strict: bool = False) -> str:
        """Return the document that `check --json` prints; `strict` counts warnings as errors."""
        return json.dumps(
            {
                "ok": not has_errors(self.findings, strict=strict),
                "pictures": self.pictures,
                "steps": self.job.training.steps if self.job else None,
                "profile": self.job.memory.profile if self.job else None,
                "memory": self.forecast.memory.as_dict() if self.forecast else None,
                "duration": self.duration.as_dict() if self.duration else None,
                **({"measurement": self.measurement.as_dict()} if self.measurement else {}),
                "findings": [finding.as_dict() for finding in self.findings],
            },
            indent=1,
        )

    @property
    def duration(self) -> Duration | None:
        """How long the run takes, as measured where it was."""
        if self.forecast is None or self.measurement is None:
            return self.forecast.duration if self.forecast else None
        return self.measurement.duration(self.forecast.duration, self.forecast.job.training.steps or 0)

    @property
    def measurable(self) -> bool:
        """Whether three steps can be tried: nothing but a prediction stands against it."""
        return not has_errors(finding for finding in self.findings if finding.code != "memory-does-not-fit")

    def measured(self, measurement: Measurement) -> "Checked":
        """Return this with what was measured in place of what was predicted."""
        return replace(self, findings=tuple(measurement.findings(self.findings)), measurement=measurement)

    def lines(self) -> Iterator[str]:
        """Yield what is known of memory and time, as lines for people."""
        yield from self.forecast.lines() if self.forecast else ()
        yield from [self.measurement.line()] if self.measurement else ()

    def verdict(self, *, strict: bool) -> str:
        """Say in one line whether the run can start."""
        kinds = [finding.severity for finding in self.findings]
        errors, warnings = (counted(kinds.count(kind), kind) for kind in ("error", "warning"))
        if has_errors(self.findings, strict=strict):
            return f"not ready: {errors}, {warnings}{', which --strict counts as errors' if strict else ''}"
        assert self.job is not None  # noqa: S101  # without a job there was an error
        return (
            f"ready: {self.pictures} pictures, {self.job.training.steps} steps, "
            f"memory profile {self.job.memory.profile}, {warnings}"
        )


def check_all(job: Job, *, environ: Mapping[str, str], vram_gib: float | None = None, predict: bool = True) -> Checked:
    """Look at everything a run stands on; nothing is written and nothing heavy imported.

    Args:
        job: validated settings.
        environ: the environment, for the places of engine and weights.
        vram_gib: card to check for; None takes the one found.
        predict: whether memory and time are predicted.
    """
    found: list[tuple[str, Finding]] = []
    home, engine_faults = _engine(job, environ)
    found += [("machine", finding) for finding in engine_faults]
    found += [("settings", finding) for finding in _extra(job, home)]
    weights = find_weights(job.model, environ)
    weight_faults = list(inspect_all(weights, job.model.family))
    found += [("machine", finding) for finding in weight_faults]
    dataset, picture_faults = _pictures(job)
    found += [("dataset" if finding.code != "no-images" else "settings", finding) for finding in picture_faults]
    cards = gpus()
    gpu = gpu_of(job, environ, cards)
    card = vram_gib if vram_gib is not None else gpu.total_gib if gpu else None
    found += [("machine", finding) for finding in (*_card(job, card), *_output(job))]
    machine = _machine(job, card, gpu, len(cards))
    usable = not has_errors(weight_faults) and not weights.missing
    facts = WeightFacts.of(weights.weights()) if usable else WeightFacts()
    for finding in check_job(job, dataset, machine, facts):
        found.append(("machine" if RULES[finding.code].family == "machine" else "settings", finding))
    pictures = dataset.pictures if dataset else 0
    final = decided(job, pictures, card)
    asked = vram_gib
    if asked is None and gpu is None and job.memory.profile != "auto":  # the card that is meant
        asked = profile_for(job.memory.profile, None).vram_gib
    seen = forecast(final, dataset, gpu, asked, facts) if predict and facts.full_size else None
    found += [("machine", finding) for finding in (seen.findings() if seen else ())]
    codes = [_EXIT[kind] for kind, finding in found if finding.severity == "error"]
    return Checked(tuple(finding for _, finding in found), final, min(codes, default=2), pictures, seen)


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


def _extra(job: Job, home: EngineHome | None) -> Iterator[Finding]:
    if job.engine.extra:  # reading the engine's source takes longer than all the rest, so only when it is needed
        from loraforge.engine.extras import check_extra
        from loraforge.engine.options import known_options

        for path, why in check_extra(job.engine.extra, known_options(home), OWNED):
            yield Finding("engine-extra", "error", path, f"{path} {why}", _OPTIONS)


def _pictures(job: Job) -> tuple[DatasetFacts | None, list[Finding]]:
    dataset = job.dataset
    if dataset.images is None:
        message = "There is nothing to train on: dataset.images is not set."
        trigger = trigger_findings(dataset.trigger) if dataset.trigger else ()
        return None, [Finding("no-images", "error", "dataset.images", message, "--images FOLDER"), *trigger]
    # Measuring pictures needs numpy and Pillow; a check without pictures starts without them.
    from loraforge.dataset.features import cache_folder
    from loraforge.dataset.lint import LintOptions, lint

    options = LintOptions(
        trigger=dataset.trigger,
        resolution=dataset.resolution,
        buckets=dataset.buckets,
        batch_size=dataset.batch_size,
        text=False,  # reading text in pictures takes seconds each; `lint` does it
        tokenizers=find_tokenizers([job.model.tokenizers] if job.model.tokenizers else []),
        t5_tokens=job.training.t5_tokens or (512 if job.model.family == "flux-dev" else 256),
        cache=cache_folder(),
    )
    try:
        report = lint(dataset.images, options)
    except LoraforgeError as fault:
        return None, [Finding("dataset-unusable", "error", "dataset.images", fault.message, fault.hint)]
    sizes = [subject.features.size for subject in report.subjects if subject.features is not None]
    captions = [subject.caption.text for subject in report.subjects]
    facts = DatasetFacts.of(sizes, captions, dataset)
    return replace(facts, pictures=len(report.subjects)), list(report.findings)


def _machine(job: Job, card: float | None, gpu: Gpu | None, count: int) -> MachineFacts:
    memory = host()
    return MachineFacts(
        vram_gib=card,
        ram_gib=memory.ram_gib,
        disk_free_gib=free_gib(job.output.dir),
        capability=gpu.capability if gpu else None,
        gpu_count=count,
    )


def _card(job: Job, card: float | None) -> Iterator[Finding]:
    if card is None and job.launch.device != "cpu":
        yield Finding(
            "no-gpu",
            "warning",
            "launch.device",
            "No NVIDIA GPU was found here; training FLUX.1 on a processor would take months.",
            "run on a machine with a GPU, or check for its card with --vram GB",
        )


def _output(job: Job) -> Iterator[Finding]:
    """Find what would keep a run's folder from being made."""
    folder = job.output.dir / job.output.name
    try:
        there = next(place for place in (folder, *folder.parents) if place.exists())
        fault = "is a file" if not there.is_dir() else "" if os.access(there, os.W_OK | os.X_OK) else "can't be written"
    except OSError as error:
        there, fault = folder, f"can't be reached: {error.strerror}"
    if fault:
        fix = "--set output.dir=PATH, or mend its permissions"
        yield Finding("output-unusable", "error", "output.dir", f"{there} {fault}.", fix)
