"""Fills a memory of pictures as experiences go by: iCaRL's herding with one mean a data set."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from avalanche.core import SupervisedPlugin
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from avalanche_gift.models import CLIPClassifier
from avalanche_gift.modes import evaluation_mode
from avalanche_gift.names import check_name
from avalanche_gift.training.herding import herd, places_after_removal
from avalanche_gift.training.picture_memory import PictureMemory
from avalanche_gift.training.plugins.lwf import TRANSFORMS
from avalanche_gift.training.seeded_draws import SeededDraws

ENCODING_CHUNK = 256


class HerdedMemoryPlugin(SupervisedPlugin):
    """Puts images of each experience into `memory`, which others read.

    Of the first experience its first ones in the order of the data set; of a later one those that `herd` picks, by the
    model's normalised image features, among its first `candidates`. herd_first: herds the first experience, too.
    update: `after` an experience, by the model just trained, or `before` it, by the model that comes in.
    transform: `eval`, the evaluation transform, or `train`: each image is one draw of the training transform, a function of
    (seed, experience, row), that is herded and stored.
    The reference's class-incremental code herds the first experience, updates before and draws from the training transform.
    reference_slips: keep the pictures at `places_after_removal` of the picks, as the reference does by mistake.
    """

    supports_distributed = False

    def __init__(
        self,
        memory: PictureMemory,
        *,
        candidates: int = 30_000,
        update: str = "after",
        herd_first: bool = False,
        transform: str = "eval",
        seed: int = 42,
        reference_slips: bool = False,
    ):
        super().__init__()
        if candidates < 1:
            raise ValueError(f"expected at least one candidate, got {candidates}")
        self.memory, self.candidates, self.reference_slips = memory, candidates, reference_slips
        self.herd_first, self.seed = herd_first, seed
        self.update = check_name("time of the memory's update", update, ("after", "before"))
        self.transform = check_name("transform of the memory's images", transform, TRANSFORMS)

    def before_training_exp(self, strategy: Any, num_workers: int = 0, **kwargs: Any) -> None:
        self.memory.prepare(strategy.model.eval_transform)
        if self.update == "before":
            self._remember(strategy, num_workers)

    def after_training_exp(self, strategy: Any, num_workers: int = 0, **kwargs: Any) -> None:
        if self.update == "after":
            self._remember(strategy, num_workers)

    def footprint(self) -> dict[str, int]:
        """Pictures and their bytes, the most ever kept."""
        return {"stored_pictures": self.memory.most_pictures, "stored_bytes": self.memory.most_bytes}

    def state_dict(self) -> dict[str, Any]:
        """The memory's."""
        return self.memory.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """What `state_dict` returned."""
        self.memory.load_state_dict(state)

    def _remember(self, strategy: Any, num_workers: int) -> None:
        model = strategy.model
        dataset = strategy.experience.dataset
        if self.transform == "train":  # seeded, so that what is stored is the draw that was herded
            dataset = SeededDraws(dataset.train(), self.seed, strategy.experience.current_experience)
        else:
            dataset = dataset.eval()
        if rows := self._rows(dataset, model, strategy.device, num_workers):
            self.memory.add(torch.cat(list(_batches(dataset, rows, num_workers))))

    def _rows(self, dataset: Any, model: CLIPClassifier, device: torch.device, num_workers: int) -> list[int]:
        quota = self.memory.quota_of_next()
        if not len(self.memory) and not self.herd_first:
            return list(range(min(quota, len(dataset))))
        candidates = range(min(self.candidates, len(dataset)))
        picks = herd(_image_features(model, _batches(dataset, candidates, num_workers), device), quota)
        return (places_after_removal(picks) if self.reference_slips else picks).tolist()


def _batches(dataset: Any, rows: Sequence[int], num_workers: int) -> Iterator[Tensor]:
    """The pictures of these rows in their order, [B, 3, H, W] each."""
    loader = DataLoader(
        Subset(dataset, rows),
        batch_size=ENCODING_CHUNK,
        num_workers=num_workers,
        collate_fn=_stack,
        generator=torch.Generator(),  # Its own, so that torch's global generator stays as it is.
    )
    return iter(loader)


def _stack(items: Sequence[Any]) -> Tensor:
    return torch.stack([item[0] for item in items])


@torch.no_grad()
def _image_features(model: CLIPClassifier, batches: Iterator[Tensor], device: torch.device) -> Tensor:
    with evaluation_mode(model):
        return torch.cat([model.encode_image(batch.to(device)) for batch in batches])
