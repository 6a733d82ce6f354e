"""What a plugin needs beside it in the strategy's list."""

from typing import Any


def require_synthetic_replay(plugin: Any, strategy: Any) -> Any:
    """The strategy's SyntheticReplayPlugin, which supplies the pairs that `plugin` works on. ValueError without one."""
    from avalanche_gift.training.plugins.synthetic_replay import SyntheticReplayPlugin

    for other in strategy.plugins:
        if isinstance(other, SyntheticReplayPlugin):
            return other
    raise ValueError(f"expected a SyntheticReplayPlugin beside {type(plugin).__name__}, which supplies its pairs; got none")
