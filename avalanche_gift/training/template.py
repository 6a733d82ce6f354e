"""What every strategy here shares: CLIP's optimiser, schedule, class texts and loss terms around one list of plugins."""

import functools
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import torch
from avalanche.core import BasePlugin
from avalanche.training.plugins.evaluation import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor
from typing_extensions import Unpack

from avalanche_gift import distributed
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.models.class_scope import AnotherStreamWarning
from avalanche_gift.names import check_name
from avalanche_gift.stream_classes import (
    StreamClasses,
    check_attributes,
    check_protocol,
    classes_of,
    other_stream,
)
from avalanche_gift.training.backward import backward, finish_step
from avalanche_gift.training.criterion import ClassificationLoss
from avalanche_gift.training.evaluator import clip_evaluator
from avalanche_gift.training.loss_terms import record_term
from avalanche_gift.training.options import Rates, TemplateOptions
from avalanche_gift.training.plugins import (
    FreshOptimizerPlugin,
    IterationsPlugin,
    LossTermsPlugin,
    WarmupCosinePlugin,
    clip_optimizer,
)
from avalanche_gift.training.plugins.compatibility import REMEMBERING, admit_plugins, sets_learning_rate

Init = TypeVar("Init", bound=Callable[..., None])


def _keyword_signature(init: Init) -> Init:
    """Shows `model` as keyword-only: Avalanche warns of a strategy whose signature has anything else."""
    signature = inspect.signature(init)
    by_position = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        parameter.replace(kind=parameter.KEYWORD_ONLY) if number and parameter.kind is by_position else parameter
        for number, parameter in enumerate(signature.parameters.values())
    ]
    init.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return init


def _model_first(init: Callable[..., None]) -> Callable[..., None]:
    """Lets `Strategy(model, ...)` stand for `Strategy(model=model, ...)`; Avalanche warns of any positional argument."""

    @functools.wraps(init)
    def accept(self: Any, *args: Any, **kwargs: Any) -> None:
        if len(args) > 1:
            raise TypeError(f"expected the model and then keyword arguments, got {len(args)} positional arguments")
        if args:
            if "model" in kwargs:
                raise TypeError("got the model twice, by position and by keyword")
            kwargs["model"] = args[0]
        init(self, **kwargs)

    return accept


class FineTune(SupervisedTemplate):
    """Continual fine-tuning of CLIP in the paper's protocol, and the base of the other strategies.

    model: a `CLIPClassifier`. optimizer: AdamW over all of CLIP but logit_scale where None. criterion: label-smoothed
    cross-entropy where None. shard_optimizer: that AdamW's moments are divided among several processes (`clip_optimizer`).
    train_iterations: optimiser calls an experience, one number for all or one an experience; 1,000 where None.
    train_epochs: in its place, passes over each experience's own images. reference_schedule: one call more, at learning rate
    zero, as the reference makes it. warmup_iterations: 100, or a tenth of a shorter experience, where None.
    lr: a number, one number an experience in the order of training, numbers by the name of the task, or None for the stream's
    own rates (`experience.learning_rate`); 1e-5 where none of these has one, or the rate of an optimizer of your own.
    class_incremental: a check only: whether images are told apart within their task or among all classes seen is read from
    the data. ValueError where the stream is of the other kind; None takes either.
    class_incremental_loss: on class-incremental streams the cross-entropy runs over the classes of the step (`step`, as ZSCL's
    protocol has it) or over all classes seen so far (`seen`). Replayed samples bring their own classes along.
    seed: of batches and whatever the method draws. plugins: yours, asked before the method's own; Avalanche's, too, but for
    those that `plugins.compatibility` refuses. LRSchedulerPlugin (`step_granularity="iteration"`) replaces the schedule.
    evaluator: Avalanche's default metrics beside those of continual learning (`clip_evaluator`) where none is given.
    Other arguments as Avalanche's `SupervisedTemplate`.
    """

    several_processes = True
    """Whether several processes (`avalanche_gift.distributed`) compute what one does."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if "__init__" in vars(cls):
            _keyword_signature(cls.__init__)  # before Avalanche wraps it, and looks at it at every call
        super().__init_subclass__(**kwargs)
        cls.__init__ = _model_first(cls.__init__)  # type: ignore[method-assign]

    @_keyword_signature
    def __init__(
        self,
        model: CLIPClassifier,
        *,
        optimizer: torch.optim.Optimizer | None = None,
        shard_optimizer: bool = False,
        criterion: Callable[[Tensor, Tensor], Tensor] | None = None,
        train_iterations: int | Sequence[int] | None = None,
        train_epochs: int | None = None,
        warmup_iterations: int | None = None,
        reference_schedule: bool = False,
        lr: Rates = None,
        weight_decay: float = 0.0,
        label_smoothing: float = 0.2,
        class_incremental: bool | None = None,
        class_incremental_loss: Literal["step", "seen"] = "step",
        seed: int = 42,
        train_mb_size: int = 64,
        eval_mb_size: int | None = None,
        device: str | torch.device = "cpu",
        plugins: Sequence[BasePlugin] | None = None,
        evaluator: EvaluationPlugin | Callable[[], EvaluationPlugin] = clip_evaluator,
        eval_every: int = -1,
        method_plugins: Sequence[BasePlugin] = (),
        **base_kwargs: Unpack[TemplateOptions],
    ):
        _check_arguments(model, base_kwargs)
        if getattr(criterion, "label_smoothing", 0) and isinstance(criterion, torch.nn.CrossEntropyLoss):
            raise ValueError(
                "expected label smoothing over the classes that each row really has, got torch's CrossEntropyLoss, which "
                "spreads it over masked columns, too; give label_smoothing=... alone, or training.ClassificationLoss(...)"
            )
        for name, size in (("train_mb_size", train_mb_size), ("eval_mb_size", eval_mb_size)):
            if size is not None and size < 1:
                raise ValueError(f"expected {name} of 1 or more, got {size}")
        if optimizer is not None and shard_optimizer:
            raise ValueError("expected shard_optimizer or an optimizer of your own, got both")
        length: dict[str, Any] = {"iterations": train_iterations, "epochs": train_epochs}
        self.reference_schedule, self._in_training = reference_schedule, False
        self._trained_stream: StreamClasses | None = None
        default_lr = 1e-5 if optimizer is None else optimizer.param_groups[0]["lr"]
        given = list(plugins or [])
        self.class_incremental = class_incremental
        self.class_incremental_loss = check_name("class_incremental_loss", class_incremental_loss, ("step", "seen"))
        # A scheduler among the plugins sets the rate alone, unless the arguments say how it is to be set.
        own_schedule = not sets_learning_rate(given) or reference_schedule or not (lr is None and warmup_iterations is None)
        schedule = WarmupCosinePlugin(lr, **length, warmup=warmup_iterations, default_lr=default_lr)
        super().__init__(
            model=model,
            optimizer=optimizer or clip_optimizer(model, weight_decay=weight_decay, shard=shard_optimizer),
            criterion=ClassificationLoss(label_smoothing) if criterion is None else criterion,
            train_mb_size=train_mb_size,
            eval_mb_size=eval_mb_size,
            device=device,
            plugins=[
                *given,
                *method_plugins,
                FreshOptimizerPlugin(),
                IterationsPlugin(**length, extra=int(reference_schedule), seed=seed),
                *([schedule] if own_schedule else []),
                LossTermsPlugin(),
            ],
            evaluator=evaluator,
            eval_every=eval_every,
            **base_kwargs,
        )
        admit_plugins(self)

    def eval(self, experiences: Any, **kwargs: Any) -> dict[str, Any]:
        """Evaluates, and returns what this evaluation measured; Avalanche would add the last value of every other name."""
        if not self._in_training:
            self.evaluator.reset_last_metrics()
        return super().eval(experiences, **kwargs)

    def _before_training(self, **kwargs: Any) -> None:
        admit_plugins(self)  # those appended since, too
        self._in_training = True
        self.evaluator.reset_last_metrics()
        super()._before_training(**kwargs)

    def _after_training(self, **kwargs: Any) -> None:
        super()._after_training(**kwargs)
        self._in_training = False

    def _before_training_exp(self, **kwargs: Any) -> None:
        self._stop_training = False  # a stop within an experience is not one of the next
        super()._before_training_exp(**kwargs)

    def model_adaptation(self, model: Any = None) -> Any:
        """Shows the experience's classes to the model. ValueError for data of another protocol than `class_incremental`."""
        stream = classes_of(self.experience).stream
        check_protocol(self.class_incremental, stream, type(self).__name__)
        if self.is_training:
            self._check_second_stream(stream)
            admit_plugins(self, stream)
        check_attributes(self.experience)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AnotherStreamWarning)  # the plugins were checked above
            return super().model_adaptation(model)

    def _check_second_stream(self, stream: StreamClasses) -> None:
        """ValueError if a plugin remembers another stream, by task labels that now mean other classes."""
        before, self._trained_stream = self._trained_stream, stream
        keeping = next((plugin for plugin in self.plugins if isinstance(plugin, REMEMBERING)), None)
        if before not in (None, stream) and keeping is not None:
            raise other_stream(before, stream, type(keeping).__name__)

    def forward(self) -> Tensor:
        """Logits of the batch, [B, classes], in a class-incremental step those of `class_incremental_loss`."""
        scope = self.model.scope
        if self.is_training and self.class_incremental_loss == "step" and scope and scope.stream.class_incremental:
            step = scope.stream.labels_of(classes_of(self.adapted_dataset).numbers)
            with self.model.using(self.model.among({*step, *self.mb_y.tolist()})):
                return super().forward()
        return super().forward()

    def criterion(self) -> Tensor:
        """The task loss; in training it is also the loss term `cross_entropy`."""
        loss = super().criterion()
        if self.is_training:
            record_term(self, "cross_entropy", loss)
        return loss

    def backward(self) -> None:
        """Adds the gradient of the task's loss, that of the global batch, to `.grad`."""
        backward(self.model, self.loss, retain_graph=self.retain_graph)

    def optimizer_step(self) -> None:
        """Moves the weights, unless a gradient has overflowed in float16."""
        if finish_step(self.model):
            super().optimizer_step()

    def _obtain_common_dataloader_parameters(self, **kwargs: Any) -> dict[str, Any]:
        parameters = super()._obtain_common_dataloader_parameters(**kwargs)
        if distributed.size() > 1 and (not self.is_training or hasattr(self.experience, "task_labels")):
            parameters["distributed_sampling"] = False  # every process reads the global batch
        return parameters

    def _check_distributed_training_compatibility(self) -> bool:
        """Plugins need no support of their own, since they see the global batch and its whole gradient."""
        if distributed.size() > 1 and not self.several_processes:
            raise ValueError(
                f"expected one process for {type(self).__name__}, which is not proven on several, got {distributed.size()}"
            )
        return True


FineTune.__init__ = _model_first(FineTune.__init__)  # type: ignore[method-assign]


def _check_arguments(model: Any, base_kwargs: Mapping[str, Any]) -> None:
    if not isinstance(model, CLIPClassifier):
        raise TypeError(
            f"expected a CLIPClassifier, got {type(model).__name__}; wrap an open_clip model with "
            "CLIPClassifier.from_open_clip(name) or CLIPClassifier(clip, tokenizer, ...)"
        )
    known = inspect.signature(SupervisedTemplate.__init__).parameters
    if strangers := sorted(set(base_kwargs) - set(known)):
        raise TypeError(f"got unexpected keyword arguments {strangers}")
