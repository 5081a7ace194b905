"""Synthetic runs whose best checkpoint is known: pictures that go from a base to a style to over-cooked."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from loraforge.compare.looks import Look, look
from loraforge.compare.recommend import Recommendation, recommend
from loraforge.compare.scores import Curve, Reference, curve

SIDE = 128


@dataclass(frozen=True)
class Case:
    """One synthetic run.

    Attributes:
        kind: what happens in it.
        steps: the checkpoints.
        right: the steps that may be recommended; empty where nothing can be told.
        training: the training set, measured.
        base: the base model's pictures, one a prompt.
        cells: step -> pictures with the trigger, one a prompt.
        plain_base, plain: the same without the trigger.
    """

    kind: str
    steps: list[int]
    right: set[int]
    training: list[Look]
    base: list[Look]
    cells: dict[int, list[Look]]
    plain_base: list[Look]
    plain: dict[int, list[Look]]


def draw_case(seed: int, kind: str | None = None) -> Case:
    """Draw a run: normal, never ripe, ripe at once, or flat."""
    rng = np.random.default_rng(seed)
    kind = kind or rng.choice(["normal", "normal", "normal", "normal", "unripe", "early", "flat"])
    style = _Style(rng)
    count, prompts = int(rng.integers(5, 11)), int(rng.integers(4, 9))
    steps = [100 * (index + 1) for index in range(count)]
    ripe, cooked = _curves(rng, kind, count)
    right = {step for step, w, c in zip(steps, ripe, cooked, strict=True) if w >= 0.88 * ripe.max() and c <= 0.08}
    right = set() if kind == "flat" else right
    training_pictures = [style(_scene(rng)) for _ in range(int(rng.integers(8, 20)))]
    scenes = [_scene(rng) for _ in range(prompts)]
    plain_scenes = [_scene(rng) for _ in range(prompts // 2)]
    leak = rng.uniform(0, 0.3)

    def draw(scenes: list[Any], w: float, c: float) -> list[Look]:
        looks = []
        for scene in scenes:
            strength = np.clip(w + rng.normal(0, 0.04), 0, 1)
            excess = max(0.0, c + rng.normal(0, 0.03)) if c > 0 else 0.0
            mixed = scene + (style(scene) - scene) * strength
            memory = training_pictures[int(rng.integers(len(training_pictures)))]
            looks.append(_look(_cook(mixed + (memory - mixed) * min(0.8, 0.5 * excess), excess), rng))
        return looks

    pairs = list(zip(steps, ripe, cooked, strict=True))
    return Case(
        kind=str(kind),
        steps=steps,
        right=right,
        training=[_look(picture, rng) for picture in training_pictures],
        base=[_look(scene, rng) for scene in scenes],
        cells={step: draw(scenes, w, c) for step, w, c in pairs},
        plain_base=[_look(scene, rng) for scene in plain_scenes],
        plain={step: draw(plain_scenes, leak * w, 0.5 * c) for step, w, c in pairs},
    )


def advise(case: Case) -> Recommendation:
    """Recommend a step of a run, as `compare` would from its pictures."""
    return recommend(curves_of(case))


def curves_of(case: Case) -> list[Curve]:
    """Score a run; without a base row it has no leak."""
    reference = Reference(case.training, case.base)

    def scored(looks: list[Look], bases: list[Look]) -> list[Any]:
        return [reference.score(look, base) for look, base in zip(looks, bases or [None] * len(looks), strict=True)]

    return [
        curve(step, scored(case.cells[step], case.base), scored(case.plain[step], case.plain_base))
        for step in case.steps
    ]


def _curves(rng: Any, kind: str, count: int) -> tuple[Any, Any]:
    index = np.arange(1, count + 1, dtype=float)
    if kind == "flat":
        return np.full(count, rng.choice([0.0, 0.05, 1.0])), np.zeros(count)
    knee = {"early": rng.uniform(0.2, 0.8), "unripe": count * rng.uniform(0.75, 0.95)}.get(
        kind, rng.uniform(1.2, count * 0.6)
    )
    ripe = 1 / (1 + np.exp(-(index - knee) / rng.uniform(0.25, 0.7)))
    over = knee + (rng.uniform(1.5, 3.5) if kind == "normal" else 2.5 if kind == "early" else 99)
    over = max(over, float(index[ripe >= 0.9][0]) + 1) if (ripe >= 0.9).any() else 99
    return ripe, np.clip((index - over) * rng.uniform(0.2, 0.6), 0, 1.5)


def _look(picture: Any, rng: Any) -> Look:
    noisy = picture + rng.normal(0, 1.5, picture.shape)
    return look(_image(noisy), SIDE * SIDE)


def _image(picture: Any) -> Image.Image:
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def _scene(rng: Any) -> Any:
    """Draw something like a photograph: a lit ground, shaded bodies, natural texture, muted colours."""
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    top, bottom = rng.uniform(60, 220, 3), rng.uniform(40, 180, 3)
    picture = top + (bottom - top) * rows[..., None]
    for _ in range(int(rng.integers(3, 8))):
        x, y, width, height = (
            rng.uniform(0.1, 0.9),
            rng.uniform(0.2, 0.9),
            rng.uniform(0.05, 0.3),
            rng.uniform(0.05, 0.35),
        )
        distance = ((columns - x) / width) ** 2 + ((rows - y) / height) ** 2
        box = np.maximum(abs(columns - x) / width, abs(rows - y) / height) ** 2
        shape = distance if rng.random() < 0.6 else box
        light = 0.75 + 0.5 * (1 - columns + x) * 0.6
        colour = rng.uniform(30, 200, 3) * light[..., None]
        cover = np.clip((1 - shape) * 6, 0, 1)[..., None]
        picture = picture * (1 - cover) + colour * cover
    spectrum = rng.normal(size=(SIDE, SIDE, 2)) @ np.array([1, 1j])
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE))) + 1 / SIDE
    texture = np.fft.ifft2(spectrum / radius).real
    picture = picture + texture[..., None] / texture.std() * rng.uniform(5, 12)
    return picture * 0.8 + picture.mean(2, keepdims=True) * 0.2


class _Style:
    """A hand: palette, flatness, outlines, hatching, grain and tone, drawn at random."""

    def __init__(self, rng: Any) -> None:
        colours = int(rng.integers(4, 9))
        hues = rng.uniform(20, 235, (colours, 3))
        self.palette = hues[np.argsort(hues.sum(1))]
        self.flat = int(rng.choice([3, 5, 7]))
        self.mix = rng.uniform(0.6, 1.0)
        self.outline = rng.choice([0.0, 0.6, 1.0])
        self.hatch = rng.choice([0.0, 0.0, 18.0])
        self.grain = rng.uniform(0, 14)
        self.paper = np.random.default_rng(int(rng.integers(1 << 30))).normal(0, 1, (SIDE, SIDE, 1))
        self.shift = rng.uniform(-25, 25)

    def __call__(self, scene: Any) -> Any:
        smooth = np.asarray(_image(scene).filter(ImageFilter.MedianFilter(self.flat)), float)
        grey = smooth.mean(2)
        place = np.clip((grey / 256 * len(self.palette)).astype(int), 0, len(self.palette) - 1)
        painted = self.palette[place] * self.mix + smooth * (1 - self.mix)
        if self.outline:
            lines = np.asarray(_image(smooth).convert("L").filter(ImageFilter.FIND_EDGES), float)
            lines[[0, -1], :] = lines[:, [0, -1]] = 0
            painted = painted * (1 - self.outline * np.clip(lines / 50, 0, 1))[..., None]
        rows, columns = np.mgrid[0:SIDE, 0:SIDE]
        strokes = np.sin((rows + columns) * 1.1) * self.hatch * (grey < 110)
        return painted + self.shift + strokes[..., None] + self.paper * self.grain


def _cook(picture: Any, excess: float) -> Any:
    if excess <= 0:
        return picture
    mean = picture.mean(2, keepdims=True)
    vivid = mean + (picture - mean) * (1 + 1.2 * excess)
    hard = vivid.mean() + (vivid - vivid.mean()) * (1 + 0.6 * excess)
    blurred = np.asarray(_image(hard).filter(ImageFilter.GaussianBlur(1.5)), float)
    return hard + (hard - blurred) * 1.5 * excess
