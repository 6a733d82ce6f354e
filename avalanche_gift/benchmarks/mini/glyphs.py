"""Letters and digits of pre-training: matplotlib's own fonts, and digits written with one stroke. No task needs this."""

from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from avalanche_gift.benchmarks.mini.figures import SIZE, Matrix, Points, placed, points, poly, size_of, stroke

FONTS = (
    *("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique"),
    *(
        "DejaVuSansMono",
        "DejaVuSansMono-Bold",
        "DejaVuSansMono-Oblique",
        "DejaVuSerif",
        "DejaVuSerif-Bold",
        "DejaVuSerif-Italic",
    ),
    *("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmb10", "cmss10", "cmtt10", "cmti10"),
)
PLAIN, THICK, HOLLOW = "plain", "thick", "hollow"
_CELL, _EM = 160, 100


@cache
def font(name: str) -> ImageFont.FreeTypeFont:
    """A font of matplotlib's folder, 100 pixels an em."""
    import matplotlib

    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    return ImageFont.truetype(str(folder / f"{name}.ttf"), _EM, layout_engine=ImageFont.Layout.BASIC)


@cache
def glyph_mask(name: str, character: str, look: str) -> tuple[Image.Image, float, float]:
    """The glyph in the middle of a mask "L", 160 x 160, and half its width and height in pixels."""
    mask = Image.new("L", (_CELL, _CELL))
    face = font(name)
    left, top, right, bottom = face.getbbox(character)
    at = ((_CELL - left - right) / 2, (_CELL - top - bottom) / 2)
    draw = ImageDraw.Draw(mask)
    if look == HOLLOW:
        draw.text(at, character, fill=0, font=face, stroke_width=4, stroke_fill=255)
    else:
        draw.text(at, character, fill=255, font=face, stroke_width=5 if look == THICK else 0)
    return mask, (right - left) / 2, (bottom - top) / 2


def draw_glyph(mask: Image.Image, half: tuple[float, float], height: float, matrix: Matrix) -> Image.Image:
    """A coverage "L", 96 x 96: the mask, its glyph of half sides `half` made `height` canvas sides tall, under `matrix`.

    matrix: as from `affine` with a scale of 1. A wide glyph is narrowed to 1.05 times that height.
    """
    a, b, c, d, e, f = matrix
    tall = height / half[1]
    wide = min(tall, 1.05 * height / half[0])
    a, b, d, e = a * wide, b * tall, d * wide, e * tall
    det = a * e - b * d
    inverse = [e / det, -b / det, 0, -d / det, a / det, 0]
    inverse[2] = _CELL / 2 - inverse[0] * c - inverse[1] * f
    inverse[5] = _CELL / 2 - inverse[3] * c - inverse[4] * f
    whole = tuple(round(value * 4096) / 4096 for value in inverse)
    return mask.transform((SIZE, SIZE), Image.Transform.AFFINE, whole, resample=Image.Resampling.BILINEAR)


_STROKES: dict[str, tuple[str, ...]] = {
    "0": ("0 -.9  -.5 -.6  -.58 .1  -.35 .75  .05 .9  .45 .65  .55 0  .42 -.65  0 -.9",
          "0 -.9  -.38 -.55  -.42 .3  0 .9  .4 .4  .4 -.4  0 -.9"),
    "1": ("0 -.9  0 0  0 .9", "-.35 -.5  .05 -.9 | .05 -.9  .05 0  .05 .9",
          "-.35 -.5  .05 -.9 | .05 -.9  .05 0  .05 .9 | -.4 .9  .05 .9  .45 .9"),
    "2": ("-.5 -.5  -.3 -.85  .2 -.88  .48 -.5  .25 0  -.2 .45  -.55 .88 | -.55 .88  0 .85  .58 .88",
          "-.45 -.6  0 -.9  .42 -.6  .3 -.1  -.25 .6  -.5 .8  -.35 .6  0 .75  .6 .85"),
    "3": ("-.48 -.7  0 -.92  .45 -.6  .3 -.15  -.1 -.05 | -.1 -.05  .35 .1  .5 .5  .1 .9  -.35 .85  -.55 .6",),
    "4": (".1 -.9  -.25 -.3  -.55 .25 | -.55 .25  0 .25  .6 .25 | .25 -.25  .25 .3  .25 .92",
          "-.42 -.85  -.48 -.4  -.4 0 | -.4 0  .1 .05  .45 -.05 | .45 -.85  .45 0  .4 .92"),
    "5": (".5 -.88  0 -.88  -.4 -.86 | -.4 -.86  -.43 -.5  -.45 -.1 | -.45 -.1  .1 -.25  .5 .2  .3 .75  -.1 .9  -.5 .75",),
    "6": (".3 -.9  -.15 -.6  -.45 0  -.42 .55  0 .9  .4 .65  .4 .2  .05 -.02  -.4 .3",),
    "7": ("-.52 -.86  0 -.86  .52 -.86 | .52 -.86  .2 -.1  -.12 .9",
          "-.52 -.86  0 -.86  .52 -.86 | .52 -.86  .2 -.1  -.12 .9 | -.3 .05  .1 .02  .48 0"),
    "8": (".1 -.05  -.4 -.4  -.25 -.85  .2 -.88  .38 -.5  .05 -.05  -.42 .4  -.25 .85  .2 .88  .45 .5  .1 -.05",
          "0 -.05  -.38 -.45  0 -.9  .38 -.45  0 -.05  -.45 .42  0 .9  .45 .42  0 -.05"),
    "9": (".4 -.5  .1 -.9  -.35 -.7  -.42 -.3  -.05 -.05  .35 -.3  .42 -.6 | .42 -.6  .38 0  .2 .9",
          ".4 -.5  .1 -.9  -.35 -.7  -.42 -.3  -.05 -.05  .35 -.3  .42 -.6 | .42 -.6  .45 .1  .2 .75  -.35 .85"),
}  # fmt: skip

_PATHS = {digit: [[points(path) for path in way.split("|")] for way in ways] for digit, ways in _STROKES.items()}


def _curve(path: Points) -> list[tuple[float, float]]:
    """A Catmull-Rom curve through the points, six steps from one to the next."""
    ends = [path[0], *path, path[-1]]
    curve = []
    for p, q, r, s in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        for step in range(6):
            t = step / 6
            weights = (-t * (1 - t) ** 2, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) * (1 - t))
            curve.append(
                tuple(sum(w * point[axis] for w, point in zip(weights, (p, q, r, s), strict=True)) / 2 for axis in (0, 1))
            )
    return [*curve, path[-1]]  # type: ignore[list-item]


def draw_strokes(digit: str, random: np.random.Generator, matrix: Matrix, width: float) -> Image.Image:
    """A digit as a hand would write it, coverage "L", 96 x 96; `width` of the pen in units of half its height."""
    ways = _PATHS[digit]
    way = ways[int(random.integers(len(ways)))]
    canvas = Image.new("L", (SIZE, SIZE))
    draw = ImageDraw.Draw(canvas)
    pen = max(3, round(width * size_of(matrix)))
    moved = {point: random.normal(0, 0.05, size=2).tolist() for path in way for point in path}
    for path in way:
        shaken = [(x + moved[x, y][0], y + moved[x, y][1]) for x, y in path]
        stroke(draw, placed(poly(0, _curve(shaken)), matrix), 255, pen)
    return canvas


def warped(mask: Image.Image, shifts: np.ndarray) -> Image.Image:
    """The mask pulled about; shifts [2, 96, 96]: down and across, in pixels."""
    moved = np.rint(shifts).astype(np.int64)
    down = np.clip(np.arange(SIZE)[:, None] + moved[0], 0, SIZE - 1)
    across = np.clip(np.arange(SIZE)[None, :] + moved[1], 0, SIZE - 1)
    return Image.fromarray(np.asarray(mask)[down, across])
