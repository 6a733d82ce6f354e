"""One picture of a comparison: accuracy over the stream, and what the replay pictures look like."""

import io
import re
import textwrap
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from avalanche_gift.files import write_aside

from .results import training_order

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's, which the colour-blind tell apart; line styles tell them apart in print."""
LINES = ("-", "--", "-.", ":")


def draw_summary(results: Sequence[Mapping[str, Any]], path: Path, pictures: Sequence[tuple[Any, str]] = ()) -> None:
    """Writes a PNG: mean accuracy on learned tasks and on tasks to come, after each task, a line a strategy (mean over seeds).

    pictures: some (PIL picture, caption) of the synthetic ones, shown below. The file is written aside, then renamed.
    """
    from matplotlib.figure import Figure  # here, so that the room's other functions come without it

    figure = Figure(figsize=(11, 4.2 + (2.6 if pictures else 0)), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(4.2, 2.6)) if pictures else (figure, None)
    curves, sheet = parts
    learned, to_come = curves.subplots(1, 2, sharey=True)
    for number, (strategy, runs) in enumerate(_by_strategy(results).items()):
        style = {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": LINES[number % len(LINES)],
            "marker": "o",
            "markersize": 4,
        }
        order = training_order(runs[0])
        rows = range(len(order) + 1)
        learned.plot(rows[1:], [_mean(runs, row, set(order[:row])) for row in rows[1:]], label=strategy, **style)
        if runs[0].get("trained_at_once"):  # after which nothing is to come; the empty line keeps its place in the legend
            to_come.plot([], [], label=strategy, **style)
        else:
            everything = set(range(len(runs[0]["experiences"])))
            ahead = {row: rest for row in rows if (rest := everything - set(order[:row]))}
            to_come.plot(list(ahead), [_mean(runs, row, rest) for row, rest in ahead.items()], label=strategy, **style)
    learned.set(title="Tasks learned so far", xlabel="tasks learned", ylabel="mean accuracy (%)")
    to_come.set(title="Tasks still to come (zero-shot)", xlabel="tasks learned")
    for axes in (learned, to_come):
        axes.set_xticks(range(len(results[0]["accuracy"])))
        axes.grid(alpha=0.3)
    to_come.legend(loc="center left", bbox_to_anchor=(1.02, 0.5))
    if sheet is not None:
        _show(sheet, pictures)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    write_aside(path, content.getvalue())


def in_words(results: Sequence[Mapping[str, Any]]) -> str:
    """Two sentences on what the reader sees, where finetune and gift are among the strategies and something was
    still to come; empty otherwise."""
    runs = _by_strategy(results)
    if not {"finetune", "gift"} <= runs.keys():
        return ""
    if any(run["metrics"]["transfer"] is None for name in ("finetune", "gift") for run in runs[name]):
        return ""
    mean = {
        name: {metric: fmean(run["metrics"][metric] for run in runs[name]) for metric in ("transfer", "last")}
        for name in ("finetune", "gift")
    }
    before = fmean(fmean(run["accuracy"][0]) for run in runs["finetune"])
    return (
        f"Before learning the model gets {before:.0f} % of a task's test images right, on average over tasks; plain "
        f"fine-tuning ends at {mean['finetune']['last']:.0f} % and scores {mean['finetune']['transfer']:.0f} % on tasks it has "
        f"yet to learn. Training on synthetic images beside each task, GIFT ends at {mean['gift']['last']:.0f} % and scores "
        f"{mean['gift']['transfer']:.0f} % on tasks to come."
    )


def _by_strategy(results: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        grouped.setdefault(result["strategy"], []).append(result)
    return grouped


def _mean(runs: Sequence[Mapping[str, Any]], row: int, columns: Collection[int]) -> float:
    return fmean(run["accuracy"][row][column] for run in runs for column in sorted(columns))


def _show(figure: Any, pictures: Sequence[tuple[Any, str]]) -> None:
    figure.suptitle("Synthetic pictures and their prompts")
    across = min(12, len(pictures))
    grid = figure.subplots(-(-len(pictures) // across), across, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, (picture, caption) in zip(grid, pictures, strict=False):
        axes.imshow(picture)
        phrase = re.sub("^a photo of (an? )?", "", caption).rstrip(".")
        axes.set_title("\n".join(textwrap.wrap(phrase, 16)[:2]), fontsize=7)
