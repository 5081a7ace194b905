import pickle
from pathlib import Path

import pytest
from PIL import Image

from loraforge.dataset.images import Picture, PictureError, list_pictures, load_rgb, load_small, opened, read_size
from loraforge.errors import DatasetError

# EXIF orientation -> where the stored top-left pixel is seen on a 2:1 picture that was stored 1:2 or 2:1.
TURNS = [
    (1, (60, 30)),
    (2, (60, 30)),
    (3, (60, 30)),
    (4, (60, 30)),
    (5, (30, 60)),
    (6, (30, 60)),
    (7, (30, 60)),
    (8, (30, 60)),
]


def _turned(path: Path, turn: int) -> Path:
    image = Image.new("RGB", (60, 30), "white")
    image.paste((255, 0, 0), (0, 0, 20, 10))
    exif = Image.Exif()
    exif[0x0112] = turn
    image.save(path, exif=exif)
    return path


def test_lists_direct_pictures_only(tmp_path):
    """Hidden files, folders, captions and other files are no pictures; any case of the extension is."""
    for name in ("b.PNG", "a.Jpg", ".hidden.png", "a.txt", "notes.md", "c.webp", "d.jpeg", "e.bmp", "f.gif"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "z.png").write_bytes(b"x")
    assert [picture.path.name for picture in list_pictures(tmp_path)] == ["a.Jpg", "b.PNG", "c.webp", "d.jpeg", "e.bmp"]
    assert list_pictures(tmp_path)[0] == Picture(tmp_path / "a.Jpg", tmp_path / "a.txt")
    assert list_pictures(tmp_path)[1].caption_path is None


def test_a_folder_that_is_none(tmp_path):
    """A missing folder and a file in its place are dataset errors with a hint."""
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(DatasetError) as caught:
            list_pictures(wrong)
        assert str(wrong) in caught.value.message
        assert caught.value.hint


@pytest.mark.parametrize(("turn", "size"), TURNS)
@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
def test_size_is_upright(tmp_path, turn, size, extension):
    """The size read from the header and the decoded picture agree on the orientation."""
    path = _turned(tmp_path / f"a.{extension}", turn)
    assert read_size(path) == size
    assert load_rgb(path).size == size


@pytest.mark.parametrize(
    ("turn", "corner"), [(1, (2, 2)), (2, (57, 2)), (3, (57, 27)), (4, (2, 27)), (6, (27, 2)), (8, (2, 57))]
)
def test_pixels_are_upright(tmp_path, turn, corner):
    """The stored top-left corner is where the orientation says it is seen."""
    assert load_rgb(_turned(tmp_path / "a.png", turn)).getpixel(corner) == (255, 0, 0)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("LA", (0, 0), (255, 255, 255)),
        ("L", 7, (7, 7, 7)),
        ("I;16", 0x8000, (128, 128, 128)),
        ("1", 1, (255, 255, 255)),
        ("P", 0, (0, 0, 0)),
    ],
)
def test_every_mode_becomes_rgb(tmp_path, mode, colour, expected):
    """Transparency lies on white, and 16 bits are scaled to 8 rather than clipped."""
    Image.new(mode, (8, 8), colour).save(tmp_path / "a.png")
    assert load_rgb(tmp_path / "a.png").getpixel((3, 3)) == expected


@pytest.mark.parametrize(("size", "small"), [((400, 200), (100, 50)), ((40, 20), (40, 20)), ((20, 400), (5, 100))])
@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_small_copies_outlive_their_file(tmp_path, ending, size, small):
    """Reduced or small enough already, upright, without metadata, and whole when the file is gone."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / f"a.{ending}"
    Image.new("RGB", size, "red").save(path, exif=exif)
    found = load_small(path, 100)
    path.unlink()
    assert found.size == small[::-1]
    assert not found.info
    assert found.getpixel((2, 2))[0] > 250


def test_damaged_pictures_are_told_apart(tmp_path):
    """Each fault has its own kind, and none is a traceback."""
    Image.effect_noise((200, 200), 80).save(tmp_path / "whole.png")
    whole = (tmp_path / "whole.png").read_bytes()
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    # A header that claims 60,000 x 60,000 pixels; only IHDR's sides are changed, so its checksum is recomputed.
    import struct
    import zlib

    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    (tmp_path / "bomb.png").write_bytes(whole[:12] + header + struct.pack(">I", zlib.crc32(header)) + whole[33:])
    for name, kind in {
        "empty": "empty",
        "text": "unreadable",
        "cut": "truncated",
        "bomb": "bomb",
        "gone": "vanished",
    }.items():
        with pytest.raises(PictureError) as caught:
            load_rgb(tmp_path / f"{name}.png")
        assert caught.value.kind == kind
        assert caught.value.hint
        assert pickle.loads(pickle.dumps(caught.value)).kind == kind  # noqa: S301  # our own bytes


def test_header_alone_is_read(tmp_path):
    """A picture cut off behind its header still has a size."""
    Image.effect_noise((200, 100), 80).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "a.png").write_bytes(data[:2000])
    assert read_size(tmp_path / "a.png") == (200, 100)
    with opened(tmp_path / "a.png") as image:
        assert image.size == (200, 100)
