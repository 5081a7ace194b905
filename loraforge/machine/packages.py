"""The engine's python packages: which are asked for, and what the engine's own python says of them.

The asking is done by a child process, so that a broken torch can break only that child.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from loraforge.machine.secrets import without_secrets

_PROBE = Path(__file__).with_name("probe.py")
_TIMEOUT = 120.0  # seconds; a first import of torch from a cold disk takes tens of them


@dataclass(frozen=True, slots=True)
class PythonFacts:
    """What a python said of itself.

    Attributes:
        executable: the python that was asked.
        versions: canonical package name -> version, of everything installed there.
        torch: `{"version", "cuda", "hip", "arch_list", "available"}` or `{"error"}`; None when it never came to it.
        bitsandbytes: `{"gpu", "builds"}` or `{"error"}`; builds are the CUDA versions it ships a library for.
        triton: `{}` when it imports, else `{"error"}`.
        cv2: likewise.
        error: why it could not be asked to the end; None when it was.
    """

    executable: str
    versions: Mapping[str, str] = field(default_factory=dict)
    torch: Mapping[str, Any] | None = None
    bitsandbytes: Mapping[str, Any] | None = None
    triton: Mapping[str, Any] | None = None
    cv2: Mapping[str, Any] | None = None
    error: str | None = None


def pins(extra: str = "engine", distribution: str = "loraforge") -> list[Requirement]:
    """Return the requirements that an extra of our own adds, for this platform; empty where we are not installed."""
    try:
        lines = metadata.requires(distribution) or []
    except metadata.PackageNotFoundError:
        return []
    parsed = [Requirement(line) for line in lines]
    return [
        requirement
        for requirement in parsed
        if requirement.marker is not None
        and requirement.marker.evaluate({"extra": extra})
        and not requirement.marker.evaluate({"extra": ""})
    ]


def unmet(
    requirements: Sequence[Requirement], versions: Mapping[str, str]
) -> tuple[list[Requirement], list[Requirement]]:
    """Split off the requirements that are not installed at all, and those installed in another version."""
    absent, other = [], []
    for requirement in requirements:
        version = versions.get(canonicalize_name(requirement.name))
        if version is None:
            absent.append(requirement)
        elif not requirement.specifier.contains(version, prereleases=True):
            other.append(requirement)
    return absent, other


def plain(requirement: Requirement) -> str:
    """Return a requirement as one types it to pip: without the marker."""
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}{requirement.specifier}"


def ask_python(executable: str, timeout: float = _TIMEOUT) -> PythonFacts:
    """Ask a python for its packages; never raises for what is wrong with it.

    Args:
        executable: the python that would run the engine.
        timeout: seconds until it is given up.
    """
    try:
        answer = subprocess.run(
            [executable, "-W", "ignore", str(_PROBE)],
            env=without_secrets(),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
        output, code = answer.stdout, answer.returncode
    except subprocess.TimeoutExpired as expired:
        output, code = expired.stdout or b"", None
    except OSError as error:
        return PythonFacts(executable, error=f"it can't be started: {error.strerror}")
    facts = _read(output)
    asked = facts.pop("asking", None)
    if code == 0:
        return PythonFacts(executable, **facts)
    ended = f"did not answer within {timeout:.0f} s" if code is None else f"ended with code {code}"
    return PythonFacts(executable, **facts, error=f"it {ended}" + (f" while importing {asked}" if asked else ""))


def _read(output: bytes) -> dict[str, Any]:
    """Merge the lines the probe wrote; whatever else a library printed is passed over."""
    facts: dict[str, Any] = {}
    for line in output.decode("utf-8", "replace").splitlines():
        if line.startswith("loraforge:"):
            try:
                facts |= json.loads(line.removeprefix("loraforge:"))
            except ValueError:  # the line it died in
                break
    return facts
