"""The embedded tiny text-to-image model as a generator."""

from pathlib import Path
from typing import TYPE_CHECKING

import avalanche_gift

if TYPE_CHECKING:
    from avalanche_gift.generation.diffusers_generator import DiffusersGenerator

STEPS, GUIDANCE = 12, 1.5
"""As few steps as keep the prompt; more change nothing that its agreement with the prompts would show."""


def mini_generator(folder: str | Path | None = None, *, steps: int = STEPS, guidance: float = GUIDANCE) -> "DiffusersGenerator":
    """Makes 32 x 32 pictures of the mini world's 219 prompts, with the code that runs any diffusers pipeline.

    folder: another pair's weights, as `experiments/pretrain_mini.py --out` writes them.
    Raises FileNotFoundError or ValueError with the name of a file that is missing or altered.
    """
    from avalanche_gift.generation.diffusers_generator import DiffusersGenerator

    folder = Path(avalanche_gift.__file__).parent / "models" / "mini_weights" if folder is None else Path(folder)
    return DiffusersGenerator(
        folder / "text_to_image", num_inference_steps=steps, guidance_scale=guidance, batch_size=64, device="cpu"
    )
