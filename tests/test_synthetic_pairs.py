"""The pairs of an experience: what of a batch is encoded."""

import pytest
import torch
from world import MadePictures, plain, tiny_model

from avalanche_gift.training.synthetic_pairs import SyntheticPairs

PROMPTS = ["a sun.", "a photo of a very large and rather distant moon at dawn.", "a star.", "a sun."]


@pytest.fixture
def pairs():
    model = tiny_model().double()
    model.eval_transform = lambda picture: plain()(picture).double()
    return model, SyntheticPairs([MadePictures.picture(prompt, seed) for seed, prompt in enumerate(PROMPTS)], PROMPTS, model)


@pytest.mark.parametrize(("rows", "distinct", "length"), [([0, 2, 3], 2, 4), ([3, 0], 1, 4), ([0, 1], 2, 14)])
def test_prompts_are_encoded_once_and_cut_at_the_longest_of_the_batch(pairs, rows, distinct, length):
    model, these = pairs
    shapes = []
    model.clip.token_embedding.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(inputs[0].shape)))
    batch = these.batch(torch.tensor(rows), model, ("text", "image"), torch.device("cpu"))
    assert shapes == [(distinct, length)]  # a start and an end token beside the words
    whole = model.clip.encode_text(model.tokenizer([PROMPTS[row] for row in rows]), normalize=True)
    torch.testing.assert_close(batch.text_features, whole, rtol=0, atol=1e-10)
    mixing = torch.linspace(-1, 1, whole.numel(), dtype=torch.float64).reshape(whole.shape)
    weights = [p for name, p in model.clip.named_parameters() if p.requires_grad and not name.startswith("visual")]
    found, expected = (torch.autograd.grad((features * mixing).sum(), weights) for features in (batch.text_features, whole))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    assert all(gradient.abs().max() > 1e-6 for gradient in expected)
