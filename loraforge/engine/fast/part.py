"""What all parts share: what they are told, how they refuse, the proof that the engine is the one they know."""

import contextlib
import hashlib
import inspect
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class Refused(Exception):  # noqa: N818 - no error: the run goes on without the part
    """A part can't serve here; the text says why, in one line."""


@dataclass(slots=True)
class Context:
    """What a part may know.

    Attributes:
        options: the engine's options, flattened from its config file.
        cache: a folder of the user's that outlives runs; None where there is none.
        say: prints one line.
        broken: parts that failed while running, and went back to the engine's own way.
        begun: name of a part -> what it began before the engine's modules were imported.
    """

    options: Mapping[str, Any]
    say: Callable[[str], None]
    cache: Path | None = None
    broken: set[str] = field(default_factory=set)
    begun: dict[str, Any] = field(default_factory=dict)


Part = Callable[[Context], None]


def known(owner: Any, name: str, digest: str) -> Callable[..., Any]:
    """Return a function of the engine whose source is the one that a part was written against.

    Raises:
        Refused: it is missing or different.
    """
    function: Callable[..., Any] | None = getattr(owner, name, None)
    if function is None or fingerprint(function) != digest:
        raise Refused(f"{owner.__name__}.{name} is not that of the pinned version")
    return function


def fingerprint(function: Callable[..., Any]) -> str:
    """Return 12 hexadecimal digits of a function's source, however it is spaced."""
    return hashlib.sha256(" ".join(inspect.getsource(function).split()).encode()).hexdigest()[:12]


def told(fault: Exception) -> str:
    """Return an exception in one line."""
    return f"{type(fault).__name__}: {fault}".partition("\n")[0]


def remember(file: Path, text: str) -> None:
    """Write a file of the cache whole, for later runs; where that can't be, they do without."""
    scratch = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(file)
    except OSError:
        with contextlib.suppress(OSError):
            scratch.unlink()
