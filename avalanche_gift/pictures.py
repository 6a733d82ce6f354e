"""Opening picture files so that a model sees what a person sees."""

from pathlib import Path
from typing import Any

from PIL import EpsImagePlugin, Image

_WHITE = 2**16 - 1
"""Of 16-bit grey."""


def refuse_postscript() -> None:
    """Keeps Pillow, in this process, from handing an image file to Ghostscript: PostScript is a program, and it would run.

    Pillow goes by the content of a file, so that an EPS file may be called `x.png`. It is then an unreadable image.
    """
    plugin: Any = EpsImagePlugin
    plugin.gs_binary = False
    plugin.gs_windows_binary = False  # what Pillow 10.0 asks, on any system


refuse_postscript()


def open_rgb(path: str | Path) -> Image.Image:
    """A picture file in 8-bit RGB, the first picture of several. Raises what Pillow does, or ValueError as `eight_bits`."""
    with Image.open(path) as file:
        picture = eight_bits(file)
        if picture.mode == "P" and "transparency" in picture.info:
            picture = picture.convert("RGBA")  # Pillow warns of the direct way
        return picture.convert("RGB")


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
