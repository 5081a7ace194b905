"""Hash the base model while it loads, and once only."""

import contextlib
import hashlib
import json
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loraforge.engine.fast.part import Context, Refused, known, remember

_MEMORY = "sha256.json"
# Between two pieces a thread waits until Python lets it run again, which while modules are imported takes longer than a
# small piece does.
_PIECE = 1 << 25


@dataclass(slots=True)
class Hashing:
    """The hash of a file that is being taken, or is known from before.

    Attributes:
        model: the file.
        mark: tells the file as it is now from what it may become.
        memory: where hashes of earlier runs stand; None for nowhere.
        digest: the hash, once it is known.
        worker: takes it; None where it was known.
    """

    model: str
    mark: str
    memory: Path | None
    digest: str | None = None
    worker: threading.Thread | None = None

    def work(self) -> None:
        """Take it; a file that can't be read is for the engine to report."""
        with contextlib.suppress(OSError):
            self.digest = _sha256(self.model)


def begin_hash(context: Context) -> Hashing:
    """Take the SHA-256 of the base model from memory, or begin it in a thread."""
    model = context.options.get("pretrained_model_name_or_path")
    if not isinstance(model, str) or not Path(model).is_file():
        raise Refused("the base model is not a file")
    memory, mark = context.cache / _MEMORY if context.cache else None, _mark(model)
    hashing = Hashing(model, mark, memory, _read(memory).get(mark))
    if hashing.digest is None:
        hashing.worker = threading.Thread(target=hashing.work, daemon=True)
        hashing.worker.start()
    return hashing


def hash_early(context: Context) -> None:
    """Give the engine a hash of the base model that was taken beside its imports, or in an earlier run.

    The engine reads the 23.8 GB for one field of the metadata, 22 to 30 s in which the GPU waits. Hashing runs beside
    Python, from before the engine's modules are imported, and leaves the file in the system's cache for the engine to
    load; path, size and time of change tell whether a file is the one that was hashed before.
    """
    hashing: Hashing = context.begun.get("hash") or begin_hash(context)
    from library import train_util

    calculate = known(train_util, "calculate_sha256", "3efe1491d48f")

    def calculate_sha256(filename: str) -> Any:
        if filename != hashing.model or _mark(filename) != hashing.mark:
            return calculate(filename)
        if hashing.worker is not None:
            hashing.worker.join()
            if hashing.memory is not None and hashing.digest is not None:
                known_before = _read(hashing.memory)
                remember(hashing.memory, json.dumps({**known_before, hashing.mark: hashing.digest}, indent=1))
        return hashing.digest or calculate(filename)

    train_util.calculate_sha256 = calculate_sha256


def _sha256(model: str) -> str:
    digest, piece = hashlib.sha256(), memoryview(bytearray(_PIECE))
    with Path(model).open("rb", buffering=0) as file:
        while count := file.readinto(piece):
            digest.update(piece[:count])
    return digest.hexdigest()


def _mark(model: str) -> str:
    seen = Path(model).stat()
    return f"{Path(model).resolve()}|{seen.st_size}|{seen.st_mtime_ns}"


def _read(memory: Path | None) -> dict[str, str]:
    try:
        found = json.loads(memory.read_text(encoding="utf-8")) if memory else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
