"""A stream whose labels run on, for strategies that know neither tasks nor labels that begin anew."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate
from operator import add
from types import SimpleNamespace
from typing import Any

from avalanche.benchmarks import benchmark_from_datasets, with_classes_timeline, with_task_labels
from avalanche.benchmarks.scenarios import CLScenario
from avalanche.benchmarks.utils.classification_dataset import _make_taskaware_classification_dataset

from avalanche_gift.benchmarks.named_data import name_dataset, new_identity
from avalanche_gift.stream_classes import StreamClasses, classes_of

CARRIED = ("task_name", "class_names", "templates", "learning_rate", "generation_template")


def running_labels(benchmark: CLScenario) -> CLScenario:
    """The same images with one label space: class k of a task gets the label k plus the classes before it.

    Every task label is 0, since Avalanche's LwF distils the classes of task 0 alone. Class names may recur. Experiences
    carry what those of `clip_benchmark` do and, for Avalanche's iCaRL, `benchmark.n_classes_per_exp` and `.classes_order`.
    The labels of a class-incremental stream run on already, and stay as they are.
    """
    given = classes_of(benchmark.train_stream[0]).stream
    counts = [len(task.labels) for task in given.tasks]
    firsts = [0] * len(counts) if given.class_incremental else [0, *accumulate(counts)][: len(counts)]
    tasks = [
        replace(task, labels=tuple(label + first for label in task.labels), task_label=0)
        for task, first in zip(given.tasks, firsts, strict=True)
    ]
    classes = StreamClasses(tuple(tasks), class_incremental=True)
    identity = new_identity()
    streams = {
        name: [_shifted(experience.dataset, firsts, classes, identity) for experience in stream]
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


def _shifted(dataset: Any, firsts: Sequence[int], classes: StreamClasses, identity: str) -> Any:
    (number,) = classes_of(dataset).numbers
    shift = (None, partial(add, firsts[number]))
    shifted = _make_taskaware_classification_dataset(
        dataset,
        transform_groups={"train": shift, "eval": shift},
        targets=[int(label) + firsts[number] for label in dataset.targets],
        task_labels=0,
    )
    return name_dataset(shifted, classes, number, identity)
