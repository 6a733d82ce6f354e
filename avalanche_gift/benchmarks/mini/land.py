"""Twelve kinds of land seen from above, as maps of ground covers; a style gives each cover its colour."""

import math
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw

from avalanche_gift.benchmarks.mini.figures import SIZE

COVERS = (
    *("grass", "dark tree", "tree", "light tree", "water", "sand", "dune", "road", "mark", "street", "roof", "dark roof"),
    *("pale roof", "crop", "dark crop", "ripe crop", "ice", "crack", "flower", "other flower"),
)
"""The value of a map's pixel counts here."""

_AT = {cover: value for value, cover in enumerate(COVERS)}

BRIGHT: Mapping[str, tuple[int, int, int]] = {
    "grass": (120, 205, 90),
    "dark tree": (15, 80, 30),
    "tree": (25, 110, 40),
    "light tree": (45, 140, 55),
    "water": (50, 110, 230),
    "sand": (240, 215, 140),
    "dune": (222, 188, 108),
    "road": (90, 90, 95),
    "mark": (245, 240, 220),
    "street": (150, 150, 150),
    "roof": (190, 75, 60),
    "dark roof": (85, 80, 90),
    "pale roof": (225, 215, 205),
    "crop": (150, 200, 70),
    "dark crop": (70, 145, 50),
    "ripe crop": (235, 200, 80),
    "ice": (225, 240, 250),
    "crack": (130, 175, 220),
    "flower": (235, 60, 90),
    "other flower": (250, 225, 60),
}
"""Colours of the pre-training world."""


def land(name: str, random: np.random.Generator) -> Image.Image:
    """A map "L", 96 x 96, of the values of COVERS."""
    base, paint = _PAINTERS[name]
    canvas = Image.new("L", (SIZE, SIZE), _AT[base])
    paint(ImageDraw.Draw(canvas), random)
    return canvas


def _across(random: np.random.Generator, bend: float, offset: float = 16.0) -> list[tuple[int, int]]:
    """A path across the whole canvas at any angle; bend: how far its nine knots stray, in pixels."""
    angle, start = random.uniform(0, 2 * math.pi), random.uniform(-offset, offset)
    wave, phase = random.uniform(0.5, 1.3), random.uniform(0, 2 * math.pi)
    cos, sin = math.cos(angle), math.sin(angle)
    path = []
    for step in range(33):
        along = (step / 16 - 1) * 0.8 * SIZE
        aside = start + bend * math.sin(phase + 2 * math.pi * wave * step / 16)
        path.append((round(SIZE / 2 + along * cos - aside * sin), round(SIZE / 2 + along * sin + aside * cos)))
    return path


def _blob(random: np.random.Generator, least: float, most: float) -> list[tuple[float, float]]:
    """A round, uneven outline as 32 offsets from its centre, in pixels."""
    radius, stretch = random.uniform(least, most), random.uniform(0.75, 1.2)
    waves = [(random.uniform(0, 0.2 / number), random.uniform(0, 2 * math.pi), number) for number in (1, 2, 3, 5)]
    outline = []
    for step in range(32):
        angle = 2 * math.pi * step / 32
        reach = radius * (1 + sum(height * math.sin(number * angle + phase) for height, phase, number in waves))
        outline.append((reach * math.cos(angle) * stretch, reach * math.sin(angle) / stretch))
    return outline


def _scaled(outline: list[tuple[float, float]], x: float, y: float, scale: float = 1.0) -> list[tuple[int, int]]:
    return [(round(x + right * scale), round(y + down * scale)) for right, down in outline]


def _line(draw: ImageDraw.ImageDraw, path: list[tuple[int, int]], cover: str, width: int) -> None:
    draw.line(path, fill=_AT[cover], width=width, joint="curve")


def _spots(
    draw: ImageDraw.ImageDraw, random: np.random.Generator, count: int, sizes: tuple[int, int], covers: list[str]
) -> None:
    places = random.integers(-4, SIZE + 4, size=(count, 2)).tolist()
    radii = random.integers(*sizes, size=count).tolist()
    kinds = random.integers(len(covers), size=count).tolist()
    for (x, y), r, kind in zip(places, radii, kinds, strict=True):
        draw.ellipse((x - r, y - r, x + r, y + r), fill=_AT[covers[kind]])


def _forest(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    _spots(draw, random, 130, (4, 9), ["dark tree", "dark tree", "tree", "light tree"])


def _river(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    _line(draw, _across(random, random.uniform(7, 16)), "water", int(random.integers(10, 18)))


def _road(draw: ImageDraw.ImageDraw, path: list[tuple[int, int]], width: int) -> None:
    _line(draw, path, "road", width)
    for step in range(0, len(path) - 1, 2):
        _line(draw, path[step : step + 2], "mark", 3)


def _highway(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    _road(draw, _across(random, 0), int(random.integers(18, 27)))


def _crossroads(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    angle, width = random.uniform(0, math.pi), int(random.integers(15, 21))
    x, y = (SIZE / 2 + random.uniform(-10, 10, size=2)).tolist()
    for turn in (angle, angle + math.pi / 2):
        cos, sin = math.cos(turn), math.sin(turn)
        _line(draw, [(round(x + cos * at), round(y + sin * at)) for at in (-120, 120)], "road", width)
    for turn in (angle, angle + math.pi / 2):
        cos, sin = math.cos(turn), math.sin(turn)
        for at in (*range(-108, -width, 12), *range(width, 108, 12)):
            ends = [(round(x + cos * far), round(y + sin * far)) for far in (at, at + 6)]
            _line(draw, ends, "mark", 3)


def _tiles(random: np.random.Generator, size: float) -> list[list[tuple[float, float]]]:
    """Corners of the tiles of a turned lattice that covers the canvas; `size`: their side in pixels."""
    angle = random.uniform(-0.6, 0.6)
    right, down = random.uniform(0, size, size=2)
    cos, sin = math.cos(angle), math.sin(angle)
    reach = math.ceil(0.75 * SIZE / size) + 1
    tiles = []
    for column in range(-reach, reach):
        for row in range(-reach, reach):
            x, y = column * size + right, row * size + down
            corners = ((x, y), (x + size, y), (x + size, y + size), (x, y + size))
            placed = [(SIZE / 2 + a * cos - b * sin, SIZE / 2 + a * sin + b * cos) for a, b in corners]
            if any(-size < a < SIZE + size and -size < b < SIZE + size for a, b in placed):
                tiles.append(placed)
    return tiles


def _between(one: tuple[float, float], other: tuple[float, float], share: float) -> tuple[int, int]:
    return round(one[0] + (other[0] - one[0]) * share), round(one[1] + (other[1] - one[1]) * share)


def _farmland(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    covers = ["crop", "dark crop", "ripe crop"]
    for a, b, c, d in _tiles(random, random.uniform(28, 38)):
        first, second = random.permutation(3)[:2].tolist()
        draw.polygon([_between(corner, corner, 0) for corner in (a, b, c, d)], fill=_AT[covers[first]])
        if random.random() < 0.5:
            a, b, c, d = b, c, d, a
        for row in range(4):
            share = (row + 0.5) / 4
            _line(draw, [_between(a, d, share), _between(b, c, share)], covers[second], 4)


def _city(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    covers = ["roof", "dark roof", "pale roof", "roof", "grass"]
    for a, b, c, d in _tiles(random, random.uniform(13, 18)):
        kind = covers[int(random.integers(len(covers)))]
        inner = [_between(one, other, 0.15) for one, other in ((a, c), (b, d), (c, a), (d, b))]
        draw.polygon(inner, fill=_AT[kind])


def _lake(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    x, y = (SIZE / 2 + random.uniform(-9, 9, size=2)).tolist()
    draw.polygon(_scaled(_blob(random, 22, 34), x, y), fill=_AT["water"])


def _island(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    x, y = (SIZE / 2 + random.uniform(-7, 7, size=2)).tolist()
    outline = _blob(random, 25, 35)
    draw.polygon(_scaled(outline, x, y), fill=_AT["sand"])
    draw.polygon(_scaled(outline, x, y, 0.72), fill=_AT["grass"])


def _desert(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    angle, gap = random.uniform(-0.5, 0.5), random.uniform(10, 15)
    bend, wave, phase = random.uniform(3, 6), random.uniform(0.8, 1.6), random.uniform(0, 6)
    cos, sin = math.cos(angle), math.sin(angle)
    for row in range(-9, 10):
        path = []
        for step in range(-12, 13):
            along = step * 6
            aside = row * gap + bend * math.sin(phase + 0.4 * row + wave * step / 2)
            path.append((round(SIZE / 2 + along * cos - aside * sin), round(SIZE / 2 + along * sin + aside * cos)))
        _line(draw, path, "dune", 4)


def _coast(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    path = _across(random, random.uniform(4, 9), 12)
    (x, y), (right, down) = path[0], path[-1]
    aside = (down - y, x - right)
    draw.polygon([*path, (right + aside[0], down + aside[1]), (x + aside[0], y + aside[1])], fill=_AT["water"])
    _line(draw, path, "sand", int(random.integers(12, 19)))


def _meadow(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    _spots(draw, random, int(random.integers(22, 34)), (2, 5), ["flower", "other flower", "mark"])


def _glacier(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    for _ in range(int(random.integers(6, 9))):
        path = [(x + int(a), y + int(b)) for (x, y), (a, b) in zip(
            _across(random, 5, 44)[::4], random.integers(-6, 7, size=(9, 2)), strict=True)]  # fmt: skip
        _line(draw, path, "crack", 3)


_PAINTERS: dict[str, tuple[str, Callable[[ImageDraw.ImageDraw, np.random.Generator], None]]] = {
    "forest": ("tree", _forest),
    "river": ("grass", _river),
    "highway": ("grass", _highway),
    "farmland": ("crop", _farmland),
    "city": ("street", _city),
    "lake": ("grass", _lake),
    "desert": ("sand", _desert),
    "coast": ("grass", _coast),
    "island": ("water", _island),
    "meadow": ("grass", _meadow),
    "glacier": ("ice", _glacier),
    "crossroads": ("grass", _crossroads),
}
