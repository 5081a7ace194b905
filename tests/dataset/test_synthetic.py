"""The drawn art set: the same bytes for the same arguments, varied shapes, sparse captions, one palette."""

from pathlib import Path

import pytest
from PIL import Image

from loraforge.dataset.synthetic import draw_art_set


def _bytes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def art(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Draw a small set once."""
    return draw_art_set(tmp_path_factory.mktemp("art"), count=10, size=128)


def test_deterministic(art: list[Path], tmp_path: Path) -> None:
    """The same arguments give the same files; another seed gives other pictures under the same names."""
    draw_art_set(tmp_path / "again", count=10, size=128)
    draw_art_set(tmp_path / "other", count=10, seed=1, size=128)
    first = _bytes(art[0].parent)
    assert _bytes(tmp_path / "again") == first
    other = _bytes(tmp_path / "other")
    assert other.keys() == first.keys()
    assert all(other[path.name] != first[path.name] for path in art)


def test_captions_are_sparse_and_without_trigger(art: list[Path]) -> None:
    """Every picture has a caption of one to three words; each subject is another."""
    captions = [path.with_suffix(".txt").read_text("utf-8").strip() for path in art]
    assert captions[0] == "boat on sea"
    assert all(1 <= len(caption.split()) <= 3 for caption in captions)
    assert len(set(captions[:8])) == 8


def test_shapes_vary_and_areas_agree(art: list[Path]) -> None:
    """Pictures come in at least five aspect ratios, each of about the asked area."""
    sizes = []
    for path in art:
        with Image.open(path) as image:
            assert image.mode == "RGB"
            sizes.append(image.size)
    assert len({round(width / height, 2) for width, height in sizes}) >= 5
    assert all(abs(width * height / 128**2 - 1) < 0.02 for width, height in sizes)


def test_a_subject_that_comes_again_is_drawn_otherwise(art: list[Path]) -> None:
    """The ninth picture is a boat again, but another one."""
    assert art[8].read_bytes() != art[0].read_bytes()


def test_one_palette(art: list[Path]) -> None:
    """Before grain every picture is made of six colours, so nearly all of its pixels lie close to one of them."""
    palette = [(243, 231, 207), (34, 34, 59), (231, 111, 81), (233, 180, 76), (42, 157, 143), (138, 177, 125)]
    for path in art:
        with Image.open(path) as image:
            counted = image.getcolors(image.width * image.height) or []
        near = sum(
            count
            for count, colour in counted
            if min(max(abs(a - b) for a, b in zip(colour, base, strict=True)) for base in palette) <= 40
        )
        assert near / sum(count for count, _ in counted) > 0.9
