"""The doctor's look at the engine's python: torch against the card, and the packages against the pins."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from packaging.utils import canonicalize_name

from loraforge.advice.checkup import Check, Facts, State
from loraforge.config.job import Job
from loraforge.machine.gpu import Gpu
from loraforge.machine.packages import PythonFacts, plain, unmet

# Imported by the engine only when they are asked for by name; everything else in the pins is needed by every run.
_OPTIONAL = frozenset(
    {
        "bitsandbytes", "ftfy", "lion-pytorch", "prodigy-plus-schedule-free", "prodigyopt", "pytorch-optimizer",
        "schedulefree", "tensorboard",
    }
)  # fmt: skip
_EIGHT_BIT = frozenset({"adamw8bit", "paged-adamw8bit", "lion8bit"})


def python_checks(job: Job, facts: Facts) -> Iterator[Check]:
    """Look at what the engine's python has."""
    python = facts.python
    if python.error is not None:
        fix = 'set engine.python to a python that has the engine\'s packages, or: pip install "loraforge[engine]"'
        yield Check("python", "missing", f"{python.executable}: {python.error}", fix)
    yield _packages(facts)
    yield _torch(job, facts)
    yield _bitsandbytes(job, python)
    # Where an import before them killed the process, that one is told already.
    if python.triton is not None:
        yield _triton(python, python.triton.get("error"))
    if python.cv2 is not None:
        yield _opencv(python, python.cv2.get("error"))


def runs_on(capability: tuple[int, int], arch_list: Sequence[str]) -> bool:
    """Tell whether a torch build has code for a card.

    Binary code (sm_86) serves its own and later minor versions of one major; an `a` at its end ties it to one;
    portable code (compute_90) serves everything later.
    """
    for arch in arch_list:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", arch)
        if match is None:
            continue
        kind, major, minor, bound = match[1], int(match[2]), int(match[3]), match[4]
        if bound == "a":
            fits = (major, minor) == capability
        elif kind == "compute":
            fits = (major, minor) <= capability
        else:
            fits = major == capability[0] and minor <= capability[1]
        if fits:
            return True
    return False


def _packages(facts: Facts) -> Check:
    if not facts.pins:
        message = "loraforge itself is not installed, so there are no pins to compare with"
        return Check("packages", "warning", message, 'pip install "loraforge[engine]"')
    if not facts.python.versions:
        return Check("packages", "missing", "none could be listed", 'pip install "loraforge[engine]"')
    absent, other = unmet(facts.pins, facts.python.versions)
    if not absent and not other:
        return Check("packages", "ok", f"all {len(facts.pins)} that the engine asks for, in its versions")
    parts = []
    if absent:
        parts.append(f"not installed: {', '.join(pin.name for pin in absent)}")
    if other:
        seen = facts.python.versions
        parts.append(
            "another version: " + ", ".join(f"{pin.name} {seen[canonicalize_name(pin.name)]}" for pin in other)
        )
    state: State = "missing" if any(canonicalize_name(pin.name) not in _OPTIONAL for pin in absent) else "warning"
    wanted = " ".join(f'"{plain(pin)}"' for pin in (*absent, *other))
    return Check("packages", state, "; ".join(parts), f'"{facts.python.executable}" -m pip install {wanted}')


def _torch(job: Job, facts: Facts) -> Check:
    torch, gpu = facts.python.torch, facts.gpu
    reinstall = _reinstall(facts.python, gpu)
    if torch is None or "error" in torch:
        return Check("torch", "missing", f"can't be imported: {_why(torch)}", reinstall)
    about = f"{torch['version']}, built for " + (f"CUDA {torch['cuda']}" if torch.get("cuda") else "the CPU")
    if job.launch.device == "cpu":
        return Check("torch", "ok", about)
    if torch.get("hip"):
        return Check(
            "torch", "warning", f"{torch['version']} is a ROCm build, which loraforge is not tested on", reinstall
        )
    if not torch.get("cuda"):
        return Check("torch", "missing", f"{about} only: no GPU is ever used", reinstall)
    if gpu is None:
        return Check("torch", "ok", f"{about}; no card to compare it with")
    return _against_card(torch, gpu, about, reinstall)


def _against_card(torch: Mapping[str, Any], gpu: Gpu, about: str, reinstall: str) -> Check:
    if int(str(torch["cuda"]).partition(".")[0]) > gpu.driver_cuda[0]:
        newest = "{}.{}".format(*gpu.driver_cuda)
        message = f"{about}, but driver {gpu.driver} runs CUDA up to {newest}"
        return Check("torch", "missing", message, f"update the driver, or: {reinstall}")
    if torch["arch_list"] and not runs_on(gpu.capability, torch["arch_list"]):
        message = (
            f"{about} for {' '.join(torch['arch_list'])}, but {gpu.name} is sm_{gpu.capability[0]}{gpu.capability[1]}"
        )
        return Check("torch", "missing", message, reinstall)
    if not torch["available"]:
        fix = "unset CUDA_VISIBLE_DEVICES; if that changes nothing, restart the machine (driver and kernel disagree)"
        return Check("torch", "missing", f"{about}, but it sees no GPU", fix)
    return Check("torch", "ok", f"{about}, has code for {gpu.name}")


def _reinstall(python: PythonFacts, gpu: Gpu | None) -> str:
    # CUDA 12.8 is the first that knows RTX 50 and the last minor that most drivers take; 12.6 the last for Volta.
    cuda = "cu126" if gpu is not None and gpu.capability < (7, 5) else "cu128"
    index = f"https://download.pytorch.org/whl/{cuda}"
    return f'"{python.executable}" -m pip install --force-reinstall torch torchvision --index-url {index}'


def _bitsandbytes(job: Job, python: PythonFacts) -> Check:
    needed = job.optimizer.name in _EIGHT_BIT
    state: State = "missing" if needed else "warning"
    use = f"needed by optimizer.name = {job.optimizer.name}" if needed else "8-bit optimizers need it"
    fix = f'"{python.executable}" -m pip install --upgrade bitsandbytes'
    if needed:
        fix += "   or: --set optimizer.name=adafactor"
    facts = python.bitsandbytes
    if facts is None or "error" in facts:
        return Check("bitsandbytes", state, f"can't be imported ({_why(facts)}); {use}", fix)
    cuda = str((python.torch or {}).get("cuda") or "").replace(".", "")
    if facts["gpu"] is False or (facts["gpu"] is None and cuda and cuda not in facts["builds"]):
        builds = " ".join(facts["builds"]) or "none"
        return Check("bitsandbytes", state, f"has no library for torch's CUDA {cuda} (it has {builds}); {use}", fix)
    seen = "its GPU library loads" if facts["gpu"] else "not tried: torch sees no GPU"
    return Check("bitsandbytes", "ok", f"{python.versions.get('bitsandbytes', '?')}, {seen}")


def _triton(python: PythonFacts, error: str | None) -> Check:
    if error is None:
        return Check("triton", "ok", python.versions.get("triton", "there"))
    name = "triton-windows" if python.executable.lower().endswith(".exe") else "triton"
    message = "can't be imported; only compiled blocks need it, training works without"
    return Check("triton", "warning", message, f'"{python.executable}" -m pip install {name}')


def _opencv(python: PythonFacts, error: str | None) -> Check:
    if error is None:
        return Check("opencv", "ok", python.versions.get("opencv-python", "there"))
    if ".so" in error:
        fix = "sudo apt-get install -y libgl1 libglib2.0-0"
        return Check("opencv", "missing", f"lacks a system library ({error})", fix)
    return Check("opencv", "missing", error, f'"{python.executable}" -m pip install "opencv-python==4.10.0.84"')


def _why(answer: Mapping[str, Any] | None) -> str:
    return "it was not reached" if answer is None else str(answer["error"])
