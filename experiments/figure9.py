"""Figure 9: samples of the synthetic pictures by data set.

    python -m experiments.figure9 --world mini
    python -m experiments.figure9 --world mtil --sources synthetic=DIR

Nothing is trained: of each data set up to eight classes, the first picture that the store has of each. The paper shows
Aircraft, CIFAR100, DTD, EuroSAT and StanfordCars; in the embedded world the six tasks are shown, made at the default 12 steps.
Expected: pictures that show their class, in the generator's style and not in the data set's. No H100 hours beside those for the
pictures.
"""

from pathlib import Path
from typing import Any

from experiments.command import main
from experiments.drawing import Found
from experiments.plan import NotPossible, Row, World

WORLDS = ("mini", "mtil")
ROWS = [Row("synthetic pictures", pictures_only=True)]
DATA_SETS = ("Aircraft", "CIFAR100", "DTD", "EuroSAT", "StanfordCars")
ACROSS = 8


def draw(found: Found, world: World, stem: Path) -> dict[str, Any]:
    from experiments import sheets

    return sheets.draw_blocks(_mini(found[0][0].seed) if world.name == "mini" else _stored(world), stem)


def _mini(seed: int) -> list[Any]:
    from experiments import sheets

    return [
        sheets.Block(task, prompts, {"": sheets.mini_pictures(prompts, position, seed)})
        for position, (task, prompts) in enumerate(sheets.mini_prompts(ACROSS).items())
    ]


def _stored(world: World) -> list[Any]:
    from avalanche_gift.benchmarks.class_names import class_names, templates
    from avalanche_gift.prompts import training_prompts
    from experiments import sheets

    folders = sheets.stored(world, ROWS[0].source)
    first = sheets.first_by_prompt((folder, record) for folder in folders for record in folder.kept())
    blocks = []
    for name in DATA_SETS:
        there = [prompt for prompt in training_prompts(class_names(name), templates(name)) if prompt in first]
        few = [there[k * len(there) // min(ACROSS, len(there))] for k in range(min(ACROSS, len(there)))]
        if few:
            pictures = [folder.picture(record) for folder, record in map(first.__getitem__, few)]
            blocks.append(sheets.Block(name, few, {"": pictures}))
    if not blocks:
        raise NotPossible(f"a store synthetic with pictures of classes of {', '.join(DATA_SETS)}")
    return blocks


if __name__ == "__main__":
    main("figure9")
