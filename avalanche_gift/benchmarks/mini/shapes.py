"""The twenty shapes and eight flags."""

import math

from avalanche_gift.benchmarks.mini.figures import HOLE, MAIN, SECOND, THIRD, Figure, Part, arc, box, disc, line, poly, regular


def _heart() -> list[tuple[float, float]]:
    turns = [2 * math.pi * step / 30 for step in range(30)]
    return [
        (
            0.057 * 16 * math.sin(t) ** 3,
            -0.057 * (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) - 0.08,
        )
        for t in turns
    ]


def _gear() -> list[tuple[float, float]]:
    angles = [2 * math.pi * (tooth + part) / 8 for tooth in range(8) for part in (-0.3, -0.17, 0.17, 0.3)]
    radii = [0.66, 0.95, 0.95, 0.66] * 8
    return [(r * math.cos(angle), r * math.sin(angle)) for r, angle in zip(radii, angles, strict=True)]


def _spiral() -> list[tuple[float, float]]:
    turns = [step / 56 for step in range(57)]
    return [((0.06 + 0.82 * t) * math.cos(16.5 * t), (0.06 + 0.82 * t) * math.sin(16.5 * t)) for t in turns]


_PLUS = "-.3 -.9  .3 -.9  .3 -.3  .9 -.3  .9 .3  .3 .3  .3 .9  -.3 .9  -.3 .3  -.9 .3  -.9 -.3  -.3 -.3"

SHAPES: dict[str, Figure] = {
    "circle": (disc(MAIN, 0, 0, 0.88),),
    "square": (box(MAIN, -0.76, -0.76, 0.76, 0.76),),
    "triangle": (poly(MAIN, "0 -.88  .95 .75  -.95 .75"),),
    "star": (poly(MAIN, regular(5, 1.0, 0.42)),),
    "heart": (poly(MAIN, _heart()),),
    "cross": (poly(MAIN, _PLUS),),
    "diamond": (poly(MAIN, "0 -.95  .6 0  0 .95  -.6 0"),),
    "crescent": (poly(MAIN, arc(0.18, 0, 0.9, 52, 308) + arc(0.63, 0, 0.72, 278, 82)),),
    "arrow": (poly(MAIN, "-.92 -.25  .15 -.25  .15 -.68  .95 0  .15 .68  .15 .25  -.92 .25"),),
    "ring": (disc(MAIN, 0, 0, 0.9), disc(HOLE, 0, 0, 0.48)),
    "pentagon": (poly(MAIN, regular(5, 0.95)),),
    "hexagon": (poly(MAIN, [(y, x) for x, y in regular(6, 0.95)]),),
    "oval": (disc(MAIN, 0, 0, 0.95, 0.55),),
    "rectangle": (box(MAIN, -0.95, -0.52, 0.95, 0.52),),
    "trapezoid": (poly(MAIN, "-.48 -.6  .48 -.6  .95 .6  -.95 .6"),),
    "semicircle": (poly(MAIN, [(x, y + 0.42) for x, y in arc(0, 0, 0.95, 180, 360)]),),
    "drop": (poly(MAIN, ((0, -0.98), *arc(0, 0.32, 0.62, -28, 208))),),
    "lightning": (poly(MAIN, "-.1 -.98  .6 -.98  .2 -.25  .65 -.25  -.4 .98  -.08 .12  -.55 .12"),),
    "gear": (poly(MAIN, _gear()), disc(HOLE, 0, 0, 0.3)),
    "spiral": (line(MAIN, 0.15, _spiral()),),
}

_W, _H = 0.94, 0.62


def _fields(*parts: tuple[int, float, float, float, float]) -> Figure:
    """Boxes with edges as shares of the flag's width and height."""
    return tuple(
        box(layer, (2 * left - 1) * _W, (2 * top - 1) * _H, (2 * right - 1) * _W, (2 * bottom - 1) * _H)
        for layer, left, top, right, bottom in parts
    )


def _stripes(layers: tuple[int, ...]) -> Figure:
    count = len(layers)
    return _fields(*((layer, 0, row / count, 1, (row + 1) / count) for row, layer in enumerate(layers)))


_FIELD = _fields((MAIN, 0, 0, 1, 1))
_BAND, _CUT = 0.22, 0.15


def _diagonal(side: int) -> Part:
    """From the left corner of one side (-1: top) to the right corner of the other, as broad as the flag allows."""
    top, inner = side * _H, side * (_H - _CUT)
    return poly(SECOND, ((-_W, top), (_BAND - _W, top), (_W, -inner), (_W, -top), (_W - _BAND, -top), (-_W, inner)))


FLAGS: dict[str, Figure] = {
    "tricolour flag": _fields((MAIN, 0, 0, 1 / 3, 1), (SECOND, 1 / 3, 0, 2 / 3, 1), (THIRD, 2 / 3, 0, 1, 1)),
    "banded flag": _stripes((MAIN, SECOND, THIRD)),
    "nordic flag": _FIELD
    + _fields((SECOND, 0.25, 0, 0.5, 1), (SECOND, 0, 0.32, 1, 0.68), (THIRD, 0.32, 0, 0.43, 1), (THIRD, 0, 0.42, 1, 0.58)),
    "saltire flag": (*_FIELD, _diagonal(-1), _diagonal(1)),
    "disc flag": (*_FIELD, disc(SECOND, 0, 0, 0.38)),
    "canton flag": _stripes((MAIN, SECOND, MAIN, SECOND, MAIN)) + _fields((THIRD, 0, 0, 0.45, 0.6)),
    "chevron flag": (*_stripes((MAIN, SECOND)), poly(THIRD, ((-_W, -_H), (-0.1, 0), (-_W, _H)))),
    "quartered flag": _fields(
        (MAIN, 0, 0, 0.5, 0.5), (SECOND, 0.5, 0, 1, 0.5), (THIRD, 0, 0.5, 0.5, 1), (MAIN, 0.5, 0.5, 1, 1)
    ),
}
