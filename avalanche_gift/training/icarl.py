"""iCaRL as the CLIP literature has it: fine-tuning, with distillation on a memory of real pictures."""

from torch import Tensor
from typing_extensions import Unpack

from avalanche_gift.models import CLIPClassifier
from avalanche_gift.stream_classes import classes_of
from avalanche_gift.training.options import UnseededOptions
from avalanche_gift.training.picture_memory import PictureMemory
from avalanche_gift.training.plugins import HerdedMemoryPlugin, ReferenceDistillationPlugin
from avalanche_gift.training.template import FineTune


class ICaRL(FineTune):
    """Cross-entropy on the experience's own images and distillation on remembered ones, if any: from the second experience on.

    Not the nearest-mean classifier of the original paper, which is Avalanche's `ICaRL`: this is the baseline of ZSCL and
    GIFT. Memory pictures have no labels here; they are compared with the class prompts of the current experience, by the
    student and by the teacher, in batches that follow the order of the memory.

    memory_size: pictures kept in all. memory_quota: of the newest experience, as `PictureMemory`. candidates, herd_first,
    memory_update: as `HerdedMemoryPlugin`; with `before`, images of the experience itself are distilled from its first step
    on. reference_transform: `eval`, or `train` for memory images that are one draw of the training transform each.
    image_distillation, text_distillation: over the texts of each picture, over the pictures for each text. The published
    settings are not known; both are on. distillation_weight: 1 on MTIL, 5 in the reference's class-incremental code.
    teacher, theta_initial, temperature: as `ReferenceDistillationPlugin`; `initial` on MTIL, `previous` in the reference's
    class-incremental code. memory_mb_size: memory pictures a step.
    reference_slips: the two mistakes of the released code, a quota that is exceeded (`rest`) and pictures that are not those
    picked.
    Other arguments as `FineTune`.
    """

    def __init__(
        self,
        model: CLIPClassifier,
        *,
        memory_size: int = 10_000,
        candidates: int = 30_000,
        memory_update: str = "after",
        memory_quota: str = "equal",
        herd_first: bool = False,
        reference_transform: str = "eval",
        image_distillation: bool = True,
        text_distillation: bool = True,
        distillation_weight: float = 1.0,
        temperature: float = 2.0,
        teacher: str = "initial",
        theta_initial: dict[str, Tensor] | None = None,
        memory_mb_size: int = 64,
        reference_slips: bool = False,
        seed: int = 42,
        **base_kwargs: Unpack[UnseededOptions],
    ):
        memory = PictureMemory(memory_size, quota="rest" if reference_slips else memory_quota)
        remember = HerdedMemoryPlugin(
            memory,
            candidates=candidates,
            update=memory_update,
            herd_first=herd_first,
            transform=reference_transform,
            seed=seed,
            reference_slips=reference_slips,
        )
        distil = ReferenceDistillationPlugin(
            memory,
            lambda strategy: classes_of(strategy.experience).first_prompts,
            weight=distillation_weight,
            teacher=teacher,
            theta_initial=theta_initial,
            image_term=image_distillation,
            text_term=text_distillation,
            temperature=temperature,
            batch_size=memory_mb_size,
            shuffle=False,
        )
        super().__init__(model=model, seed=seed, method_plugins=[remember, distil], **base_kwargs)
