"""The tiny CLIP that comes with the package: its config, its word-level tokenizer, and loading it with checksums."""

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from avalanche_gift.files import check_files, write_aside
from avalanche_gift.models.clip_classifier import CLIPClassifier

MINI_FOLDER = Path(__file__).parent / "mini_weights"
"""Holds clip/ and text_to_image/, their checksums, and the model card."""

CONTEXT = 12
PAD, UNKNOWN, START, END = "<pad>", "<unk>", "<start>", "<end>"
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)


def mini_clip(folder: str | Path = MINI_FOLDER) -> CLIPClassifier:
    """The pre-trained tiny CLIP (1.1 M parameters, 32 x 32 pictures, the words of the mini world), in float32.

    folder: as `experiments/pretrain_mini.py --out` writes it. A word that it does not know is warned of once.
    Raises FileNotFoundError or ValueError with the name of a file that is missing or altered.

    >>> model = mini_clip()                             # doctest: +SKIP
    >>> model.set_classes(["letter a", "red circle"])   # doctest: +SKIP
    """
    model = CLIPClassifier.from_folder(check_files(Path(folder), "clip"))
    model.tokenizer = KnownWords(model.tokenizer)
    model.name = "mini"
    return model


class KnownWords:
    """A word-level tokenizer of open_clip's calling convention that warns, once a word, of what it does not know."""

    def __init__(self, tokenizer: Any):
        self.tokenizer = tokenizer
        self._seen = set(tokenizer.tokenizer.get_vocab())

    def __call__(self, texts: str | Sequence[str], context_length: int | None = None) -> Tensor:
        """Token ids [N, context]."""
        texts = [texts] if isinstance(texts, str) else list(texts)
        for word in sorted({word for text in texts for word in re.findall("[a-z]+", text.lower())} - self._seen):
            self._seen.add(word)
            warnings.warn(
                f"the mini CLIP does not know the word {word!r} and reads it as {UNKNOWN}: its zero-shot accuracy is chance "
                "for a class that hangs on it; use the words of the mini world or a larger model",
                stacklevel=2,
            )
        return self.tokenizer(texts, context_length=context_length)


def mini_config(vocabulary: Sequence[str]) -> dict[str, Any]:
    """open_clip's config of the tiny CLIP over these words and four special tokens."""
    vision = {"image_size": 32, "patch_size": 8, "width": 128, "layers": 4, "head_width": 32}
    text = {
        "context_length": CONTEXT,
        "vocab_size": len(vocabulary) + 4,
        "hf_tokenizer_name": "mini",
        "width": 96,
        "heads": 3,
        "layers": 2,
    }
    return {
        "model_cfg": {"embed_dim": 64, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": list(MEAN), "std": list(STD), "interpolation": "bicubic", "resize_mode": "shortest"},
    }


def write_tokenizer(vocabulary: Sequence[str], folder: Path) -> None:
    """tokenizer.json and tokenizer_config.json: lower-case words of a-z, start 2, end the largest id, pad 0, unknown 1."""
    write_aside(folder / "tokenizer.json", _tokenizer(vocabulary).to_str(pretty=False).encode())
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": CONTEXT,
        "pad_token": PAD,
        "unk_token": UNKNOWN,
        "bos_token": START,
        "eos_token": END,
        "clean_up_tokenization_spaces": False,
    }
    write_aside(folder / "tokenizer_config.json", json.dumps(config, indent=2).encode())


def _tokenizer(vocabulary: Sequence[str]) -> Any:
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    ids = {token: number for number, token in enumerate((PAD, UNKNOWN, START, *vocabulary, END))}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(Regex("[^a-z]+"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=[(START, ids[START]), (END, ids[END])]
    )
    tokenizer.add_special_tokens([PAD, UNKNOWN, START, END])
    return tokenizer
