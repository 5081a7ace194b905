import pytest
from make_sets import draw, signed

from loraforge.dataset import lettering


def test_a_signature_is_read_and_remembered(tmp_path, monkeypatch):
    """A line of text is found, windows and eyes are not, and the second call asks no engine."""
    if not lettering.available():
        pytest.skip("rapidocr is not installed: pip install 'loraforge[text-detection]'")
    plain, marked = draw("ink", 1, size=(768, 768))[0], signed(draw("flat", 2, size=(768, 768))[0])
    plain.save(tmp_path / "plain.png")
    marked.save(tmp_path / "marked.png")
    pictures = [(tmp_path / "plain.png", "a" * 32), (tmp_path / "marked.png", "b" * 32)]
    found = lettering.read_text(pictures, cache=tmp_path / "cache")
    assert found[0] == ()
    assert found[1] == ("www.example.com",)
    monkeypatch.setattr(lettering, "_engine", lambda: pytest.fail("looked again"))
    assert lettering.read_text(pictures, cache=tmp_path / "cache") == found
