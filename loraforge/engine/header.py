"""The header of a .safetensors file: which tensors it says to hold, read without torch and without their data.

Nothing is ever unpickled: a file of another kind is told by its first bytes and left alone.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

_LIMIT = 100_000_000  # bytes; safetensors itself refuses a larger header
_LENGTH = 8  # bytes that say how long the header is
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8", "U8", "BOOL"), 8),
    "F4": 4,
}
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"version https://git-lfs", "is a git-lfs pointer: the file itself was never fetched"),
    (b"GGUF", "is a GGUF file, which the engine can't train on"),
    (b"PK\x03\x04", "is a pickle or zip archive (.ckpt, .pt), which can run code when it is opened"),
    (b"\x80\x02", "is a pickle (.ckpt, .pt), which can run code when it is opened"),
    (b"<", "is a web page: a log-in or error page was saved in the file's place"),
    (b"{", "is a JSON text: an error message or an index was saved in the file's place"),
)


class HeaderError(Exception):
    """A file whose header can't be trusted.

    Args:
        code: a finding's code.
        message: what is wrong, to be read after the file's name.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of a header: dtype as safetensors spells it ("BF16", "F8_E4M3") and shape."""

    dtype: str
    shape: tuple[int, ...]


def read_header(path: Path) -> Mapping[str, Tensor]:
    """Return the tensors a file says to hold, having checked that all their data is there.

    Raises:
        HeaderError: a folder, not safetensors, invalid or truncated.
        OSError: the file can't be opened or read.
    """
    if path.is_dir():
        raise HeaderError("weights-folder", "is a folder, not a file")
    with path.open("rb") as file:
        size, text = path.stat().st_size, _text(file, path.stat().st_size)
    try:
        entries = json.loads(text)
        metadata = entries.pop("__metadata__", None)
        for value in metadata.values() if metadata is not None else ():
            _word(value)
        tensors = {name: Tensor(_word(entry["dtype"]), _counts(entry["shape"])) for name, entry in entries.items()}
        spans = [_span(entry) for entry in entries.values()]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise HeaderError("weights-header", "has a header that is not valid safetensors; it is damaged") from None
    _complete(tensors, spans, size - _LENGTH - len(text))
    return tensors


def fingerprint(path: Path) -> str:
    """Return a cheap identity of a file: its size, its first MiB and a few blocks of its middle and end, hashed.

    Reads under 2 MiB however large the file; good for telling files apart, not for proving one authentic.

    Raises:
        OSError: the file can't be read.
    """
    block, samples = 1 << 16, 8
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with path.open("rb") as file:
        digest.update(file.read(1 << 20))
        for index in range(1, samples + 1):
            file.seek(max(0, size * index // samples - block))
            digest.update(file.read(block))
    return digest.hexdigest()


def _text(file: BinaryIO, size: int) -> bytes:
    start = file.read(64)
    if not start:
        raise HeaderError("weights-empty", "is empty")
    for signature, what in _SIGNATURES:
        # A header's length is little-endian, so a real one may begin with these bytes too, but its JSON follows.
        if start.startswith(signature) and start[_LENGTH : _LENGTH + 1] != b"{":
            raise HeaderError("weights-not-safetensors", what)
    length = int.from_bytes(start[:_LENGTH], "little")
    if len(start) < _LENGTH or length > _LIMIT or (len(start) > _LENGTH and start[_LENGTH : _LENGTH + 1] != b"{"):
        raise HeaderError("weights-not-safetensors", "is not a .safetensors file")
    if _LENGTH + length > size:
        raise HeaderError("weights-truncated", "ends within its header: the download was cut off")
    file.seek(_LENGTH)
    return file.read(length)


def _span(entry: Mapping[str, Any]) -> tuple[int, int]:
    begin, end = _counts(entry["data_offsets"])
    if begin > end:
        raise ValueError(entry)
    return begin, end


def _word(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(value)
    return value


def _counts(values: object) -> tuple[int, ...]:
    if not isinstance(values, list) or any(type(value) is not int or value < 0 for value in values):
        raise TypeError(values)
    return tuple(values)


def _complete(tensors: Mapping[str, Tensor], spans: list[tuple[int, int]], there: int) -> None:
    needed = max((end for _, end in spans), default=0)
    if needed > there:
        share = there / needed
        raise HeaderError(
            "weights-truncated", f"is cut off: {there:,} of {needed:,} bytes of its tensors are there ({share:.0%})"
        )
    wrong = next(
        (
            name
            for (name, tensor), (begin, end) in zip(tensors.items(), spans, strict=True)
            if tensor.dtype in _BITS and prod(tensor.shape) * _BITS[tensor.dtype] != (end - begin) * 8
        ),
        None,
    )
    if wrong is not None or needed != there:
        what = f"in which {wrong} has the wrong length" if wrong else f"and {there - needed:,} bytes beyond it"
        raise HeaderError("weights-header", f"has a header that does not fit its data, {what}; it is damaged")
