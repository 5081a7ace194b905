"""What lint knows of a picture: measured once in parallel, then remembered by the content of the file."""

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import platformdirs
from PIL import Image

from loraforge.dataset import pixels
from loraforge.dataset.compression import former_quality, jpeg_quality
from loraforge.dataset.images import PictureError, Size, check_bytes, opened, orientation, to_rgb, turned

_VERSION = "v3"  # of the measurements; raising it forgets all remembered ones
_SMALL = 256
_WORKING_AREA = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Features:
    """The measurements of one picture.

    Attributes:
        digest: blake2b of the file, 32 hex digits.
        bytes: size of the file.
        format: Pillow's name of the format, whatever the extension says.
        mode: Pillow's pixel mode as stored.
        deep: more than 8 bits a channel are stored.
        size: (width, height) in pixels, upright.
        orientation: EXIF orientation, 1 to 8.
        frames: number of frames, above 1 when animated.
        transparent: share of pixels that are not opaque, 0 to 1.
        quality: estimated JPEG quality 1 to 100, None for other formats.
        former_quality: JPEG quality up to 45 it was once saved at, None if better or never.
        sharpness, detail_loss, borders, occupied, layout, style: see `pixels`; detail_loss is for halving.
        hash, mirrored_hash: 64-bit perceptual hashes as hex.
        thumb: 256 grey values as hex.
    """

    digest: str
    bytes: int
    format: str
    mode: str
    deep: bool
    size: Size
    orientation: int
    frames: int
    transparent: float
    quality: int | None
    sharpness: float
    detail_loss: float
    former_quality: int | None
    borders: tuple[float, float, float, float]
    occupied: float
    layout: list[float]
    style: list[float]
    hash: str
    mirrored_hash: str
    thumb: str


Measured = Features | PictureError


def cache_folder() -> Path:
    """Return where measurements are remembered: <user cache>/loraforge/features/<version>."""
    return platformdirs.user_cache_path("loraforge") / "features" / _VERSION


def measure_all(
    paths: Sequence[Path],
    *,
    cache: Path | None = None,
    workers: int | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Measured]:
    """Measure pictures in parallel; one that can't be read gives its error in place of features.

    Args:
        paths: picture files.
        cache: folder of remembered measurements, None to measure afresh.
        workers: threads, None for one a core; Pillow and numpy release the interpreter where the time goes.
        progress: called with the number of pictures done so far.
    """
    results: list[Measured] = []
    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for done, result in enumerate(pool.map(lambda path: _recalled(path, cache), paths), 1):
            results.append(result)
            progress(done)
    return results


def _recalled(path: Path, cache: Path | None) -> Measured:
    try:
        check_bytes(path)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except PictureError as error:
        return error
    except OSError:
        digest = ""  # `measure` finds out why
    try:
        known = _recall(cache / f"{digest}.json") if cache is not None and digest else None
        if known is not None:
            return known
        features = measure(path, digest)
    except PictureError as error:
        return error
    if cache is not None:
        _remember(cache / f"{digest}.json", features)
    return features


def _recall(file: Path) -> Features | None:
    try:
        known = json.loads(file.read_bytes())
        return Features(**{**known, "size": tuple(known["size"]), "borders": tuple(known["borders"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None  # absent, or written by a crash or another version


def _remember(file: Path, features: Features) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as temporary:
            json.dump(asdict(features), temporary)
        Path(temporary.name).replace(file)
    except OSError:
        return  # a read-only or full cache only costs time


def measure(path: Path, digest: str = "") -> Features:
    """Decode and measure one picture.

    Raises:
        PictureError: it can't be read to the end.
    """
    with opened(path) as image:
        turn, mode, frames = orientation(image), image.mode, getattr(image, "n_frames", 1)
        deep = ";16" in str(getattr(image, "tile", "")) or mode.startswith(("I", "F"))
        image.load()
        transparent, quality, kind = _transparent(image), jpeg_quality(image), image.format or ""
        stored = to_rgb(image)
        size = path.stat().st_size
    working = stored.reduce(max(1, math.isqrt(stored.width * stored.height // _WORKING_AREA)))
    small = _reduced(working)
    reduced = np.asarray(small)
    full_patches = pixels.busiest_patches(stored, reduced)
    patches = full_patches if working.size == stored.size else pixels.busiest_patches(working, reduced)
    standing = turned(small, turn)
    upright = np.asarray(standing)
    return Features(
        digest=digest,
        bytes=size,
        format=kind,
        mode=mode,
        deep=deep,
        size=(stored.height, stored.width) if turn >= 5 else stored.size,
        orientation=turn,
        frames=frames,
        transparent=transparent,
        quality=quality,
        sharpness=round(pixels.sharpness(patches), 4),
        detail_loss=round(pixels.detail_loss(full_patches, 2), 4),
        former_quality=former_quality(full_patches),
        borders=pixels.borders(upright),
        occupied=round(pixels.occupied(upright), 4),
        layout=pixels.layout(upright),
        style=pixels.style(upright, pixels.spread_patches(working)),
        **_prints(standing),
    )


def _reduced(image: Image.Image) -> Image.Image:
    scale = _SMALL / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.BOX)


def _transparent(image: Image.Image) -> float:
    if not image.has_transparency_data:
        return 0.0
    alpha = image.convert("RGBA").getchannel("A").histogram()
    return round(sum(alpha[:250]) / sum(alpha), 4)


def _prints(reduced: Image.Image) -> dict[str, str]:
    import imagehash

    grey = reduced.convert("L")
    mirrored = grey.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    thumb = grey.resize((16, 16), Image.Resampling.BOX).tobytes().hex()
    return {"hash": str(imagehash.phash(grey)), "mirrored_hash": str(imagehash.phash(mirrored)), "thumb": thumb}
