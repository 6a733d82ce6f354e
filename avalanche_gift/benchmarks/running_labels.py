"""A stream whose labels run on, for strategies that know neither tasks nor labels that begin anew."""

from functools import partial
from itertools import accumulate
from operator import add
from types import SimpleNamespace
from typing import Any

from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from avalanche.benchmarks.scenarios import CLScenario
from avalanche.benchmarks.utils.classification_dataset import _make_taskaware_classification_dataset

CARRIED = ("task_name", "class_names", "templates", "learning_rate", "generation_template")


def running_labels(benchmark: CLScenario, *, class_incremental: bool = False) -> CLScenario:
    """The same pictures with one label space: class k of an experience gets the label k plus the classes before it.

    Every task label is 0, since Avalanche's LwF distils the classes of task 0 alone. Class names may recur. Experiences
    carry what those of `clip_benchmark` do and, for Avalanche's iCaRL, `benchmark.n_classes_per_exp` and `.classes_order`.
    class_incremental: the labels run on already, and stay as they are.
    """
    counts = [len(experience.class_names) for experience in benchmark.train_stream]
    shifts = [0] * len(counts) if class_incremental else [0, *accumulate(counts)][: len(counts)]
    streams = {
        name: [_shifted(experience.dataset, shift) for experience, shift in zip(stream, shifts, strict=True)]
        for name, stream in benchmark.streams.items()
    }
    made = with_task_labels(with_classes_timeline(benchmark_from_datasets(**streams)))
    facts = SimpleNamespace(n_classes_per_exp=counts, classes_order=list(range(sum(counts))))
    for name, stream in made.streams.items():
        for experience, original in zip(stream, benchmark.streams[name], strict=True):
            for attribute in CARRIED:
                setattr(experience, attribute, getattr(original, attribute, None))
            experience.benchmark = facts
    return made


def _shifted(dataset: Any, first: int) -> Any:
    shift = (None, partial(add, first))
    return _make_taskaware_classification_dataset(
        dataset,
        transform_groups={"train": shift, "eval": shift},
        targets=[int(label) + first for label in dataset.targets],
        task_labels=0,
    )
