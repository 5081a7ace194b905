"""The doctor's look at GPU, memory and disks."""

from collections.abc import Iterator

from loraforge.advice.checkup import Check, Facts, State
from loraforge.advice.disk import run_bytes
from loraforge.config.job import Job
from loraforge.engine.weights import ROLES, Role

_GIB = 1 << 30
_PICTURES = 30  # a large style set: the doctor has no dataset to count
_SMALLEST = 7.4  # GiB that a card sold with 8 GB reports
_HELD = 1.5  # GiB that a desktop may hold without being worth a word
# Bytes of the files as they are published, rounded, for those that are not here yet.
PUBLISHED: dict[Role, int] = {
    "transformer": 23_800_000_000,
    "clip_l": 250_000_000,
    "t5xxl": 9_800_000_000,
    "autoencoder": 340_000_000,
}
_FP8_T5 = 6_000_000_000  # bytes between T5-XXL in 8 bits and in 16


def machine_checks(job: Job, facts: Facts) -> Iterator[Check]:
    """Look at the card, main memory and disks."""
    yield from _gpu(job, facts)
    yield _ram(facts)
    yield _swap(facts)
    yield from _disks(job, facts)


def _gpu(job: Job, facts: Facts) -> Iterator[Check]:
    gpu = facts.gpu
    if gpu is None:
        yield _no_gpu(job, facts)
        return
    about = f"{gpu.name}, {gpu.free_gib:.1f} of {gpu.total_gib:.1f} GiB free, driver {gpu.driver}"
    if gpu.total_gib < _SMALLEST:
        fix = "use a card with 8 GB or more, or rent one"
        yield Check("gpu", "warning", f"{about}: the smallest memory profile is made for 8 GB", fix)
    elif gpu.total_gib - gpu.free_gib > _HELD:
        fix = "end what you can spare; this lists them: nvidia-smi"
        yield Check("gpu", "warning", f"{about}: {gpu.holders} hold memory that training would want", fix)
    else:
        yield Check("gpu", "ok", about)
    capability = "{}.{}".format(*gpu.capability)
    if gpu.capability < (8, 0):
        yield Check(
            "bf16",
            "warning",
            f"compute capability {capability} has no bf16 arithmetic: it is emulated, and slow",
            "use an RTX 30 card or newer; fp16 is no way out, FLUX gives NaN with it for many",
        )
    else:
        yield Check("bf16", "ok", f"compute capability {capability} has it")


def _no_gpu(job: Job, facts: Facts) -> Check:
    if job.launch.device == "cpu":
        return Check("gpu", "ok", 'none asked for: launch.device = "cpu"')
    if facts.gpus:
        there = ", ".join(str(gpu.index) for gpu in facts.gpus)
        asked = f"launch.gpu_ids = {job.launch.gpu_ids}" if job.launch.gpu_ids else "CUDA_VISIBLE_DEVICES shows others"
        message = f"{asked}, but the cards here are {there}"
        return Check("gpu", "missing", message, f"--set launch.gpu_ids={facts.gpus[0].index}")
    return Check(
        "gpu",
        "missing",
        "no NVIDIA card, or no driver for it, and a CPU is far too slow for FLUX.1",
        "install the driver from https://www.nvidia.com/drivers until `nvidia-smi` lists the card; "
        "to try loraforge without one: loraforge demo",
    )


def _weights_gib(facts: Facts) -> float:
    return sum(facts.weight_bytes.get(role, PUBLISHED[role]) for role in ROLES) / _GIB


def _ram(facts: Facts) -> Check:
    need, host = _weights_gib(facts), facts.host
    about = f"{host.ram_gib:.0f} GiB, {host.ram_free_gib:.0f} free; loading takes up to {need:.0f}, the weights' size"
    if host.ram_gib >= need:
        return Check("ram", "ok", about)
    outcome = "swap carries the rest, slowly" if host.ram_gib + host.swap_gib >= need else "the system may kill the run"
    fix = "add memory or swap"
    if facts.weight_bytes.get("t5xxl", PUBLISHED["t5xxl"]) > _FP8_T5:
        fix = "loraforge models --download --t5 fp8, which halves the text encoder"
    return Check("ram", "warning", f"{about}: {outcome}", fix)


def _swap(facts: Facts) -> Check:
    need, host = _weights_gib(facts), facts.host
    windows = host.platform == "win32"
    named = "pagefile" if windows else "swap"
    # Windows promises memory before it is used: a run asks for the files and for the copies made of them.
    wanted = max(0.0, (1.5 if windows else 1.0) * need - host.ram_gib)
    if host.swap_gib >= wanted:
        return Check(named, "ok", f"{host.swap_gib:.0f} GiB")
    size = int(wanted) + 1
    if windows:
        why = 'loading can end with "paging file is too small" (os error 1455)'
        fix = f"System > Advanced > Performance > Advanced > Virtual memory: set {size} GB or system managed, restart"
    else:
        why = "loading can end with the process killed"
        fix = (
            f"sudo fallocate -l {size}G /swapfile && sudo chmod 600 /swapfile "
            "&& sudo mkswap /swapfile && sudo swapon /swapfile"
        )
    return Check(named, "warning", f"{host.swap_gib:.0f} GiB, {wanted:.0f} wanted: {why}", fix)


def _disks(job: Job, facts: Facts) -> Iterator[Check]:
    need = run_bytes(job, _PICTURES) / _GIB
    about = f"{job.output.dir}: a run of {_PICTURES} pictures writes up to {need:.1f} GiB"
    fix = "make room, or --set output.dir=FOLDER on another disk, or --set output.keep_last=3"
    yield _room("disk", facts.output_free_gib, need, about, fix)
    absent = sum(PUBLISHED[role] for role in facts.found.missing) / _GIB
    if absent:
        about = f"{facts.download_dir}: the weight files still to be fetched take {absent:.1f} GiB"
        fix = "make room, or loraforge models --download --dir FOLDER on another disk"
        yield _room("disk-models", facts.download_free_gib, absent, about, fix)


def _room(name: str, free: float | None, need: float, about: str, fix: str) -> Check:
    if free is None:
        return Check(name, "warning", f"{about}; how much is free can't be told", fix)
    state: State = "missing" if free < need else "warning" if free < 1.5 * need else "ok"
    return Check(name, state, f"{about}; {free:.1f} GiB are free", "" if state == "ok" else fix)
