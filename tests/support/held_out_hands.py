"""Three hands that no threshold was chosen on: the benchmark of lint judges by them whether the others were fitted."""

import numpy as np
from make_sets import Rng, Shape, _edges, _noise, _wobble, paint
from PIL import Image, ImageChops, ImageFilter


def chalk(shapes: list[Shape], size: tuple[int, int], rng: Rng) -> Image.Image:
    """Pale broken lines and rubbed colour on a dark board."""
    colours = [(0, 0, 0), (8, 12, 10), (190, 170, 90), (60, 110, 90), (90, 120, 160), (170, 90, 90), (120, 120, 120)]
    fill = paint(shapes, size, [*colours, (200, 200, 190)])
    outline = _wobble(_edges(fill, 10).filter(ImageFilter.MaxFilter(7)), rng, 20, 3)
    tooth = np.asarray(_noise(rng, size, 2), np.float32)[..., None] / 255
    board = np.array([38, 52, 46], np.float32) + (np.asarray(_noise(rng, size, 70), np.float32)[..., None] - 128) / 16
    rubbed = np.asarray(fill, np.float32) * np.clip(tooth * 1.6 - 0.5, 0, 1) * 0.7
    lines = np.asarray(outline, np.float32)[..., None] * np.clip(tooth * 2 - 0.3, 0, 1) * 0.85
    return Image.fromarray(np.clip(board + rubbed + lines, 0, 255).astype(np.uint8))


def woodcut(shapes: list[Shape], size: tuple[int, int], rng: Rng) -> Image.Image:
    """Black cuts of swelling width on cream paper, with one block of red."""
    greys = [(245,) * 3, (225,) * 3, (200,) * 3, (150,) * 3, (110,) * 3, (70,) * 3, (40,) * 3, (235,) * 3]
    base = paint(shapes, size, greys).convert("L")
    tone = np.asarray(base.filter(ImageFilter.GaussianBlur(5)), np.float32)
    bend = (np.asarray(_noise(rng, size, 120), np.float32) - 128) / 6
    rows = np.arange(size[1])[:, None] + bend
    cut = 0.5 + 0.5 * np.sin(rows * 2 * np.pi / 13)
    outline = np.asarray(_edges(base, 12).filter(ImageFilter.MaxFilter(7))) > 0
    outline[:8], outline[-8:], outline[:, :8], outline[:, -8:] = (
        False,
    ) * 4  # the filter finds an edge in every margin
    black = (cut > tone / 235) | outline
    red = np.asarray(paint(shapes, size, [(0,) * 3] * 5 + [(255,) * 3] + [(0,) * 3] * 2).convert("L")) > 128
    page = np.where(red[..., None], (196, 62, 44), (240, 228, 202))
    sheet = np.where(black[..., None], (28, 24, 26), page).astype(np.uint8)
    return Image.fromarray(sheet).filter(ImageFilter.GaussianBlur(0.6))


def gouache(shapes: list[Shape], size: tuple[int, int], rng: Rng) -> Image.Image:
    """Matt dull colours, dry-brushed edges and a fine paper grain."""
    palette = [(214, 204, 188), (196, 190, 180), (208, 160, 110), (120, 132, 110), (98, 112, 128), (150, 96, 88)]
    flat = paint(shapes, size, [*palette, (70, 66, 74), (226, 214, 190)])
    brushed = _wobble(_wobble(flat, rng, 5, 4), rng, 40, 6).filter(ImageFilter.GaussianBlur(0.7))
    uneven = _noise(rng, size, 34).point(lambda value: 226 + value // 9).convert("RGB")
    grain = _noise(rng, size, 2).point(lambda value: 236 + value // 14).convert("RGB")
    return ImageChops.multiply(ImageChops.multiply(brushed, uneven), grain)


HANDS = {"chalk": chalk, "woodcut": woodcut, "gouache": gouache}
