"""A generator's pictures, kept in a folder for other runs that ask for the same ones."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avalanche_gift.files import is_sealed, open_sealed
from avalanche_gift.generation.making import describe

if TYPE_CHECKING:
    from PIL import Image


class KeptPictures:
    """A `Generator` that makes the pictures of a call once, whichever run asks for them first.

    A file holds those of one call. Its name is a digest of all prompts and seeds, the generator's description, and torch's
    version and threads, because other batches and threads may round a value otherwise: what is read is, bit for bit, what
    would have been made. Bytes [N, H, W, 3] as .npy and a checksum, never half-written; a damaged file is made again, and so
    is one of earlier releases, which had no checksum.

    generator: makes pictures of one size. folder: made where it is not there.
    """

    def __init__(self, generator: Any, folder: str | os.PathLike[str]) -> None:
        self.generator, self.folder = generator, Path(folder)

    def generate(self, prompts: Sequence[str], seeds: Sequence[int]) -> list[Image.Image]:
        """As the generator's own."""
        import numpy as np
        from PIL import Image

        path = self._path(prompts, seeds)
        kept = _read(path, len(prompts))
        if kept is not None:
            return [Image.fromarray(pixels) for pixels in kept]
        pictures = list(self.generator.generate(prompts, seeds))
        with open_sealed(path) as file:
            np.save(file, np.stack([np.asarray(picture.convert("RGB")) for picture in pictures]), allow_pickle=False)
        return pictures

    def describe(self) -> dict[str, Any]:
        return describe(self.generator)

    def _path(self, prompts: Sequence[str], seeds: Sequence[int]) -> Path:
        import torch

        asked = [self.describe(), torch.__version__, torch.get_num_threads(), list(prompts), [int(seed) for seed in seeds]]
        return self.folder / f"pictures-{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]}.npy"


def _read(path: Path, count: int) -> Any:
    """The pixels of a whole file; None where there is none."""
    import numpy as np

    if not is_sealed(path):
        return None
    pixels = np.load(path, allow_pickle=False)
    if not isinstance(pixels, np.ndarray):  # an archive of arrays
        return None
    return pixels if pixels.dtype == np.uint8 and pixels.ndim == 4 and len(pixels) == count and pixels.shape[3] == 3 else None
