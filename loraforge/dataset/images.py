"""The pictures of a folder: which files count, how large they are, and how they are opened safely."""

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, UnidentifiedImageError

from loraforge.errors import DatasetError

# What the engine reads without further plugins (it takes them in all-lower or all-upper case only; staging renames).
IMAGE_EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
CAPTION_EXTENSION = ".txt"

# An A2 scan at 600 dpi has 140 megapixels; what is beyond 179 is a trap or belongs shrunk before training.
MAX_PIXELS = 178_956_970
MAX_BYTES = 1 << 30  # more than that many pixels take in any format
# Our own check below refuses; Pillow's warning would only be noise on the terminal.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

Size = tuple[int, int]
FaultKind = Literal["vanished", "denied", "empty", "bomb", "unreadable", "truncated"]

# Whatever a picture is called: what Pillow decodes itself. For PostScript it would start an interpreter.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "WEBP", "TIFF", "JPEG2000", "ICO", "TGA")
_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FIXES: dict[FaultKind, str] = {
    "vanished": "Put it back, or run again.",
    "denied": "Give yourself permission to read it (chmod u+r), or move it out of the folder.",
    "empty": "Copy it again from its source, or delete it.",
    "bomb": "Shrink it, or delete it if you do not know where it comes from.",
    "unreadable": "Open and save it as PNG, or delete it.",
    "truncated": "Copy it again from its source, or delete it.",
}


class PictureError(DatasetError):
    """One picture that can't be read.

    Args:
        path: the picture.
        kind: what is the matter.
        detail: a sentence on it.
    """

    def __init__(self, path: Path, kind: FaultKind, detail: str) -> None:
        super().__init__(f"{path.name}: {detail}", _FIXES[kind])
        self.path = path
        self.kind: FaultKind = kind
        self.detail = detail

    def __reduce__(self) -> tuple[type["PictureError"], tuple[Path, FaultKind, str]]:
        # Exceptions are pickled by `args`, which hold the message only; this one crosses process borders.
        return PictureError, (self.path, self.kind, self.detail)


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of the set.

    Attributes:
        path: the picture's file.
        caption_path: the .txt file of the same stem, None where there is none.
    """

    path: Path
    caption_path: Path | None


def list_folder(folder: Path) -> list[os.DirEntry[str]]:
    """Return the direct children of `folder` sorted by name.

    Raises:
        DatasetError: the folder is missing, no folder, or can't be read.
    """
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        raise DatasetError(f"there is no folder {folder}", "Check the path of the pictures.") from None
    except NotADirectoryError:
        raise DatasetError(f"{folder} is a file, not a folder", "Name the folder that holds the pictures.") from None
    except OSError as error:
        raise DatasetError(
            f"{folder} can't be read: {error.strerror}", "Give yourself permission to read it."
        ) from None


def is_folder(entry: "os.DirEntry[str]") -> bool:
    """Tell whether an entry is a folder; a link that leads in a circle is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_special(entry: "os.DirEntry[str]") -> bool:
    """Tell whether an entry is a pipe or a device, which would be read for ever; what is gone is not."""
    try:
        mode = entry.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def is_picture_name(name: str) -> bool:
    """Tell whether a file of this name counts as a picture."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_EXTENSIONS  # noqa: PTH122  # 10,000 names


def is_picture_inside(entry: "os.DirEntry[str]") -> bool:
    """Tell by its first bytes whether a file is a PNG, JPEG, GIF or WebP, whatever it is called."""
    try:
        if not entry.is_file():  # opening a named pipe would wait for ever
            return False
        with Path(entry.path).open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8")) or head[8:] == b"WEBP"


def list_pictures(folder: Path) -> list[Picture]:
    """Return the pictures directly inside `folder`, sorted by name; hidden files and subfolders don't count.

    Raises:
        DatasetError: the folder is missing, no folder, or can't be read.
    """
    entries = list_folder(folder)
    captions = {entry.name for entry in entries if entry.name.endswith(CAPTION_EXTENSION)}
    pictures = []
    for entry in entries:
        if is_picture_name(entry.name) and not is_folder(entry) and not _is_special(entry):
            path = folder / entry.name
            caption = path.stem + CAPTION_EXTENSION
            pictures.append(Picture(path, folder / caption if caption in captions else None))
    return pictures


def some_pictures(folder: Path) -> list[Picture]:
    """Return the pictures directly inside `folder`, as `list_pictures` does, of which there must be one at least.

    Raises:
        DatasetError: there is none, or the folder is missing, no folder, or can't be read.
    """
    pictures = list_pictures(folder)
    if not pictures:
        raise DatasetError(f"{folder} holds no pictures", "Name the folder that holds the png, jpg, webp or bmp files.")
    return pictures


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, from the header alone (1 is upright)."""
    try:
        # The base class's reader: PNG's own would decode the whole picture to look for EXIF behind it.
        value = Image.Image.getexif(image).get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001  # a broken EXIF block raises anything from struct.error to SyntaxError
        return 1
    return value if value in _TURNS else 1


def upright(image: Image.Image) -> Image.Image:
    """Return `image` turned as its EXIF orientation says."""
    return turned(image, orientation(image))


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Return `image` turned as an EXIF orientation of 1 to 8 says."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def check_bytes(path: Path) -> None:
    """Refuse a file that is empty, or too large to be a picture, before anything of it is read.

    Raises:
        PictureError: it is, or there is no such file.
    """
    with _faults(path):
        size = path.stat().st_size
        if size == 0:
            raise PictureError(path, "empty", "the file has zero bytes")
        if size > MAX_BYTES:
            raise PictureError(path, "bomb", f"{size / 2**30:.1f} GiB are more than a picture has")


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """Open a picture, its header read and its size found safe; pixels are decoded when used.

    Raises:
        PictureError: on entry for what the header shows, inside for what decoding shows.
    """
    check_bytes(path)
    with _faults(path), Image.open(path, formats=_FORMATS) as image:
        if image.width * image.height > MAX_PIXELS:
            raise PictureError(path, "bomb", f"{image.width}×{image.height} pixels would fill the memory when opened")
        yield image


def read_size(path: Path) -> Size:
    """Return (width, height) in pixels as seen upright, from the header alone.

    Raises:
        PictureError: the header can't be read.
    """
    with opened(path) as image:
        width, height = image.size
        return (height, width) if orientation(image) >= 5 else (width, height)


def load_rgb(path: Path, background: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """Decode a picture upright as 8-bit RGB, transparency laid on `background`.

    Raises:
        PictureError: it can't be read to the end.
    """
    with opened(path) as image:
        image.load()  # an upright RGB picture is returned as it is, and its file is closed by then
        return upright(to_rgb(image, background))


def load_small(path: Path, side: int) -> Image.Image:
    """Decode a picture upright as 8-bit RGB, at most `side` pixels wide and high, without its metadata.

    Raises:
        PictureError: it can't be read to the end.
    """
    with opened(path) as image:
        image.draft("RGB", (side, side))  # a JPEG is decoded at a fraction of its size: several times faster
        image.load()  # a small RGB picture is returned as it is, and its file is closed by then
        small = upright(to_rgb(image))
    small.thumbnail((side, side))
    small.info.clear()  # EXIF is not for publication, and would turn it twice
    return small


def to_rgb(image: Image.Image, background: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """Return `image` as 8-bit RGB; 16-bit grey is scaled, not clipped, and EXIF is kept for `upright`."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image  # twelve megapixels are not copied for nothing
    exif = image.info.get("exif")
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value / 256).convert("L")
    if image.has_transparency_data:
        flat = Image.new("RGBA", image.size, (*background, 255))
        flat.alpha_composite(image.convert("RGBA"))
        image = flat
    rgb = image.convert("RGB")
    if exif is not None:
        rgb.info["exif"] = exif
    return rgb


@contextmanager
def _faults(path: Path) -> Iterator[None]:
    try:
        yield
    except PictureError:
        raise
    except FileNotFoundError:
        raise PictureError(path, "vanished", "the file is no longer there") from None
    except PermissionError:
        raise PictureError(path, "denied", "the file may not be read") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PictureError(path, "bomb", "its header claims more pixels than fit in memory") from None
    except UnidentifiedImageError:
        raise PictureError(path, "unreadable", "this is not a picture, or its header is damaged") from None
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, OverflowError) as error:
        # Pillow's decoders raise all of these for damaged data.
        raise PictureError(path, "truncated", f"it breaks off or is damaged ({error})") from None
