"""What Avalanche's LwF, EWC, Replay and iCaRL remember of past experiences, as tensors and plain values, and back."""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from avalanche.training.losses import ICaRLLossPlugin
from avalanche.training.plugins import EWCPlugin, LwFPlugin, ReplayPlugin
from avalanche.training.supervised.icarl import _ICaRLPlugin
from avalanche.training.utils import ParamData

State = dict[str, Any]


class AvalancheStatePlugin(SupervisedPlugin):
    """Hands out the state of Avalanche's plugins beside it, which have no `state_dict`, as it is between two experiences.

    List it before them and call `attach` once the strategy is there.
    """

    supports_distributed = True

    def __init__(self) -> None:
        super().__init__()
        self._strategy: Any = None
        self._stream: Sequence[Any] = ()
        self._random: list[torch.Tensor] = []

    def attach(self, strategy: Any, stream: Sequence[Any]) -> None:
        """stream: the experiences in the order in which they are trained on."""
        self._strategy, self._stream = strategy, stream

    def after_training_exp(self, strategy: Any, **kwargs: Any) -> None:
        self._random.append(torch.get_rng_state())

    def state_dict(self) -> State:
        """By the name of the plugin's class; `random`: the generator after each experience, from which Replay draws."""
        found = {type(plugin).__name__: take(plugin, self._strategy) for plugin, take, _ in self._known()}
        return {"random": list(self._random), **found}

    def load_state_dict(self, state: State) -> None:
        """What `state_dict` returned; the strategy's own weights must be back already."""
        self._random = list(state["random"])
        for plugin, _, restore in self._known():
            restore(plugin, self._strategy, state[type(plugin).__name__])
            if isinstance(plugin, LwFPlugin) and plugin.lwf.prev_model is not None:
                self._show_classes(plugin.lwf.prev_model, self._stream[: plugin.lwf.expcount])
        for plugin in self._strategy.plugins:
            if isinstance(plugin, ReplayPlugin):
                self._draw_again(plugin.storage_policy)

    def _show_classes(self, teacher: Any, trained: Sequence[Any]) -> None:
        """As if the teacher had been there: what it is asked later is among the classes trained by then."""
        for experience in trained:
            teacher.adaptation(experience)

    def _draw_again(self, policy: Any) -> None:
        """A memory is which pictures were drawn: drawn again from the same random states, it is the same."""
        with torch.random.fork_rng(devices=[]):
            for random, experience in zip(self._random, self._stream, strict=False):
                torch.set_rng_state(random)
                policy.post_adapt(self._strategy, experience)

    def _known(self) -> Iterator[tuple[Any, Callable[..., State], Callable[..., None]]]:
        for plugin in self._strategy.plugins:
            if type(plugin) in _HANDLERS:
                yield plugin, *_HANDLERS[type(plugin)]


def _lwf_state(plugin: LwFPlugin, strategy: Any) -> State:
    lwf = plugin.lwf
    classes = [[task, sorted(map(int, labels))] for task, labels in lwf.prev_classes_by_task.items()]
    return {"model": _model_state(lwf.prev_model), "classes": classes, "experiences": lwf.expcount}


def _restore_lwf(plugin: LwFPlugin, strategy: Any, state: State) -> None:
    lwf = plugin.lwf
    lwf.prev_model = _model_like(strategy.model, state["model"])
    lwf.prev_classes_by_task.update({task: set(labels) for task, labels in state["classes"]})
    lwf.expcount = state["experiences"]


def _ewc_state(plugin: EWCPlugin, strategy: Any) -> State:
    def tensors(kept: dict[int, dict[str, ParamData]]) -> State:
        return {str(number): {name: each.data for name, each in of_one.items()} for number, of_one in kept.items()}

    return {"params": tensors(plugin.saved_params), "importances": tensors(plugin.importances)}


def _restore_ewc(plugin: EWCPlugin, strategy: Any, state: State) -> None:
    for kept, part in ((plugin.saved_params, "params"), (plugin.importances, "importances")):
        for number, of_one in state[part].items():
            for name, tensor in of_one.items():
                on_device = tensor.to(strategy.device)
                kept[int(number)][name] = ParamData(name, init_tensor=on_device, device=strategy.device)


def _icarl_state(plugin: _ICaRLPlugin, strategy: Any) -> State:
    means = strategy.model.eval_classifier
    return {
        "pictures": list(plugin.x_memory),
        "labels": [list(map(int, labels)) for labels in plugin.y_memory],
        "order": list(plugin.order),
        "observed": list(map(int, plugin.observed_classes)),
        "means": {str(label): mean for label, mean in plugin.class_means.items()},
        "classifier_means": {str(label): mean for label, mean in means.class_means_dict.items()},
        "classifier_classes": int(means.max_class),
        "sizes": [None if plugin.input_size is None else list(plugin.input_size), plugin.output_size, plugin.embedding_size],
    }


def _restore_icarl(plugin: _ICaRLPlugin, strategy: Any, state: State) -> None:
    device, means = strategy.device, strategy.model.eval_classifier
    plugin.x_memory = [pictures.to(device) for pictures in state["pictures"]]
    plugin.y_memory, plugin.order, plugin.observed_classes = state["labels"], state["order"], state["observed"]
    plugin.class_means = {int(label): mean.to(device) for label, mean in state["means"].items()}
    means.class_means_dict = {int(label): mean.to(device) for label, mean in state["classifier_means"].items()}
    means.max_class = state["classifier_classes"]
    size, plugin.output_size, plugin.embedding_size = state["sizes"]
    plugin.input_size = None if size is None else torch.Size(size)


def _icarl_loss_state(plugin: ICaRLLossPlugin, strategy: Any) -> State:
    return {"model": _model_state(plugin.old_model), "classes": list(map(int, plugin.old_classes))}


def _restore_icarl_loss(plugin: ICaRLLossPlugin, strategy: Any, state: State) -> None:
    plugin.old_model, plugin.old_classes = _model_like(strategy.model, state["model"]), state["classes"]


def _model_state(model: Any) -> State | None:
    return None if model is None else {"training": model.training, "weights": dict(model.state_dict())}


def _model_like(model: Any, state: State | None) -> Any:
    """A copy of a model with other weights; None for no state."""
    if state is None:
        return None
    made = copy.deepcopy(model).train(state["training"])
    made.load_state_dict(state["weights"])
    return made


_HANDLERS: dict[type, tuple[Callable[..., State], Callable[..., None]]] = {
    LwFPlugin: (_lwf_state, _restore_lwf),
    EWCPlugin: (_ewc_state, _restore_ewc),
    _ICaRLPlugin: (_icarl_state, _restore_icarl),
    ICaRLLossPlugin: (_icarl_loss_state, _restore_icarl_loss),
}
