"""Counts what Avalanche's own memories keep."""

from typing import Any

from avalanche.core import SupervisedPlugin


class StoredPicturesPlugin(SupervisedPlugin):
    """The most pictures that Avalanche's Replay or iCaRL kept, and their bytes, for `footprint`.

    iCaRL's are tensors and counted as they are. Replay keeps references into the data sets, which are counted as what they
    stand for: one byte for each channel and pixel of the model's input, as in `PictureMemory`.
    """

    supports_distributed = True

    def __init__(self) -> None:
        super().__init__()
        self._most = {"stored_pictures": 0, "stored_bytes": 0}

    def after_training(self, strategy: Any, **kwargs: Any) -> None:
        for plugin in strategy.plugins:
            if hasattr(plugin, "storage_policy"):
                pictures = len(plugin.storage_policy.buffer)
                self._note(pictures, pictures * strategy.mb_x[0].numel())
            elif hasattr(plugin, "x_memory"):
                kept = plugin.x_memory
                self._note(sum(map(len, kept)), sum(part.numel() * part.element_size() for part in kept))

    def footprint(self) -> dict[str, int]:
        """The most at the end of any `train` call."""
        return self._most

    def state_dict(self) -> dict[str, int]:
        """The most so far."""
        return dict(self._most)

    def load_state_dict(self, state: dict[str, int]) -> None:
        """What `state_dict` returned."""
        self._most = dict(state)

    def _note(self, pictures: int, bytes_kept: int) -> None:
        found = {"stored_pictures": pictures, "stored_bytes": bytes_kept}
        self._most = {part: max(self._most[part], count) for part, count in found.items()}
