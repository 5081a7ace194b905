"""Style sets drawn from nothing: eight hands, many subjects, and faults that can be planted in them.

Deterministic for a seed. Tests and benchmarks share it; nothing in loraforge does.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

TRIGGER = "qxvstl"
SIZES = [(1024, 1024), (1216, 832), (832, 1216), (1152, 896), (1400, 1100), (1100, 1400)]
SUBJECTS = ["hills", "city", "portrait", "boat", "vase", "tree", "cat", "moon"]
CAPTIONS = {
    "hills": "rolling hills",
    "city": "city at dusk",
    "portrait": "portrait of a man",
    "boat": "boat on a lake",
    "vase": "flowers in a vase",
    "tree": "lone tree",
    "cat": "sitting cat",
    "moon": "moon over water",
}
WORDS = ["north", "two", "old", "far", "small", "quiet", "wide", "warm", "cold", "late", "early", "open"]

Rng = np.random.Generator
Shape = tuple[list[tuple[float, float]], int]  # polygon in 0..1, palette index


def _disc(x: float, y: float, rx: float, ry: float | None = None, n: int = 40) -> list[tuple[float, float]]:
    ry = rx if ry is None else ry
    return [(x + rx * np.cos(a), y + ry * np.sin(a)) for a in np.linspace(0, 2 * np.pi, n, endpoint=False)]


def _ridge(rng: Rng, level: float, height: float) -> list[tuple[float, float]]:
    xs = np.linspace(-0.05, 1.05, 40)
    phase, waves = rng.uniform(0, 6.3, 3), rng.uniform(2, 11, 3)
    ys = level + height * sum(np.sin(xs * w + p) / (i + 1.5) for i, (w, p) in enumerate(zip(waves, phase, strict=True)))
    return [*zip(xs.tolist(), ys.tolist(), strict=True), (1.05, 1.05), (-0.05, 1.05)]


def _box(x: float, y: float, w: float, h: float) -> list[tuple[float, float]]:
    return [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]


def scene(subject: str, rng: Rng) -> list[Shape]:
    """Return the shapes of one picture, back to front; the first fills the sheet."""
    shapes: list[Shape] = [(_box(-0.1, -0.1, 1.2, 1.2), int(rng.integers(0, 2)))]
    u = rng.uniform
    if subject in {"hills", "tree", "moon", "boat"}:
        shapes += [(_disc(u(0.15, 0.85), u(0.1, 0.3), u(0.05, 0.12)), 2)]
        shapes += [
            (_ridge(rng, 0.42 + 0.14 * i + u(-0.05, 0.05), u(0.04, 0.1)), 3 + i) for i in range(int(rng.integers(2, 5)))
        ]
    if subject == "city":
        for _ in range(int(rng.integers(8, 16))):
            x, h = u(-0.05, 0.95), u(0.2, 0.7)
            shapes.append((_box(x, 1 - h, u(0.06, 0.16), h), int(rng.integers(2, 7))))
            shapes += [(_box(x + 0.02, 1 - h + 0.04 * k, 0.02, 0.02), 7) for k in range(1, int(h * 18), 2)]
    if subject == "portrait":
        x, y, r = u(0.35, 0.65), u(0.35, 0.5), u(0.14, 0.22)
        shapes += [
            (_disc(x, y + r * 2.6, r * 2, r * 1.6), 4),
            (_disc(x, y - r * 0.2, r * 1.2, r * 1.4), 6),
            (_disc(x, y, r, r * 1.25), 2),
        ]
        shapes += [(_disc(x + s * r * 0.4, y - r * 0.1, r * 0.1, r * 0.07), 7) for s in (-1, 1)]
        shapes += [(_disc(x, y + r * 0.6, r * 0.35, r * 0.08), 5), (_box(x - r * 0.05, y, r * 0.12, r * 0.35), 3)]
    if subject == "boat":
        x, y, s = u(0.25, 0.7), u(0.6, 0.8), u(0.1, 0.2)
        shapes += [([(x - s, y), (x + s, y), (x + s * 0.6, y + s * 0.4), (x - s * 0.6, y + s * 0.4)], 6)]
        shapes += [
            ([(x, y - s * 1.8), (x, y), (x + s * 0.9, y)], 2),
            ([(x - s * 0.1, y - s * 1.5), (x - s * 0.1, y), (x - s * 0.7, y)], 7),
        ]
    if subject == "vase":
        x, s = u(0.35, 0.65), u(0.1, 0.16)
        shapes += [
            (_box(-0.1, 0.78 + u(-0.05, 0.05), 1.2, 0.4), 5),
            (_disc(x, 0.72, s, s * 1.4), 4),
            (_box(x - s * 0.5, 0.5, s, 0.12), 4),
        ]
        for _ in range(int(rng.integers(6, 14))):
            fx, fy, r = x + u(-0.3, 0.3), u(0.12, 0.48), u(0.03, 0.07)
            shapes.append(([(x, 0.52), (x + 0.012, 0.52), (fx + 0.006, fy), (fx, fy)], 6))
            shapes += [
                (_disc(fx + r * np.cos(a), fy + r * np.sin(a), r * 0.6), 2) for a in np.linspace(0, 6.28, 6)[:-1]
            ]
            shapes.append((_disc(fx, fy, r * 0.5), 7))
    if subject == "tree":
        x, w = u(0.25, 0.75), u(0.02, 0.05)
        shapes += [([(x - w, 0.95), (x + w, 0.95), (x + w * 0.5, 0.4), (x - w * 0.5, 0.4)], 6)]
        shapes += [(_disc(x + u(-0.2, 0.2), u(0.2, 0.5), u(0.05, 0.12)), int(rng.integers(3, 6))) for _ in range(14)]
    if subject == "cat":
        x, y, s = u(0.3, 0.7), u(0.5, 0.6), u(0.13, 0.2)
        shapes += [
            (_box(-0.1, 0.8, 1.2, 0.4), 3),
            (_disc(x, y + s, s, s * 1.3), 5),
            (_disc(x, y - s * 0.5, s * 0.75), 5),
        ]
        shapes += [
            ([(x + k * s * 0.7, y - s * 0.6), (x + k * s * 0.55, y - s * 1.5), (x + k * s * 0.1, y - s * 1.1)], 5)
            for k in (-1, 1)
        ]
        shapes += [(_disc(x + k * s * 0.3, y - s * 0.6, s * 0.1, s * 0.16), 7) for k in (-1, 1)]
    if subject == "moon":
        shapes += [(_box(u(-0.1, 0.6), 0.62 + 0.05 * k + u(0, 0.02), u(0.1, 0.5), 0.012), 7) for k in range(7)]
    return shapes


def paint(
    shapes: list[Shape], size: tuple[int, int], palette: list[tuple[int, int, int]], scale: int = 2
) -> Image.Image:
    """Draw flat shapes, antialiased by drawing `scale` times larger."""
    big = Image.new("RGB", (size[0] * scale, size[1] * scale))
    draw = ImageDraw.Draw(big)
    for polygon, colour in shapes:
        draw.polygon([(x * big.width, y * big.height) for x, y in polygon], fill=palette[colour])
    return big.reduce(scale)


def _noise(rng: Rng, size: tuple[int, int], cell: int) -> Image.Image:
    small = rng.integers(0, 256, (size[1] // cell + 2, size[0] // cell + 2), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def _wobble(image: Image.Image, rng: Rng, cell: int, strength: float) -> Image.Image:
    """Displace pixels by smooth noise: edges drawn by a hand."""
    width, height = image.size
    dx = (np.asarray(_noise(rng, image.size, cell), np.float32) - 128) / 128 * strength
    dy = (np.asarray(_noise(rng, image.size, cell), np.float32) - 128) / 128 * strength
    ys, xs = np.mgrid[0:height, 0:width]
    at = (np.clip(ys + dy, 0, height - 1).astype(int), np.clip(xs + dx, 0, width - 1).astype(int))
    return Image.fromarray(np.asarray(image)[at])


def _edges(image: Image.Image, low: int) -> Image.Image:
    return image.convert("L").filter(ImageFilter.FIND_EDGES).point(lambda v: 255 if v > low else 0)


def flat(shapes: list[Shape], size: tuple[int, int], rng: Rng) -> Image.Image:
    """Poster colours, hard edges."""
    palette = [
        (246, 231, 203),
        (240, 214, 170),
        (244, 162, 97),
        (42, 157, 143),
        (38, 70, 83),
        (231, 111, 81),
        (20, 33, 61),
        (255, 250, 240),
    ]
    return paint(shapes, size, palette)


def watercolour(shapes: list[Shape], size: tuple[int, int], rng: Rng) -> Image.Image:
    """Pale washes with wobbling edges on grained paper."""
    palette = [
        (235, 242, 245),
        (225, 236, 244),
        (250, 225, 170),
        (160, 200, 190),
        (120, 160, 200),
        (200, 150, 170),
        (90, 110, 140),
        (240, 240, 235),
    ]
    washed = _wobble(paint(shapes, size, palette), rng, 24, 9)
    washed = Image.blend(washed, washed.filter(ImageFilter.GaussianBlur(9)), 0.45)
    rim = (
        washed.convert("L")
        .filter(ImageFilter.FIND_EDGES)
        .filter(ImageFilter.GaussianBlur(1))
        .point(lambda v: 255 - min(110, v * 3))
    )
    washed = ImageChops.multiply(washed, rim.convert("RGB"))
    grain = Image.blend(_noise(rng, size, 3), _noise(rng, size, 60), 0.6).point(lambda v: 205 + v // 5)
    return ImageChops.multiply(washed, grain.convert("RGB"))


def ink(shapes: list[Shape], size: tuple[int, int], rng: Rng) -> Image.Image:
    """Black contours and hatching on white."""
    greys = [(250,) * 3, (240,) * 3, (200,) * 3, (160,) * 3, (110,) * 3, (80,) * 3, (40,) * 3, (225,) * 3]
    base = paint(shapes, size, greys)
    tone = np.asarray(base.convert("L"), int)
    ys, xs = np.mgrid[0 : size[1], 0 : size[0]]
    jitter = np.asarray(_noise(rng, size, 30), int) // 40
    page = np.full(tone.shape, 252, np.uint8)
    page[((xs + ys + jitter) % 11 < 3) & (tone < 180)] = 25
    page[((xs - ys + jitter) % 11 < 3) & (tone < 100)] = 25
    lines = _wobble(_edges(base, 12).filter(ImageFilter.MaxFilter(5)), rng, 16, 2)
    return ImageChops.subtract(Image.fromarray(page), lines).convert("RGB")


def oil(shapes: list[Shape], size: tuple[int, int], rng: Rng) -> Image.Image:
    """Thick short strokes that follow nothing but the colour beneath."""
    palette = [
        (70, 95, 140),
        (90, 110, 120),
        (235, 200, 90),
        (60, 90, 60),
        (110, 120, 50),
        (150, 80, 40),
        (50, 35, 40),
        (240, 225, 180),
    ]
    base = np.asarray(paint(shapes, size, palette, 1))
    picture = Image.fromarray(base).filter(ImageFilter.GaussianBlur(6))
    draw = ImageDraw.Draw(picture)
    for _ in range(9000):
        x, y = rng.integers(0, size[0]), rng.integers(0, size[1])
        angle, length, width = rng.normal(0.6, 0.7), rng.uniform(10, 34), int(rng.integers(4, 10))
        colour = tuple(np.clip(base[y, x] + rng.normal(0, 16, 3) + rng.normal(0, 10), 0, 255).astype(int).tolist())
        dx, dy = np.cos(angle) * length / 2, np.sin(angle) * length / 2
        draw.line([(x - dx, y - dy), (x + dx, y + dy)], fill=colour, width=width)
        shade = tuple(int(c * 0.8) for c in colour)
        draw.line([(x - dx, y - dy + width / 2), (x + dx, y + dy + width / 2)], fill=shade, width=1)
    return picture


def dots(shapes: list[Shape], size: tuple[int, int], rng: Rng) -> Image.Image:
    """Pointillism: pure dots on an ochre ground."""
    palette = [
        (150, 190, 230),
        (170, 200, 220),
        (250, 220, 80),
        (70, 160, 80),
        (40, 110, 160),
        (220, 80, 60),
        (80, 40, 110),
        (250, 240, 200),
    ]
    base = np.asarray(paint(shapes, size, palette, 1))
    picture = Image.new("RGB", size, (214, 190, 140))
    draw = ImageDraw.Draw(picture)
    for _ in range(14000):
        x, y, r = int(rng.integers(0, size[0])), int(rng.integers(0, size[1])), rng.uniform(3, 6)
        colour = tuple(np.clip(base[y, x] + rng.normal(0, 35, 3), 0, 255).astype(int).tolist())
        draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)
    return picture


def glass(shapes: list[Shape], size: tuple[int, int], rng: Rng) -> Image.Image:
    """Stained glass: saturated panes between leads."""
    palette = [
        (20, 60, 160),
        (30, 90, 190),
        (250, 200, 30),
        (10, 130, 80),
        (120, 20, 110),
        (200, 30, 40),
        (60, 20, 90),
        (250, 240, 160),
    ]
    base = np.asarray(paint(shapes, size, palette, 1))
    step = 44
    points = np.array(
        [
            (y + rng.uniform(0, step), x + rng.uniform(0, step))
            for y in range(0, size[1], step)
            for x in range(0, size[0], step)
        ]
    )
    marks = Image.new("I", size)
    for index, (y, x) in enumerate(points):
        marks.putpixel((min(int(x), size[0] - 1), min(int(y), size[1] - 1)), index + 1)
    from scipy.ndimage import distance_transform_edt

    _, (near_y, near_x) = distance_transform_edt(np.asarray(marks) == 0, return_indices=True)
    cell = near_y * size[0] + near_x
    panes = np.clip(
        base[near_y, near_x] * (0.75 + 0.4 * np.asarray(_noise(rng, size, 90), np.float32)[..., None] / 255), 0, 255
    )
    lead = (cell != np.roll(cell, 1, 0)) | (cell != np.roll(cell, 1, 1))
    leads = Image.fromarray((lead * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(5))
    return Image.composite(Image.new("RGB", size, (18, 16, 20)), Image.fromarray(panes.astype(np.uint8)), leads)


def pencil(shapes: list[Shape], size: tuple[int, int], rng: Rng) -> Image.Image:
    """Grey graphite with directed grain."""
    greys = [(238,) * 3, (228,) * 3, (215,) * 3, (170,) * 3, (140,) * 3, (120,) * 3, (90,) * 3, (240,) * 3]
    base = paint(shapes, size, greys).convert("L")
    side = size[0] + size[1]  # turned by 35 degrees, a square of this side still covers the sheet
    streaks = _noise(rng, (side, side), 2).rotate(35, Image.Resampling.BILINEAR)
    streaks = ImageOps.fit(streaks.crop((side // 4, side // 4, side * 3 // 4, side * 3 // 4)), size)
    streaks = streaks.filter(
        ImageFilter.Kernel((5, 5), [1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1])
    )
    tone = np.asarray(base, np.float32)
    depth = (255 - tone) / 255
    page = tone + (np.asarray(streaks, np.float32) - 128) * (0.15 + 1.1 * depth) + depth * 30
    lines = np.asarray(_wobble(_edges(base, 8), rng, 12, 2).filter(ImageFilter.MaxFilter(3)), np.float32)
    return Image.fromarray(np.clip(page - lines * 0.4, 0, 250).astype(np.uint8)).convert("RGB")


def neon(shapes: list[Shape], size: tuple[int, int], rng: Rng) -> Image.Image:
    """Glowing contours on black."""
    palette = [
        (0, 0, 0),
        (0, 0, 0),
        (255, 60, 200),
        (60, 255, 240),
        (120, 80, 255),
        (255, 230, 60),
        (60, 255, 120),
        (255, 120, 60),
    ]
    big = Image.new("RGB", (size[0] * 2, size[1] * 2))
    draw = ImageDraw.Draw(big)
    for polygon, colour in shapes[1:]:
        points = [(x * big.width, y * big.height) for x, y in polygon]
        draw.polygon(points, fill=tuple(c // 14 for c in palette[colour]))
        draw.line([*points, points[0]], fill=palette[colour], width=9)
    lines = big.reduce(2)
    glow = lines.filter(ImageFilter.GaussianBlur(14)).point(lambda v: min(255, v * 2))
    return ImageChops.screen(lines, glow)


STYLES: dict[str, Callable[[list[Shape], tuple[int, int], Rng], Image.Image]] = {
    "flat": flat,
    "watercolour": watercolour,
    "ink": ink,
    "oil": oil,
    "dots": dots,
    "glass": glass,
    "pencil": pencil,
    "neon": neon,
}


def draw(style: str, index: int, seed: int = 0, size: tuple[int, int] | None = None) -> tuple[Image.Image, str]:
    """Return picture number `index` of a style and its caption."""
    rng = np.random.default_rng([seed, index, *style.encode()])
    subject = SUBJECTS[(index + seed) % len(SUBJECTS)]
    size = size or SIZES[int(rng.integers(0, len(SIZES)))]
    caption = f"{TRIGGER}, {WORDS[(index * 5 + seed) % len(WORDS)]} {CAPTIONS[subject]}"
    return STYLES[style](scene(subject, rng), size, rng), caption


def make_set(folder: Path, style: str, count: int = 20, seed: int = 0, size: tuple[int, int] | None = None) -> Path:
    """Write a clean set of `count` PNG pictures with captions."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        picture, caption = draw(style, index, seed, size)
        picture.save(folder / f"{style}-{index:02}.png", compress_level=1)
        (folder / f"{style}-{index:02}.txt").write_text(caption + "\n", encoding="utf-8")
    return folder


def enlarged(
    picture: Image.Image, factor: float = 3.0, method: Image.Resampling = Image.Resampling.BICUBIC
) -> Image.Image:
    """Shrink and enlarge back: a small picture passed off as a large one."""
    small = picture.resize((round(picture.width / factor), round(picture.height / factor)), Image.Resampling.LANCZOS)
    return small.resize(picture.size, method)


def blurred(picture: Image.Image, radius: float = 5.0) -> Image.Image:
    """Out of focus."""
    return picture.filter(ImageFilter.GaussianBlur(radius))


def signed(picture: Image.Image, text: str = "www.example.com") -> Image.Image:
    """Put a readable line of text into a corner."""
    marked = picture.copy()
    font = ImageFont.load_default(max(24, picture.height // 22))
    ink_colour = (250, 250, 250) if np.asarray(picture.convert("L")).mean() < 128 else (15, 15, 15)
    where = (picture.width // 12, picture.height * 9 // 10)
    ImageDraw.Draw(marked).text(
        where, text, fill=ink_colour, font=font, stroke_width=3, stroke_fill=tuple(255 - c for c in ink_colour)
    )
    return marked


def framed(picture: Image.Image, width: int = 60, colour: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """Lay a matte around the picture, its size unchanged."""
    sheet = Image.new("RGB", picture.size, colour)
    sheet.paste(
        picture.resize((picture.width - 2 * width, picture.height - 2 * width), Image.Resampling.LANCZOS),
        (width, width),
    )
    return sheet


def one_composition(style: str, count: int, seed: int = 0) -> list[Image.Image]:
    """Draw the same portrait again and again, moved and scaled a little."""
    base = scene("portrait", np.random.default_rng(3))
    pictures = []
    for index in range(count):
        rng = np.random.default_rng([seed, index, 77])
        (dx, dy), zoom = rng.uniform(-0.03, 0.03, 2), rng.uniform(0.93, 1.07)
        moved = [([((x - 0.5) * zoom + 0.5 + dx, (y - 0.5) * zoom + 0.5 + dy) for x, y in p], c) for p, c in base[1:]]
        pictures.append(STYLES[style]([base[0], *moved], (1024, 1024), rng))
    return pictures
