"""EWC-V (Table 6): consolidation whose Fisher weights are measured on a few synthetic pictures and then fixed."""

from typing import Any

from torch import Tensor, nn

from avalanche_gift.consolidation import fisher_weights, trainable_parameters
from avalanche_gift.modes import evaluation_mode
from avalanche_gift.training.backward import finish_step
from avalanche_gift.training.plugins.consolidation import ConsolidationPlugin
from avalanche_gift.training.plugins.requirements import require_synthetic_replay


def parse_static_fisher(static_fisher: int | str) -> tuple[int, bool]:
    """Pictures, and whether as the released code has it: 128, `reference:128`; `reference` alone means 64.

    Raises ValueError for anything else.
    """
    kind, _, count = str(static_fisher).rpartition(":")
    if static_fisher == "reference":
        return 64, True
    if kind in ("", "reference") and count.isdecimal() and int(count) > 0:
        return int(count), kind == "reference"
    raise ValueError(f"expected static_fisher as a number of pictures, reference or reference:N, got {static_fisher!r}")


class StaticFisherPlugin(ConsolidationPlugin):
    """Weights the pull towards theta_prev by Fisher weights from `static_fisher` synthetic pictures, fixed for the experience.

    List it after `SyntheticReplayPlugin`, whose first batches of the experience it takes, rounded up to whole ones. The
    Fisher weights of a batch are those of adaptive consolidation (squared gradient of the synthetic losses, mean one in
    each tensor); those of several batches are averaged. As the paper has it (a number): all at theta_prev, before the first
    step, in evaluation mode. There the student is the previous model, so that with that teacher only alignment counts.

    `reference:N` repeats the released code: the averaging runs along the first training steps, each at its own weights; from
    then on gradients are never cleared, only the task's and the penalty's are added to them, and the synthetic losses have
    no more effect.
    """

    term = "ewc_v"

    def __init__(self, weight: float = 1.0, *, static_fisher: int | str = 64, batch_size: int = 64):
        super().__init__(weight)
        images, self.reference = parse_static_fisher(static_fisher)
        self.batches = -(-images // batch_size)
        self._fisher: dict[str, Tensor | float] = {}
        self._kept: dict[str, Tensor | None] = {}

    def fisher(self, name: str, parameter: nn.Parameter) -> Tensor | float:
        """As measured."""
        return self._fisher[name]

    def before_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        super().before_training_exp(strategy, **kwargs)
        replay = require_synthetic_replay(self, strategy)
        self._fisher, self._kept = {}, {}
        if self.reference and strategy.model.loss_scaling is not None:
            raise ValueError("expected float32 or bf16 for static_fisher=reference, whose steps cannot be left out; got fp16")
        if not self.reference:
            for number in range(self.batches):
                finished = False
                while not finished:  # once; again at half the scale where towers in float16 overflow
                    strategy.optimizer.zero_grad()
                    with evaluation_mode(strategy.model):
                        replay.backward(strategy, number)
                    finished = finish_step(strategy.model)
                self._average_in(strategy, number)
            strategy.optimizer.zero_grad()

    def before_forward(self, strategy: Any, **kwargs: Any) -> None:
        iteration = strategy.clock.train_exp_iterations
        if self.reference and iteration < self.batches:
            self._average_in(strategy, iteration)
        elif self.reference:
            for name, parameter in trainable_parameters(strategy.model):  # in place of the synthetic gradient
                parameter.grad = self._kept[name]
        self.consolidate(strategy)

    def before_update(self, strategy: Any, **kwargs: Any) -> None:
        if self.reference:
            self._kept = {name: parameter.grad for name, parameter in trainable_parameters(strategy.model)}

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        super().after_training_exp(strategy, **kwargs)
        self._fisher, self._kept = {}, {}

    def state_dict(self) -> dict[str, Any]:
        """What has been measured in this experience."""
        return {"fisher": self._fisher, "kept": self._kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` returned."""
        self._fisher, self._kept = state["fisher"], state["kept"]

    def _average_in(self, strategy: Any, number: int) -> None:
        """Running mean over the batches: number of them before, and the one whose gradient stands in `.grad`."""
        for name, parameter in trainable_parameters(strategy.model):
            fresh = fisher_weights(parameter.grad)
            before = self._fisher.get(name, 0.0)
            self._fisher[name] = number / (number + 1) * before + fresh / (number + 1)
