"""Training the tiny CLIP on the wide world: InfoNCE with shared targets, and the concept cross-entropy every second step."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from avalanche_gift.benchmarks.mini.concepts import COLOURS, CONCEPTS, TEMPLATES, VOCABULARY, words
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.models.loading import save_folder
from avalanche_gift.models.mini import MEAN, STD, mini_config, write_tokenizer
from avalanche_gift.models.text_tower import encode_text
from avalanche_gift.prompts import fill
from mini_pretraining.drawing import Pool
from mini_pretraining.loop import Recipe, Training, batches

BATCH, MOST_SCALE = 128, 60.0
NAMES = [concept.phrase for concept in CONCEPTS]


def new_clip(folder: Path, seed: int) -> CLIPClassifier:
    """A tiny CLIP with random weights whose config, tokenizer and weights stand in `folder`."""
    from open_clip.model import CLIP

    config = mini_config(VOCABULARY)
    sizes = config["model_cfg"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        clip = CLIP(embed_dim=sizes["embed_dim"], vision_cfg=sizes["vision_cfg"], text_cfg=sizes["text_cfg"])
    write_tokenizer(VOCABULARY, folder)
    save_folder(clip, folder, config)
    return CLIPClassifier.from_folder(folder)


def prepared(pictures: np.ndarray | Tensor) -> Tensor:
    """uint8 [N, 32, 32, 3] or floats [N, 3, 32, 32] in 0..1 -> as the CLIP takes them."""
    if isinstance(pictures, np.ndarray):
        pictures = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    return (pictures - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def augmented(x: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """[N, 3, 32, 32] in 0..1 -> the same shape, and which pictures [N] lost their colours.

    Three batches in ten are turned, scaled and shifted; one in five is coarsened to 8 to 20 pixels a side and back.
    Pictures turn grey (.25) or negative (.15); contrast, brightness and noise change in all.
    """
    n = len(x)

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(n, 1, 1, 1, generator=random) * (high - low) + low

    turned, coarse, side = torch.rand(3, generator=random).tolist()
    if turned < 0.3:
        x = _moved(x, uniform(-14, 14), uniform(0.75, 1.25), torch.rand(n, 2, 1, generator=random) * 0.25 - 0.125)
    if coarse < 0.2:
        small = F.interpolate(x, size=(8 + int(13 * side),) * 2, mode="area")
        x = F.interpolate(small, size=x.shape[-2:], mode="bicubic", align_corners=False)
    grey, negative = uniform(0, 1) < 0.25, uniform(0, 1) < 0.15
    x = torch.where(grey, x.mean(dim=1, keepdim=True), x)
    x = torch.where(negative, 1 - x, x)
    middle = x.mean(dim=(1, 2, 3), keepdim=True)
    x = (x - middle) * uniform(0.6, 1.4) + middle + uniform(-0.2, 0.2)
    noise = torch.randn(x.shape, generator=random) * uniform(0, 0.15) * (uniform(0, 1) < 0.5)
    return (x + noise).clamp(0, 1), (grey | negative).flatten()


def _moved(x: Tensor, degrees: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    angle = degrees.view(-1, 1, 1) * math.pi / 180
    cos, sin = angle.cos() / scale.view(-1, 1, 1), angle.sin() / scale.view(-1, 1, 1)
    rows = torch.cat([torch.cat([cos, -sin], dim=2), torch.cat([sin, cos], dim=2)], dim=1)
    grid = F.affine_grid(torch.cat([rows, 2 * shift], dim=2), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


class Captions:
    """Token ids and meanings of a pool's captions; those without colour words come behind them."""

    def __init__(self, model: CLIPClassifier, pool: Pool):
        plain = [fill(template, name) for name in NAMES for template in TEMPLATES]
        texts = sorted({*pool.texts, *plain})
        number = {text: row for row, text in enumerate(texts)}
        self.tokens = model.tokenize(texts)
        self.of_picture = torch.tensor([number[text] for text in pool.texts])
        self.plain = torch.tensor([number[text] for text in plain]).view(len(NAMES), len(TEMPLATES))
        said = [(tuple(word for word in words(text) if word in _COLOURS), "ground" in text) for text in texts]
        meanings = {each: row for row, each in enumerate(sorted(set(said)))}
        self.colours = torch.tensor([meanings[each] for each in said])


_COLOURS = frozenset(COLOURS)


def train(model: CLIPClassifier, pool: Pool, unseen: Pool, *, steps: int, seed: int, work: Path) -> Training:
    """Trains in place and leaves the averaged weights."""
    model.train()
    model.clip.logit_scale.requires_grad_(True)
    captions = Captions(model, pool)
    recipe = Recipe(steps=steps, lr=1e-3, betas=(0.9, 0.98), decay=0.1, ema=0.998)
    training = Training(
        model.clip,
        recipe,
        title="CLIP",
        checkpoint=work / "clip.safetensors",
        identity={"seed": seed, "pictures": len(pool.pictures)},
    )
    rows_of = batches(len(pool.pictures), BATCH, seed, training.step)

    def loss_at(step: int) -> Tensor:
        random = torch.Generator().manual_seed(1_000_003 * (seed + 1) + step)
        return _loss(model, pool, captions, torch.from_numpy(next(rows_of)), random, with_concepts=step % 2 == 1)

    def look(step: int) -> str:
        training.swap()
        right = accuracy(model, unseen)
        training.swap()
        model.train()
        return f"{right:.1f} % of unseen pictures right, scale {model.logit_scale.item():.1f}"

    training.run(loss_at, every=100, look=look)
    training.averaged()
    return training


def _loss(
    model: CLIPClassifier, pool: Pool, captions: Captions, rows: Tensor, random: torch.Generator, *, with_concepts: bool
) -> Tensor:
    pixels = torch.from_numpy(pool.pictures[rows.numpy()]).permute(0, 3, 1, 2).float() / 255
    pixels, colourless = augmented(pixels, random)
    concepts = torch.from_numpy(pool.concepts)[rows]
    template = torch.randint(len(TEMPLATES), (len(rows),), generator=random)
    said = torch.where(colourless, captions.plain[concepts, template], captions.of_picture[rows])
    scale = model.clip.logit_scale.exp().clamp(max=MOST_SCALE)
    image_features = scale * model.encode_image(prepared(pixels))
    loss = _contrastive(model, captions, image_features, said, concepts)
    if not with_concepts:
        return loss
    one = int(torch.randint(len(TEMPLATES), (), generator=random))
    return loss + F.cross_entropy(image_features @ _texts(model, captions.tokens[captions.plain[:, one]]).T, concepts)


def _contrastive(model: CLIPClassifier, captions: Captions, image_features: Tensor, said: Tensor, concepts: Tensor) -> Tensor:
    """Symmetric InfoNCE; captions that say the same in other words share the target."""
    each, place = said.unique(return_inverse=True)
    logits = image_features @ _texts(model, captions.tokens[each])[place].T
    meaning = concepts * (1 + int(captions.colours.max())) + captions.colours[said]
    same = (meaning[:, None] == meaning).float()
    targets = same / same.sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets)) / 2


def _texts(model: CLIPClassifier, tokens: Tensor) -> Tensor:
    length = int(tokens.argmax(dim=1).max()) + 1
    return F.normalize(encode_text(model.clip, tokens[:, :length]), dim=-1)


@torch.no_grad()
def labels(model: CLIPClassifier, pictures: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """The class of each picture, uint8 [N, 32, 32, 3], by its prompt "a photo of a {c}."."""
    model.eval()
    model.set_classes(class_names, TEMPLATES[:1])
    return np.concatenate([model(prepared(pictures[at : at + 500])).argmax(1).numpy() for at in range(0, len(pictures), 500)])


def accuracy(model: CLIPClassifier, pool: Pool) -> float:
    """Per cent of a pool's pictures labelled with their concept among all 139."""
    return 100 * float((labels(model, pool.pictures, NAMES) == pool.concepts).mean())
