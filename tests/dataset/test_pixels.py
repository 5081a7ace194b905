import numpy as np
import pytest
from make_sets import STYLES, blurred, draw, enlarged, framed
from PIL import Image

from loraforge.dataset import pixels
from loraforge.dataset.features import measure


def _small(image: Image.Image):
    image = image.copy()
    image.thumbnail((256, 256), Image.Resampling.BOX)
    return np.asarray(image)


def _patches(image: Image.Image):
    return pixels.busiest_patches(image, _small(image))


@pytest.fixture(scope="module", params=STYLES)
def picture(request) -> Image.Image:
    """Return one picture of each hand."""
    return draw(request.param, 2, size=(1024, 768))[0]


def test_blur_is_told_from_every_hand(picture):
    """Blurred pictures lie below the threshold of the rule, clean ones well above it."""
    assert pixels.sharpness(_patches(picture)) > 0.35
    for radius in (3, 5, 8):
        assert pixels.sharpness(_patches(blurred(picture, radius))) < 0.215


@pytest.mark.parametrize("factor", [2, 2.5, 3, 4])
def test_enlarging_is_told_from_every_hand(picture, factor):
    """Halving loses next to nothing of an enlarged picture and much of a clean one."""
    assert pixels.detail_loss(_patches(picture), 2) > 0.19
    assert pixels.detail_loss(_patches(enlarged(picture, factor)), 2) < 0.175


def test_frames_are_told_from_plain_grounds(picture):
    """A matte has four sides; the same picture without it, or a disc on a plain ground, has none."""
    assert all(pixels.borders(_small(framed(picture, 40, (128, 32, 32)))))
    assert pixels.borders(_small(picture)) == (0, 0, 0, 0)
    plain = Image.new("RGB", (512, 512), "white")
    plain.paste("navy", (150, 150, 350, 350))
    assert pixels.borders(_small(plain)) == (0, 0, 0, 0)


def test_occupied():
    """One colour occupies nothing; a quarter of another colour occupies a quarter."""
    plain = Image.new("RGB", (200, 200), (30, 60, 90))
    assert pixels.occupied(np.asarray(plain)) == 0
    plain.paste("white", (0, 0, 100, 100))
    assert pixels.occupied(np.asarray(plain)) == pytest.approx(0.25)


@pytest.mark.parametrize("size", [(1, 1), (3, 900), (900, 3), (40, 40), (70, 70), (255, 257)])
def test_any_size_can_be_measured(tmp_path, size):
    """Tiny and narrow pictures give finite numbers."""
    Image.effect_noise(size, 60).convert("RGB").save(tmp_path / "a.png")
    found = measure(tmp_path / "a.png")
    numbers = [found.sharpness, found.detail_loss, found.occupied, *found.style, *found.layout]
    assert np.isfinite(numbers).all()
    assert found.size == size


@pytest.mark.parametrize("turn", range(1, 9))
def test_measurements_are_upright(tmp_path, turn):
    """Layout and hashes of a turned picture are those of the upright one."""
    upright = draw("flat", 2, size=(800, 600))[0]
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    stored = upright.transpose(Image.Transpose(back[turn])) if turn > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = turn
    stored.save(tmp_path / "turned.png", exif=exif)
    upright.save(tmp_path / "upright.png")
    turned, plain = measure(tmp_path / "turned.png"), measure(tmp_path / "upright.png")
    assert turned.size == plain.size == (800, 600)
    assert turned.layout == pytest.approx(plain.layout, abs=0.05)
    assert (int(turned.hash, 16) ^ int(plain.hash, 16)).bit_count() <= 6
