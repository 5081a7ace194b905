"""GPUs, processes, disk and the profile against the machine that is there."""

from collections.abc import Iterator

from loraforge.advice.rules.case import Case, Fix
from loraforge.advice.rules.memory import CACHED_MB_A_PICTURE
from loraforge.advice.rules.registry import Hit, rule
from loraforge.config.profiles import profile_for

_LORA_PARAMETERS_A_RANK = {"all": 4_786_176, "double": 2_684_928, "single": 2_101_248}
_BYTES = {"bf16": 2, "fp16": 2, "float": 4}
# Optimizer state in bytes a parameter; adafactor's is a row and a column of each matrix.
_STATE_BYTES = {"adafactor": 0.3, "adamw": 8, "adamw-schedule-free": 8, "prodigy": 13.5, "lion": 4}


@rule("error", "accelerate starts one process a GPU")
def more_processes_than_gpus(case: Case) -> Iterator[Hit]:
    """Each training process needs a GPU of its own."""
    processes = case.job.launch.processes
    if case.machine and processes > max(1, case.machine.gpu_count) and case.job.launch.device != "cpu":
        said = f"{processes} processes on {case.machine.gpu_count} GPUs"
        yield Hit("launch.processes", said, {"launch.processes": max(1, case.machine.gpu_count)})


@rule("error", "GPUs are counted from 0")
def gpu_id_absent(case: Case) -> Iterator[Hit]:
    """The named GPU does not exist here."""
    ids = [int(number) for number in (case.job.launch.gpu_ids or "").split(",") if number]
    if case.machine and case.machine.gpu_count and any(number >= case.machine.gpu_count for number in ids):
        said = f"GPU {max(ids)} of {case.machine.gpu_count}"
        yield Hit("launch.gpu_ids", said, {"launch.gpu_ids": None})


@rule("warning", "accelerate 1.6.0 commands/launch.py:1122-1139")
def gpu_ids_against_processes(case: Case) -> Iterator[Hit]:
    """As many GPUs as processes: what is more stays idle, what is fewer is shared."""
    launch = case.job.launch
    count = len(launch.gpu_ids.split(",")) if launch.gpu_ids else 0
    if count and count != launch.processes and not (case.machine and case.machine.gpu_count < count):
        said = f"{launch.processes} processes on the GPUs {launch.gpu_ids}"
        first = (launch.gpu_ids or "0").split(",")[0]
        yield Hit("launch.gpu_ids", said, {"launch.gpu_ids": first, "launch.processes": 1})


@rule("warning", "kohya_ss#2366, sd-scripts#838: slower, and epochs counted double; NCCL time-outs in #1481, #1551")
def several_gpus_small_set(case: Case) -> Iterator[Hit]:
    """A few hundred steps on some dozen pictures gain nothing from several GPUs; train variants beside it."""
    processes = case.job.launch.processes
    if processes > 1 and case.pictures is not None and case.pictures < 200:
        said = f"{processes} processes for {case.pictures} pictures"
        yield Hit("launch.processes", said, {"launch.processes": 1})


@rule("info", "NCCL gives up after 10 minutes while one process caches (sd-scripts#1721)")
def ddp_timeout_short(case: Case) -> Iterator[Hit]:
    """While one process caches the pictures the others wait, and give up too early."""
    if case.job.launch.processes > 1 and not case.extra.get("ddp_timeout"):
        said = f"{case.job.launch.processes} processes with the default time-out"
        yield Hit("engine.extra.ddp_timeout", said, {"engine.extra.ddp_timeout": 120})


@rule("warning", "computed: about 265 TFLOP a step at 1024")
def training_on_cpu(case: Case) -> Iterator[Hit]:
    """On a CPU a step of the real model takes minutes and a run weeks; `cpu` is for tiny models."""
    tiny = case.weights is not None and not case.weights.full_size
    if case.job.launch.device == "cpu" and not tiny:
        yield Hit("launch.device", "launch.device is cpu", {"launch.device": "auto"})


@rule("warning", "measured figures stand behind the profiles")
def profile_above_card(case: Case) -> Iterator[Hit]:
    """The profile is for a larger card than the one that is there."""
    vram, name = case.machine.vram_gib if case.machine else None, case.job.memory.profile
    if vram is None or name == "auto":
        return
    fitting = profile_for("auto", vram)
    if profile_for(name, vram).vram_gib > fitting.vram_gib:
        yield Hit("memory.profile", f"profile {name} on a card of {vram:.1f} GiB", {"memory.profile": "auto"})


@rule("info", "measured on an H100: 8-bit weights and swapping cost time and bring only memory")
def profile_below_card(case: Case) -> Iterator[Hit]:
    """The profile is for a smaller card, and trades away speed for memory that is there."""
    vram, name = case.machine.vram_gib if case.machine else None, case.job.memory.profile
    if vram is None or name == "auto":
        return
    fitting = profile_for("auto", vram)
    if profile_for(name, vram).vram_gib < fitting.vram_gib:
        yield Hit("memory.profile", f"profile {name} on a card of {vram:.1f} GiB", {"memory.profile": "auto"})


@rule("warning", "judgement: a save with its state writes hundreds of MB")
def grace_short(case: Case) -> Iterator[Hit]:
    """An engine that is killed while it saves leaves a broken file."""
    grace = case.job.launch.grace_seconds
    if grace < 10:
        yield Hit("launch.grace_seconds", f"grace_seconds {grace:g}", {"launch.grace_seconds": 60.0})


@rule("error", "sd-scripts stops with `No space left on device` in mid-save; sizes computed from the layers' shapes")
def disk_too_small(case: Case) -> Iterator[Hit]:
    """Checkpoints, states and caches of this run need more space than is free."""
    free = case.machine.disk_free_gib if case.machine else None
    if free is None or case.steps is None:
        return
    needed = disk_gib(case, case.job.output.keep_last, states=case.job.training.save_states)
    if needed <= free:
        return
    fix: Fix = {"output.keep_last": 3}
    if disk_gib(case, 3, states=case.job.training.save_states) > free:
        fix |= {"training.save_states": False}
    yield Hit("output.dir", f"{needed:.1f} GiB needed, {free:.1f} GiB free", fix)


def disk_gib(case: Case, keep: int | None, *, states: bool) -> float:
    """Return what a run leaves on disk, in GiB.

    Args:
        case: settings and pictures; the steps must be known.
        keep: checkpoints that are kept, None for all.
        states: whether optimizer states are kept; the two newest ones are.
    """
    job, every = case.job, case.job.training.save_every_steps
    parameters = _LORA_PARAMETERS_A_RANK[job.network.targets] * job.network.rank
    saves = (case.steps or 0) // every if every else 0
    checkpoints = 1 + (saves if keep is None else min(saves, keep))
    # A checkpoint is removed after the next one is written.
    size: float = parameters * _BYTES[job.output.save_precision] * (checkpoints + (keep is not None))
    if states and every:
        size += 3 * parameters * (4 + _STATE_BYTES.get(job.optimizer.name, 2.1))
    return (size + (case.pictures or 0) * CACHED_MB_A_PICTURE * 1e6) / 2**30
