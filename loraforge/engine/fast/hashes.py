"""Hash the base model while it loads, and once only."""

import hashlib
import json
import threading
from pathlib import Path
from typing import Any

from loraforge.engine.fast.part import Context, Refused, known, remember

_MEMORY = "sha256.json"
# Between two pieces a thread waits until Python lets it run again, which while modules are imported takes longer than a
# small piece does.
_PIECE = 1 << 25


def hash_early(context: Context) -> None:
    """Take the SHA-256 of the base model from memory, or begin it at once in a thread.

    The engine reads the 23.8 GB for one field of the metadata, 22 to 30 s in which the GPU waits. Hashing runs beside
    Python, from before the engine's modules are imported, and leaves the file in the system's cache for the engine to
    load; path, size and time of change tell whether a file is the one that was hashed before.
    """
    model = context.options.get("pretrained_model_name_or_path")
    if not isinstance(model, str) or not Path(model).is_file():
        raise Refused("the base model is not a file")
    memory = context.cache / _MEMORY if context.cache else None
    mark = _mark(model)
    digest = {mark: found} if (found := _read(memory).get(mark)) else {}
    worker = threading.Thread(target=lambda: digest.update({mark: _sha256(model)}), daemon=True)
    if not digest:
        worker.start()
    from library import train_util

    calculate = known(train_util, "calculate_sha256", "3efe1491d48f")

    def calculate_sha256(filename: str) -> Any:
        if filename != model or _mark(model) != mark:
            return calculate(filename)
        if worker.ident is not None:
            worker.join()
            if memory is not None:
                remember(memory, json.dumps({**_read(memory), **digest}, indent=1))
        return digest.get(mark) or calculate(filename)

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
