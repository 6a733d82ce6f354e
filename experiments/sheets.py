"""Sheets of pictures with their prompts, and where the pictures come from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from PIL import Image

from avalanche_gift.benchmarks.mini.concepts import TASKS, TEMPLATE
from avalanche_gift.generation import picture_seed
from avalanche_gift.generation.manifest import Record
from avalanche_gift.generation.store import SyntheticStore, TaskFolder
from avalanche_gift.prompts import training_prompts
from experiments.drawing import save, style
from experiments.plan import NotPossible, World

SIDE, GAP, LINE, LABEL = 0.9, 0.08, 0.115, 0.75
"""Inches: of a picture, between pictures, of a line of text, and of the labels left of the pictures."""
POINTS = 6
"""Size of the letters of a prompt."""
PIXELS = 160
"""Of a picture's longer side at most."""


@dataclass(frozen=True)
class Block:
    """Pictures of the same prompts, a row a label ("" for none); rows[label][k] belongs to prompts[k]."""

    title: str
    prompts: Sequence[str]
    rows: Mapping[str, Sequence[Image.Image]]


def draw_blocks(blocks: Sequence[Block], stem: Path) -> dict[str, Any]:
    """Writes `stem`.svg (the pictures are PNG in it) and `stem`.png; returns what is shown."""
    with style(stem):
        save(sheet(blocks), stem)
    return {"blocks": [{"title": each.title, "prompts": [*each.prompts], "rows": [*each.rows]} for each in blocks]}


def sheet(blocks: Sequence[Block]) -> Figure:
    """Blocks one above the other; a prompt stands whole under the last picture of its column."""
    captions = [[wrapped(prompt) for prompt in block.prompts] for block in blocks]
    heights = [
        2 * LINE + len(block.rows) * (SIDE + GAP) + max(map(len, lines)) * LINE + 2 * GAP
        for block, lines in zip(blocks, captions, strict=True)
    ]
    left = GAP + (LABEL if any(label for block in blocks for label in block.rows) else 0)
    width = left + max(len(block.prompts) for block in blocks) * (SIDE + GAP)
    figure = Figure(figsize=(width, sum(heights) + GAP))

    def write(text: str, x: float, y: float, **options: Any) -> None:
        figure.text(x / width, 1 - y / (sum(heights) + GAP), text, verticalalignment="top", parse_math=False, **options)

    top = GAP
    for block, lines, height in zip(blocks, captions, heights, strict=True):
        write(block.title, GAP, top, fontsize=8, fontweight="bold")
        y = top + 2 * LINE
        for label, pictures in block.rows.items():
            write(label, GAP, y + SIDE / 2 - LINE / 2, fontsize=7)
            for column, picture in enumerate(pictures):
                _place(figure, picture, left + column * (SIDE + GAP), y)
            y += SIDE + GAP
        for column, caption in enumerate(lines):
            write("\n".join(caption), left + column * (SIDE + GAP), y, fontsize=POINTS, linespacing=1.15)
        top += height
    return figure


def wrapped(prompt: str) -> list[str]:
    """Lines as wide as a picture at most; a word that is wider is broken."""
    lines = [""]
    for word in prompt.split():
        if _fits(f"{lines[-1]} {word}".strip()):
            lines[-1] = f"{lines[-1]} {word}".strip()
            continue
        lines += [""] * bool(lines[-1])
        for letter in word:
            if _fits(lines[-1] + letter):
                lines[-1] += letter
            else:
                lines.append(letter)
    return lines


def _fits(line: str) -> bool:
    width, _, _ = text_to_path.get_text_width_height_descent(line, FontProperties(size=POINTS), ismath=False)
    return width <= 72 * SIDE


def _place(figure: Figure, picture: Image.Image, x: float, y: float) -> None:
    width, height = figure.get_size_inches()
    axes = figure.add_axes((x / width, 1 - (y + SIDE) / height, SIDE / width, SIDE / height))
    axes.axis("off")
    small = picture.convert("RGB")
    small.thumbnail((PIXELS, PIXELS))
    axes.imshow(small, interpolation="none")


def mini_prompts(count: int) -> dict[str, list[str]]:
    """Of the first classes of every task of the embedded world."""
    return {name: training_prompts(classes[:count], [TEMPLATE]) for name, classes in TASKS.items()}


def mini_pictures(prompts: Sequence[str], position: int, seed: int, steps: int | None = None) -> list[Image.Image]:
    """Of the embedded generator, with the seeds that the first pictures of that task have in a run."""
    from avalanche_gift.generation import mini_generator

    generator = mini_generator() if steps is None else mini_generator(steps=steps)
    return generator.generate(prompts, [picture_seed(position, k, seed) for k in range(len(prompts))])


def stored(world: World, source: str) -> list[TaskFolder]:
    """The tasks of a store. Raises NotPossible where the folder is none."""
    store = SyntheticStore(world.source(source))
    if not store.positions():
        raise NotPossible(f"--sources {source}=DIR with a store of `avalanche-gift generate`, which {store.root} is not")
    return [store.task(position) for position in store.positions()]


def first_by_prompt(records: Iterable[tuple[TaskFolder, Record]]) -> dict[str, tuple[TaskFolder, Record]]:
    """The first picture of every prompt."""
    found: dict[str, tuple[TaskFolder, Record]] = {}
    for folder, record in records:
        found.setdefault(record.prompt, (folder, record))
    return found
