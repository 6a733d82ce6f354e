"""Avalanche's own plugins beside GIFT, and beside an MLP in Avalanche's Naive: what comes of a combination on a stream."""

import random
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import avalanche
import torch
from avalanche.benchmarks import nc_benchmark
from avalanche.evaluation.metrics import accuracy_metrics
from avalanche.models import MlpVAE, MTSimpleMLP, SimpleMLP
from avalanche.training import plugins as stock
from avalanche.training.supervised import Naive, VAETraining
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR
from world import BASE_PROMPTS, COUNTS, SIDE, MadePictures, Pictures, Spy, augment, made_stream, plain, quiet, tiny_model

import avalanche_gift
from avalanche_gift.losses import MASKED_LOGIT
from avalanche_gift.training import GIFT
from avalanche_gift.training.criterion import ClassificationLoss
from avalanche_gift.training.plugins import clip_optimizer
from avalanche_gift.training.plugins.compatibility import UnsupportedPluginError

ITERATIONS, PIXELS = 3, 3 * SIDE * SIDE
EVERY_ITERATION = {"eval_every": 1, "peval_mode": "iteration"}


@dataclass(frozen=True)
class Stock:
    """A plugin of Avalanche's as a user would make it. make: from a model and its optimizer. settings: of the strategy."""

    make: Callable[[Any, Any], list[Any]]
    settings: dict[str, Any] = field(default_factory=dict)


def _generative(model: Any, optimizer: Any) -> list[Any]:
    vae = MlpVAE((3, SIDE, SIDE), nhid=4, n_classes=9)
    generator = VAETraining(
        model=vae, optimizer=torch.optim.Adam(vae.parameters()), train_mb_size=8, train_epochs=1, evaluator=quiet()
    )
    return [stock.GenerativeReplayPlugin(generator_strategy=generator), stock.TrainGeneratorAfterExpPlugin()]


STOCK: dict[str, Stock] = {
    "AGEM": Stock(lambda m, o: [stock.AGEMPlugin(8, 6)]),
    "BiC": Stock(lambda m, o: [stock.BiCPlugin(mem_size=30, val_percentage=0.3, stage_2_epochs=1)]),
    "CWRStar": Stock(lambda m, o: [stock.CWRStarPlugin(m)]),
    "CoPE": Stock(lambda m, o: [stock.CoPEPlugin(mem_size=9, n_classes=9, p_size=9)]),
    "CurrentDataFeCAMUpdate": Stock(lambda m, o: [stock.CurrentDataFeCAMUpdate()]),
    "CurrentDataNCMUpdate": Stock(lambda m, o: [stock.CurrentDataNCMUpdate()]),
    "EWC, online": Stock(lambda m, o: [stock.EWCPlugin(1.0, mode="online", decay_factor=0.9)]),
    "EWC, separate": Stock(lambda m, o: [stock.EWCPlugin(1.0)]),
    "EarlyStopping, by epoch": Stock(lambda m, o: [stock.EarlyStoppingPlugin(1, "test_stream")]),
    "EarlyStopping, by iteration": Stock(
        lambda m, o: [stock.EarlyStoppingPlugin(9, "test_stream", peval_mode="iteration")], EVERY_ITERATION
    ),
    "FeCAMOracle": Stock(lambda m, o: [stock.FeCAMOracle()]),
    "FeatureDistillation": Stock(lambda m, o: [stock.FeatureDistillationPlugin()]),
    "FromScratchTraining": Stock(lambda m, o: [stock.FromScratchTrainingPlugin()]),
    "GDumb": Stock(lambda m, o: [stock.GDumbPlugin(mem_size=18)]),
    "GEM": Stock(lambda m, o: [stock.GEMPlugin(6, 0.5)]),
    "GSS_greedy": Stock(lambda m, o: [stock.GSS_greedyPlugin(mem_size=12, mem_strength=2, input_size=[3, SIDE, SIDE])]),
    "GenerativeReplay": Stock(_generative),
    "LFL": Stock(lambda m, o: [stock.LFLPlugin(0.5)]),
    "LRScheduler, by epoch": Stock(lambda m, o: [stock.LRSchedulerPlugin(CosineAnnealingLR(o, 3))]),
    "LRScheduler, by iteration": Stock(
        lambda m, o: [stock.LRSchedulerPlugin(CosineAnnealingLR(o, 3), step_granularity="iteration")]
    ),
    "LwF": Stock(lambda m, o: [stock.LwFPlugin()]),
    "MAS": Stock(lambda m, o: [stock.MASPlugin()]),
    "MIR": Stock(lambda m, o: [stock.MIRPlugin(2, mem_size=18, subsample=6)]),
    "MemoryFeCAMUpdate": Stock(lambda m, o: [stock.MemoryFeCAMUpdate(9)]),
    "MemoryNCMUpdate": Stock(lambda m, o: [stock.MemoryNCMUpdate(9)]),
    "NCMOracle": Stock(lambda m, o: [stock.NCMOracle()]),
    "RAR": Stock(lambda m, o: [stock.RARPlugin(4, mem_size=12)]),
    "RWalk": Stock(lambda m, o: [stock.RWalkPlugin(delta_t=2)]),
    "Replay": Stock(lambda m, o: [stock.ReplayPlugin(mem_size=12)]),
    "SynapticIntelligence": Stock(lambda m, o: [stock.SynapticIntelligencePlugin(0.1)]),
    "evaluation in each iteration": Stock(lambda m, o: [], EVERY_ITERATION),
}
"""By name; the plugin's, without `Plugin`, and the mode where there are several."""


class CheckedLoss(ClassificationLoss):
    """Notes whatever loss is taken with a label among classes that are not its own, in training, memories and references."""

    def __init__(self, class_incremental: bool):
        super().__init__()
        self.class_incremental = class_incremental
        self.wrong: list[str] = []

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        real = logits > MASKED_LOGIT / 2
        if not real.gather(1, labels[:, None]).all():
            self.wrong.append(f"labels {labels.tolist()} among {real.int().tolist()}")
        if not self.class_incremental and not set(real.sum(1).tolist()) <= set(COUNTS):
            self.wrong.append(f"rows of {real.sum(1).tolist()} classes, of tasks of {COUNTS}")
        return super().forward(logits, labels)


@dataclass(frozen=True)
class Outcome:
    """ran, fails in Avalanche (where, in `text`), refused, or wrong."""

    kind: str
    text: str = ""


def combinations(names: Sequence[str], count: int, seed: int = 0) -> list[tuple[str, ...]]:
    """Random ones of two to four of these, each combination once, the same for the same seed."""
    random_numbers, found = random.Random(seed), set()
    while len(found) < count:
        found.add(tuple(sorted(random_numbers.sample(sorted(names), random_numbers.randint(2, 4)))))
    return sorted(found)


def beside_gift(names: Sequence[str], class_incremental: bool) -> Outcome:
    """What comes of the combination; of one that fails, whether the same does with an MLP in Avalanche's own Naive."""
    run = _guarded(lambda: _gift(names, class_incremental))
    if run.kind != "failed":
        return run
    control = _guarded(lambda: _mlp(names, class_incremental))
    if "avalanche/" in run.text and control == run:
        return Outcome("fails in Avalanche", run.text)
    return Outcome("wrong", f"{run.text}; an MLP: {control.kind} {control.text}")


def _guarded(work: Callable[[], Outcome]) -> Outcome:
    random.seed(0)
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return work()
        except UnsupportedPluginError as error:
            if "\n" in str(error) or "; use " not in str(error):
                return Outcome("wrong", f"refused without advice: {error}")
            return Outcome("refused", str(error))
        except Exception as error:
            return Outcome("failed", f"{type(error).__name__} in {_place(error)}")


def _place(error: Exception) -> str:
    """The function of Avalanche's or ours that the error comes from, below which there is only other people's code."""
    roots = [Path(package.__file__).parent for package in (avalanche, avalanche_gift)]
    frames = traceback.extract_tb(error.__traceback__)
    inside = [
        f"{root.name}/{Path(frame.filename).relative_to(root)} {frame.name}"
        for frame in frames
        for root in roots
        if Path(frame.filename).is_relative_to(root)
    ]
    return inside[-1]


def _parts(names: Sequence[str], model: Any, optimizer: Any) -> SimpleNamespace:
    chosen = [STOCK[name] for name in names]
    return SimpleNamespace(
        plugins=[plugin for each in chosen for plugin in each.make(model, optimizer)],
        settings={key: value for each in chosen for key, value in each.settings.items()},
    )


def _gift(names: Sequence[str], class_incremental: bool) -> Outcome:
    model = tiny_model()
    optimizer = clip_optimizer(model, lr=1e-3)
    parts, loss = _parts(names, model, optimizer), CheckedLoss(class_incremental)
    own = loss.wrong
    training = Spy(
        after_update=lambda s: (s.clock.train_exp_counter, float(s.loss.detach()), s.model.training),
        before_training_epoch=lambda s: list(s.model.trained_tasks().values()),
    )
    evaluation = Spy(after_eval_forward=lambda s: (s.experience.current_experience, tuple(s.mb_output.shape[1:])))
    strategy = GIFT(
        model=model,
        optimizer=optimizer,
        synthetic=MadePictures(),
        synthetic_images=8,
        synthetic_mb_size=4,
        base_prompts=BASE_PROMPTS,
        criterion=loss,
        train_iterations=ITERATIONS,
        train_mb_size=8,
        plugins=[*parts.plugins, training, evaluation],
        evaluator=quiet(accuracy_metrics(experience=True, stream=True)),
        **parts.settings,
    )
    stream = made_stream(class_incremental=class_incremental)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    results = _train_and_evaluate(strategy, stream)
    steps = training.seen.after_update
    widths = dict(evaluation.seen.after_eval_forward)
    expected = {k: (sum(COUNTS) if class_incremental else COUNTS[k],) for k in range(len(COUNTS))}
    moved = [bool((a != b).any()) for a, b in zip(before, strategy.model.parameters(), strict=True)]
    checks = {
        "labels among their own classes": not own,
        f"{ITERATIONS} iterations an experience": [k for k, *_ in steps] == [k for k in range(3) for _ in range(ITERATIONS)],
        "the tasks trained": training.seen.before_training_epoch == [[[0]], [[0, 1]], [[0, 1, 2]]],
        "finite losses": all(torch.isfinite(torch.tensor(value)) for _, value, _ in steps),
        "training mode": all(mode for *_, mode in steps),
        "moved weights": sum(moved) > len(moved) / 2 and not (strategy.model.clip.logit_scale - model.clip.logit_scale).any(),
        "columns": widths == expected,
        "an accuracy for each experience": sum(key.startswith("Top1_Acc_Exp/eval") for key in results) == len(COUNTS),
    }
    failed = [name for name, right in checks.items() if not right]
    return Outcome("wrong", f"{failed} {own[:1]} {widths}") if failed else Outcome("ran")


def _mlp(names: Sequence[str], class_incremental: bool) -> Outcome:
    model = SimpleMLP(9, PIXELS, 16) if class_incremental else MTSimpleMLP(PIXELS, 16)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    parts = _parts(names, model, optimizer)
    strategy = Naive(
        model=model,
        optimizer=optimizer,
        criterion=torch.nn.CrossEntropyLoss(),
        train_mb_size=8,
        plugins=parts.plugins,
        evaluator=quiet(accuracy_metrics(experience=True, stream=True)),
        **parts.settings,
    )
    stream = _plain_stream(class_incremental)
    _train_and_evaluate(strategy, stream)
    return Outcome("ran")


def _train_and_evaluate(strategy: Any, stream: Any) -> dict[str, float]:
    """With an evaluation of every experience after the first; returns that after the last."""
    results = {}
    for experiences in (stream.train_stream[:1], stream.train_stream[1:]):
        strategy.train(experiences, eval_streams=[stream.test_stream])
        results = strategy.eval(stream.test_stream)
    return results


def _plain_stream(class_incremental: bool) -> Any:
    """Avalanche's own, of either kind: its multi-head classifier takes no stream of Avalanche's newer benchmarks."""
    labels = {"task_labels": False} if class_incremental else {"task_labels": True, "class_ids_from_zero_in_each_exp": True}
    data = [Pictures(sum(COUNTS), per_class, seed) for seed, per_class in enumerate((6, 3))]
    return nc_benchmark(*data, 3, **labels, shuffle=False, train_transform=augment(), eval_transform=plain())
