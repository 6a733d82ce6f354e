"""One idea a plugin; each works in any Avalanche strategy over a `CLIPClassifier`."""

from avalanche_gift.training.plugins.alignment import ImageTextAlignmentPlugin
from avalanche_gift.training.plugins.class_texts import ClassTextsPlugin
from avalanche_gift.training.plugins.consolidation import AdaptiveWeightConsolidationPlugin, L2ConsolidationPlugin
from avalanche_gift.training.plugins.distillation import ContrastiveDistillationPlugin
from avalanche_gift.training.plugins.loss_terms import LossTermsPlugin, NonFiniteLossError
from avalanche_gift.training.plugins.optimizer import FreshOptimizerPlugin, clip_optimizer
from avalanche_gift.training.plugins.schedule import IterationsPlugin, WarmupCosinePlugin
from avalanche_gift.training.plugins.synthetic_replay import SyntheticReplayPlugin

__all__ = [
    "AdaptiveWeightConsolidationPlugin",
    "ClassTextsPlugin",
    "ContrastiveDistillationPlugin",
    "FreshOptimizerPlugin",
    "ImageTextAlignmentPlugin",
    "IterationsPlugin",
    "L2ConsolidationPlugin",
    "LossTermsPlugin",
    "NonFiniteLossError",
    "SyntheticReplayPlugin",
    "WarmupCosinePlugin",
    "clip_optimizer",
]
