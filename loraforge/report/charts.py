"""Line charts and timelines as inline SVG, drawn in the colours of the page around them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

_WIDTH, _HEIGHT = 440, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 22, 12, 34
# What is filled in is escaped; only the shapes below are markup.
_SVG = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
_TEXT = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
_GRID = Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>')
_MARK = Markup('<line class="mark" x1="{0:.1f}" x2="{0:.1f}" y1="{1}" y2="{2}"><title>{3}</title></line>')
_BAR = Markup('<rect class="bar bar{}" x="{:.1f}" y="{}" width="{:.1f}" height="16" rx="2"/>')
_DOT = Markup('<circle class="dot {}" cx="{:.1f}" cy="{:.1f}" r="3"><title>{}</title></circle>')
_LINE = Markup('<polyline class="line {}" points="{}"><title>{}</title></polyline>')
_MOST_POINTS = 600  # a path of more points than the chart has pixels draws the same line


Look = Literal["faint", "bold", "second", "third"]


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart; `look` chooses among the page's classes."""

    name: str
    points: Sequence[tuple[float, float]]
    look: Look = "bold"


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line with a word."""

    x: float
    name: str


def line_chart(
    series: Sequence[Series], *, x_name: str, y_name: str, marks: Sequence[Mark] = (), zero: bool = False
) -> Markup:
    """Draw lines over a common x axis; empty where there are fewer than two points.

    Args:
        series: the lines.
        x_name: what runs along.
        y_name: what is drawn, with its unit; the chart's description too.
        marks: places worth a vertical line.
        zero: whether the y axis includes zero.
    """
    lines = [(line, _thinned(_finite(line.points))) for line in series]
    lines = [(line, points) for line, points in lines if points]
    everything = [point for _, points in lines for point in points]
    if len(everything) < 2:
        return Markup()
    x_ticks = ticks(min(x for x, _ in everything), max(x for x, _ in everything), whole=True)
    low = min([y for _, y in everything] + ([0.0] if zero else []))
    y_ticks = ticks(low, max(y for _, y in everything))
    across = _Scale(min(x for x, _ in everything), max(x for x, _ in everything), _LEFT, _WIDTH - _RIGHT)
    up = _Scale(y_ticks[0], y_ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    parts = [_grid(across, up, x_ticks, y_ticks, x_name)]
    parts += [_mark(across, mark) for mark in marks if across.low <= mark.x <= across.high]
    parts += [_line(line, points, across, up) for line, points in lines]
    return _SVG.format(_WIDTH, _HEIGHT, y_name, Markup().join(parts))


def timeline(spans: Sequence[tuple[str, float, float]]) -> Markup:
    """Draw phases as bars in one row each, by seconds since the first; empty without spans.

    Args:
        spans: (name, begin, end), in seconds of any common clock.
    """
    if not spans or max(end for _, _, end in spans) <= min(begin for _, begin, _ in spans):
        return Markup()
    first, last = min(begin for _, begin, _ in spans), max(end for _, _, end in spans)
    names = list(dict.fromkeys(name for name, _, _ in spans))
    left, row = 104, 24
    across = _Scale(first, last, left, _WIDTH - 74)
    parts = []
    for index, name in enumerate(names):
        own = [(begin, end) for other, begin, end in spans if other == name]
        y = 4 + index * row
        parts.append(_TEXT.format(left - 8, y + 14, "end", name))
        for begin, end in own:
            width = max(1.0, across(end) - across(begin))
            parts.append(_BAR.format(index % 4, across(begin), y + 2, width))
        spent = span_text(sum(end - begin for begin, end in own))
        parts.append(_TEXT.format(_WIDTH - 68, y + 14, "start", spent))
    return _SVG.format(_WIDTH, len(names) * row + 8, "phases over time", Markup().join(parts))


def span_text(seconds: float) -> str:
    """Return `0.04 s`, `1.4 s`, `14 s`, `3 min 5 s` or `1 h 2 min`."""
    if seconds < 1:
        return f"{seconds:.2g} s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def ticks(low: float, high: float, *, whole: bool = False) -> list[float]:
    """Return three to seven round numbers; the outer ones enclose low and high unless they must be whole."""
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / 5
    power = 10 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    if whole:
        step = max(1.0, round(step))
        return [step * index for index in range(math.ceil(low / step), math.floor(high / step) + 1)]
    return [step * index for index in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]


@dataclass(frozen=True, slots=True)
class _Scale:
    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        return self.begin + (value - self.low) / ((self.high - self.low) or 1.0) * (self.end - self.begin)


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    every = math.ceil(len(points) / _MOST_POINTS) or 1
    return points[::every] + (points[-1:] if every > 1 and (len(points) - 1) % every else [])


def _grid(across: _Scale, up: _Scale, x_ticks: list[float], y_ticks: list[float], x_name: str) -> Markup:
    parts = []
    for y in y_ticks:
        parts.append(_GRID.format(_LEFT, _WIDTH - _RIGHT, up(y), up(y)))
        parts.append(_TEXT.format(_LEFT - 6, up(y) + 4, "end", _number(y)))
    parts += [_TEXT.format(across(x), _HEIGHT - _BOTTOM + 16, "middle", _number(x)) for x in x_ticks]
    parts.append(_TEXT.format(_WIDTH - _RIGHT, _HEIGHT - 4, "end", x_name))
    return Markup().join(parts)


def _mark(across: _Scale, mark: Mark) -> Markup:
    return _MARK.format(across(mark.x), _TOP, _HEIGHT - _BOTTOM, mark.name)


def _line(line: Series, points: list[tuple[float, float]], across: _Scale, up: _Scale) -> Markup:
    path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in points)
    if len(points) == 1:
        x, y = points[0]
        return _DOT.format(line.look, across(x), up(y), line.name)
    return _LINE.format(line.look, path, line.name)


def _number(value: float) -> str:
    return f"{value:.4g}"
