"""CLIP-L's byte pairs and T5's SentencePiece, read from their vocabulary files without torch or transformers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from loraforge.trigger.spiece import read_spiece

Encoder = Literal["CLIP-L", "T5"]

_WORD_END = "</w>"
_WORD_START = "▁"
# What CLIP's own code splits a text with before it pairs bytes.
_CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


@dataclass(frozen=True, slots=True)
class Piece:
    """One token.

    Attributes:
        text: as a person reads it, without the vocabulary's marks.
        id: its number in the vocabulary; both vocabularies are ordered from frequent to rare.
        known: False where the vocabulary has no token for it (T5's <unk>).
    """

    text: str
    id: int
    known: bool = True


class Vocabulary:
    """One tokenizer.

    Args:
        encoder: whose it is.
        source: the file or folder it was read from.
        library: a `tokenizers.Tokenizer`.
    """

    def __init__(self, encoder: Encoder, source: Path, library: Any) -> None:
        self.encoder: Encoder = encoder
        self.source = source
        self._library = library

    def pieces(self, text: str) -> list[Piece]:
        """Cut a text into tokens, the special ones at its ends left out."""
        encoding = self._library.encode(text.strip(), add_special_tokens=False)
        unknown = self._library.token_to_id("<unk>")
        tokens = zip(encoding.tokens, encoding.ids, strict=True)
        read = [Piece(_plain(token), number, number != unknown) for token, number in tokens]
        return [piece for piece in read if piece.text]  # T5 may put a lone word start in front

    def word_id(self, word: str) -> int | None:
        """Return the number of the token that is this whole word; None when the vocabulary has none."""
        token = word.lower() + _WORD_END if self.encoder == "CLIP-L" else _WORD_START + word
        found: int | None = self._library.token_to_id(token)
        return found


@dataclass(frozen=True, slots=True)
class Tokenizers:
    """What was found.

    Attributes:
        clip: CLIP-L's, or None.
        t5: T5's, or None.
        missing: for each that is None, why, as a sentence without a full stop.
    """

    clip: Vocabulary | None = None
    t5: Vocabulary | None = None
    missing: tuple[str, ...] = ()

    @property
    def present(self) -> list[Vocabulary]:
        """Those that can be asked."""
        return [vocabulary for vocabulary in (self.clip, self.t5) if vocabulary is not None]


def load_clip(folder: Path) -> Vocabulary:
    """Read CLIP-L's tokenizer from vocab.json and merges.txt, else from tokenizer.json.

    Raises:
        OSError: no such file.
        ValueError: damaged.
        ImportError: the `tokenizers` library is missing.
    """
    if not (folder / "merges.txt").is_file():
        return Vocabulary("CLIP-L", folder, _from_json(folder / "tokenizer.json"))
    vocabulary: Mapping[str, int] = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()
    merges = [tuple(line.split()) for line in lines if line and not line.startswith("#version")]
    return Vocabulary("CLIP-L", folder, _byte_pairs(vocabulary, merges))


def _byte_pairs(vocabulary: Mapping[str, int], merges: list[tuple[str, ...]]) -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers

    try:
        model = models.BPE(
            vocab=dict(vocabulary),
            merges=merges,
            continuing_subword_prefix="",
            end_of_word_suffix=_WORD_END,
            unk_token="<|endoftext|>",  # noqa: S106  # a token of the vocabulary
            fuse_unk=False,
        )
    except Exception as damage:  # noqa: BLE001  # the library raises bare Exception
        raise ValueError(f"no byte-pair vocabulary: {damage}") from None
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    return tokenizer


def load_t5(folder: Path) -> Vocabulary:
    """Read T5's tokenizer from spiece.model, else from tokenizer.json.

    Raises:
        OSError: no such file.
        ValueError: damaged.
        ImportError: the `tokenizers` library is missing.
    """
    model = folder / "spiece.model"
    library = read_spiece(model.read_bytes()) if model.is_file() else _from_json(folder / "tokenizer.json")
    return Vocabulary("T5", folder, library)


def _from_json(path: Path) -> Any:
    from tokenizers import Tokenizer

    text = path.read_text(encoding="utf-8")
    try:
        return Tokenizer.from_str(text)
    except Exception as damage:  # noqa: BLE001  # the library raises bare Exception
        raise ValueError(f"no tokenizer.json: {damage}") from None


def _plain(token: str) -> str:
    return token.removesuffix(_WORD_END).replace(_WORD_START, "")
