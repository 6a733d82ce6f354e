"""A tiny CLIP that is not the same in training and in evaluation: dropout and a batch norm in both towers."""

import torch
from torch import Tensor, nn
from world import tiny_model

from avalanche_gift.models import CLIPClassifier


class TokenNorm(nn.BatchNorm1d):
    """A batch norm over the features of all tokens, [N, L, d]."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, -2)).view_as(x)


def noisy_model(seed: int = 0) -> CLIPClassifier:
    """`tiny_model` with a batch norm and dropout behind the patches, and both within the text tower's block.

    The running statistics have seen a batch of noise, so that they are not the ones that a batch norm is made with.
    """
    model = tiny_model(seed)
    visual, block = model.clip.visual, model.clip.transformer.resblocks[0]
    visual.conv1 = nn.Sequential(visual.conv1, nn.BatchNorm2d(16), nn.Dropout(0.3))
    block.mlp.add_module("noise", nn.Sequential(TokenNorm(16), nn.Dropout(0.3)))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        for norm in norms(model):
            shape = (5, 16, 2, 2) if isinstance(norm, nn.BatchNorm2d) else (5, 3, 16)
            norm.train()(1 + 2 * torch.randn(shape))
    return model


def norms(model: nn.Module) -> list[nn.Module]:
    return [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]


def statistics(model: nn.Module) -> dict[str, Tensor]:
    """Copies of the running statistics and counters of all batch norms, by name."""
    return {name: buffer.clone() for name, buffer in model.named_buffers() if "running" in name or "num_batches" in name}


def modes(model: nn.Module) -> list[bool]:
    """Of every part, whether it trains."""
    return [module.training for module in model.modules()]
