"""Figure 5: slices of loss surfaces through three weight vectors: at the start, and after the first task with and without AWC.

    python -m experiments.figure5 --world mini
    python -m experiments.figure5 --world mtil --data DIR --sources synthetic=PICTURES --device cuda

The axes are the differences of the three, made orthonormal by Gram-Schmidt. Left the training loss of the first task
(Aircraft), right the test loss of the third (CIFAR100), which is not learned yet. Expected: both ends lie in the basin of the
first task, the one with AWC where the loss of the other task is lower. The paper prints no numbers. Losses are cross-entropies
without label smoothing, of at most 1,000 pictures a task in the transform of evaluation; of the first seed. "Without" has no
weight term, not even the plain l2 of the tables. Its runs are of the first task only. About 0.5 H100 hours (estimated), half
of them for the losses.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator
from tqdm import tqdm

from avalanche_gift.files import write_aside
from experiments.command import main
from experiments.drawing import Found, save, style
from experiments.plan import NotPossible, Row, World

WORLDS = ("mini", "mtil")
ROWS = [Row("without AWC", given={"awc_weight": 0}, first_task=True), Row("with AWC", first_task=True)]
OTHER = 2
"""The place of the task whose test loss is shown."""
POINTS, MARGIN, PICTURES = 21, 0.5, 1000
LEVELS = 9


def draw(found: Found, world: World, stem: Path) -> dict[str, Any]:
    seed = found[0][0].seed
    folders = {entry.row.label: folder for entry, _, (folder, *_) in found if entry.seed == seed}
    if set(folders) != {row.label for row in ROWS}:
        raise NotPossible(f"both runs, {' and '.join(row.label for row in ROWS)}, of seed {seed}")
    record = losses(next(iter(found[0][0].runs.values())), folders, world)
    _contours(record, stem)
    return {"surfaces": record}


def losses(config: Any, folders: dict[str, Path], world: World) -> dict[str, Any]:
    """The grids, and where the three weight vectors lie on them; kept beside the first run, and read from there again."""
    asked = {"points": POINTS, "margin": MARGIN, "pictures": PICTURES, "runs": [folder.name for folder in folders.values()]}
    kept = next(iter(folders.values())) / "loss_surfaces.json"
    if kept.is_file() and (record := json.loads(kept.read_text(encoding="utf-8")))["asked"] == asked:
        return record
    from avalanche_gift.by_name import load_benchmark, load_model  # here, since a list of experiments need not wait for them
    from experiments import surface

    model = load_model(config.model).to(config.device)
    tasks = ROWS[0].tasks(world)
    stream = load_benchmark(replace(config, tasks=(tasks[0], tasks[OTHER])), model)
    splits = {
        f"{tasks[0]}, training": surface.pictures_of(stream.train_stream[0], model, PICTURES, config.device),
        f"{tasks[OTHER]}, test": surface.pictures_of(stream.test_stream[1], model, PICTURES, config.device),
    }
    vectors = [surface.weights(model), *(surface.weights(model, folder / "model.safetensors") for folder in folders.values())]
    plane = surface.plane_through(*vectors)
    x, y = surface.axes_around(plane.corners, POINTS, MARGIN)
    rows = tqdm(y, desc="loss surfaces", unit="row", disable=None)
    corners = dict(zip(("start", *folders), plane.corners, strict=True))
    at_corners = {name: surface.surfaces(model, plane, splits, [right], [up]) for name, (right, up) in corners.items()}
    record = {
        "asked": asked,
        "corners": corners,
        "losses": {name: {split: values[0][0] for split, values in found.items()} for name, found in at_corners.items()},
        "x": x,
        "y": y,
        "grids": {
            split: [[round(value, 4) for value in row] for row in grid]
            for split, grid in surface.surfaces(model, plane, splits, x, rows).items()
        },
    }
    write_aside(kept, json.dumps(record).encode())
    return json.loads(json.dumps(record))


def _contours(record: dict[str, Any], stem: Path) -> None:
    with style(stem):
        figure = Figure(figsize=(7.2, 3.1), layout="constrained")
        for axes, (split, grid) in zip(figure.subplots(1, 2), record["grids"].items(), strict=True):
            values = np.array(grid)
            levels = np.geomspace(values.min(), values.max(), LEVELS + 2)
            axes.contourf(record["x"], record["y"], np.log(values), levels=np.log(levels), cmap="cividis", extend="both")
            lines = axes.contour(record["x"], record["y"], values, levels=levels[1:-1], colors="white", linewidths=0.6)
            outline = [withStroke(linewidth=1.2, foreground="black")]
            for text in axes.clabel(lines, fmt="%.2f", fontsize=6):
                text.set_path_effects(outline)
            for (name, (x, y)), marker in zip(record["corners"].items(), "osD", strict=True):
                axes.plot(x, y, marker, color="white", markeredgecolor="black", markersize=6, label=name)
                text = f"{name}\n{record['losses'][name][split]:.2f}"
                box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
                axes.annotate(text, (x, y), xytext=(7, 5), textcoords="offset points", fontsize=7, bbox=box, zorder=9)
            axes.set(title=f"{split} loss", xlabel="first axis (l2)", ylabel="second axis (l2)", aspect="equal")
            axes.xaxis.set_major_locator(FixedLocator(axes.get_xticks()[::2]))
        save(figure, stem)


if __name__ == "__main__":
    main("figure5")
