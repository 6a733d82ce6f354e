"""Which task a batch of pictures belongs to: an autoencoder a task over fixed features (DDAS of MoE-Adapters)."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from avalanche_gift.models.clip_classifier import CLIPClassifier
from avalanche_gift.modes import evaluation_mode
from avalanche_gift.names import check_name

REFERENCE = "reference"
"""The slot of pictures that belong to no task."""


class Autoencoder(nn.Module):
    """`sigmoid(decoder(relu(encoder(f))))`: features in (0, 1), [N, F] -> [N, F], through `code` numbers."""

    def __init__(self, size: int, code: int = 100):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(size, code), nn.Linear(code, size)

    def forward(self, features: Tensor) -> Tensor:
        return self.decoder(self.encoder(features).relu()).sigmoid()

    def error(self, features: Tensor) -> Tensor:
        """Mean squared difference of [N, F] from their reconstruction, over all N x F; a scalar."""
        return (self(features) - features).square().mean()


class TaskSelector(nn.Module):
    """Holds an autoencoder for every task and one for reference pictures; the best reconstruction names the task.

    backbone: pictures as the model reads them, [N, 3, H, W] -> features [N, ...]; fixed. threshold: the largest mean error
    at which a batch is still taken to be of a task.
    """

    def __init__(self, backbone: Callable[[Tensor], Tensor], *, code: int = 100, threshold: float = 0.0655):
        super().__init__()
        self.backbone = backbone.eval().requires_grad_(False) if isinstance(backbone, nn.Module) else backbone
        self.code, self.threshold = code, threshold
        self.autoencoders = nn.ModuleDict()
        self.register_load_state_dict_pre_hook(_add_loaded_slots)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, F] in (0, 1)."""
        return self.backbone(images).flatten(1).sigmoid()

    def add(self, slot: int | str, size: int) -> Autoencoder:
        """A new autoencoder of features of this size for a task, or for `REFERENCE`, in place of an old one."""
        autoencoder = Autoencoder(size, self.code)
        self.autoencoders[str(slot)] = autoencoder
        return autoencoder

    @torch.no_grad()
    def errors(self, images: Tensor) -> dict[str, float]:
        """For every slot the mean error over the batch."""
        features = self.features(images)
        errors = [autoencoder.error(features) for autoencoder in self.autoencoders.values()]  # type: ignore[operator]
        return dict(zip(self.autoencoders, torch.stack(errors).tolist(), strict=True)) if errors else {}

    def select(self, images: Tensor) -> int | None:
        """The task of a batch; None where it looks like the reference pictures, or like nothing known."""
        errors = self.errors(images)
        best = min(errors, key=errors.__getitem__, default=REFERENCE)
        return None if best == REFERENCE or errors[best] > self.threshold else int(best)


def _add_loaded_slots(module: Any, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Makes room for the autoencoders of a state dict that is about to be loaded."""
    start, end = f"{prefix}autoencoders.", ".encoder.weight"
    for name, tensor in state_dict.items():
        if name.startswith(start) and name.endswith(end):
            module.add(name.removeprefix(start).removesuffix(end), tensor.shape[1]).to(tensor.device)


def alexnet_features() -> nn.Module:
    """AlexNet, trained on ImageNet, up to its fifth convolution: [N, 3, 224, 224] -> [N, 256, 13, 13], before the ReLU.

    torchvision downloads the weights (230 MB) unless its cache has them. Raises OSError where it can't.
    """
    from torchvision.models import AlexNet_Weights, alexnet

    try:
        whole = alexnet(weights=AlexNet_Weights.IMAGENET1K_V1)
    except OSError as error:
        raise OSError(
            f"can't download AlexNet's weights ({error}); put them into torch's cache ({torch.hub.get_dir()}), or give "
            "backbone='clip', 'pixels' or a module of yours"
        ) from error
    return nn.Sequential(*list(whole.features)[:-2])


def pixels(images: Tensor) -> Tensor:
    """The pictures themselves: enough for small ones."""
    return images


def clip_tokens(model: CLIPClassifier) -> Callable[[Tensor], Tensor]:
    """What the last block of the image tower gives, all tokens, without adapters: no parameters beyond the model's own."""

    def features(images: Tensor) -> Tensor:
        visual, adapters = model.clip.visual, model.adapters
        task = None if adapters is None else adapters.task
        found: list[Tensor] = []
        hook = visual.transformer.register_forward_hook(lambda module, inputs, output: found.append(output))
        if adapters is not None:
            adapters.use(None)
        try:
            with evaluation_mode(visual):
                visual(images)
        finally:
            hook.remove()
            if adapters is not None:
                adapters.use(task)
        return found[0]

    return features


BACKBONES: dict[str, Callable[[CLIPClassifier], Callable[[Tensor], Tensor]]] = {
    "alexnet": lambda model: alexnet_features(),
    "clip": clip_tokens,
    "pixels": lambda model: pixels,
}


def make_backbone(backbone: str | Callable[[Tensor], Tensor], model: CLIPClassifier) -> Callable[[Tensor], Tensor]:
    """By name (`alexnet`, `clip`, `pixels`), or the function or module itself. ValueError for an unknown name."""
    if not isinstance(backbone, str):
        return backbone
    return BACKBONES[check_name("backbone", backbone, BACKBONES)](model)
