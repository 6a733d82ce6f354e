"""Figures of polygons and lines in [-1, 1]^2 (x to the right, y down), and how they get onto a 96 x 96 canvas."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

SIZE = 96
"""Side of the canvas in pixels; pictures are its 3 x 3 box means."""

HOLE, MAIN, SECOND, THIRD = -1, 0, 1, 2
CONTOUR = 4
"""Value of dark contours on the canvas; 0 is the ground, 1 to 3 are the colours of layers 0 to 2."""

Points = Sequence[tuple[float, float]]
Matrix = tuple[float, float, float, float, float, float]


class Part(NamedTuple):
    """layer: HOLE, MAIN, SECOND or THIRD. width: 0 for a filled polygon, else that of a line, in units of half a canvas."""

    layer: int
    points: tuple[tuple[float, float], ...]
    width: float = 0.0


Figure = tuple[Part, ...]


def points(text: str) -> tuple[tuple[float, float], ...]:
    """Pairs of numbers from a text.

    >>> points("0 -1  .5 .25")
    ((0.0, -1.0), (0.5, 0.25))
    """
    numbers = [float(number) for number in text.split()]
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def arc(x: float, y: float, r: float, start: float, end: float, ry: float = 0.0) -> tuple[tuple[float, float], ...]:
    """Points on an ellipse from `start` to `end` degrees, at most 13 apart; 0 is right, 90 is down."""
    count = max(2, math.ceil(abs(end - start) / 12.9))
    angles = [math.radians(start + (end - start) * step / count) for step in range(count + 1)]
    return tuple((x + r * math.cos(angle), y + (ry or r) * math.sin(angle)) for angle in angles)


def regular(count: int, outer: float, inner: float = 0.0) -> tuple[tuple[float, float], ...]:
    """A regular polygon with a corner on top, or a star with `count` rays where `inner` is given."""
    radii = [outer, inner] * count if inner else [outer] * count
    angles = [2 * math.pi * step / len(radii) - math.pi / 2 for step in range(len(radii))]
    return tuple((r * math.cos(angle), r * math.sin(angle)) for r, angle in zip(radii, angles, strict=True))


def poly(layer: int, outline: str | Points) -> Part:
    return Part(layer, points(outline) if isinstance(outline, str) else tuple(outline))


def line(layer: int, width: float, path: str | Points) -> Part:
    return Part(layer, points(path) if isinstance(path, str) else tuple(path), width)


def box(layer: int, left: float, top: float, right: float, bottom: float) -> Part:
    return Part(layer, ((left, top), (right, top), (right, bottom), (left, bottom)))


def disc(layer: int, x: float, y: float, r: float, ry: float = 0.0) -> Part:
    return Part(layer, arc(x, y, r, 0, 360, ry)[:-1])


def affine(
    random: np.random.Generator,
    *,
    turn: float,
    scale: tuple[float, float],
    aspect: float = 0.0,
    shear: float = 0.0,
    shift: float = 0.0,
) -> Matrix:
    """A random map from [-1, 1]^2 to canvas pixels, (a, b, c, d, e, f) with x' = a x + b y + c.

    turn: degrees either way. scale: a range of half the figure's side over half the canvas's. aspect, shear, shift: either way.
    """
    angle = math.radians(random.uniform(-turn, turn))
    size = random.uniform(*scale) * SIZE / 2
    stretch = math.exp(random.uniform(-aspect, aspect) / 2)
    lean = random.uniform(-shear, shear)
    right, down = random.uniform(-shift, shift, size=2) * SIZE / 2
    cos, sin = math.cos(angle) * size, math.sin(angle) * size
    a, b = cos * stretch, cos * lean * stretch - sin / stretch
    d, e = sin * stretch, sin * lean * stretch + cos / stretch
    return (a, b, SIZE / 2 + right, d, e, SIZE / 2 + down)


def placed(part: Part, matrix: Matrix) -> list[tuple[int, int]]:
    """The part's points in whole pixels, so that no last bit of a sine moves an edge."""
    a, b, c, d, e, f = matrix
    return [(round(a * x + b * y + c), round(d * x + e * y + f)) for x, y in part.points]


def size_of(matrix: Matrix) -> float:
    """Pixels to a unit of the figure, by its area."""
    a, b, _, d, e, _ = matrix
    return math.sqrt(abs(a * e - b * d))


def stroke(draw: ImageDraw.ImageDraw, path: Sequence[tuple[int, int]], value: int, width: int, closed: bool = False) -> None:
    """A line of `width` pixels with round joints and ends."""
    draw.line([*path, path[0]] if closed else list(path), fill=value, width=width, joint="curve")
    if width > 3:
        reach = (width - 1) / 2
        for x, y in (path[0], path[-1]):
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=value)


def draw_filled(figure: Figure, matrix: Matrix, contour: int = 0) -> Image.Image:
    """The figure on a canvas "L" of values 0 to CONTOUR; `contour`: the width in pixels of a dark edge, 0 for none."""
    canvas = Image.new("L", (SIZE, SIZE))
    draw = ImageDraw.Draw(canvas)
    unit = size_of(matrix)
    for part in figure:
        path = placed(part, matrix)
        if part.width:
            width = max(3, round(part.width * unit))
            if contour:
                stroke(draw, path, CONTOUR, width + 2 * (contour - 1))
            stroke(draw, path, part.layer + 1, width)
        else:
            draw.polygon(path, fill=part.layer + 1)
            if contour:
                stroke(draw, path, CONTOUR, contour, closed=True)
    return canvas


Pen = Callable[[ImageDraw.ImageDraw, Sequence[tuple[int, int]], int, bool], None]
"""Draws a path with a value, closed or open."""


def draw_outlined(figure: Figure, matrix: Matrix, pen: Pen, least: int = 0) -> Image.Image:
    """The figure's edges, later parts hiding earlier ones; parts narrower than `least` pixels are filled."""
    canvas = Image.new("L", (SIZE, SIZE))
    draw = ImageDraw.Draw(canvas)
    for part in figure:
        path = placed(part, matrix)
        value = max(1, part.layer + 1)
        if part.width:
            pen(draw, path, value, False)
        elif min(_extent(path)) < least:
            draw.polygon(path, fill=value)
        else:
            draw.polygon(path, fill=0)
            pen(draw, path, value, True)
    return canvas


def _extent(path: Sequence[tuple[int, int]]) -> tuple[int, int]:
    across, down = [x for x, _ in path], [y for _, y in path]
    return max(across) - min(across), max(down) - min(down)
