"""A model in evaluation mode for a while: what a frozen teacher, a reference or a Fisher pass needs of it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Every part of the model in evaluation mode; afterwards each is in the mode that it was in before.

    No dropout then, and batch norms use their running statistics and leave them as they are. A part that its user holds in
    evaluation mode within a model that trains stays so, which `model.train()` afterwards would undo.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
