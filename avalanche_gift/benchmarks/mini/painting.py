"""Colours, grounds, and the step from canvases of 96 x 96 to pictures of 32 x 32."""

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image

from avalanche_gift.benchmarks.mini.concepts import COLOURS
from avalanche_gift.benchmarks.mini.fields import smooth

SIDE = 32
"""Side of a picture in pixels."""

Colour = tuple[float, float, float]

RGB: dict[str, Colour] = dict(
    zip(
        COLOURS,
        (
            *((220, 40, 40), (245, 140, 30), (245, 220, 40), (40, 160, 60), (45, 80, 225), (135, 60, 190)),
            *((245, 245, 245), (25, 25, 25), (250, 150, 190), (125, 75, 35), (135, 135, 135), (60, 210, 220)),
        ),
        strict=True,
    )
)

_AT = (np.arange(SIDE) + 0.5) / SIDE - 0.5


def distance(one: Sequence[float], other: Sequence[float]) -> float:
    """The sum of the channels' differences, 0 to 765."""
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


def colours_apart(random: np.random.Generator, least: Sequence[float], given: Iterable[str] = ()) -> list[str]:
    """Names after `given`, one for each number in `least`: how far in `distance` it is from all before it."""
    chosen = list(given)
    for far in least:
        names = [name for name in COLOURS if all(distance(RGB[name], RGB[before]) >= far for before in chosen)]
        chosen.append(names[int(random.integers(len(names)))] if names else furthest(chosen))
    return chosen


def furthest(chosen: Sequence[str], among: Sequence[str] = COLOURS) -> str:
    """The colour whose nearest of `chosen` is furthest from it."""
    return max(among, key=lambda name: min(distance(RGB[name], RGB[before]) for before in chosen))


def jittered(random: np.random.Generator, name: str, spread: float) -> Colour:
    """The named colour with Gaussian noise of `spread` on each channel."""
    return tuple((np.asarray(RGB[name]) + random.normal(0, spread, size=3)).clip(0, 255).tolist())


def plain_ground(colour: Sequence[float] | np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.asarray(colour, dtype=np.float64), (SIDE, SIDE, 3))


def mixed(one: Sequence[float] | np.ndarray, other: Sequence[float] | np.ndarray, share: np.ndarray) -> np.ndarray:
    """`one` where share [32, 32] is 0, `other` where it is 1; colours or pictures, floats [32, 32, 3]."""
    start = np.asarray(one, dtype=np.float64)
    return start + (np.asarray(other) - start) * share[:, :, None]


def ramp(random: np.random.Generator) -> np.ndarray:
    """A linear field [32, 32] from 0 to about 1, in any direction."""
    x, y = random.uniform(-1, 1, size=2).tolist()
    far = (abs(x) + abs(y)) or 1.0
    return (_AT[None, :] * x + _AT[:, None] * y) / far + 0.5


def band(random: np.random.Generator) -> np.ndarray:
    """0 on one side of a line near the middle, 1 on the other, [32, 32]."""
    lean, shift = random.uniform(-0.4, 0.4), random.uniform(-0.25, 0.25)
    across, down = (_AT[None, :], _AT[:, None]) if random.random() < 0.3 else (_AT[:, None], _AT[None, :])
    return np.clip((across + lean * down + shift) * SIDE + 0.5, 0, 1)


def smooth_colour(random: np.random.Generator, knots: int) -> np.ndarray:
    """Three smooth fields in [-1, 1], [32, 32, 3]."""
    return np.stack([smooth(random, knots, SIDE) for _ in range(3)], axis=2)


def share_of(mask: Image.Image) -> np.ndarray:
    """A coverage "L" of 96 x 96 as shares [32, 32]."""
    return np.asarray(mask.reduce(3)) / 255


def figure_over(canvas: Image.Image, colours: Sequence[Sequence[float]], ground: np.ndarray) -> np.ndarray:
    """A canvas whose value k > 0 is colours[k - 1] and whose 0 lets `ground` [32, 32, 3] show; floats [32, 32, 3]."""
    bare = np.asarray(canvas.point(_BARE).reduce(3)) / 255
    return mapped(canvas, ((0, 0, 0), *colours)) + ground * bare[:, :, None]


_BARE = [255, *[0] * 255]


def mapped(canvas: Image.Image, colours: Sequence[Sequence[float]]) -> np.ndarray:
    """The 3 x 3 box means of a canvas whose value k is colours[k]; floats [32, 32, 3]."""
    paletted = canvas.copy()
    paletted.putpalette([min(255, max(0, round(channel))) for colour in colours for channel in colour])
    return np.asarray(paletted.convert("RGB").reduce(3)).astype(np.float64)


def bytes_of(picture: np.ndarray) -> np.ndarray:
    """Rounded and cut to 0..255, uint8."""
    return np.rint(picture).clip(0, 255).astype(np.uint8)
