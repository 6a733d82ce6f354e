"""Any open_clip model as a classifier over the classes that the data at hand names."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from avalanche_gift.distributed import encode_rows
from avalanche_gift.losses import contrastive_logits
from avalanche_gift.models import loading
from avalanche_gift.models.class_scope import ScopedClassifier
from avalanche_gift.models.class_texts import ClassTexts, class_texts, tokenize_whole
from avalanche_gift.models.image_tower import encode_image
from avalanche_gift.models.loss_scaling import LossScaling
from avalanche_gift.models.text_tower import cut_texts, encode_text, trim
from avalanche_gift.models.weights import weights_version

EVALUATION_CHUNK = 512


class CLIPClassifier(ScopedClassifier):
    """`forward(images, task_labels) -> logits`: scaled cosine similarity with the texts of classes.

    Which classes: those that the data names (`ScopedClassifier`), or those given by `set_classes`.

    clip: an open_clip model (`encode_image`, `encode_text`, `logit_scale`). Every parameter is trained but `logit_scale`
    (and a SigLIP's `logit_bias`, which no softmax sees): those are frozen here.
    tokenizer: `tokenizer(list of texts) -> token ids [N, context]`.
    train_transform, eval_transform: PIL picture -> tensor, as the model was trained.
    adapters: what `moe_adapters.attach_adapters` puts beside the blocks; None without.
    autocast_dtype: of the towers (`set_numerics`); None for that of their weights. loss_scaling: with towers in float16.

    >>> model = CLIPClassifier.from_open_clip("ViT-B-16", pretrained="openai")   # doctest: +SKIP
    >>> model.set_classes(["cat", "dog"])                                       # doctest: +SKIP
    >>> model(images).shape                                                     # doctest: +SKIP
    torch.Size([8, 2])
    """

    def __init__(
        self,
        clip: nn.Module,
        tokenizer: Callable[..., Tensor],
        *,
        train_transform: Callable[[Any], Any],
        eval_transform: Callable[[Any], Any],
        name: str = "clip",
    ):
        super().__init__()
        lacking = [part for part in ("encode_image", "encode_text", "logit_scale") if not hasattr(clip, part)]
        if lacking:
            raise TypeError(f"expected an open_clip model with both towers, got {type(clip).__name__} without {lacking}")
        self.clip: Any = clip
        self.adapters: Any = None
        self.autocast_dtype: torch.dtype | None = None
        self.loss_scaling: LossScaling | None = None
        self.name = name
        self.tokenizer = tokenizer
        self.train_transform = train_transform
        self.eval_transform = eval_transform
        for frozen in ("logit_scale", "logit_bias"):
            if getattr(clip, frozen, None) is not None:
                getattr(clip, frozen).requires_grad_(False)
        self._cached: tuple[Any, Tensor] | None = None

    @classmethod
    def from_open_clip(cls, name: str, pretrained: str | None = None, *, seed: int = 0) -> "CLIPClassifier":
        """A model by open_clip's name (`open_clip.list_models()`, or `clip-tiny`) with the weights of a pretrained tag.

        Without a tag the weights are random, the same for the same seed. Raises ValueError for unknown names, with the
        nearest known one.
        """
        return cls(**loading.from_open_clip(name, pretrained, seed))

    @classmethod
    def from_folder(cls, folder: str | Path) -> "CLIPClassifier":
        """A model from `open_clip_config.json` and a safetensors file, as open_clip's hub folders and `save` have them."""
        return cls(**loading.from_folder(folder))

    @property
    def logit_scale(self) -> Tensor:
        """The multiplier of the cosines (about 100 for CLIP); constant."""
        return self.clip.logit_scale.exp()

    def tokenize_classes(
        self,
        prompts: Sequence[Sequence[str]],
        *,
        columns: Sequence[int] | None = None,
        width: int | None = None,
        groups: Sequence[int] | None = None,
    ) -> ClassTexts:
        """Texts to compare images with later: for each class its prompts, the training prompt first.

        columns, width: the classes are some of `width` ones; the logits of the others are `losses.MASKED_LOGIT`.
        groups: sizes of the sets, one behind the other, that are told apart each in itself; one set if None.
        Raises ValueError for two classes of a set whose training prompts the tokenizer can't tell apart, and for a prompt with
        words behind an end token.
        """
        return class_texts(self._tokenize_classes, prompts, columns=columns, width=width, groups=groups)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token ids [N, L] on the CPU, L as short as is exact. Raises ValueError where the tokenizer would cut a text."""
        return trim(self.clip, tokenize_whole(self.tokenizer, texts))

    def _tokenize_classes(self, texts: Sequence[str]) -> Tensor:
        tokens = tokenize_whole(self.tokenizer, texts)
        if cut := cut_texts(self.clip, tokens):
            raise ValueError(
                f"expected class prompts without the tokenizer's end token, got one in {texts[cut[0]]!r}: what is behind it "
                'would go unread; give the class another name, for class folders in classes.json: {"names": {FOLDER: NAME}}'
            )
        return trim(self.clip, tokens)

    def encode_image(self, images: Tensor) -> Tensor:
        """[N, 3, H, W] -> normalised image features [N, D]."""
        return self._encode(encode_image, images)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Token ids [N, L], of full context length or as short as `tokenize` gives -> normalised text features [N, D]."""
        return self._encode(encode_text, tokens)

    def class_features(self, texts: ClassTexts | None = None) -> Tensor:
        """[C, D] of these classes, or of those that `class_texts` names.

        In training, and wherever gradients are wanted (EWC's Fisher pass runs in evaluation mode): the first template, with
        gradient. In evaluation: all templates averaged (normalise, average, normalise), computed once for given weights.
        Weights changed through `.data` go unseen until `train()` or `eval()` is called; every other change is noticed.
        """
        texts = self._texts_at_hand() if texts is None else texts
        if self.training or torch.is_grad_enabled():
            return self.encode_text(texts.train_tokens)
        key = (texts, weights_version(self), None if self.adapters is None else self.adapters.task)
        if self._cached is None or self._cached[0] != key:
            chunks = [self.encode_text(tokens) for tokens in texts.eval_tokens.split(EVALUATION_CHUNK)]
            self._cached = key, F.normalize(texts.average(torch.cat(chunks)), dim=-1)
        return self._cached[1]

    def train(self, mode: bool = True) -> "CLIPClassifier":
        self._cached = None
        super().train(mode)
        return self

    def save(self, folder: str | Path, *, config: dict[str, Any]) -> None:
        """Writes the weights (safetensors) beside an open_clip config (JSON) so that `from_folder` reads them.

        config: `{"model_cfg": {...}}`, if wanted with "preprocess_cfg". Where it says otherwise than the model's own layers
        (`quick_gelu`), they are right; `from_folder` checks a few features (`probe.json`).
        """
        loading.save_folder(self.clip, Path(folder), config, transform=self.eval_transform)

    def _encode(self, tower: Callable[[Any, Tensor], Tensor], rows: Tensor) -> Tensor:
        """Normalised features in the precision of the weights, whatever that of the tower."""
        dtype = self.autocast_dtype
        with nullcontext() if dtype is None else torch.autocast(rows.device.type, dtype):
            features = encode_rows(partial(tower, self.clip), rows)
        return F.normalize(features.to(self.clip.logit_scale.dtype), dim=-1)

    def _scores(self, images: Tensor, texts: ClassTexts) -> Tensor:
        # Texts first: backward then ends with them, and the graph of the images is gone when the gradient of the token
        # table is made, which is as large as the table.
        text_features = self.class_features(texts)
        logits = contrastive_logits(
            image_features=self.encode_image(images), text_features=text_features, logit_scale=self.logit_scale
        )
        return texts.place(logits)
