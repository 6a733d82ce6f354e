"""Figure 8: pictures for the same prompts and seeds at 25 and at 50 steps of denoising.

    python -m experiments.figure8 --world mini
    python -m experiments.figure8 --world mtil --sources steps-25=DIR synthetic=DIR

Nothing is trained: pictures are taken from the stores, by prompt and seed, a block for each of the first tasks. In the embedded
world they are made, at 6, 12 (the default) and 25 steps, which stand for the paper's. Expected: fewer steps keep the subject
and lose detail; Table 11 has what that means for accuracy. No H100 hours beside those for the pictures.
"""

from pathlib import Path
from typing import Any

from experiments.command import main
from experiments.drawing import Found
from experiments.plan import NotPossible, Row, World

WORLDS = ("mini", "mtil")
ROWS = [
    Row("25 steps", source="steps-25", pictures_only=True),
    Row("50 steps", pictures_only=True),
]
MINI_STEPS = (6, 12, 25)
ACROSS, TASKS = 8, 4


def draw(found: Found, world: World, stem: Path) -> dict[str, Any]:
    from experiments import sheets

    return sheets.draw_blocks(_mini(found[0][0].seed) if world.name == "mini" else _stored(world), stem)


def _mini(seed: int) -> list[Any]:
    from experiments import sheets

    return [
        sheets.Block(
            task, prompts, {f"{steps} steps": sheets.mini_pictures(prompts, position, seed, steps) for steps in MINI_STEPS}
        )
        for position, (task, prompts) in enumerate(sheets.mini_prompts(ACROSS).items())
    ]


def _stored(world: World) -> list[Any]:
    from experiments import sheets

    blocks = []
    for folders in zip(*(sheets.stored(world, row.source) for row in ROWS), strict=False):
        records = [{(record.prompt, record.seed): record for record in folder.kept()} for folder in folders]
        both = [key for key in records[0] if all(key in others for others in records)]
        few = list({prompt: (prompt, seed) for prompt, seed in reversed(both)}.values())[::-1][:ACROSS]
        if few:
            rows = {
                row.label: [folder.picture(own[key]) for key in few]
                for row, folder, own in zip(ROWS, folders, records, strict=True)
            }
            blocks.append(sheets.Block(str((folders[0].meta() or {}).get("task")), [prompt for prompt, _ in few], rows))
    if not blocks:
        raise NotPossible("stores steps-25 and synthetic that have prompts and seeds in common")
    return blocks[:TASKS]


if __name__ == "__main__":
    main("figure8")
