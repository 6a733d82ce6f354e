"""The wide world that the tiny CLIP learns from: every concept in many colours, grounds, hands and lights."""

import math

import numpy as np
from PIL import Image, ImageFilter

from avalanche_gift.benchmarks.mini.canonical import canonical_picture, draw_canonical
from avalanche_gift.benchmarks.mini.concepts import CONCEPTS, GROUND, KINDS, NUMBERS, TEMPLATES
from avalanche_gift.benchmarks.mini.fields import coordinates, smooth, texture
from avalanche_gift.benchmarks.mini.figures import SIZE, affine, draw_filled, draw_outlined, stroke
from avalanche_gift.benchmarks.mini.glyphs import (
    FONTS,
    HOLLOW,
    PLAIN,
    THICK,
    draw_glyph,
    draw_strokes,
    glyph_mask,
    warped,
)
from avalanche_gift.benchmarks.mini.land import BRIGHT, land
from avalanche_gift.benchmarks.mini.objects import OBJECTS
from avalanche_gift.benchmarks.mini.painting import (
    RGB,
    SIDE,
    band,
    bytes_of,
    colours_apart,
    figure_over,
    jittered,
    mapped,
    mixed,
    plain_ground,
    ramp,
    share_of,
    smooth_colour,
)
from avalanche_gift.benchmarks.mini.seeds import PRETRAINING, checked_range, random_of
from avalanche_gift.benchmarks.mini.shapes import FLAGS, SHAPES
from avalanche_gift.prompts import fill

__all__ = ["canonical_picture", "draw_canonical", "draw_pretraining"]

SHARES = {"shape": 0.23, "object": 0.26, "letter": 0.19, "digit": 0.12, "texture": 0.09, "land": 0.08, "flag": 0.03}
"""How often a picture is of each kind; the concept is uniform inside."""

_UPRIGHT = ("grid", "crosshatch")
"""Textures that turned by 45 degrees look like each other."""

_KINDS, _BOUNDS = tuple(SHARES), np.cumsum(list(SHARES.values()))


def draw_pretraining(start: int, count: int, seed: int = 0) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Pictures start .. start + count - 1 of the seed's endless set, the same however they are asked for.

    Returns pictures uint8 [count, 32, 32, 3], their captions, and their concepts, int64 [count], which count in CONCEPTS.
    """
    checked_range(start, count, seed)
    pictures = np.empty((count, SIDE, SIDE, 3), dtype=np.uint8)
    captions, concepts = [], np.empty(count, dtype=np.int64)
    for row in range(count):
        pictures[row], caption, concepts[row] = _draw(random_of(seed, PRETRAINING, start + row))
        captions.append(caption)
    return pictures, captions, concepts


def _draw(random: np.random.Generator) -> tuple[np.ndarray, str, int]:
    kind = _KINDS[min(int(np.searchsorted(_BOUNDS, random.random(), side="right")), len(_KINDS) - 1)]
    number = KINDS[kind][int(random.integers(len(KINDS[kind])))]
    name = CONCEPTS[number].phrase
    colour = ground_colour = None
    if kind == "texture":
        picture = _texture(name, random)
    elif kind == "land":
        picture = _land(name, random)
    elif kind == "flag":
        picture = _flag(name, random)
    elif kind in ("letter", "digit"):
        picture, ground_colour = _glyph(name, random)
    else:
        picture, colour, ground_colour = _figure(name, kind, random)
    return _finished(picture, random), _caption(name, colour, ground_colour, random), number


def _caption(name: str, colour: str | None, ground: str | None, random: np.random.Generator) -> str:
    """colour: of the figure, where it has one. ground: its colour, where it is plain."""
    coloured, grounded, usual = random.random(3).tolist()
    phrase = f"{colour} {name}" if colour and coloured < 0.3 else name
    if ground and grounded < 0.35:
        phrase = fill(GROUND, phrase).replace("{colour}", ground)
    other = TEMPLATES[1 + int(random.integers(len(TEMPLATES) - 1))]
    return fill(TEMPLATES[0] if usual < 0.5 else other, phrase)


def _ground(random: np.random.Generator, name: str, front: str) -> tuple[np.ndarray, bool]:
    """A ground [32, 32, 3] of the named colour that stays off `front`, and whether it is plain."""
    colour = jittered(random, name, 14)
    kind = random.random()
    if kind < 0.42:
        return plain_ground(colour), True
    other = jittered(random, colours_apart(random, [170], [front])[1], 14)
    if kind < 0.67:
        return mixed(colour, other, ramp(random)), False
    if kind < 0.82:
        return plain_ground(colour) + smooth_colour(random, int(random.integers(5, 9))) * random.uniform(30, 75), False
    if kind < 0.92:
        return mixed(colour, other, band(random)), False
    return plain_ground(colour) + random.normal(0, random.uniform(8, 25), size=(SIDE, SIDE, 1)), True


def _figure(name: str, kind: str, random: np.random.Generator) -> tuple[np.ndarray, str, str | None]:
    figure = SHAPES[name] if kind == "shape" else OBJECTS[name]
    front, back, second, third = colours_apart(random, [0, 190, 110, 110])
    ground, plain = _ground(random, back, front)
    matrix = affine(random, turn=20, scale=(0.6, 0.95), aspect=0.28, shear=0.15, shift=0.1)
    look = random.random()
    if look < 0.78:
        canvas = draw_filled(figure, matrix, contour=3 if look > 0.62 else 0)
    else:
        width = int(random.integers(5, 10) if kind == "shape" else random.integers(4, 8))
        canvas = draw_outlined(
            figure, matrix, lambda draw, path, value, closed: stroke(draw, path, value, width, closed), least=3 * width
        )
    dark = RGB["black"] if front != "black" else RGB["gray"]
    colours = [jittered(random, colour, 14) for colour in (front, second, third)]
    return figure_over(canvas, (*colours, dark), ground), front, back if plain else None


def _glyph(name: str, random: np.random.Generator) -> tuple[np.ndarray, str | None]:
    word = name.split(" ")[1]
    character = str(NUMBERS.index(word)) if word in NUMBERS else word
    front, back = colours_apart(random, [0, 190])
    ground, plain = _ground(random, back, front)
    if character.isalpha() and random.random() < 0.6:
        character = character.upper()
    matrix = affine(random, turn=15, scale=(1, 1), aspect=0.5, shear=0.25, shift=0.1)
    height = random.uniform(0.55, 0.92)
    if character.isdigit() and random.random() < 0.4:
        matrix = tuple(value * height if at % 3 < 2 else value for at, value in enumerate(matrix))  # type: ignore[assignment]
        mask = draw_strokes(character, random, matrix, random.uniform(0.12, 0.5))
    else:
        kind = random.random()
        look = HOLLOW if kind < 0.15 else THICK if kind < 0.45 else PLAIN
        stored, *half = glyph_mask(FONTS[int(random.integers(len(FONTS)))], character, look)
        mask = draw_glyph(stored, (half[0], half[1]), height, matrix)
    if random.random() < 0.5:
        reach = random.uniform(3, 11)
        mask = warped(mask, np.stack([smooth(random, 5, SIZE), smooth(random, 5, SIZE)]) * reach)
    return mixed(ground, jittered(random, front, 14), share_of(mask)), back if plain else None


def _texture(name: str, random: np.random.Generator) -> np.ndarray:
    one, other = (jittered(random, colour, 14) for colour in colours_apart(random, [0, 190]))
    quarter, free = math.pi / 2 * int(random.integers(2)), random.uniform(-0.5, 0.5) * (0.9 if name in _UPRIGHT else math.pi)
    turn = (0.0, free, quarter if name in _UPRIGHT else quarter + math.pi / 4, quarter)[int(random.integers(4))]
    phase = tuple(random.uniform(0, 1, size=2).tolist())
    u, v = coordinates(random.uniform(3, 6), turn, phase, None)
    pattern = texture(name, u, v, random)
    return mixed(one, other, share_of(Image.fromarray(pattern)))


def _land(name: str, random: np.random.Generator) -> np.ndarray:
    shifts = random.normal(0, 14, size=(len(BRIGHT), 3))
    picture = mapped(land(name, random), (np.asarray(list(BRIGHT.values())) + shifts).tolist())
    return picture + smooth_colour(random, 8).mean(axis=2, keepdims=True) * random.uniform(8, 30)


def _flag(name: str, random: np.random.Generator) -> np.ndarray:
    colours = [jittered(random, colour, 14) for colour in colours_apart(random, [0, 190, 190])]
    matrix = affine(random, turn=12, scale=(0.75, 1), aspect=0.1, shift=0.05)
    sky = (random.uniform(190, 235), random.uniform(220, 245), 252)
    return figure_over(draw_filled(FLAGS[name], matrix), (*colours, RGB["black"]), plain_ground(sky))


def _finished(picture: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Blur, contrast, brightness and pixel noise; uint8 [32, 32, 3]."""
    contrast, brightness, grain = random.uniform(0.75, 1.15), random.normal(0, 12), random.uniform(0, 0.04)
    if random.random() < 0.15:
        blur = ImageFilter.GaussianBlur(random.uniform(0.5, 2) / 3)
        picture = np.asarray(Image.fromarray(bytes_of(picture)).filter(blur)).astype(np.float64)
    noise = random.normal(0, 255 * grain, size=(SIDE, SIDE, 3))
    return bytes_of((picture - 128) * contrast + 128 + brightness + noise)
