"""One idea a plugin; each works in any Avalanche strategy over a `CLIPClassifier`."""

from avalanche_gift.training.plugins.alignment import ImageTextAlignmentPlugin
from avalanche_gift.training.plugins.compatibility import UnsupportedPluginError
from avalanche_gift.training.plugins.consolidation import AdaptiveWeightConsolidationPlugin, L2ConsolidationPlugin
from avalanche_gift.training.plugins.distillation import ContrastiveDistillationPlugin
from avalanche_gift.training.plugins.ewc import OnlineEWCPlugin
from avalanche_gift.training.plugins.gradient_cosine import GradientCosinePlugin
from avalanche_gift.training.plugins.herded_memory import HerdedMemoryPlugin
from avalanche_gift.training.plugins.loss_terms import LossTermsPlugin, NonFiniteLossError
from avalanche_gift.training.plugins.lwf import LwFPlugin, LwFVRPlugin
from avalanche_gift.training.plugins.moe_adapters import MoEAdaptersPlugin
from avalanche_gift.training.plugins.optimizer import FreshOptimizerPlugin, clip_optimizer
from avalanche_gift.training.plugins.own_task_columns import OwnTaskColumnsPlugin
from avalanche_gift.training.plugins.reference_distillation import ReferenceDistillationPlugin
from avalanche_gift.training.plugins.schedule import IterationsPlugin, WarmupCosinePlugin
from avalanche_gift.training.plugins.static_fisher import StaticFisherPlugin
from avalanche_gift.training.plugins.stored_pictures import StoredPicturesPlugin
from avalanche_gift.training.plugins.synthetic_replay import SyntheticReplayPlugin
from avalanche_gift.training.plugins.task_selection import TaskSelectionPlugin
from avalanche_gift.training.plugins.weight_ensemble import WeightEnsemblePlugin
from avalanche_gift.training.plugins.wise_ft import WiSEFTPlugin

__all__ = [
    "AdaptiveWeightConsolidationPlugin",
    "ContrastiveDistillationPlugin",
    "FreshOptimizerPlugin",
    "GradientCosinePlugin",
    "HerdedMemoryPlugin",
    "ImageTextAlignmentPlugin",
    "IterationsPlugin",
    "L2ConsolidationPlugin",
    "LossTermsPlugin",
    "LwFPlugin",
    "LwFVRPlugin",
    "MoEAdaptersPlugin",
    "NonFiniteLossError",
    "OnlineEWCPlugin",
    "OwnTaskColumnsPlugin",
    "ReferenceDistillationPlugin",
    "StaticFisherPlugin",
    "StoredPicturesPlugin",
    "SyntheticReplayPlugin",
    "TaskSelectionPlugin",
    "UnsupportedPluginError",
    "WarmupCosinePlugin",
    "WeightEnsemblePlugin",
    "WiSEFTPlugin",
    "clip_optimizer",
]
