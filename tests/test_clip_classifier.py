"""CLIPClassifier, its class texts, its trimmed text tower, its folders and its pictures, on a tiny CLIP."""

import copy
import json
import pickle
import random
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import Compose, Normalize, ToTensor

from avalanche_gift.losses import MASKED_LOGIT
from avalanche_gift.models import CLIPClassifier, PicturePreparation, clip_classifier
from avalanche_gift.models.loading import OWN_CONFIGS
from avalanche_gift.models.text_tower import can_trim

CONFIG = json.loads((OWN_CONFIGS / "clip-tiny.json").read_text())
CONTEXT = CONFIG["text_cfg"]["context_length"]
CLASSES, TEMPLATES = ["cat", "sports car", "rose"], ["a photo of a {c}.", "the {c}", "my old and rusty {c}!"]


def pictures(generator: torch.Generator, count: int = 4) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=generator)


def by_hand(features: Tensor) -> Tensor:
    return features / features.square().sum(-1, keepdim=True).sqrt()


def whole_text_features(model: CLIPClassifier, texts: list[str]) -> Tensor:
    """Through open_clip's own tokenizer and text tower, at full context."""
    return by_hand(model.clip.encode_text(model.tokenizer(texts)))


def hand_logits(model: CLIPClassifier, images: Tensor, text_features: Tensor) -> Tensor:
    image_features = by_hand(model.clip.encode_image(images))
    rows = [[(image * text).sum() for text in text_features] for image in image_features]
    return model.clip.logit_scale.detach().exp() * torch.stack([torch.stack(row) for row in rows])


def averaged_text_features(model: CLIPClassifier, class_names: list[str], templates: list[str]) -> Tensor:
    """Normalise, average, normalise: one prompt at a time."""
    rows = []
    for name in class_names:
        features = [whole_text_features(model, [template.replace("{c}", name)])[0] for template in templates]
        rows.append(by_hand(sum(features) / len(features)))
    return torch.stack(rows)


class TextPasses:
    """Counts how often the text tower runs."""

    def __init__(self, model: CLIPClassifier):
        self.count = 0
        model.clip.transformer.register_forward_hook(self._seen)

    def _seen(self, *_) -> None:
        self.count += 1


def tiny_clip(*, custom: bool = False, dtype: torch.dtype = torch.float64, **text_cfg) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        make = open_clip.CustomTextCLIP if custom else open_clip.CLIP
        clip = make(CONFIG["embed_dim"], CONFIG["vision_cfg"], {**CONFIG["text_cfg"], **text_cfg}, quick_gelu=True)
    return clip.to(dtype)


def classifier(clip: nn.Module) -> CLIPClassifier:
    tokenizer = open_clip.SimpleTokenizer(context_length=CONTEXT)
    return CLIPClassifier(clip, tokenizer, train_transform=ToTensor(), eval_transform=ToTensor())


# The logits


def test_training_logits_are_scaled_cosines_with_the_first_template(tiny_model, generator):
    tiny_model.set_classes(CLASSES, TEMPLATES)
    images = pictures(generator)
    first = whole_text_features(tiny_model, [TEMPLATES[0].replace("{c}", name) for name in CLASSES])
    torch.testing.assert_close(tiny_model.train()(images), hand_logits(tiny_model, images, first), rtol=1e-5, atol=1e-5)


def test_a_training_gradient_reaches_every_parameter_of_both_towers_but_the_scale(tiny_model, generator):
    tiny_model.set_classes(CLASSES, TEMPLATES)
    F.cross_entropy(tiny_model.train()(pictures(generator)), torch.tensor([0, 1, 2, 0])).backward()
    without = [name for name, p in tiny_model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == ["clip.logit_scale"]


def test_evaluation_logits_average_all_templates(tiny_model, generator):
    tiny_model.set_classes(CLASSES, TEMPLATES)
    images = pictures(generator)
    with torch.no_grad():
        logits = tiny_model.eval()(images)
        expected = hand_logits(tiny_model, images, averaged_text_features(tiny_model, CLASSES, TEMPLATES))
        first_only = hand_logits(tiny_model, images, averaged_text_features(tiny_model, CLASSES, TEMPLATES[:1]))
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    assert (logits - first_only).abs().max() > 1e-2


def test_classes_may_have_unequal_numbers_of_prompts(tiny_model):
    prompts = [["a cat", "the cat", "my cat"], ["a dog"]]
    tiny_model.class_texts = tiny_model.tokenize_classes(prompts)
    with torch.no_grad():
        features = tiny_model.eval().class_features()
        cat, dog = (averaged_text_features(tiny_model, [""], of_class)[0] for of_class in prompts)
    torch.testing.assert_close(features, torch.stack([cat, dog]), rtol=1e-5, atol=1e-6)


def test_evaluation_in_chunks_equals_evaluation_at_once(tiny_model, monkeypatch):
    tiny_model.eval().set_classes(CLASSES, TEMPLATES)
    with torch.no_grad():
        at_once = tiny_model.class_features()
        monkeypatch.setattr(clip_classifier, "EVALUATION_CHUNK", 2)  # nine prompts: five passes, the last of one prompt
        tiny_model.eval()
        passes = TextPasses(tiny_model)
        torch.testing.assert_close(tiny_model.class_features(), at_once, rtol=1e-5, atol=1e-6)
    assert passes.count == 5


def test_column_k_is_the_kth_class_name(tiny_model, generator):
    images = pictures(generator)
    tiny_model.set_classes(CLASSES)
    logits = tiny_model(images)
    tiny_model.set_classes([CLASSES[2], CLASSES[0]])
    torch.testing.assert_close(tiny_model(images), logits[:, [2, 0]], rtol=1e-5, atol=1e-5)
    assert (logits[:, 0] - logits[:, 2]).abs().min() > 1e-3


@pytest.mark.parametrize("training", [True, False])
def test_columns_place_the_logits_among_masked_ones(tiny_model, generator, training):
    images = pictures(generator)
    prompts = [["a cat"], ["a dog", "my dog"]]
    tiny_model.train(training)
    with torch.set_grad_enabled(training):
        tiny_model.class_texts = tiny_model.tokenize_classes(prompts)
        plain = tiny_model(images)
        tiny_model.class_texts = tiny_model.tokenize_classes(prompts, columns=[4, 1], width=6)
        placed = tiny_model(images)
    assert placed.shape == (4, 6)
    torch.testing.assert_close(placed[:, [4, 1]], plain)
    assert (placed[:, [0, 2, 3, 5]] == MASKED_LOGIT).all()
    assert placed.requires_grad == training


def test_without_classes_forward_says_what_to_call(tiny_model, generator):
    with pytest.raises(RuntimeError, match="set_classes"):
        tiny_model(pictures(generator))


def test_only_the_scale_and_the_bias_are_frozen():
    clip = open_clip.CLIP(CONFIG["embed_dim"], CONFIG["vision_cfg"], CONFIG["text_cfg"], init_logit_bias=-10.0)
    model = classifier(clip)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert frozen == {"clip.logit_scale", "clip.logit_bias"}


def test_the_scale_is_the_multiplier_and_does_not_train(tiny_model, generator):
    tiny_model.set_classes(CLASSES)
    assert tiny_model.logit_scale.item() == pytest.approx(1 / 0.07, rel=1e-5)
    optimizer = torch.optim.AdamW(tiny_model.parameters(), lr=1e-2)
    F.cross_entropy(tiny_model(pictures(generator)), torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()
    assert tiny_model.logit_scale.item() == pytest.approx(1 / 0.07, rel=1e-5)


def test_a_model_without_both_towers_is_refused_by_what_it_lacks():
    with pytest.raises(TypeError, match=r"got Linear without \['encode_image', 'encode_text', 'logit_scale'\]"):
        classifier(nn.Linear(2, 2))


# When class features are computed again


def test_evaluation_encodes_the_texts_once_while_nothing_changes(tiny_model, generator):
    tiny_model.eval().set_classes(CLASSES, TEMPLATES)
    passes = TextPasses(tiny_model)
    with torch.no_grad():
        outputs = [tiny_model(pictures(generator)) for _ in range(3)]
        assert passes.count == 1
        tiny_model.set_classes(CLASSES[:2], TEMPLATES)
        assert tiny_model(pictures(generator)).shape == (4, 2)
        assert passes.count == 2
    assert not torch.equal(outputs[0], outputs[1]), "the pictures differ, so the logits must"


def step_with(model: CLIPClassifier, **options) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, **options)
    F.cross_entropy(model(torch.ones(3, 3, 32, 32)), torch.tensor([0, 1, 2])).backward()
    optimizer.step()


def load_other_weights(model: CLIPClassifier, **options) -> None:
    model.load_state_dict(CLIPClassifier.from_open_clip("clip-tiny", seed=5).state_dict(), **options)


@torch.no_grad()
def change_in_place(model: CLIPClassifier) -> None:
    model.clip.token_embedding.weight.mul_(-1.5)


def replace_a_parameter(model: CLIPClassifier) -> None:
    model.clip.text_projection = nn.Parameter(-model.clip.text_projection.detach())


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda model: step_with(model, foreach=False, fused=False), id="AdamW one by one"),
        pytest.param(lambda model: step_with(model, foreach=True), id="AdamW foreach"),
        pytest.param(lambda model: step_with(model, fused=True), id="AdamW fused"),
        pytest.param(load_other_weights, id="load_state_dict"),
        pytest.param(lambda model: load_other_weights(model, assign=True), id="load_state_dict assign"),
        pytest.param(change_in_place, id="in place under no_grad"),
        pytest.param(replace_a_parameter, id="another parameter"),
    ],
)
def test_changed_weights_are_noticed_without_a_change_of_mode(tiny_model, change):
    tiny_model.eval().set_classes(CLASSES, TEMPLATES)
    with torch.no_grad():
        before = tiny_model.class_features().clone()
    change(tiny_model)
    assert not tiny_model.training
    with torch.no_grad():
        features = tiny_model.class_features()
        expected = averaged_text_features(tiny_model, CLASSES, TEMPLATES)
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-5)
    assert (features - before).abs().max() > 1e-3


def test_evaluation_mode_with_gradients_on_gives_the_training_logits_and_a_text_gradient(tiny_model, generator):
    tiny_model.set_classes(CLASSES, TEMPLATES)
    images = pictures(generator)
    expected = tiny_model.train()(images)
    tiny_model.eval()
    with torch.no_grad():
        tiny_model(images)  # leaves cached features without gradient behind
    logits = tiny_model(images)
    torch.testing.assert_close(logits, expected)
    logits.logsumexp(1).sum().backward()
    assert tiny_model.clip.token_embedding.weight.grad.abs().sum() > 0
    assert tiny_model.clip.text_projection.grad.abs().sum() > 0


def test_features_cached_in_inference_mode_serve_no_grad_and_training_after_it(tiny_model, generator):
    tiny_model.eval().set_classes(CLASSES, TEMPLATES)
    images = pictures(generator)
    with torch.inference_mode():
        inferred = tiny_model(images)
    with torch.no_grad():
        torch.testing.assert_close(tiny_model(images), inferred.clone())
    F.cross_entropy(tiny_model.train()(images), torch.tensor([0, 1, 2, 0])).backward()
    assert tiny_model.clip.token_embedding.weight.grad is not None


@pytest.mark.parametrize("training", [True, False])
def test_a_model_that_has_run_can_be_copied_and_the_copy_lives_its_own_life(tiny_model, generator, training):
    tiny_model.set_classes(CLASSES, TEMPLATES)
    images = pictures(generator)
    with torch.set_grad_enabled(training):
        logits = tiny_model.train(training)(images)
        other = copy.deepcopy(tiny_model)
        torch.testing.assert_close(other(images), logits)
    change_in_place(other)
    with torch.set_grad_enabled(training):
        assert (other(images) - logits).abs().max() > 1e-2
        torch.testing.assert_close(tiny_model(images), logits)


# The trimmed text tower


@pytest.mark.parametrize("pooling", [{}, {"pool_type": "eos", "eos_id": 49407}], ids=["argmax", "eos"])
def test_trimmed_texts_give_the_features_and_gradients_of_the_full_context(generator, pooling):
    model = classifier(tiny_clip(**pooling))
    texts = ["a photo of a cat.", "car", "my old and rusty rose!"]
    short, whole = model.tokenize(texts), model.tokenizer(texts)
    assert short.shape == (3, 8)  # "my old and rusty rose !": six tokens between start and end
    assert whole.shape == (3, CONTEXT)
    assert torch.equal(short, whole[:, :8])
    mixing = torch.randn(3, CONFIG["embed_dim"], generator=generator, dtype=torch.float64)
    results = []
    for encode in (lambda: model.encode_text(short), lambda: by_hand(model.clip.encode_text(whole))):
        model.zero_grad()
        features = encode()
        (features * mixing).sum().backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        results.append((features.detach(), gradients))
    (trimmed, trimmed_gradients), (full, full_gradients) = results
    torch.testing.assert_close(trimmed, full, rtol=0, atol=1e-10)
    assert trimmed_gradients.keys() == full_gradients.keys()
    # Two blocks of twelve, the token and position tables, the last norm's two, and the projection.
    assert len(full_gradients) == 29
    for name, gradient in full_gradients.items():
        torch.testing.assert_close(trimmed_gradients[name], gradient, rtol=0, atol=1e-10, msg=name)
        assert gradient.abs().max() > 1e-6, f"{name}: a gradient below the tolerance shows nothing"


@pytest.mark.parametrize(
    "make",
    [lambda: tiny_clip(no_causal_mask=True), lambda: tiny_clip(custom=True)],
    ids=["no causal mask", "custom text"],
)
def test_nothing_is_trimmed_where_that_is_not_exact(make):
    model = classifier(make())
    assert not can_trim(model.clip)
    texts = ["a photo of a cat.", "car"]
    tokens = model.tokenize(texts)
    assert torch.equal(tokens, model.tokenizer(texts))
    assert tokens.shape == (2, CONTEXT)
    torch.testing.assert_close(model.encode_text(tokens), by_hand(model.clip.encode_text(tokens)))


def test_trimming_a_tower_without_causal_mask_would_change_its_features():
    # Why the test above matters: the padding behind the end token reaches the feature there.
    clip = tiny_clip(no_causal_mask=True)
    tokens = open_clip.SimpleTokenizer(context_length=CONTEXT)(["a cat"])
    assert tokens.argmax(1).item() == 3
    other = tokens.clone()
    other[0, 4:] = 7
    assert (clip.encode_text(tokens) - clip.encode_text(other)).abs().max() > 1e-4


def test_a_prompt_that_fits_exactly_passes_and_one_word_more_is_refused_by_name(tiny_model):
    fitting = " ".join(["dog"] * (CONTEXT - 2))  # a start and an end token
    tiny_model.set_classes(["cat", fitting], ["{c}"])
    assert tiny_model.class_texts.train_tokens.shape == (2, CONTEXT)
    with pytest.raises(ValueError, match=rf"at most {CONTEXT} tokens, got {CONTEXT + 1} or more for '{fitting} emu'"):
        tiny_model.set_classes(["cat", fitting + " emu"], ["{c}"])
    with pytest.raises(ValueError, match="shorten the class name or the template"):
        tiny_model.set_classes([fitting], ["{c}", "a {c}"])  # only an evaluation prompt is too long


def test_a_tokenizer_of_one_context_length_is_taken_at_its_word(tiny_model):
    whole = tiny_model.tokenizer
    tiny_model.tokenizer = lambda texts: whole(texts)
    tiny_model.set_classes([" ".join(["dog"] * CONTEXT)], ["{c}"])
    assert tiny_model.class_texts.train_tokens.shape == (1, CONTEXT)


@pytest.mark.parametrize("name", ["a {0} set {", "{c}", '"quoted" o\'clock', "fire 🔥"])
def test_odd_class_names_have_logits(tiny_model, generator, name):
    tiny_model.set_classes(["cat", name])
    expected = hand_logits(
        tiny_model,
        images := pictures(generator),
        whole_text_features(tiny_model, ["a photo of a cat.", f"a photo of a {name}."]),
    )
    torch.testing.assert_close(tiny_model(images), expected, rtol=1e-5, atol=1e-5)


# Names and folders


def test_the_same_seed_gives_the_same_random_weights_and_leaves_every_global_generator_alone(tiny_model):
    torch.manual_seed(3)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    again, other = (CLIPClassifier.from_open_clip("clip-tiny", seed=seed) for seed in (0, 1))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (np.random.get_state()[1] == before[2]).all()
    weights, same = tiny_model.state_dict(), again.state_dict()
    assert all(torch.equal(weights[key], same[key]) for key in weights)
    assert not torch.equal(weights["clip.text_projection"], other.state_dict()["clip.text_projection"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("clip-tyni",), r"unknown model 'clip-tyni'; did you mean 'clip-tiny'\? Available: "),
        (("ViT-B-61", "openai"), r"unknown model 'ViT-B-61'; did you mean 'ViT-B-16'\?"),
        (("ViT-B-16", "opneai"), r"unknown pretrained tag of ViT-B-16 'opneai'; did you mean 'openai'\?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(arguments, message):
    with pytest.raises(ValueError, match=message):
        CLIPClassifier.from_open_clip(*arguments)


def test_a_saved_folder_gives_the_same_logits(tiny_model, generator, tmp_path):
    change_in_place(tiny_model)
    folder = tmp_path / "new" / "model"
    mean = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7]}
    tiny_model.save(folder, config={"model_cfg": CONFIG, "preprocess_cfg": mean})
    loaded = CLIPClassifier.from_folder(folder)
    images = pictures(generator)
    for model in (tiny_model, loaded):
        model.eval().set_classes(CLASSES, TEMPLATES)
    with torch.no_grad():
        assert torch.equal(loaded(images), tiny_model(images))
    assert loaded.name == "model"
    normalize = loaded.eval_transform.transforms[-1]
    assert (list(normalize.mean), list(normalize.std)) == (mean["mean"], mean["std"])
    files = ["open_clip_config.json", "open_clip_model.safetensors", "probe.json"]
    assert sorted(path.name for path in folder.iterdir()) == files


def test_saving_without_a_model_config_is_refused_and_writes_nothing(tiny_model, tmp_path):
    with pytest.raises(ValueError, match=r"'model_cfg', got the keys \['embed_dim'"):
        tiny_model.save(tmp_path / "model", config=CONFIG)
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("custom", [False, True])
@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("claimed", [None, False, True])
def test_the_activation_saved_is_that_of_the_layers_whatever_the_config_claims(tmp_path, generator, quick, claimed, custom):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        make = open_clip.CustomTextCLIP if custom else open_clip.CLIP
        clip = make(CONFIG["embed_dim"], CONFIG["vision_cfg"], CONFIG["text_cfg"], quick_gelu=quick)
    sizes = {**CONFIG, "quick_gelu": claimed, "custom_text": custom}
    if claimed is None:
        del sizes["quick_gelu"]
    model, given = classifier(clip), copy.deepcopy(sizes)
    model.save(tmp_path, config={"model_cfg": sizes})
    assert sizes == given, "the caller's own is left as it is"
    loaded, images = CLIPClassifier.from_folder(tmp_path), pictures(generator)
    assert torch.equal(loaded.encode_image(images), model.encode_image(images))
    assert torch.equal(loaded.encode_text(loaded.tokenize(CLASSES)), model.encode_text(model.tokenize(CLASSES)))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (("quick_gelu",), False),
        (("vision_cfg", "head_width"), 8),
        (("text_cfg", "heads"), 4),
        (("text_cfg", "no_causal_mask"), True),
    ],
)
def test_a_config_that_rebuilds_another_model_of_the_same_weights_is_one_clear_error(tmp_path, tiny_model, key, value):
    tiny_model.save(tmp_path, config={"model_cfg": CONFIG})
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    place = config["model_cfg"]
    for name in key[:-1]:
        place = place[name]
    assert place.get(key[-1]) != value
    place[key[-1]] = value
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"the features it had when it was saved \(probe\.json\).*quick_gelu, heads"):
        CLIPClassifier.from_folder(tmp_path)
    (tmp_path / "probe.json").unlink()
    CLIPClassifier.from_folder(tmp_path)


def test_weights_replaced_beside_the_probe_are_told(tmp_path, tiny_model):
    tiny_model.save(tmp_path, config={"model_cfg": CONFIG})
    other = CLIPClassifier.from_open_clip("clip-tiny", seed=5)
    other.save(tmp_path / "other", config={"model_cfg": CONFIG})
    (tmp_path / "other" / "open_clip_model.safetensors").replace(tmp_path / "open_clip_model.safetensors")
    with pytest.raises(ValueError, match="or the weights were replaced"):
        CLIPClassifier.from_folder(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "{}", "[1]", '{"image": [NaN], "text": [], "tolerance": 1}', '{"image": 3, "text": 3}']
)
def test_a_damaged_probe_is_named(tmp_path, tiny_model, content):
    tiny_model.save(tmp_path, config={"model_cfg": CONFIG})
    (tmp_path / "probe.json").write_text(content)
    with pytest.raises(ValueError, match=r"features of an image and a text in .*probe\.json"):
        CLIPClassifier.from_folder(tmp_path)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_weights_of_another_precision_are_probed_as_they_are_loaded(tmp_path, dtype):
    model = classifier(tiny_clip(dtype=dtype))
    model.train()
    model.clip.visual.eval()
    model.save(tmp_path, config={"model_cfg": CONFIG})
    assert model.clip.training and not model.clip.visual.training and model.clip.logit_scale.dtype == dtype
    assert CLIPClassifier.from_folder(tmp_path).clip.logit_scale.dtype == torch.float32


def test_a_model_that_computes_no_numbers_leaves_no_probe(tmp_path, tiny_model):
    tiny_model.save(tmp_path, config={"model_cfg": CONFIG})
    with torch.no_grad():
        tiny_model.clip.visual.proj.fill_(float("nan"))
    tiny_model.save(tmp_path, config={"model_cfg": CONFIG})
    assert not (tmp_path / "probe.json").exists()


def test_without_a_preprocess_config_the_model_keeps_its_own_mean_and_deviation(tmp_path, tiny_model):
    tiny_model.eval_transform = Compose(
        [*tiny_model.eval_transform.transforms[:-1], Normalize([0.5, 0.4, 0.3], [0.2, 0.2, 0.1])]
    )
    tiny_model.save(tmp_path, config={"model_cfg": CONFIG})
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 41, 3), dtype=np.uint8))
    loaded = CLIPClassifier.from_folder(tmp_path)
    torch.testing.assert_close(loaded.eval_transform(image), tiny_model.eval_transform(image))


class TouchesAFile:
    """Unpickled, it leaves a file behind."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["open_clip_pytorch_model.bin", "model.pth", "model.pt"])
def test_a_folder_with_pickled_weights_only_is_refused_and_nothing_is_unpickled(tmp_path, name):
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}))
    (tmp_path / name).write_bytes(pickle.dumps(TouchesAFile(tmp_path / "touched")))
    with pytest.raises(FileNotFoundError, match=rf"\['{name}'\]: pickled weights are not read"):
        CLIPClassifier.from_folder(tmp_path)
    assert not (tmp_path / "touched").exists()


def test_a_folder_with_both_kinds_of_weights_is_read_from_the_safetensors(tiny_model, tmp_path):
    tiny_model.save(tmp_path, config={"model_cfg": CONFIG})
    (tmp_path / "open_clip_model.safetensors").rename(tmp_path / "model.safetensors")
    other = CLIPClassifier.from_open_clip("clip-tiny", seed=1)
    torch.save(other.clip.state_dict(), tmp_path / "open_clip_pytorch_model.bin")
    loaded = CLIPClassifier.from_folder(tmp_path)
    assert torch.equal(loaded.clip.text_projection, tiny_model.clip.text_projection)


def test_a_folder_without_config_or_without_weights_is_refused_by_what_it_lacks(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"open_clip_config\.json and a \.safetensors file"):
        CLIPClassifier.from_folder(tmp_path)
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}))
    with pytest.raises(FileNotFoundError, match=r"expected a \.safetensors file in .*found no weights"):
        CLIPClassifier.from_folder(tmp_path)


# Pictures


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P"])
def test_pictures_kept_as_bytes_become_the_bits_of_the_full_transform(tiny_model, mode):
    values = np.random.default_rng(0).integers(0, 256, (50, 41, 3), dtype=np.uint8)
    picture = Image.fromarray(values).convert(mode)
    preparation = PicturePreparation(tiny_model.eval_transform)
    stored = preparation.stack([picture, picture.rotate(90, expand=True)])
    assert stored.dtype == torch.uint8
    assert stored.shape == (2, 3, 32, 32)
    expected = torch.stack([tiny_model.eval_transform(picture), tiny_model.eval_transform(picture.rotate(90, expand=True))])
    assert torch.equal(preparation.model_input(stored), expected)
    assert expected.std() > 0.1


@pytest.mark.parametrize(
    "transform",
    [
        ToTensor(),
        Compose([ToTensor()]),
        Compose([ToTensor(), Normalize([0.5], [0.5]), lambda x: x * 2]),
        lambda _: torch.ones(3),
    ],
)
def test_a_transform_of_another_make_is_kept_whole(transform):
    picture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    preparation = PicturePreparation(transform)
    assert torch.equal(preparation.model_input(preparation.stack([picture])), transform(picture)[None])
