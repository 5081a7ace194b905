import io

import numpy as np
import pytest
from make_sets import STYLES, draw
from PIL import Image

from loraforge.dataset import pixels
from loraforge.dataset.compression import former_quality, jpeg_quality


def _jpeg(image: Image.Image, quality: int, **options) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, **options)
    return Image.open(buffer)


def _judged(image: Image.Image) -> int | None:
    image = image.convert("RGB")
    small = image.copy()
    small.thumbnail((256, 256), Image.Resampling.BOX)
    return former_quality(pixels.busiest_patches(image, np.asarray(small)))


@pytest.fixture(scope="module", params=STYLES)
def picture(request) -> Image.Image:
    """Return one picture of each hand."""
    return draw(request.param, 2, size=(1024, 768))[0]


@pytest.mark.parametrize("quality", [8, 15, 27, 40])
def test_damage_stays_after_saving_again(picture, quality):
    """Every hand shows the poor quality it was once saved at, also after a second JPEG of high quality."""
    once = _jpeg(picture, quality).convert("RGB")
    assert _judged(once) == pytest.approx(quality, rel=0.2)
    assert _judged(_jpeg(once, 95)) == pytest.approx(quality, rel=0.2)


def test_fair_pictures_show_no_damage(picture):
    """Never compressed, compressed well, or scaled down since: none of it is damage."""
    scaled = picture.resize((picture.width * 3 // 4, picture.height * 3 // 4), Image.Resampling.LANCZOS)
    for fair in (picture, scaled, _jpeg(picture, 60), _jpeg(picture, 75), _jpeg(picture, 90)):
        assert _judged(fair) is None


def test_other_programs_tables_are_told_too():
    """Quantisers unlike libjpeg's are read off the coefficients."""
    drawn = draw("oil", 2, size=(1024, 768))[0]
    assert _judged(_jpeg(drawn, -1, qtables=[[30] * 64, [30] * 64])) == pytest.approx(20, abs=4)


@pytest.mark.parametrize("side", [1, 7, 8, 20])
def test_tiny_pictures_have_nothing_to_tell(side):
    """Too few squares for a judgement give none."""
    assert _judged(Image.effect_noise((side, side), 60)) is None


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 95])
def test_jpeg_quality_is_estimated(quality):
    """The estimate from the tables is close to what was asked for."""
    assert jpeg_quality(_jpeg(Image.new("RGB", (64, 64)), quality)) == pytest.approx(quality, abs=6)
