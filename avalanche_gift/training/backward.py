"""The one way of every backward pass, of which a step may have several."""

from contextlib import nullcontext

from torch import Tensor

from avalanche_gift.distributed import whole_gradients
from avalanche_gift.models import CLIPClassifier


def backward(model: CLIPClassifier, loss: Tensor, *, retain_graph: bool = False) -> None:
    """Adds the gradient of a loss, a scalar of the global batch, to `.grad`, the same in all processes.

    With towers in float16 the loss is scaled on the way (`models.loss_scaling`), and whoever calls ends each step by
    `finish_step`.
    """
    parameters, scaling = list(model.parameters()), model.loss_scaling
    with nullcontext(loss) if scaling is None else scaling.around(loss, parameters) as scaled, whole_gradients(parameters):
        scaled.backward(retain_graph=retain_graph)  # type: ignore[no-untyped-call]


def finish_step(model: CLIPClassifier) -> bool:
    """Whether the gradient in `.grad` is to be used. It is not where it overflowed in float16; the scale is then halved."""
    return model.loss_scaling is None or model.loss_scaling.finish()
