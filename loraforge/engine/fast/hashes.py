"""Hash the base model while it loads, and once only."""

import json
import os
import threading
from pathlib import Path
from typing import Any

from loraforge.engine.fast.part import Context, Refused, known

_MEMORY = "sha256.json"


def hash_early(context: Context) -> None:
    """Take the SHA-256 of the base model from memory, or begin it at once in a thread.

    The engine reads the 23.8 GB twice for one field of the metadata, 25 to 30 s in which the GPU waits. Hashing runs
    beside Python, so it is done by the time the engine asks; path, size and time of change tell whether a file is the
    one that was hashed before.
    """
    model = context.options.get("pretrained_model_name_or_path")
    if not isinstance(model, str) or not Path(model).is_file():
        raise Refused("the base model is not a file")
    from library import train_util

    calculate = known(train_util, "calculate_sha256", "3efe1491d48f")
    memory = context.cache / _MEMORY if context.cache else None
    mark = _mark(model)
    digest = {mark: found} if (found := _read(memory).get(mark)) else {}
    worker = threading.Thread(target=lambda: digest.update({mark: calculate(model)}), daemon=True)
    if not digest:
        worker.start()

    def calculate_sha256(filename: str) -> Any:
        if filename != model or _mark(model) != mark:
            return calculate(filename)
        if worker.ident is not None:
            worker.join()
            _write(memory, {**_read(memory), **digest})
        return digest.get(mark) or calculate(filename)

    train_util.calculate_sha256 = calculate_sha256


def _mark(model: str) -> str:
    seen = Path(model).stat()
    return f"{Path(model).resolve()}|{seen.st_size}|{seen.st_mtime_ns}"


def _read(memory: Path | None) -> dict[str, str]:
    try:
        found = json.loads(memory.read_text(encoding="utf-8")) if memory else {}
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(memory: Path | None, digests: dict[str, str]) -> None:
    if memory is None:
        return
    scratch = memory.with_name(f"{memory.name}.{os.getpid()}")
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(json.dumps(digests, indent=1), encoding="utf-8")
        scratch.replace(memory)
    except OSError:  # the next run hashes again
        scratch.unlink(missing_ok=True)
