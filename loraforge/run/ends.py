"""Every way a run can end: one name, the cause in a sentence, and the evidence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from loraforge.config.job import Job
from loraforge.engine.events import Phase
from loraforge.engine.failures import UNKNOWN, Diagnosis, classify
from loraforge.engine.shortage import others_gib

EndName = Literal[
    "done",
    "interrupted",
    "gpu-memory",
    "host-memory",
    "diverged",
    "bad-data",
    "bad-weights",
    "bad-state",
    "bad-settings",
    "module-missing",
    "disk-full",
    "hub-offline",
    "no-data",
    "machine",
    "transient",
    "stalled",
    "not-proven",
    "engine-crash",
    "lost",
]
END_NAMES: tuple[EndName, ...] = get_args(EndName)

# Codes of loraforge/engine/failures.toml by the end that they make; whatever is not listed is a fault of the settings.
_OF: Mapping[EndName, tuple[str, ...]] = {
    "gpu-memory": ("gpu-memory-latents", "gpu-memory-text-encoders", "gpu-memory-sampling", "gpu-memory-training"),
    "host-memory": ("pagefile-small", "windows-access-violation", "killed-by-system"),
    "diverged": ("loss-nan",),
    "bad-data": ("caption-unreadable", "picture-broken", "latents-nan", "captions-missing"),
    "bad-weights": (
        "weights-incomplete",
        "weights-not-flux",
        "weights-fp8-kind",
        "weights-path-missing",
        "weights-not-named",
        "weights-broken",
    ),
    "bad-state": ("resume-mismatch", "resume-state-broken", "resume-past-end"),
    "module-missing": (
        "bitsandbytes-missing",
        "triton-missing",
        "tokenizer-library-missing",
        "engine-folder-wrong",
        "accelerate-missing",
        "libgl-missing",
        "hub-version-mixed",
    ),
    "disk-full": ("disk-full",),
    "hub-offline": ("tokenizers-missing", "hub-gated"),
    "no-data": ("no-pictures",),
    "machine": (
        "gpu-newer-than-torch",
        "gpu-older-than-attention",
        "torch-without-cuda",
        "no-usable-gpu",
        "torch-older-than-fp8",
        "compile-failed",
        "xformers-broken",
        "numpy-too-new",
        "libuv-missing",
        "encoding-not-utf8",
    ),
    "transient": ("loader-process-died", "cuda-fault", "port-taken", "nccl-timeout"),
    "engine-crash": tuple(UNKNOWN),
}
_OTHERS_MATTER = 0.5  # GiB that a desktop always holds
_NAME: Mapping[str, EndName] = {code: name for name, codes in _OF.items() for code in codes}
_TRANSIENT = frozenset({*_OF["transient"], "tokenizers-missing"})
Stop = Literal["diverged", "stalled", "disk-full"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Why a watchdog ended the engine.

    Attributes:
        name: the end that it makes.
        cause: what was seen, a sentence.
    """

    name: Stop
    cause: str


@dataclass(frozen=True, slots=True)
class End:
    """How a run ended.

    Attributes:
        name: one of `END_NAMES`.
        cause: a sentence; empty when it is done.
        evidence: lines that tell it.
        phase: what the engine was doing.
        code: the signature in the table of failures; empty where none decided.
        settings: changes that would help, by dotted setting.
    """

    name: EndName
    cause: str = ""
    evidence: tuple[str, ...] = ()
    phase: Phase = "starting"
    code: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def transient(self) -> bool:
        """Whether the same start may well succeed the next time."""
        return self.code in _TRANSIENT


def end_of(
    log: str,
    returncode: int,
    job: Job,
    *,
    phase: Phase,
    done: bool,
    interrupted: bool = False,
    verdict: Verdict | None = None,
    unproven: tuple[str, ...] = (),
) -> End:
    """Name the end of one start of the engine.

    What is proven outranks what was asked, what was asked outranks what was seen, and what a watchdog saw outranks
    what ending the engine made it say.

    Args:
        log: what this start of the engine said.
        returncode: of the launcher; negative is the signal that ended it.
        job: the settings.
        phase: the last one.
        done: whether a proven LoRA is there.
        interrupted: the user asked to stop.
        verdict: of the watchdog that ended the engine.
        unproven: what is wrong with the LoRA that was written.
    """
    if done:
        return End("done", phase=phase)
    if interrupted:
        return End("interrupted", "stopped when asked to", (), phase)
    if verdict is not None:
        return End(verdict.name, verdict.cause, (verdict.cause,), phase)
    found = classify(log, returncode, job)
    likeliest = found[0] if found else None
    if unproven and (likeliest is None or likeliest.code in UNKNOWN or returncode == 0):
        name: EndName = "diverged" if any("diverged" in fault for fault in unproven) else "not-proven"
        return End(name, f"the LoRA is not what was asked for: {'; '.join(unproven)}", unproven, phase)
    if likeliest is None:
        return End("engine-crash", f"the engine ended with exit code {returncode} and no word", (), phase)
    return _of_diagnosis(likeliest, returncode)


def _of_diagnosis(diagnosis: Diagnosis, returncode: int) -> End:
    name = _NAME.get(diagnosis.code, "bad-settings")
    lines = tuple(item.text for item in diagnosis.evidence)
    cause = diagnosis.cause
    if name == "gpu-memory" and (taken := others_gib(lines)) > _OTHERS_MATTER:
        cause = f"{cause.rstrip('.')}, of which other programs held {taken:.1f} GiB."
    if name == "engine-crash" and returncode < 0:
        cause = f"The engine was ended by signal {-returncode} while {diagnosis.phase}."
    return End(name, cause, lines, diagnosis.phase, diagnosis.code, diagnosis.settings)
