"""Tokenizers for the tests: the real CLIP vocabulary, and a small SentencePiece model in place of T5's."""

import gzip
import json
from pathlib import Path

import open_clip
import pytest
from sentencepiece import sentencepiece_model_pb2 as spiece

from loraforge.trigger import find_tokenizers

CLIP_NAME = "openai_clip-vit-large-patch14"
T5_NAME = "google_t5-v1_1-xxl"


def _byte_characters():
    """CLIP's printable stand-ins for the 256 bytes, in its order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) for byte in plain] + [chr(256 + index) for index in range(len(rest))]


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory):
    """A folder as the engine's tokenizer cache holds it, from the vocabulary that open_clip ships."""
    packed = Path(open_clip.__file__).with_name("bpe_simple_vocab_16e6.txt.gz")
    merges = gzip.decompress(packed.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    letters = _byte_characters()
    tokens = [*letters, *(letter + "</w>" for letter in letters), *("".join(merge.split()) for merge in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    folder = tmp_path_factory.mktemp("clip") / CLIP_NAME
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return folder


@pytest.fixture(scope="session")
def t5_folder(tmp_path_factory):
    """A unigram SentencePiece model with T5's special tokens, its letters, and a few words."""
    words = ["▁", "▁a", "▁woman", "▁in", "▁garden", "▁style", "▁art", "▁of", "s", "gard", "en", "art", "style", "ing"]
    pieces = [*words, *(letter for letter in "abcdefghijklmnopqrtuvwxyz0123456789_,.'-")]
    model = spiece.ModelProto()
    model.trainer_spec.model_type = spiece.TrainerSpec.UNIGRAM
    for text, kind in (("<pad>", 3), ("</s>", 3), ("<unk>", 2)):
        model.pieces.add(piece=text, score=0.0, type=kind)
    for rank, text in enumerate(pieces):
        model.pieces.add(piece=text, score=-2.0 - rank / 10)
    folder = tmp_path_factory.mktemp("t5") / T5_NAME
    folder.mkdir()
    (folder / "spiece.model").write_bytes(model.SerializeToString())
    return folder


@pytest.fixture(scope="session")
def clip_only(clip_folder):
    """CLIP-L found, T5 not."""
    return find_tokenizers([clip_folder.parent], {"HF_HOME": "/nonexistent", "LORAFORGE_MODELS": ""})


@pytest.fixture(scope="session")
def both(clip_folder, t5_folder):
    """Both found."""
    return find_tokenizers([clip_folder.parent, t5_folder.parent], {"HF_HOME": "/nonexistent"})
