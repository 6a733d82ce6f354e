"""A contact sheet of a store, to look at."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from avalanche_gift.files import write_aside
from avalanche_gift.generation.manifest import StoreError
from avalanche_gift.generation.store import SyntheticStore

COLUMNS, SIDE, GAP, LINE = 8, 96, 4, 12
"""Pictures a task; pixels of a picture's longer side, between pictures, and a line of text."""

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def draw_sheet(store: SyntheticStore, path: Path, columns: int = COLUMNS) -> Path:
    """Writes the first `columns` pictures of each task, above their prompts, as PNG or JPEG; dropped ones are left out.

    Raises ValueError for a file of another kind, StoreError for a store without pictures or with one that can't be read.
    """
    check_sheet(path)
    folders = [store.task(position) for position in store.positions()]
    rows = [(f"{folder.root.name}: {(folder.meta() or {}).get('task')}", folder, folder.kept()[:columns]) for folder in folders]
    if not any(records for _, _, records in rows):
        raise StoreError(f"expected pictures in '{store.root}' for the sheet, found none; make them first")
    height = LINE + 2 * GAP + SIDE + 2 * LINE + GAP
    sheet = Image.new("RGB", (columns * (SIDE + GAP) + GAP, len(rows) * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(9)
    for row, (title, folder, records) in enumerate(rows):
        top = row * height + GAP
        draw.text((GAP, top), title, fill="black", font=font)
        for column, record in enumerate(records):
            left, under = GAP + column * (SIDE + GAP), top + LINE + GAP
            sheet.paste(_fitted(folder.picture(record)), (left, under))
            for number, line in enumerate(_lines(record.prompt, draw, font)):
                draw.text((left, under + SIDE + number * LINE), line, fill="black", font=font)
    content = io.BytesIO()
    sheet.save(content, FORMATS[path.suffix.lower()])
    write_aside(path, content.getvalue())
    return path


def check_sheet(path: Path) -> None:
    """Raises ValueError for a file that is neither PNG nor JPEG by its name."""
    if path.suffix.lower() not in FORMATS:
        raise ValueError(f"expected a file .png or .jpg for the sheet, got '{path}'")


def _fitted(picture: Image.Image) -> Image.Image:
    """Its longer side SIDE pixels, its proportions kept; small pictures keep hard edges."""
    scale = SIDE / max(picture.size)
    width, height = (max(1, round(scale * side)) for side in picture.size)
    return picture.convert("RGB").resize((width, height), Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BICUBIC)


def _lines(prompt: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """At most two lines as wide as a picture, cut where there is more."""
    lines = [""]
    for word in prompt.removeprefix("a photo of ").split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font) <= SIDE or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    shown = [*lines[:1], " ".join(lines[1:])] if len(lines) > 1 else lines
    return [_cut(line, draw, font) for line in shown]


def _cut(line: str, draw: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    if draw.textlength(line, font) <= SIDE:
        return line
    while line and draw.textlength(line + "…", font) > SIDE:
        line = line[:-1]
    return line + "…"
