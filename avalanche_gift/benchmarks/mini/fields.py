"""Smooth random fields, coordinates and the fourteen textures, in arithmetic that gives the same bits everywhere."""

import math
from functools import cache

import numpy as np

from avalanche_gift.benchmarks.mini.figures import SIZE

_STEPS = 4096
_SINE = np.array([round(32768 * math.sin(2 * math.pi * step / _STEPS)) for step in range(_STEPS)]) / 32768

_DOWN, _ACROSS = (grid / SIZE for grid in np.mgrid[0:SIZE, 0:SIZE] + 0.5)


def sine(turns: np.ndarray) -> np.ndarray:
    """sin(2 pi turns) from a table of 4,096 values."""
    return _SINE[np.floor(turns * _STEPS).astype(np.int64) % _STEPS]


def fraction(values: np.ndarray) -> np.ndarray:
    return values - np.floor(values)


@cache
def _weights(knots: int, size: int) -> np.ndarray:
    """Whole weights [size, knots], rows sum to 256: a quadratic spline through no knot, smooth everywhere."""
    at = (np.arange(size) + 0.5) / size * (knots - 2)
    first = np.floor(at).astype(np.int64)
    t = at - first
    table = np.zeros((size, knots), dtype=np.int64)
    rows = np.arange(size)
    for offset, weight in enumerate((0.5 * (1 - t) ** 2, 0.75 - (t - 0.5) ** 2, 0.5 * t**2)):
        table[rows, first + offset] = np.rint(256 * weight)
    table[rows, first + 1] += 256 - table.sum(axis=1)
    return table


def smooth(random: np.random.Generator, knots: int, size: int) -> np.ndarray:
    """A smooth field [size, size] in [-1, 1] with about `knots` bumps a side; whole numbers inside, so exact."""
    heights = random.integers(-1024, 1025, size=(knots, knots))
    weights = _weights(knots, size)
    return (weights @ heights @ weights.T) / (1024 * 65536)


def coordinates(
    frequency: float, angle: float, phase: tuple[float, float], warp: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Across and down, each [96, 96], in periods, turned by `angle` radians; warp [2, 96, 96] is added in picture sides."""
    across, down = (_ACROSS, _DOWN) if warp is None else (_ACROSS + warp[0], _DOWN + warp[1])
    cos, sin = round(frequency * math.cos(angle), 6), round(frequency * math.sin(angle), 6)
    return across * cos + down * sin + phase[0], down * cos - across * sin + phase[1]


def texture(name: str, u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """How much of the second colour, bytes [96, 96]. u, v: `coordinates`; `random` is used by noise, blotches and the like."""
    pattern = _PATTERNS[name](u, v, random)
    return pattern.astype(np.uint8) * np.uint8(255) if pattern.dtype == bool else pattern


def _stripes(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return fraction(u) < 0.5


def _checkerboard(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return (np.floor(u) + np.floor(v)) % 2 < 1


def _dots(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    x, y = fraction(u) - 0.5, fraction(v) - 0.5
    return x * x + y * y < random.uniform(0.065, 0.12)


def _grid(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    width = random.uniform(0.2, 0.3)
    return (fraction(u) < width) | (fraction(v) < width)


def _zigzag(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return fraction(v + np.abs(fraction(u * 0.75) - 0.5) * 1.7) < 0.5


def _waves(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return fraction(v + 0.27 * sine(u * 0.6)) < 0.5


def _bricks(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    along = fraction(u * 0.6 + 0.5 * (np.floor(v * 1.2) % 2))
    return (fraction(v * 1.2) < 0.2) | (along < 0.11)


def _noise(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return random.integers(0, 256, size=(32, 32), dtype=np.uint8).repeat(3, axis=0).repeat(3, axis=1)


def _gradient(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    low, high = float(u.min()), float(u.max())
    return np.floor((u - low) * (255 / (high - low))).astype(np.uint8)


def _sunburst(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    x, y = random.uniform(0.35, 0.65, size=2)
    turns = np.round(np.arctan2(_DOWN - y, _ACROSS - x) / (2 * math.pi), 6)
    return fraction(turns * int(random.integers(7, 11)) + random.uniform()) < 0.5


def _crosshatch(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Lines that cross aslant, so that no turn makes a grid of it."""
    return (fraction(u + 0.5 * v) < 0.22) | (fraction(u - 0.5 * v) < 0.22)


def _scales(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    u, v = u * 0.7, v * 0.7
    row = np.floor(v * 2)
    x, y = fraction(u + 0.5 * (row % 2)) - 0.5, fraction(v * 2) * 0.5
    far = x * x + y * y
    return (far > 0.15) & (far < 0.26)


def _honeycomb(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Distance to the nearer of the two lattices of hexagon centres, measured across the flats."""
    edges = []
    for shift in (0.0, 0.5):
        x, y = np.abs(fraction(u + shift) - 0.5), np.abs((fraction(v / 1.732 + shift) - 0.5) * 1.732)
        edges.append(np.maximum(x, 0.5 * x + 0.866 * y))
    return np.minimum(*edges) > 0.4


def _blotches(u: np.ndarray, v: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return smooth(random, 8, SIZE) > 0.03


_PATTERNS = {
    "stripes": _stripes,
    "checkerboard": _checkerboard,
    "dots": _dots,
    "grid": _grid,
    "zigzag": _zigzag,
    "waves": _waves,
    "bricks": _bricks,
    "noise": _noise,
    "gradient": _gradient,
    "sunburst": _sunburst,
    "crosshatch": _crosshatch,
    "scales": _scales,
    "honeycomb": _honeycomb,
    "blotches": _blotches,
}
