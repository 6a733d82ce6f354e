"""The narrow world that the tiny generator learns from: plain grounds, filled figures, capitals; crisp."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from avalanche_gift.benchmarks.mini.concepts import (
    COLOURED,
    COLOURED_SHAPES,
    CONCEPTS,
    NUMBERS,
    SHAPE_COLOURS,
    TEMPLATE,
    TEMPLATES,
    all_classes,
)
from avalanche_gift.benchmarks.mini.fields import coordinates, texture
from avalanche_gift.benchmarks.mini.figures import affine, draw_filled
from avalanche_gift.benchmarks.mini.glyphs import PLAIN, draw_glyph, glyph_mask
from avalanche_gift.benchmarks.mini.land import BRIGHT, land
from avalanche_gift.benchmarks.mini.objects import OBJECTS
from avalanche_gift.benchmarks.mini.painting import (
    RGB,
    SIDE,
    bytes_of,
    distance,
    figure_over,
    furthest,
    jittered,
    mapped,
    mixed,
    plain_ground,
    share_of,
    smooth_colour,
)
from avalanche_gift.benchmarks.mini.seeds import CANONICAL, PROMPTED, checked_range, checked_seed, random_of
from avalanche_gift.benchmarks.mini.shapes import FLAGS, SHAPES
from avalanche_gift.prompts import fill

GROUNDS = {"white": 0.34, "black": 0.18, "blue": 0.16, "yellow": 0.16, "green": 0.08, "cyan": 0.08}
_APART = 230
"""Least `distance` of a figure's main colour from its ground."""

_GREEN, _WARM = ("green",), ("yellow", "orange")
_MAINS: Mapping[str, tuple[str, ...]] = {
    "tree": _GREEN,
    "pine": _GREEN,
    "leaf": _GREEN,
    "apple": ("red", "green"),
    "sun": _WARM,
    "face": ("yellow", "orange", "pink"),
    "snowman": ("white", "cyan"),
    "cloud": ("white", "blue", "gray"),
}
_NATURAL = {
    "tree": ("brown", "red"),
    "pine": ("brown", "red"),
    "apple": ("brown", "green"),
    "flower": ("yellow", "green"),
    "candle": ("orange", "black"),
    "icecream": ("orange", "red"),
    "mushroom": ("white", "white"),
    "boat": ("white", "brown"),
}
"""Second and third colours of objects, where they stand out from main colour and ground."""
_PALETTES = (("red", "blue", "green", "orange"), ("purple", "red", "white", "black"), ("blue", "yellow", "red", "white"))
_GLYPH_COLOURS = ("black", "white", "red", "blue", "yellow", "green")
_PAIRS = (
    *(("white", "black"), ("blue", "white"), ("yellow", "black"), ("red", "white")),
    *(("green", "white"), ("blue", "orange"), ("yellow", "purple")),
)
_ORDER = ("yellow", "white", "red", "blue", "black", "green", "orange")
"""Second and third colours: the first of these that are far from the main colour and from the ground."""

_WEIGHTS = np.array([6.0 if concept.phrase in COLOURED_SHAPES else 1.0 for concept in CONCEPTS])
_BOUNDS = np.cumsum(_WEIGHTS) / _WEIGHTS.sum()
_CLASSES = {fill(template, name): name for template in TEMPLATES for name in all_classes()}


def draw_canonical(start: int, count: int, seed: int = 0, coloured_share: float = 0.8) -> tuple[np.ndarray, list[str]]:
    """Pictures start .. start + count - 1 of the seed's endless canonical set, the same however they are asked for.

    The 10 shapes with colour words come six times as often as other concepts, with the word in `coloured_share` of cases.
    Returns pictures uint8 [count, 32, 32, 3] and their prompts, all of `all_prompts`.
    """
    checked_range(start, count, seed)
    pictures = np.empty((count, SIDE, SIDE, 3), dtype=np.uint8)
    prompts = []
    for row in range(count):
        random = random_of(seed, CANONICAL, start + row)
        name = CONCEPTS[min(int(np.searchsorted(_BOUNDS, random.random(), side="right")), len(CONCEPTS) - 1)].phrase
        if name in COLOURED_SHAPES and random.random() < coloured_share:
            name = f"{SHAPE_COLOURS[int(random.integers(len(SHAPE_COLOURS)))]} {name}"
        pictures[row] = _picture(name, random)
        prompts.append(fill(TEMPLATE, name))
    return pictures, prompts


def canonical_picture(prompt: str, seed: int) -> np.ndarray:
    """A canonical picture, uint8 [32, 32, 3], of one of the 219 classes, bare or in any of TEMPLATES.

    Raises ValueError for another prompt or a seed that is no whole number.
    """
    if prompt not in _CLASSES:
        raise ValueError(f"expected one of the mini world's 219 classes as in {TEMPLATE!r}, got {prompt!r}")
    name = _CLASSES[prompt]
    return _picture(name, random_of(checked_seed(seed), PROMPTED, all_classes().index(name)))


def _picture(name: str, random: np.random.Generator) -> np.ndarray:
    colour = None
    if name in COLOURED:
        colour, name = name.split(" ")
    if name in SHAPES:
        picture = _figure(name, colour, random)
    elif name in OBJECTS:
        picture = _figure(name, None, random)
    elif name in FLAGS:
        picture = _flag(name, random)
    elif name.startswith(("letter ", "number ")):
        picture = _glyph(name, random)
    elif name in _LANDS:
        picture = _land(name, random)
    else:
        picture = _texture(name, random)
    return bytes_of(picture)


_LANDS = frozenset(concept.phrase for concept in CONCEPTS if concept.kind == "land")


def _one_of(random: np.random.Generator, names: tuple[str, ...]) -> str:
    return names[int(random.integers(len(names)))]


def _ground(random: np.random.Generator, main: str) -> str:
    """A ground far from the figure's main colour."""
    names = [name for name in GROUNDS if distance(RGB[name], RGB[main]) >= _APART]
    bounds = np.cumsum([GROUNDS[name] for name in names])
    return names[min(int(np.searchsorted(bounds, random.random() * bounds[-1], side="right")), len(names) - 1)]


def _beside(main: str, ground: str, natural: tuple[str, ...] = ()) -> tuple[str, str]:
    """Second and third colours, a function of main colour, ground and the figure's own wishes."""
    if natural and all(distance(RGB[name], RGB[other]) >= 120 for name in natural for other in (main, ground)):
        return natural[0], natural[1]
    second = next(
        (name for name in _ORDER if min(distance(RGB[name], RGB[main]), distance(RGB[name], RGB[ground])) >= 200),
        furthest((main, ground), _ORDER),
    )
    return second, furthest((main, second), [name for name in _ORDER if name not in (main, second, ground)])


def _figure(name: str, colour: str | None, random: np.random.Generator) -> np.ndarray:
    figure = SHAPES[name] if name in SHAPES else OBJECTS[name]
    mains = SHAPE_COLOURS if name in SHAPES else _MAINS.get(name, _PALETTES[sum(map(ord, name)) % 3])
    main = colour or _one_of(random, mains)
    ground = _ground(random, main)
    matrix = affine(random, turn=6, scale=(0.78, 0.92), aspect=0.06, shift=0.05)
    colours = [jittered(random, each, 3) for each in (main, *_beside(main, ground, _NATURAL.get(name, ())))]
    return figure_over(draw_filled(figure, matrix), (*colours, RGB["black"]), plain_ground(jittered(random, ground, 3)))


def _glyph(name: str, random: np.random.Generator) -> np.ndarray:
    word = name.split(" ")[1]
    character = str(NUMBERS.index(word)) if word in NUMBERS else word.upper()
    main = _one_of(random, _GLYPH_COLOURS)
    ground = _ground(random, main)
    face = "DejaVuSans-Bold" if random.random() < 0.7 else "DejaVuSerif-Bold"
    stored, *half = glyph_mask(face, character, PLAIN)
    matrix = affine(random, turn=6, scale=(1, 1), aspect=0.06, shift=0.05)
    mask = draw_glyph(stored, (half[0], half[1]), random.uniform(0.74, 0.84), matrix)
    return mixed(plain_ground(jittered(random, ground, 3)), jittered(random, main, 3), share_of(mask))


def _texture(name: str, random: np.random.Generator) -> np.ndarray:
    one, other = (jittered(random, colour, 3) for colour in _PAIRS[int(random.integers(len(_PAIRS)))])
    across, down = (random.integers(0, 2, size=2) / 2).tolist()
    pattern = texture(name, *coordinates(4.0, 0.0, (across + 0.1, down + 0.1)), random)
    return mixed(one, other, share_of(Image.fromarray(pattern)))


def _land(name: str, random: np.random.Generator) -> np.ndarray:
    shifts = random.normal(0, 6, size=(len(BRIGHT), 3))
    picture = mapped(land(name, random), (np.asarray(list(BRIGHT.values())) + shifts).tolist())
    return picture + smooth_colour(random, 8).mean(axis=2, keepdims=True) * 8


def _flag(name: str, random: np.random.Generator) -> np.ndarray:
    main, ground = _one_of(random, ("red", "blue", "green", "orange", "white")), "white"
    colours = [jittered(random, each, 3) for each in (main, *_beside(main, ground if main != "white" else "red"))]
    matrix = affine(random, turn=6, scale=(0.86, 0.96), shift=0.03)
    return figure_over(draw_filled(FLAGS[name], matrix), (*colours, RGB["black"]), plain_ground((205, 230, 252)))
