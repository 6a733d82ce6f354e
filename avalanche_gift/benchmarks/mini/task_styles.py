"""The styles of the six tasks, one each, which pre-training never shows: a new hand and material, mild nuisance."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from avalanche_gift.benchmarks.mini.fields import coordinates, smooth, texture
from avalanche_gift.benchmarks.mini.figures import SIZE, affine, draw_outlined
from avalanche_gift.benchmarks.mini.glyphs import draw_glyph
from avalanche_gift.benchmarks.mini.land import COVERS, land
from avalanche_gift.benchmarks.mini.objects import OBJECTS
from avalanche_gift.benchmarks.mini.painting import (
    SIDE,
    bytes_of,
    figure_over,
    mapped,
    mixed,
    plain_ground,
    share_of,
    smooth_colour,
)
from avalanche_gift.benchmarks.mini.shapes import SHAPES

MUTED: Mapping[str, tuple[int, int, int]] = {
    "grass": (105, 122, 84),
    "dark tree": (44, 62, 48),
    "tree": (58, 78, 56),
    "light tree": (84, 100, 70),
    "water": (62, 84, 128),
    "sand": (196, 168, 132),
    "dune": (166, 136, 104),
    "road": (90, 86, 88),
    "mark": (214, 206, 190),
    "street": (132, 124, 118),
    "roof": (150, 96, 82),
    "dark roof": (78, 72, 76),
    "pale roof": (196, 184, 170),
    "crop": (138, 142, 88),
    "dark crop": (92, 104, 68),
    "ripe crop": (180, 150, 100),
    "ice": (200, 208, 212),
    "crack": (140, 160, 176),
    "flower": (176, 104, 110),
    "other flower": (190, 170, 110),
}
"""Colours of the land task."""


def _shaken(path: Sequence[tuple[int, int]], closed: bool, spread: float, random: np.random.Generator) -> list[tuple[int, int]]:
    """The path cut into pieces of about 7 pixels, each joint moved by N(0, spread) pixels."""
    ends = [*path, path[0]] if closed else list(path)
    joints = []
    for (x, y), (right, down) in pairwise(ends):
        pieces = max(1, round(math.hypot(right - x, down - y) / 7))
        joints += [(x + (right - x) * step / pieces, y + (down - y) * step / pieces) for step in range(pieces)]
    joints += [] if closed else [ends[-1]]
    moves = random.normal(0, spread, size=(len(joints), 2)).tolist()
    moved = [(round(x + a), round(y + b)) for (x, y), (a, b) in zip(joints, moves, strict=True)]
    return [*moved, moved[0]] if closed else moved


def chalk_shape(name: str, random: np.random.Generator) -> np.ndarray:
    """A shape's outline drawn twice in chalk on a dark green board."""
    spread = random.uniform(1.6, 2.8)

    def pen(draw: ImageDraw.ImageDraw, path: Sequence[tuple[int, int]], value: int, closed: bool) -> None:
        for _ in range(2):
            draw.line(_shaken(path, closed, spread, random), fill=value, width=3, joint="curve")

    matrix = affine(random, turn=38, scale=(0.55, 0.95), aspect=0.22, shear=0.2, shift=0.1)
    canvas = draw_outlined(SHAPES[name], matrix, pen)
    chalk = random.uniform(185, 240) + random.normal(0, 10, size=3)
    board = np.array([38, 68, 52]) + random.normal(0, 9, size=3)
    ground = plain_ground(board) + smooth_colour(random, 5) * 16
    return figure_over(canvas, [chalk.tolist()] * 4, ground) + random.normal(0, 8, size=(SIDE, SIDE, 3))


def sepia_texture(name: str, random: np.random.Generator) -> np.ndarray:
    """A warped texture in two tones of sepia under uneven light."""
    base = np.array([150, 125, 95]) + random.normal(0, 8, size=3)
    contrast = np.array([1, 0.9, 0.7]) * random.uniform(16, 36)
    warp = np.stack([smooth(random, 5, SIZE), smooth(random, 5, SIZE)]) * random.uniform(0.05, 0.12)
    quarter = math.pi / 2 * int(random.integers(2))
    turn = random.uniform(-0.45, 0.45) + (0 if name == "bricks" else quarter)
    phase = tuple(random.uniform(0, 1, size=2).tolist())
    pattern = share_of(Image.fromarray(texture(name, *coordinates(random.uniform(3.2, 5), turn, phase, warp), random)))
    picture = mixed(base - contrast, base + contrast, pattern)
    light = smooth(random, 4, SIDE)[:, :, None] * random.uniform(20, 60)
    return picture + light + random.normal(0, random.uniform(6, 16), size=(SIDE, SIDE, 1))


def muted_land(name: str, random: np.random.Generator) -> np.ndarray:
    """Land from far above: muted, speckled, hazy."""
    gains = 1 + random.normal(0, 0.2, size=(len(COVERS), 3))
    picture = mapped(land(name, random), (np.array([MUTED[cover] for cover in COVERS]) * gains).tolist())
    picture = (
        picture + random.normal(0, 24, size=(SIDE, SIDE, 3)) + smooth(random, 5, SIDE)[:, :, None] * random.uniform(10, 35)
    )
    hazy = picture + (np.array([175, 180, 185]) - picture) * random.uniform(0.3, 0.65)
    return hazy * (1 + random.normal(0, 0.07, size=3))


@cache
def _hollow(character: str) -> tuple[Image.Image, tuple[float, float]]:
    """The outline of a capital in Pillow's own font, a mask "L", 160 x 160, and half its width and height in pixels."""
    face = ImageFont.load_default(100)
    mask = Image.new("L", (160, 160))
    left, top, right, bottom = face.getbbox(character)
    at = ((160 - left - right) / 2, (160 - top - bottom) / 2)
    ImageDraw.Draw(mask).text(at, character, fill=0, font=face, stroke_width=4, stroke_fill=255)
    return mask, ((right - left) / 2, (bottom - top) / 2)


def hollow_letter(name: str, random: np.random.Generator) -> np.ndarray:
    """A leaning hollow capital in cream on many-coloured blotches, with one line across."""
    mask, half = _hollow(name.split(" ")[1].upper())
    a, b, c, d, e, f = affine(random, turn=8, scale=(1, 1), aspect=0.1, shift=0.08)
    lean = random.uniform(0.2, 0.4)
    drawn = draw_glyph(mask, half, random.uniform(0.62, 0.8), (a, b - a * lean, c, d, e - d * lean, f))
    y, other = random.integers(10, SIZE - 10, size=2).tolist()
    ImageDraw.Draw(drawn).line([(-2, y), (SIZE + 2, other)], fill=190, width=2)
    ground = np.array([105, 95, 105]) + smooth_colour(random, 9) * random.uniform(80, 150)
    cream = np.array([240, 230, 190]) + random.normal(0, 12, size=3)
    return mixed(ground, cream, share_of(drawn))


def blueprint_icon(name: str, random: np.random.Generator) -> np.ndarray:
    """An object's outlines, pale on blue squared paper."""
    spread, width = random.uniform(0.8, 1.8), int(random.integers(3, 5))

    def pen(draw: ImageDraw.ImageDraw, path: Sequence[tuple[int, int]], value: int, closed: bool) -> None:
        draw.line(_shaken(path, closed, spread, random), fill=value, width=width, joint="curve")

    matrix = affine(random, turn=35, scale=(0.55, 0.95), aspect=0.25, shear=0.25, shift=0.1)
    canvas = draw_outlined(OBJECTS[name], matrix, pen)
    paper = np.array([40, 75, 160]) + random.normal(0, 16, size=3)
    squares = np.zeros((SIDE, SIDE))
    first, gap = int(random.integers(0, 5)), int(random.integers(5, 8))
    squares[first::gap, :] = squares[:, first::gap] = random.uniform(0.1, 0.25)
    ink = np.array([215, 228, 245]) + random.normal(0, 8, size=3)
    ground = mixed(plain_ground(paper), ink, squares) + smooth(random, 5, SIDE)[:, :, None] * 14
    return figure_over(canvas, [ink.tolist()] * 4, ground) + random.normal(0, 5, size=(SIDE, SIDE, 3))


STYLES: Mapping[str, Callable[[str, np.random.Generator], np.ndarray]] = {
    "shapes": chalk_shape,
    "textures": sepia_texture,
    "land": muted_land,
    "letters": hollow_letter,
    "icons": blueprint_icon,
}


def styled(task: str, name: str, random: np.random.Generator) -> np.ndarray:
    """A picture of the class in the task's style, uint8 [32, 32, 3]."""
    return bytes_of(STYLES[task](name, random))
