"""What a plugin needs beside it in the strategy's list."""

from typing import Any


def require_synthetic_replay(plugin: Any, strategy: Any) -> None:
    """ValueError unless the strategy has a SyntheticReplayPlugin, which supplies the pairs that `plugin` works on."""
    from avalanche_gift.training.plugins.synthetic_replay import SyntheticReplayPlugin

    if not any(isinstance(other, SyntheticReplayPlugin) for other in strategy.plugins):
        raise ValueError(f"expected a SyntheticReplayPlugin beside {type(plugin).__name__}, which supplies its pairs; got none")
