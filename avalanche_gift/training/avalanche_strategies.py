"""Avalanche's own LwF, EWC, Replay and iCaRL, unchanged, on the same CLIP, streams, optimiser, schedule and evaluator."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from avalanche.benchmarks.scenarios import CLScenario
from avalanche.core import BasePlugin
from avalanche.training.plugins.evaluation import EvaluationPlugin
from avalanche.training.supervised import EWC, ICaRL, LwF, Replay
from avalanche.training.templates import SupervisedTemplate

from avalanche_gift.benchmarks.running_labels import running_labels
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.names import check_name
from avalanche_gift.stream_classes import check_protocol, classes_of
from avalanche_gift.training.avalanche_state import AvalancheStatePlugin
from avalanche_gift.training.criterion import ClassificationLoss, OwnTaskLoss
from avalanche_gift.training.evaluator import clip_evaluator
from avalanche_gift.training.plugins import (
    FreshOptimizerPlugin,
    IterationsPlugin,
    LossTermsPlugin,
    OwnTaskColumnsPlugin,
    StoredPicturesPlugin,
    WarmupCosinePlugin,
    clip_optimizer,
)
from avalanche_gift.training.sigmoid_head import ImageTower, SigmoidHead

AVALANCHE_STRATEGIES: dict[str, dict[str, Any]] = {
    "avalanche-lwf": {"alpha": 1.0, "temperature": 2.0},
    "avalanche-ewc": {"ewc_lambda": 1.0, "mode": "online", "decay_factor": 1.0},
    "avalanche-replay": {"mem_size": 200},
    "avalanche-icarl": {"memory_size": 2000, "buffer_transform": None, "fixed_memory": True},
}
"""By name, the method's own arguments where none are given; EWC's other mode keeps two copies of CLIP an experience."""

AVALANCHE_CLASSES = {"avalanche-lwf": LwF, "avalanche-ewc": EWC, "avalanche-replay": Replay, "avalanche-icarl": ICaRL}
_ONE_LABEL_SPACE = ("avalanche-lwf", "avalanche-icarl")
"""They take a label for the number of a column, whatever the experience; the others manage with texts that change."""


def avalanche_strategy(
    name: str,
    model: CLIPClassifier,
    benchmark: CLScenario,
    *,
    train_iterations: int | Sequence[int] | None = None,
    train_epochs: int | None = None,
    warmup_iterations: int | None = None,
    reference_schedule: bool = False,
    lr: float | Sequence[float] | None = None,
    weight_decay: float = 0.0,
    label_smoothing: float = 0.2,
    class_incremental: bool | None = None,
    seed: int = 42,
    train_mb_size: int = 64,
    eval_mb_size: int | None = None,
    device: str | torch.device = "cpu",
    plugins: Sequence[BasePlugin] | None = None,
    evaluator: EvaluationPlugin | Callable[[], EvaluationPlugin] = clip_evaluator,
    **method: Any,
) -> tuple[SupervisedTemplate, CLScenario]:
    """The strategy, and the stream to train and evaluate it on: the one given, with running labels where it needs those.

    name: of AVALANCHE_STRATEGIES. benchmark: as `clip_benchmark` makes it. method: arguments of the Avalanche class in place
    of those in AVALANCHE_STRATEGIES. The others as `FineTune`, whose protocol this is: replayed samples and old classes meet
    the classes of their own experience only, and evaluation does too, unless the stream is class-incremental.

    iCaRL sees no texts: it trains the image tower under a linear layer that begins as the class texts, by binary
    cross-entropy without label smoothing, and evaluates by the nearest class mean: by chance for classes not trained on.
    Replay's batches are twice as large from the second experience on.
    """
    check_name("strategy of Avalanche", name, AVALANCHE_STRATEGIES)
    length: dict[str, Any] = {"iterations": train_iterations, "epochs": train_epochs}
    classes = classes_of(benchmark.train_stream[0]).stream
    check_protocol(class_incremental, classes, name)
    counts = [len(task.labels) for task in classes.tasks]
    if name in _ONE_LABEL_SPACE:
        benchmark = running_labels(benchmark)
    separate = name in _ONE_LABEL_SPACE and not classes.class_incremental
    state = AvalancheStatePlugin()
    own = [
        *(plugins or ()),
        state,
        OwnTaskColumnsPlugin(classes_of(benchmark.train_stream[0]).stream, mask=separate),
        StoredPicturesPlugin(),
        FreshOptimizerPlugin(),
        IterationsPlugin(**length, extra=int(reference_schedule), seed=seed),
        WarmupCosinePlugin(lr, **length, warmup=warmup_iterations),
        LossTermsPlugin(),
    ]
    common = {
        "train_mb_size": train_mb_size,
        "eval_mb_size": train_mb_size if eval_mb_size is None else eval_mb_size,
        "device": device,
        "evaluator": evaluator,
        **AVALANCHE_STRATEGIES[name],
        **method,
    }
    if name == "avalanche-icarl":
        icarl = _icarl(model, benchmark, weight_decay=weight_decay, plugins=own, **common)
        state.attach(icarl, benchmark.train_stream)
        return icarl, benchmark
    criterion = ClassificationLoss(label_smoothing)
    strategy = AVALANCHE_CLASSES[name](
        model=model,
        optimizer=clip_optimizer(model, weight_decay=weight_decay),
        criterion=OwnTaskLoss(criterion, counts) if separate else criterion,
        plugins=own,
        **common,
    )
    state.attach(strategy, benchmark.train_stream)
    return strategy, benchmark


def _icarl(model: CLIPClassifier, benchmark: CLScenario, *, weight_decay: float, **arguments: Any) -> ICaRL:
    tower, head = ImageTower(model), SigmoidHead.from_texts(model, list(benchmark.train_stream))
    optimizer = clip_optimizer(torch.nn.ModuleList([tower, head]), weight_decay=weight_decay)
    return ICaRL(feature_extractor=tower, classifier=head, optimizer=optimizer, **arguments)
