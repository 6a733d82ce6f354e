"""Opening image files so that a model sees what a person sees."""

import struct
from pathlib import Path
from typing import Any

from PIL import EpsImagePlugin, ExifTags, Image

from avalanche_gift.files import check_file

_WHITE = 2**16 - 1
"""Of 16-bit grey."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""From the pixels of a file to what its camera saw, by EXIF's orientation."""


def refuse_postscript() -> None:
    """Keeps Pillow, in this process, from handing an image file to Ghostscript: PostScript is a program, and it would run.

    Pillow goes by the content of a file, so that an EPS file may be called `x.png`. It is then an unreadable image.
    """
    plugin: Any = EpsImagePlugin
    plugin.gs_binary = False
    plugin.gs_windows_binary = False  # what Pillow 10.0 asks, on any system


refuse_postscript()


def open_rgb(path: str | Path, *, exif_orientation: bool = True) -> Image.Image:
    """An image file in 8-bit RGB, upright, the first image of several.

    exif_orientation: False for the pixels as the file stores them (of TIFF files, Pillow turns them all the same).
    Raises what Pillow does, ValueError as `eight_bits`, or NotAFile (an OSError), for a named pipe and the like.
    """
    check_file(path)
    with Image.open(path) as file:
        picture = upright(file) if exif_orientation else eight_bits(file)
        if picture.mode == "P" and "transparency" in picture.info:
            picture = picture.convert("RGBA")  # Pillow warns of the direct way
        return picture.convert("RGB")


def upright(picture: Image.Image) -> Image.Image:
    """An image just opened, in 8 bits, turned as the orientation in its EXIF data says. Raises as `eight_bits`."""
    picture.load()  # first: Pillow itself turns TIFF files here, and PNG may hold its EXIF data behind the pixels
    turn = _TURNS.get(_orientation(picture))
    picture = eight_bits(picture)
    return picture if turn is None else picture.transpose(turn)


def _orientation(picture: Image.Image) -> Any:
    """1 to 8; another value, or none, for EXIF data that say nothing or are damaged: the pixels are good all the same."""
    try:
        found = picture.getexif().get(ExifTags.Base.Orientation)
    except (AttributeError, LookupError, OSError, OverflowError, SyntaxError, TypeError, ValueError, struct.error):
        return None
    return found if isinstance(found, int) else None


def eight_bits(picture: Image.Image) -> Image.Image:
    """A picture of 16-bit grey in 8 bits, which Pillow's own conversion would clip to white; every other as it is.

    Raises ValueError for pixels whose range no one can know: floating point, or whole numbers beyond 16 bits.
    """
    if picture.mode != "F" and not picture.mode.startswith("I"):
        return picture
    extrema: Any = picture.getextrema()
    if picture.mode == "F" or extrema[0] < 0 or extrema[1] > _WHITE:
        raise ValueError(f"expected pixels of 8 or 16 bits, got mode {picture.mode} from {extrema[0]:g} to {extrema[1]:g}")
    return picture.convert("I").point(lambda value: value * (255 / _WHITE)).convert("L")
