"""What the mini world can show, as data: 139 concepts in seven kinds, 80 coloured shapes, templates and the vocabulary."""

import re
from typing import NamedTuple

from avalanche_gift.prompts import fill


class Concept(NamedTuple):
    """phrase: its class name. kind: shape, object, letter, digit, texture, land or flag. task: None where it is base."""

    phrase: str
    kind: str
    task: str | None


def words(text: str) -> list[str]:
    """The words of a caption as the mini world's tokenizers cut them: runs of a-z in the lower-cased text."""
    return re.findall("[a-z]+", text.lower())


NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

TASKS: dict[str, tuple[str, ...]] = {
    "shapes": tuple(words("circle square triangle star heart cross diamond crescent arrow ring")),
    "textures": tuple(words("stripes checkerboard dots grid zigzag waves bricks noise")),
    "digits": tuple(f"number {name}" for name in NUMBERS),
    "land": tuple(words("forest river highway farmland city lake desert coast")),
    "letters": tuple(f"letter {letter}" for letter in "abehkmrstx"),
    "icons": tuple(words("house tree fish car boat cup key umbrella mushroom rocket")),
}
"""Class names of each task, in the stream's order; 56 in all."""

TASK_KINDS = {
    "shapes": "shape",
    "textures": "texture",
    "digits": "digit",
    "land": "land",
    "letters": "letter",
    "icons": "object",
}

_BASE = {
    "shape": words("pentagon hexagon oval rectangle trapezoid semicircle drop lightning gear spiral"),
    "texture": words("gradient sunburst crosshatch scales honeycomb blotches"),
    "land": words("island meadow glacier crossroads"),
    "letter": [f"letter {letter}" for letter in "cdfgijlnopquvwyz"],
    "object": words(
        "pine flower sun cloud face ladder mountain snowman lamp balloon icecream chair table apple butterfly cat hammer "
        "bottle candle envelope clock eye lollipop sword anchor leaf hat glasses bell book window door tent castle bridge "
        "wheel robot train bird"
    ),
    "flag": [f"{name} flag" for name in words("tricolour banded nordic saltire disc canton chevron quartered")],
}

CONCEPTS: tuple[Concept, ...] = tuple(
    [Concept(name, TASK_KINDS[task], task) for task, names in TASKS.items() for name in names]
    + [Concept(name, kind, None) for kind, names in _BASE.items() for name in names]
)
"""The 139 colour-free concepts, those of the tasks first; `concepts` of the drawing functions count here."""

KINDS: dict[str, tuple[int, ...]] = {
    kind: tuple(number for number, concept in enumerate(CONCEPTS) if concept.kind == kind)
    for kind in ("shape", "object", "letter", "digit", "texture", "land", "flag")
}
"""The numbers of the concepts of each kind."""

SHAPE_COLOURS = ("red", "orange", "yellow", "green", "blue", "purple", "white", "black")
COLOURS = (*SHAPE_COLOURS, "pink", "brown", "gray", "cyan")
COLOURED_SHAPES = ("circle", "square", "triangle", "star", "heart", "cross", "pentagon", "hexagon", "oval", "rectangle")
COLOURED: tuple[str, ...] = tuple(f"{colour} {shape}" for shape in COLOURED_SHAPES for colour in SHAPE_COLOURS)
"""The 80 coloured shapes, all of them base."""

TEMPLATE = "a photo of a {c}."
TEMPLATES = (
    TEMPLATE,
    "a picture of a {c}.",
    "a drawing of a {c}.",
    "an image of a {c}.",
    "a photo of the {c}.",
    "{c}",
)
"""The first is the prompt of tasks and generators; pre-training uses all."""

GROUND = "{c} on a {colour} ground"


def base_classes() -> tuple[str, ...]:
    """The 163 class names that no task teaches: 83 concepts, then the 80 coloured shapes."""
    return (*(concept.phrase for concept in CONCEPTS if concept.task is None), *COLOURED)


def all_classes() -> tuple[str, ...]:
    """All 219 class names: the 139 concepts in their order, then the 80 coloured shapes."""
    return (*(concept.phrase for concept in CONCEPTS), *COLOURED)


def base_prompts() -> list[str]:
    """The base vocabulary: 163 prompts "a photo of a {c}." without any class of a task."""
    return [fill(TEMPLATE, name) for name in base_classes()]


def all_prompts() -> list[str]:
    """219 prompts "a photo of a {c}." in the order of `all_classes`."""
    return [fill(TEMPLATE, name) for name in all_classes()]


def _vocabulary() -> tuple[str, ...]:
    ground = fill(GROUND, " ").replace("{colour}", " ")
    frames = [fill(template, " ") for template in TEMPLATES]
    return tuple(sorted({word for text in (*all_classes(), *COLOURS, *frames, ground) for word in words(text)}))


VOCABULARY = _vocabulary()
"""Every word of every caption, sorted."""
