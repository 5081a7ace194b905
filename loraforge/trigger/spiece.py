"""A SentencePiece unigram model read into the `tokenizers` library.

The sentencepiece package itself is not used: importing it beside torch has ended in segmentation faults, and `check`
may share its process with torch. The file is a protocol buffer of which two fields matter here.
"""

import struct
from collections.abc import Iterator
from typing import Any

# ModelProto: 1 = pieces (1 text, 2 score, 3 type), 2 = trainer (3 model type), 3 = normalizer (2 precompiled map).
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_MODEL_TYPE = 3
_UNIGRAM = 1
_UNKNOWN = 2


def read_spiece(data: bytes) -> Any:
    """Return a `tokenizers.Tokenizer` that cuts as the model does.

    Raises:
        ValueError: the bytes are no unigram model.
        ImportError: the `tokenizers` library is missing.
    """
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    pieces: list[tuple[str, float]] = []
    unknown, charsmap, kind = None, b"", _UNIGRAM
    try:
        for number, value in _fields(data):
            if number == _PIECES:
                fields = dict(_fields(value))
                if fields.get(3) == _UNKNOWN:
                    unknown = len(pieces)
                pieces.append((fields[1].decode(), struct.unpack("<f", fields[2])[0]))
            elif number == _TRAINER:
                kind = dict(_fields(value)).get(_MODEL_TYPE, _UNIGRAM)
            elif number == _NORMALIZER:
                charsmap = dict(_fields(value)).get(2, b"")
    except (IndexError, KeyError, TypeError, AttributeError, UnicodeDecodeError, struct.error):
        raise ValueError("no SentencePiece model: damaged") from None
    if unknown is None or kind != _UNIGRAM:
        raise ValueError("no SentencePiece model of the unigram kind")
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=unknown, byte_fallback=False))
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence([normalizers.Precompiled(charsmap), spaces] if charsmap else [spaces])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return tokenizer


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Walk one protocol buffer message: numbers as int, everything else as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in {1, 5}:
            size = 8 if wire == 1 else 4
        else:
            raise IndexError(at)
        if at + size > len(data):
            raise IndexError(at)
        yield number, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
