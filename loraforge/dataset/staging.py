"""Stage a set for training: the user's folder is read, never written, and never trained from directly.

The engine caches latents and text outputs beside its inputs and never notices an edited caption or a replaced picture.
So every picture is staged under a name made from its own bytes, its effective caption and the encoders that will read
them: a stale cache cannot carry the right name, and a warm one is found again. The store is shared by all runs of an
output folder; each run sees hard links to its own entries only.
"""

import contextlib
import hashlib
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from loraforge.dataset.captions import Caption, read_caption, replace_bytes, with_trigger
from loraforge.dataset.images import PictureError, check_bytes, list_pictures, load_rgb, opened, orientation
from loraforge.errors import DatasetError, MachineError

_PLAIN_MODES = frozenset({"RGB", "L"})
_DIGITS = 20  # of a staged name, from the picture's bytes
_LATENTS = "_flux.npz"  # the engine's ending
# What nobody knows the words of is not trained on the trigger alone.
_UNREAD = {"unreadable": "can't be read", "not-followed": "is a link out of the folder, which is not followed"}
_SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture as it will be trained.

    Attributes:
        stem: content-made name shared by picture, caption and caches.
        source: the user's picture.
        caption: the effective caption, trigger first.
    """

    stem: str
    source: Path
    caption: str

    @property
    def picture(self) -> str:
        """What the picture's bytes alone make of the name."""
        return self.stem[:_DIGITS]


def entries(images: Path, trigger: str | None, encoders: str) -> list[Entry]:
    """Read the set and name its entries.

    Args:
        images: the user's folder.
        trigger: written first into every caption; None leaves captions as they are.
        encoders: identity of the weights and settings that the caches depend on.

    Raises:
        DatasetError: no pictures, or captions that leave nothing to train with; all of them at once.
    """
    pictures = list_pictures(images)
    if not pictures:
        raise DatasetError(
            f"{images}: holds no pictures", "put .png, .jpg, .jpeg, .webp or .bmp files directly into this folder"
        )
    found: list[Entry] = []
    faults: list[str] = []
    taken: dict[str, int] = {}
    for picture in pictures:
        read = read_caption(picture.caption_path) if picture.caption_path else Caption("")
        if unread := [_UNREAD[problem] for problem in read.problems if problem in _UNREAD]:
            faults.append(f"{picture.path.name}: its caption {unread[0]}")
            continue
        caption = with_trigger(read.text, trigger) if trigger else read.text
        if not caption:
            faults.append(f"{picture.path.name}: has no caption, and there is no trigger to stand in for it")
            continue
        try:
            check_bytes(picture.path)
            key = _key(picture.path.read_bytes(), caption, encoders)
        except PictureError as fault:
            faults.append(fault.message)
            continue
        except OSError as fault:
            faults.append(f"{picture.path.name}: can't be read: {fault.strerror}")
            continue
        taken[key] = taken.get(key, 0) + 1  # exact duplicates stay two pictures, as the user has them
        found.append(Entry(key if taken[key] == 1 else f"{key}-{taken[key]}", picture.path, caption))
    if faults:
        raise DatasetError(
            "\n".join([f"{images}:", *(f"  {fault}" for fault in faults)]), f"see `loraforge lint {quote(str(images))}`"
        )
    return found


def stage(set_: Iterable[Entry], store: Path, folder: Path) -> None:
    """Bring entries into the store where they are missing, and link them with their warm caches into `folder`.

    Args:
        set_: what `entries` named.
        store: shared folder of prepared pictures, captions and caches; made when missing.
        folder: the run's own dataset folder; made when missing.

    Raises:
        DatasetError: pictures that can't be decoded, all of them at once.
        MachineError: a folder that can't be written.
    """
    faults: list[str] = []
    try:
        store.mkdir(parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
        for entry in set_:
            try:
                picture = _prepared(entry, store, folder)
            except PictureError as fault:
                faults.append(fault.message)
                continue
            if picture.parent != folder:
                _link(picture, folder / picture.name)
            replace_bytes(folder / f"{entry.stem}.txt", f"{entry.caption}\n".encode())
            for cache in caches(store, entry.stem):
                if _sound(cache):
                    # The engine adds another size to a file of latents in place, under the eyes of other runs.
                    (_copy if cache.name.endswith(_LATENTS) else _link)(cache, folder / cache.name)
                else:
                    cache.unlink(missing_ok=True)
    except OSError as fault:
        raise MachineError(
            f"{fault.filename}: {fault.strerror}", "choose another [output] dir, or free space"
        ) from None
    if faults:
        raise DatasetError(
            "\n".join(["pictures that can't be decoded:", *(f"  {fault}" for fault in faults)]),
            "replace or delete them",
        )


def harvest(folder: Path, store: Path) -> int:
    """Keep the caches a run has written for the next one; return how many were new. Half-written ones are deleted.

    What can't be kept is made again: a run does not end for it.
    """
    kept = 0
    for cache in sorted(folder.glob("*.npz")):
        with contextlib.suppress(OSError):
            if not _sound(cache):
                cache.unlink(missing_ok=True)
            elif _size(cache) > _size(store / cache.name):  # new, or with one size more
                store.mkdir(parents=True, exist_ok=True)
                _link(cache, store / cache.name)
                kept += 1
    return kept


def caches(folder: Path, stem: str) -> Iterator[Path]:
    """Yield the cache files of one entry: `<stem>_<suffix>.npz`."""
    return (path for path in sorted(folder.glob(f"{stem}_*.npz")))


def _key(data: bytes, caption: str, encoders: str) -> str:
    read_by = hashlib.sha256(f"{caption}\0{encoders}".encode("utf-8", "surrogatepass")).hexdigest()
    return f"{_digest(data)}{read_by[:12]}"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_DIGITS]


def _prepared(entry: Entry, store: Path, folder: Path) -> Path:
    """Return the picture as the engine can read it: upright, opaque, a lower-case suffix; made where it is missing.

    A run that begins again has it in its own folder, also when store and source are gone.
    """
    for place in (store, folder):
        for known in _SUFFIXES.values():
            if (ready := place / f"{entry.stem}{known}").exists():
                return ready
    with opened(entry.source) as image:
        if _digest(entry.source.read_bytes()) != entry.picture:
            raise PictureError(entry.source, "vanished", "it is no longer the picture that the run was begun with")
        plain = image.mode in _PLAIN_MODES and orientation(image) == 1 and not image.has_transparency_data
        suffix = _SUFFIXES.get(image.format or "") if plain and getattr(image, "n_frames", 1) == 1 else None
        if suffix is not None:
            image.load()  # a truncated file must be found now, not by the engine
    target = store / f"{entry.stem}{suffix or '.png'}"
    part = target.with_name(f".{target.name}.part{os.getpid()}")
    try:
        if suffix is not None:
            shutil.copyfile(entry.source, part)
        else:
            load_rgb(entry.source).save(part, format="PNG")
        with part.open("rb+") as file:
            os.fsync(file.fileno())  # else a power cut may leave the name with nothing in it, for every later run
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return target


def _link(source: Path, target: Path) -> None:
    """Hard-link, or copy where the file system has none."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)  # it may be the very same file
    shutil.copyfile(source, target)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sound(cache: Path) -> bool:
    """Tell whether an .npz is whole; a killed engine leaves them cut off, and the next one would crash on it."""
    try:
        with zipfile.ZipFile(cache) as archive:
            return archive.testzip() is None
    # A flipped bit may also ask for a password, or for a compression that does not exist.
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError):
        return False
