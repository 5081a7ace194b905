"""What the self-contained pages share: an escaping environment, writing in one step, and pictures as data."""

import base64
import functools
import io
from pathlib import Path

import jinja2
from PIL import Image

from loraforge.dataset.captions import replace_bytes
from loraforge.dataset.images import PictureError, load_small
from loraforge.errors import ConfigError
from loraforge.findings import printable


@functools.cache
def environment() -> jinja2.Environment:
    """Return the environment of all templates: everything is escaped and a missing value is an error."""
    loader = jinja2.PackageLoader("loraforge.report", "templates")
    made = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    made.filters["readable"] = readable
    return made


def write_page(path: Path, html: str) -> None:
    """Write a page in one step, so that a browser never loads half of it.

    Raises:
        ConfigError: the file can't be written.
    """
    try:
        replace_bytes(path, html.encode("utf-8", "replace"))
    except OSError as fault:
        message = f"{path}: can't be written: {fault.strerror or fault}"
        raise ConfigError(message, "name a file in a folder that exists") from None


def readable(text: object) -> str:
    """Show control characters and bytes that are no text for what they are."""
    return printable(str(text), keep="\n")


def picture_data(path: Path, side: int, quality: int = 82) -> str:
    """Return a picture as a data URI, reduced to at most `side` pixels; empty if it can't be read."""
    try:
        stamp = path.stat()
    except OSError:
        return ""
    return _picture_data(path, side, quality, stamp.st_mtime_ns, stamp.st_size)


@functools.lru_cache(maxsize=1024)  # a page that is written again while a run goes on encodes only what is new
def _picture_data(path: Path, side: int, quality: int, _changed: int, _size: int) -> str:
    try:
        return as_data(load_small(path, side), quality)
    except PictureError:
        return ""


def as_data(image: Image.Image, quality: int = 82) -> str:
    """Return a picture as a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
