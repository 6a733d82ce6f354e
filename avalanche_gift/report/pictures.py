"""Pictures for the page: made small, and part of it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

from PIL import Image

TASKS, PICTURES, SIDE = 12, 8, 128
"""At most so many tasks, pictures of each, and pixels of a side."""


@dataclass(frozen=True)
class Sheet:
    """Some pictures of one task, (picture, prompt, CLIP's similarity of both or None) each; count: how many it has."""

    title: str
    pictures: list[tuple[Image.Image, str, float | None]]
    count: int


def data_uri(picture: Image.Image) -> str:
    """The picture itself as an address, at most `SIDE` pixels wide and high; `picture` stays as it is."""
    small = picture.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    kind = "png" if max(small.size) <= 64 else "jpeg"  # JPEG spoils drawings of few pixels
    content = io.BytesIO()
    small.save(content, kind)
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
