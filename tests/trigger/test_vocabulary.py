"""The two vocabularies."""

import json

import pytest

from loraforge.trigger.vocabulary import load_clip, load_t5


@pytest.mark.parametrize(
    ("word", "pieces"),
    [
        ("zxy_style", [("z", 89), ("xy", 11443), ("_", 318), ("style", 1844)]),
        ("myartst2024", [("my", 1152), ("art", 1486), ("st", 545), ("2", 273), ("0", 271), ("2", 273), ("4", 275)]),
        ("v1st", [("v", 341), ("1", 272), ("st", 545)]),
        ("sks", [("sks", 48136)]),
        ("ohwx", [("ohwx", 47993)]),
        ("OhwX", [("ohwx", 47993)]),
        ("", []),
    ],
)
def test_clip_cuts_known_triggers_as_known(clip_only, word, pieces):
    """The numbers are those of the real vocabulary."""
    assert [(piece.text, piece.id) for piece in clip_only.clip.pieces(word)] == pieces


def test_clip_agrees_with_transformers(clip_only, clip_folder):
    """Ours cuts as the class the engine uses does."""
    from transformers import CLIPTokenizer

    theirs = CLIPTokenizer.from_pretrained(clip_folder)
    for text in (
        "zxy_style, woman in garden",
        "Don't panic! café 2024",
        "  two   spaces\n",
        "x-y's <b>&amp",
        "日本 🌸",
    ):
        ours = [piece.id for piece in clip_only.clip.pieces(text)]
        assert ours == theirs(text, add_special_tokens=False).input_ids, text


def test_whole_words_have_numbers(both):
    """A word is looked up with the marks of its vocabulary."""
    assert both.clip.word_id("Style") == 1844
    assert both.clip.word_id("zxyqv") is None
    assert both.t5.word_id("a") is not None
    assert both.t5.word_id("zxyqv") is None


def test_t5_pieces_join_to_the_word(both):
    """Marks are gone, unknown characters are told."""
    assert "".join(piece.text for piece in both.t5.pieces("garden")) == "garden"
    assert [piece.known for piece in both.t5.pieces("日")] == [False]


def test_t5_reads_a_tokenizer_json_too(both, tmp_path):
    """The engine's cache may hold either form; both cut alike."""
    both.t5._library.save(str(tmp_path / "tokenizer.json"))
    read = load_t5(tmp_path)
    for word in ("garden", "zebra", "style"):
        assert [piece.text for piece in read.pieces(word)] == [piece.text for piece in both.t5.pieces(word)]
    assert read.word_id("a") == both.t5.word_id("a")
    assert not read.pieces("日")[0].known


@pytest.mark.parametrize("damage", ["{", "{}", '{"model": {"type": "BPE"}}'])
def test_damaged_files_are_value_errors(tmp_path, damage):
    """Whatever the libraries raise becomes one kind of error."""
    (tmp_path / "tokenizer.json").write_text(damage)
    with pytest.raises(ValueError, match=r"tokenizer\.json"):
        load_t5(tmp_path)
    for data in (b"not a model", b"", b"\x0a\xff", bytes(range(256))):
        (tmp_path / "spiece.model").write_bytes(data)
        with pytest.raises(ValueError, match="SentencePiece"):
            load_t5(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0}))
    (tmp_path / "merges.txt").write_text("q x\n")
    with pytest.raises(ValueError, match="byte-pair"):
        load_clip(tmp_path)
