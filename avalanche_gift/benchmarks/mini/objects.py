"""The 49 objects, each a few polygons and lines; layer 0 is the colour that a caption names."""

from avalanche_gift.benchmarks.mini.figures import HOLE, MAIN, SECOND, THIRD, Figure, Part, arc, box, disc, line, poly, regular


def _lens(layer: int, width: float, height: float, y: float = 0.0) -> Part:
    """A lying almond, its corners at +-width."""
    steps = [step / 8 for step in range(-8, 9)]
    upper = [(width * t, y - height * (1 - t * t)) for t in steps]
    return poly(layer, upper + [(x, 2 * y - v) for x, v in reversed(upper[1:-1])])


def _petals(layer: int, y: float, reach: float, r: float) -> tuple[Part, ...]:
    return tuple(disc(layer, x, v + y, r) for x, v in regular(5, reach))


def _spokes(layer: int, width: float, reach: float) -> tuple[Part, ...]:
    ends = regular(8, reach)
    return tuple(line(layer, width, (ends[n], ends[n + 4])) for n in range(4))


def _blade(layer: int, x: float, y: float, r: float, ry: float) -> Part:
    """A flame or leaf standing on (x, y): round below, a tip above."""
    return poly(layer, ((x, y - ry), *arc(x, y, r, -35, 215, r)))


OBJECTS: dict[str, Figure] = {
    "house": (
        box(MAIN, -0.62, -0.1, 0.62, 0.85),
        poly(SECOND, "-.9 0  0 -.85  .9 0"),
        box(THIRD, -0.17, 0.3, 0.17, 0.85),
    ),
    "tree": (box(SECOND, -0.14, 0.2, 0.14, 0.95), disc(MAIN, 0, -0.28, 0.66, 0.64)),
    "fish": (poly(SECOND, "-.3 -.05  .95 -.5  .72 0  .95 .5"), _lens(MAIN, 0.82, 0.5), disc(THIRD, -0.45, -0.1, 0.1)),
    "car": (
        poly(MAIN, "-.55 0  -.35 -.5  .3 -.5  .6 0"),
        poly(SECOND, "-.4 -.05  -.27 -.38  -.06 -.38  -.06 -.05"),
        poly(SECOND, ".06 -.05  .06 -.38  .24 -.38  .42 -.05"),
        poly(MAIN, "-.95 .02  .85 .02  .95 .15  .95 .42  -.95 .42"),
        disc(THIRD, -0.5, 0.42, 0.23),
        disc(THIRD, 0.5, 0.42, 0.23),
    ),
    "boat": (
        line(THIRD, 0.09, "0 .4  0 -.92"),
        poly(SECOND, ".1 -.85  .78 .25  .1 .25"),
        poly(SECOND, "-.1 -.5  -.1 .25  -.6 .25"),
        poly(MAIN, "-.92 .4  .92 .4  .58 .85  -.58 .85"),
    ),
    "cup": (
        line(MAIN, 0.15, arc(0.42, 0.02, 0.36, -90, 90)),
        poly(MAIN, "-.72 -.7  .48 -.7  .36 .75  -.6 .75"),
    ),
    "key": (
        box(MAIN, -0.35, -0.1, 0.92, 0.1),
        box(MAIN, 0.72, 0.1, 0.92, 0.42),
        box(MAIN, 0.4, 0.1, 0.56, 0.34),
        disc(MAIN, -0.58, 0, 0.37),
        disc(HOLE, -0.58, 0, 0.17),
    ),
    "umbrella": (
        line(SECOND, 0.1, ((0, -0.2), (0, 0.68), *arc(0.16, 0.7, 0.16, 180, 10))),
        poly(
            MAIN,
            arc(0, 0.05, 0.95, 180, 360, 0.9)
            + arc(0.63, 0.05, 0.31, 0, -180, 0.18)
            + arc(0, 0.05, 0.31, 0, -180, 0.18)
            + arc(-0.63, 0.05, 0.31, 0, -180, 0.18),
        ),
    ),
    "mushroom": (
        poly(SECOND, "-.22 -.05  .22 -.05  .3 .9  -.3 .9"),
        poly(MAIN, arc(0, 0.08, 0.9, 180, 360, 0.95)),
        disc(THIRD, 0, -0.55, 0.15),
        disc(THIRD, -0.45, -0.22, 0.14),
        disc(THIRD, 0.45, -0.22, 0.14),
    ),
    "rocket": (
        poly(SECOND, "-.25 .1  -.65 .7  -.2 .6"),
        poly(SECOND, ".25 .1  .65 .7  .2 .6"),
        poly(THIRD, "-.16 .6  .16 .6  0 1"),
        poly(MAIN, "0 -.98  .22 -.6  .3 -.1  .24 .62  -.24 .62  -.3 -.1  -.22 -.6"),
        disc(THIRD, 0, -0.25, 0.14),
    ),
    "pine": (
        box(SECOND, -0.12, 0.6, 0.12, 0.95),
        poly(MAIN, "0 -.2  .72 .65  -.72 .65"),
        poly(MAIN, "0 -.6  .55 .2  -.55 .2"),
        poly(MAIN, "0 -.95  .4 -.25  -.4 -.25"),
    ),
    "flower": (
        line(THIRD, 0.1, "0 0  .05 .95"),
        *_petals(MAIN, -0.3, 0.37, 0.28),
        disc(SECOND, 0, -0.3, 0.23),
    ),
    "sun": (poly(SECOND, regular(12, 0.98, 0.6)), disc(MAIN, 0, 0, 0.52)),
    "cloud": (
        poly(
            MAIN,
            arc(-0.6, 0.2, 0.34, 90, 250)
            + arc(-0.22, -0.12, 0.42, 190, 320)
            + arc(0.32, -0.02, 0.38, 240, 350)
            + arc(0.64, 0.24, 0.3, 285, 450),
        ),
    ),
    "face": (
        disc(MAIN, 0, 0, 0.9),
        disc(SECOND, -0.33, -0.25, 0.13),
        disc(SECOND, 0.33, -0.25, 0.13),
        line(SECOND, 0.13, arc(0, 0.05, 0.48, 25, 155)),
    ),
    "ladder": (
        line(MAIN, 0.12, "-.4 -.95  -.4 .95"),
        line(MAIN, 0.12, ".4 -.95  .4 .95"),
        *(line(MAIN, 0.1, ((-0.4, y), (0.4, y))) for y in (-0.68, -0.34, 0.0, 0.34, 0.68)),
    ),
    "mountain": (
        poly(MAIN, "0 .8  .5 -.25  .98 .8"),
        poly(MAIN, "-.98 .8  -.25 -.75  .5 .8"),
        poly(SECOND, "-.25 -.75  -.04 -.3  -.17 -.38  -.27 -.2  -.36 -.38  -.47 -.28"),
    ),
    "snowman": (
        disc(MAIN, 0, 0.52, 0.45),
        disc(MAIN, 0, -0.12, 0.33),
        disc(MAIN, 0, -0.55, 0.25),
        box(SECOND, -0.2, -1.0, 0.2, -0.72),
        box(SECOND, -0.35, -0.78, 0.35, -0.68),
        disc(THIRD, 0.02, -0.53, 0.07),
        disc(SECOND, 0, -0.12, 0.06),
        disc(SECOND, 0, 0.45, 0.06),
    ),
    "lamp": (
        box(SECOND, -0.07, -0.1, 0.07, 0.85),
        box(SECOND, -0.42, 0.8, 0.42, 0.95),
        poly(MAIN, "-.35 -.9  .35 -.9  .72 0  -.72 0"),
    ),
    "balloon": (
        line(SECOND, 0.07, "0 .4  -.08 .6  .08 .78  0 .98"),
        poly(MAIN, "0 .25  .14 .48  -.14 .48"),
        disc(MAIN, 0, -0.3, 0.55, 0.65),
    ),
    "icecream": (
        poly(SECOND, "-.42 0  .42 0  0 .98"),
        disc(MAIN, 0, -0.3, 0.5),
        disc(THIRD, 0, -0.84, 0.14),
    ),
    "chair": (
        box(MAIN, -0.55, -0.95, -0.36, 0.95),
        box(MAIN, -0.55, 0.0, 0.55, 0.2),
        box(MAIN, 0.36, 0.0, 0.55, 0.95),
        box(SECOND, -0.36, -0.2, 0.55, 0.0),
    ),
    "table": (
        line(SECOND, 0.14, "-.72 -.2  -.72 .75"),
        line(SECOND, 0.14, ".72 -.2  .72 .75"),
        line(SECOND, 0.1, "-.4 -.2  -.4 .5"),
        line(SECOND, 0.1, ".4 -.2  .4 .5"),
        box(MAIN, -0.95, -0.42, 0.95, -0.16),
    ),
    "apple": (
        line(SECOND, 0.1, "0 -.4  .08 -.9"),
        _blade(THIRD, 0.32, -0.7, 0.13, 0.2),
        poly(MAIN, arc(-0.32, 0.15, 0.55, 60, 310, 0.72) + arc(0.32, 0.15, 0.55, 230, 480, 0.72)),
    ),
    "butterfly": (
        line(THIRD, 0.06, "-.28 -.92  0 -.45  .28 -.92"),
        disc(MAIN, -0.5, -0.32, 0.42, 0.4),
        disc(MAIN, 0.5, -0.32, 0.42, 0.4),
        disc(SECOND, -0.4, 0.42, 0.32, 0.36),
        disc(SECOND, 0.4, 0.42, 0.32, 0.36),
        disc(THIRD, 0, 0, 0.12, 0.62),
    ),
    "cat": (
        poly(MAIN, "-.78 -.95  -.05 -.45  -.75 .1"),
        poly(MAIN, ".78 -.95  .05 -.45  .75 .1"),
        disc(MAIN, 0, 0.15, 0.78, 0.68),
        disc(SECOND, -0.33, 0.02, 0.15),
        disc(SECOND, 0.33, 0.02, 0.15),
        poly(THIRD, "-.14 .27  .14 .27  0 .45"),
    ),
    "hammer": (box(SECOND, -0.12, -0.5, 0.12, 0.95), poly(MAIN, "-.65 -.9  .45 -.9  .75 -.72  .45 -.4  -.65 -.4")),
    "bottle": (
        poly(MAIN, "-.15 -.7  .15 -.7  .15 -.35  .4 -.05  .4 .95  -.4 .95  -.4 -.05  -.15 -.35"),
        box(THIRD, -0.2, -0.95, 0.2, -0.68),
        box(SECOND, -0.4, 0.15, 0.4, 0.62),
    ),
    "candle": (
        box(MAIN, -0.3, -0.2, 0.3, 0.8),
        box(THIRD, -0.6, 0.75, 0.6, 0.92),
        line(THIRD, 0.06, "0 -.2  0 -.4"),
        _blade(SECOND, 0, -0.55, 0.19, 0.42),
    ),
    "envelope": (box(MAIN, -0.92, -0.62, 0.92, 0.62), line(SECOND, 0.11, "-.88 -.56  0 .12  .88 -.56")),
    "clock": (
        disc(MAIN, 0, 0, 0.92),
        disc(SECOND, 0, 0, 0.72),
        line(THIRD, 0.12, "0 -.5  0 0  .34 .2"),
    ),
    "eye": (_lens(MAIN, 0.98, 0.6), disc(SECOND, 0, 0, 0.4), disc(THIRD, 0, 0, 0.18)),
    "lollipop": (
        line(SECOND, 0.12, "0 .1  0 .98"),
        disc(MAIN, 0, -0.38, 0.58),
        line(THIRD, 0.1, arc(0, -0.38, 0.3, 0, 290)),
    ),
    "sword": (
        poly(MAIN, "0 -.98  .14 -.75  .14 .4  -.14 .4  -.14 -.75"),
        box(SECOND, -0.45, 0.36, 0.45, 0.52),
        box(THIRD, -0.09, 0.52, 0.09, 0.85),
        disc(SECOND, 0, 0.88, 0.12),
    ),
    "anchor": (
        line(MAIN, 0.14, "0 -.5  0 .8"),
        line(MAIN, 0.13, "-.38 -.3  .38 -.3"),
        line(MAIN, 0.15, arc(0, 0.12, 0.7, 12, 168)),
        poly(MAIN, "-.95 .42  -.75 -.02  -.48 .38"),
        poly(MAIN, ".95 .42  .75 -.02  .48 .38"),
        line(MAIN, 0.12, arc(0, -0.7, 0.2, 0, 360)),
    ),
    "leaf": (
        _lens(MAIN, 0.85, 0.52),
        line(SECOND, 0.09, "-.98 0  .6 0"),
        line(SECOND, 0.07, "-.2 0  .1 -.25"),
        line(SECOND, 0.07, "-.2 0  .1 .25"),
    ),
    "hat": (
        box(MAIN, -0.5, -0.7, 0.5, 0.5),
        box(SECOND, -0.5, 0.12, 0.5, 0.4),
        box(MAIN, -0.95, 0.4, 0.95, 0.62),
    ),
    "glasses": (
        line(MAIN, 0.12, arc(-0.5, 0, 0.35, 0, 360)),
        line(MAIN, 0.12, arc(0.5, 0, 0.35, 0, 360)),
        line(MAIN, 0.1, arc(0, 0, 0.17, 200, 340)),
        line(MAIN, 0.1, "-.85 -.05  -.98 -.3"),
        line(MAIN, 0.1, ".85 -.05  .98 -.3"),
    ),
    "bell": (
        disc(SECOND, 0, 0.72, 0.2),
        disc(SECOND, 0, -0.82, 0.13),
        poly(MAIN, (*arc(0, -0.25, 0.5, 180, 360, 0.55), (0.52, 0.3), (0.82, 0.62), (-0.82, 0.62), (-0.52, 0.3))),
    ),
    "book": (
        poly(MAIN, "0 -.45  -.92 -.68  -.92 .5  0 .72"),
        poly(SECOND, "0 -.45  .92 -.68  .92 .5  0 .72"),
        line(THIRD, 0.08, "0 -.42  0 .7"),
    ),
    "window": (
        box(MAIN, -0.8, -0.9, 0.8, 0.9),
        *(box(SECOND, x - 0.29, y - 0.33, x + 0.29, y + 0.33) for x in (-0.36, 0.36) for y in (-0.41, 0.41)),
    ),
    "door": (
        box(MAIN, -0.5, -0.95, 0.5, 0.95),
        box(SECOND, -0.3, -0.75, 0.3, -0.15),
        disc(THIRD, 0.33, 0.15, 0.1),
    ),
    "tent": (poly(MAIN, "0 -.8  .98 .75  -.98 .75"), poly(SECOND, "0 -.15  .36 .75  -.36 .75")),
    "castle": (
        poly(
            MAIN,
            "-.85 -.75 -.6 -.75 -.6 -.5 -.4 -.5 -.4 -.75 -.15 -.75 -.15 -.5 .15 -.5 .15 -.75 .4 -.75 .4 -.5 .6 -.5 "
            ".6 -.75 .85 -.75 .85 .85 -.85 .85",
        ),
        poly(SECOND, (*arc(0, 0.35, 0.24, 180, 360), (0.24, 0.85), (-0.24, 0.85))),
        box(SECOND, -0.6, -0.25, -0.4, 0.05),
        box(SECOND, 0.4, -0.25, 0.6, 0.05),
    ),
    "bridge": (
        box(MAIN, -0.98, -0.35, 0.98, -0.12),
        poly(
            MAIN,
            (
                (-0.98, 0.65),
                (-0.98, -0.2),
                (0.98, -0.2),
                (0.98, 0.65),
                *arc(0.48, 0.65, 0.36, 0, -180, 0.55),
                *arc(-0.48, 0.65, 0.36, 0, -180, 0.55),
            ),
        ),
    ),
    "wheel": (
        line(MAIN, 0.16, arc(0, 0, 0.84, 0, 360)),
        *_spokes(MAIN, 0.09, 0.8),
        disc(SECOND, 0, 0, 0.2),
    ),
    "robot": (
        line(SECOND, 0.08, "0 -.6  0 -.92"),
        disc(SECOND, 0, -0.88, 0.1),
        box(MAIN, -0.45, -0.68, 0.45, 0.02),
        box(SECOND, -0.3, -0.5, -0.1, -0.28),
        box(SECOND, 0.1, -0.5, 0.3, -0.28),
        line(THIRD, 0.09, "-.25 -.13  .25 -.13"),
        box(MAIN, -0.62, 0.14, 0.62, 0.72),
        box(THIRD, -0.3, 0.26, 0.3, 0.5),
        box(SECOND, -0.4, 0.72, -0.14, 0.96),
        box(SECOND, 0.14, 0.72, 0.4, 0.96),
    ),
    "train": (
        box(MAIN, -0.9, -0.7, -0.2, 0.4),
        box(SECOND, -0.74, -0.52, -0.36, -0.15),
        box(MAIN, -0.25, -0.15, 0.85, 0.4),
        poly(THIRD, ".4 -.15  .34 -.65  .74 -.65  .68 -.15"),
        *(disc(THIRD, x, 0.48, 0.23) for x in (-0.6, 0.0, 0.58)),
    ),
    "bird": (
        line(SECOND, 0.08, "-.05 .5  -.1 .92"),
        line(SECOND, 0.08, ".2 .5  .2 .92"),
        poly(MAIN, "-.3 .1  -.98 -.2  -.85 .35"),
        disc(MAIN, 0, 0.15, 0.55, 0.42),
        poly(SECOND, ".7 -.5  1 -.32  .7 -.2"),
        disc(MAIN, 0.5, -0.35, 0.32),
        poly(SECOND, "-.35 .05  .25 .05  -.1 .4"),
        disc(THIRD, 0.56, -0.42, 0.09),
    ),
}
