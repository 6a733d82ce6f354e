"""What a strategy must remember to go on: taken from it, and given back to one built the same way."""

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from avalanche_gift.models import CLIPClassifier
from avalanche_gift.training.checkpoint_files import CheckpointError, random_state, restore_random_state
from avalanche_gift.training.plugins.optimizer import gather_moments, moments, own_optimizer

CLOCK = ("train_iterations", "train_exp_counter", "train_exp_epochs", "train_exp_iterations", "total_iterations")


def gather_state(strategy: Any) -> None:
    """Of several processes, all come here before the first takes the `strategy_state`."""
    gather_moments(strategy.optimizer)


def strategy_state(strategy: Any) -> dict[str, Any]:
    """Weights, optimiser, counters, random generators, and the `state_dict()` of every plugin and metric that has one.

    A plugin hands out what `before_training_exp` does not make anew from the weights an experience begins with, as tensors
    and plain values under names.
    """
    scaling = getattr(strategy.model, "loss_scaling", None)
    return {
        "model": dict(strategy.model.state_dict()),
        "optimizer": _optimizer_state(strategy),
        "clock": {name: getattr(strategy.clock, name) for name in CLOCK},
        "random": random_state(),
        "parts": {name: part.state_dict() for name, part in _parts(strategy)},
        "trained_tasks": strategy.model.trained_tasks() if isinstance(strategy.model, CLIPClassifier) else {},
        **({} if scaling is None else {"loss_scaling": scaling.state_dict()}),
    }


def restore_strategy(strategy: Any, state: Mapping[str, Any]) -> None:
    """Puts a state back. Raises CheckpointError where it is of a strategy built otherwise, or no state at all."""
    try:
        _restore(strategy, state)
    except CheckpointError:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        _refuse(f"values are others: {error!r}")


def _restore(strategy: Any, state: Mapping[str, Any]) -> None:
    parts = dict(_parts(strategy))
    if parts.keys() != state["parts"].keys():
        _refuse(f"plugins and metrics are {sorted(parts)}, got {sorted(state['parts'])}")
    _make_room(strategy.model, state["model"])
    try:
        strategy.model.load_state_dict(state["model"])
    except RuntimeError as error:
        _refuse(f"weights are others: {error}")
    _restore_optimizer(strategy, state["optimizer"])
    scaling = getattr(strategy.model, "loss_scaling", None)
    if (scaling is None) == ("loss_scaling" in state):
        _refuse("towers are of another precision")
    if scaling is not None:
        scaling.load_state_dict(state["loss_scaling"])
    for name in CLOCK:
        setattr(strategy.clock, name, state["clock"][name])
    if isinstance(strategy.model, CLIPClassifier):
        strategy.model.restore_trained_tasks(state["trained_tasks"])
    for name, part in parts.items():
        part.load_state_dict(state["parts"][name])
    restore_random_state(state["random"])


def _make_room(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """For buffers that are None until there is something to hold, as the class means of Avalanche's iCaRL."""
    for name in tensors.keys() - model.state_dict().keys():
        place, _, buffer = name.rpartition(".")
        module = model.get_submodule(place)
        if buffer in module._buffers:
            setattr(module, buffer, torch.empty_like(tensors[name], device=next(model.parameters()).device))


def _parts(strategy: Any) -> Iterator[tuple[str, Any]]:
    """Plugins and metrics with a state, by their place and class."""
    metrics = getattr(strategy.evaluator, "metrics", ())
    for number, part in enumerate([*strategy.plugins, *metrics]):
        if callable(getattr(part, "state_dict", None)) and callable(getattr(part, "load_state_dict", None)):
            yield f"{number}-{type(part).__name__}", part


def _optimizer_state(strategy: Any) -> dict[str, Any]:
    """By the names of parameters, whose order in the optimiser depends on when each came to be."""
    states = moments(strategy.optimizer)
    by_name = {name: states[parameter] for name, parameter in strategy.model.named_parameters() if parameter in states}
    options = [{name: value for name, value in group.items() if name != "params"} for group in strategy.optimizer.param_groups]
    return {"state": by_name, "groups": options}


def _restore_optimizer(strategy: Any, state: Mapping[str, Any]) -> None:
    parameters = dict(strategy.model.named_parameters())
    optimizer = own_optimizer(strategy.optimizer)
    optimizer.state.clear()
    is_share = optimizer is not strategy.optimizer
    own = {parameter for group in optimizer.param_groups for parameter in group["params"]}
    fused = any(group.get("fused") for group in strategy.optimizer.param_groups)
    for name, values in state["state"].items():
        if is_share and parameters[name] not in own:
            continue
        # As in Optimizer.load_state_dict: moments live with their parameter, the step count on the CPU unless fused.
        optimizer.state[parameters[name]] = {
            key: value.to(parameters[name].device) if isinstance(value, Tensor) and (fused or key != "step") else value
            for key, value in values.items()
        }
    for group, options in zip(strategy.optimizer.param_groups, state["groups"], strict=True):
        group.update({name: tuple(value) if name == "betas" else value for name, value in options.items()})


def _refuse(what: str) -> NoReturn:
    raise CheckpointError(
        f"expected a checkpoint of this strategy, but its {what}; go on with the configuration and release that wrote it"
    )
