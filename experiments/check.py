"""The protocol, proved without any data: `python -m experiments.check` prints a line a check and exits with 1 if one fails."""

import json
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from avalanche_gift.benchmarks.class_names import base_names, class_names, class_order, overlap
from avalanche_gift.benchmarks.sources import LEARNING_RATES, ORDERS, SOURCES, split_sizes
from avalanche_gift.evaluation.metrics import continual_metrics
from avalanche_gift.evaluation.published import published, published_conventional
from experiments import hours
from experiments.plan import World
from experiments.runner import NAMES, load

Wrong = Iterator[str]
"""What is not as it should be, in words; nothing where all is well."""

SIZES = {
    "Aircraft": (100, 3334, 3333), "Caltech101": (101, 6941, 1736), "CIFAR100": (100, 50000, 10000), "DTD": (47, 1880, 1880),
    "EuroSAT": (10, 21600, 5400), "Flowers": (102, 1020, 6149), "Food": (101, 75750, 25250), "MNIST": (10, 60000, 10000),
    "OxfordPet": (37, 3680, 3669), "StanfordCars": (196, 8144, 8041), "SUN397": (397, 87003, 21751),
}  # fmt: skip
"""Classes, train and test pictures. ZSCL's released accuracies, times the test sizes, are whole numbers."""

PROMPTS = (
    "9a4f31978e1021a5", "2674ca6ce2b092f2", "3f7e755bae048c5b", "79ac0e0cdce8e37c", "c1941a0796da87a6", "6b2b1d56c6748031",
    "c6867f8dd6abe312", "a441af500533fc30", "7b1a821ab8266937", "d5e49abed2d37b50", "323f86cfea9be7c0",
)  # fmt: skip
"""Of the first 1,000 published prompts of each task in order I: the start of SHA-256 over them, a line each."""

STEPS = {
    "cifar100": [10] * 10,
    "cifar100-20": [5] * 20,
    "cifar100-50": [2] * 50,
    "tinyimagenet": [100] + [20] * 5,
    "tinyimagenet-10": [100] + [10] * 10,
    "tinyimagenet-20": [100] + [5] * 20,
}
ZSCL_ROWS = ("Continual Finetune", "LwF", "iCaRL", "LwF-VR", "WiSE-FT", "ZSCL")
"""Published by ZSCL, with the accuracy of every task."""


def split_sizes_of_the_data_sets() -> Wrong:
    for name, expected in SIZES.items():
        source = SOURCES[name]
        found = (len(class_names(name)), source.train, source.test)
        if not found == expected == (source.classes, source.train, source.test):
            yield f"{name}: expected {expected}, found {found}"
        if source.whole is not None and split_sizes(source.whole) != expected[1:]:
            yield f"{name}: {source.whole} pictures are cut into {split_sizes(source.whole)}"
    if (total := sum(len(class_names(name)) for name in SIZES)) != 1201:
        yield f"expected 1201 classes, found {total}"


def orders_and_rates() -> Wrong:
    for name, order in ORDERS.items():
        if sorted(order) != sorted(SIZES):
            yield f"order {name} is no permutation of the data sets"
    if ORDERS["I"] != tuple(SIZES):
        yield "order I is not alphabetical"
    wrong = [name for name, rate in LEARNING_RATES.items() if rate != (5e-5 if name in ("Aircraft", "MNIST") else 1e-5)]
    yield from (f"rate of {name}: {LEARNING_RATES[name]}" for name in wrong)


def steps_of_new_classes() -> Wrong:
    from avalanche_gift.stream_prompts import stream_prompts

    for dataset, classes in (("CIFAR100", 100), ("TinyImageNet", 200)):
        if sorted(class_order(dataset)) != list(range(classes)):
            yield f"the class order of {dataset} is no permutation"
        if len(set(base_names(dataset))) != 100:
            yield f"{dataset} has {len(set(base_names(dataset)))} base names, expected 100"
        pairs = ((name, taken) for name in base_names(dataset) for taken in class_names(dataset))
        yield from (
            f"{dataset} has the base name {name} beside its class {taken}" for name, taken in pairs if overlap(name, taken)
        )
    for benchmark, expected in STEPS.items():
        found = [len(prompts) for _, prompts in stream_prompts(benchmark)]
        if found != expected:
            yield f"{benchmark}: expected steps of {expected} classes, found {found}"


def prompts_of_order_one() -> Wrong:
    from avalanche_gift.benchmarks.mtil_prompts import mtil_prompts

    for drawn, expected in zip(mtil_prompts("I"), PROMPTS, strict=True):
        if (found := drawn.line().split("\t")[4]) != expected:
            yield f"{drawn.task}: expected {expected}, found {found}"


def metrics_on_published_triples() -> Wrong:
    """A matrix with a method's published columns (Tables 9, 10) has the triple of its Table 1 or 2, within rounding."""
    for table, triples, order in (("table9", "table1", "I"), ("table10", "table2", "II")):
        columns = published(table)
        for method in ZSCL_ROWS:
            parts = [columns[f"{method}, {metric}"] for metric in ("Transfer", "Average", "Last")]
            found = continual_metrics(_matrix([[part[name] for name in ORDERS[order]] for part in parts]))
            for metric, value in published(triples)[method].items():
                got = found[metric.lower()]
                if value is None or got is None or abs(got - value) > 0.1:
                    yield f"{method}, order {order}: {metric} {got}, published {value}"


def _matrix(columns: Sequence[Sequence[float | None]]) -> list[list[float]]:
    """One that has those columns' means: ahead of its task, over all rows, and in the last."""
    count = len(columns[0])
    rows = [[0.0] * count for _ in range(count)]
    for j, (ahead, mean, final) in enumerate(zip(*columns, strict=True)):
        ahead, mean, final = ahead or 0.0, mean or 0.0, final or 0.0
        between = range(j, count - 1)
        for i in range(count):
            rows[i][j] = ahead if i < j else final
        for i in between:
            rows[i][j] = (count * mean - j * ahead - final) / len(between)
    return rows


def zero_shot_line() -> Wrong:
    """Equal rows of the published zero-shot accuracies give the published triples of both orders."""
    for table, triples, order in (("table9", "table1", "I"), ("table10", "table2", "II")):
        accuracies = published(table)["Zero-shot"]
        row = [accuracies[name] or 0.0 for name in ORDERS[order]]
        found = continual_metrics([row] * len(row))
        for metric, value in published(triples)["Zero-shot"].items():
            got = found[metric.lower()]
            if value is None or got is None or abs(got - value) > 0.0501:
                yield f"order {order}: {metric} {got}, published {value}"


def published_values_agree() -> Wrong:
    """Runs that several tables print have one set of values; rows of experiments are rows of the paper."""
    same = (
        (("table1", "GIFT (Ours)"), ("table3", "CD+ITA+AWC"), ("table6", "AWC"), ("table11", "AWC 50 steps")),
        (("table3", "CD+ITA"), ("table4", "Contrastive"), ("table4", "Last CLIP"), ("table5", "GIFT synthetic 1K")),
        (("table3", "CD"), ("table4", "beta = 0.0")),
        (("table1", "ZSCL"), ("table5", "ZSCL ImageNet 100K")),
    )
    for places in same:
        for (one, row), (other, column) in pairwise(places):
            if published(one)[row] != published(other)[column]:
                yield f"{one}, {row} is not {other}, {column}"
    for name in ("table7", "table8"):
        for row, entry in published_conventional(name).items():
            printed = list(published(name).get(row, {}).values())
            quoted = [value for each in entry["values"] for value in ((each[0], each[2]) if each else (None, None))]
            if printed and printed != quoted:
                yield f"{name}, {row}: {quoted}, printed {printed}"


def experiments_have_published_rows() -> Wrong:
    for name in NAMES:
        module, paper = load(name), published(name)
        for row in module.ROWS if name.startswith("table") else ():
            if row.label not in paper and f"{row.label}, Last" not in paper:
                yield f"{name} has a row {row.label!r} that the paper has not"
        for world in module.WORLDS:
            for row in module.ROWS:
                try:
                    row.configs(World(world, data="data", sources=_Any()), 0)
                except (KeyError, TypeError, ValueError) as error:
                    yield f"{name}, {row.label} has no run in {world}: {error!r}"


class _Any(dict[str, str]):
    """Sources of any name, as if all pictures had been made."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> str:
        return name


def operations_and_hours() -> Wrong:
    """The committed counts add up, a step costs less than a plain one, and a run of GIFT takes an hour or two of an H100."""
    for line in hours.COUNTED.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        ours, title = record["ours"], f"{record['model']}, {record['classes']} classes"
        once = ours["flops_once_a_task"] / record["iterations_a_task"]
        if abs(ours["flops_synthetic_pass"] + ours["flops_task_pass"] + once - ours["flops"]) > 1:
            yield f"{title}: the parts of a step are not its {ours['flops']} operations"
        if abs(ours["flops"] / record["plain"]["flops"] - record["flop_ratio"]) > 1e-3 or record["flop_ratio"] >= 1:
            yield f"{title}: {record['flop_ratio']} of a plain step"
    (config,) = load("table3").ROWS[-1].configs(World("mtil", data="data", sources={"synthetic": "pictures"}), 42)
    picture = hours.step_flops()["flops_synthetic_pass"] / 64 / 3
    if not 30e9 < picture < 40e9:
        yield f"a picture forward is counted as {picture:.3g} operations; ViT-B/16 needs 35e9"
    if not 0.5 < hours.seconds(config) / 3600 < 3:
        yield f"a run of GIFT is estimated at {hours.seconds(config) / 3600:.2f} H100 hours"


CHECKS: dict[str, Callable[[], Wrong]] = {
    "split sizes and class counts of the eleven data sets": split_sizes_of_the_data_sets,
    "both orders, learning rates": orders_and_rates,
    "steps of CIFAR100 and TinyImageNet, base names": steps_of_new_classes,
    "checksums of the prompts of order I, 11 tasks": prompts_of_order_one,
    "metrics on ZSCL's published triples, 6 methods, both orders": metrics_on_published_triples,
    "zero-shot Transfer, Average and Last of both orders": zero_shot_line,
    "one run, one set of published values": published_values_agree,
    "every experiment against the paper's rows": experiments_have_published_rows,
    "operations of a step, hours of a run": operations_and_hours,
}


def main() -> int:
    warnings.simplefilter("ignore")  # of Avalanche's dependencies, at import
    failed = 0
    for title, check in CHECKS.items():
        wrong = list(check())
        failed += bool(wrong)
        print(f"{'failed' if wrong else 'ok':<7} {title}", *(f"\n        {line}" for line in wrong), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
