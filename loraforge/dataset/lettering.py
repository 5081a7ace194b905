"""Text in pictures, read with rapidocr where it is installed."""

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loraforge.dataset.images import PictureError, load_rgb

_SIDE = 1024  # what is illegible at this size is no lettering to a model that trains at it
_CONFIDENCE = 0.8
_VERSION = "t1"


def available() -> bool:
    """Tell whether rapidocr is installed."""
    return all(importlib.util.find_spec(name) for name in ("rapidocr", "onnxruntime"))


def read_text(
    pictures: Sequence[tuple[Path, str]],
    *,
    cache: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[tuple[str, ...]]:
    """Return the lines of text in each picture; rapidocr uses all cores by itself.

    Args:
        pictures: files with the digests of their content.
        cache: folder of remembered results, None to look afresh.
        progress: called with the number of pictures done so far.
    """
    engine: Any = None
    results = []
    for done, (path, digest) in enumerate(pictures, 1):
        file = cache / f"{digest}-{_VERSION}.json" if cache is not None else None
        lines = _recall(file)
        if lines is None:
            engine = engine or _engine()
            lines = _lines(engine, path)
            _remember(file, lines)
        results.append(lines)
        progress(done)
    return results


def _engine() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(params={"Global.log_level": "critical"})


def _lines(engine: Any, path: Path) -> tuple[str, ...]:
    import numpy as np

    try:
        image = load_rgb(path)
    except PictureError:  # it vanished since it was measured
        return ()
    image.thumbnail((_SIDE, _SIDE))
    found = engine(np.asarray(image)[:, :, ::-1])
    pairs = zip(found.txts or (), found.scores or (), strict=False)
    return tuple(text for text, score in pairs if score >= _CONFIDENCE and _is_text(text))


def _is_text(text: str) -> bool:
    """Refuse the single boxes and rings that windows, eyes and suns are read as."""
    return len({char for char in text.lower() if char.isalnum()}) > 1


def _recall(file: Path | None) -> tuple[str, ...] | None:
    try:
        return tuple(json.loads(file.read_text("utf-8"))) if file is not None else None
    except (OSError, ValueError, TypeError):
        return None


def _remember(file: Path | None, lines: tuple[str, ...]) -> None:
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".part")
        temporary.write_text(json.dumps(lines), encoding="utf-8")
        temporary.replace(file)
    except OSError:
        return  # a read-only or full cache only costs time
