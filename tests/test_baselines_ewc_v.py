"""EWC-V, the ablations as options of GIFT, and records of all of them replayed."""

import pytest
import slow_reference as slow
import torch
from made_records import make_record
from replay import LOSS_TOLERANCE, WEIGHT_TOLERANCE, main, replay
from world import BASE_PROMPTS, MadePictures, Spy, equal_weights, made_stream, naive, quiet, tiny_model, weights_of

from avalanche_gift.training import EWCV, GIFT
from avalanche_gift.training.plugins import (
    ImageTextAlignmentPlugin,
    StaticFisherPlugin,
    SyntheticReplayPlugin,
)
from avalanche_gift.training.plugins.static_fisher import parse_static_fisher

COMMON = {"train_iterations": 4, "lr": 1e-3, "train_mb_size": 6, "evaluator": quiet}
SYNTHETIC = {"synthetic_images": 8, "synthetic_mb_size": 4, "base_prompts": BASE_PROMPTS}

# The replay tool makes its own evaluator and reads its losses while they carry gradient.
NO_LOGGERS = pytest.mark.filterwarnings("ignore:No loggers specified", "ignore:Converting a tensor with requires_grad")


def ewc_v(model=None, kind=EWCV, **kwargs):
    model = tiny_model() if model is None else model
    return kind(model, synthetic=MadePictures(), **{**COMMON, **SYNTHETIC, **kwargs})


def trained(strategy, **kwargs):
    strategy.train(made_stream((3, 2)).train_stream, **kwargs)
    return weights_of(strategy.model)


def plugin_of(strategy):
    (plugin,) = [each for each in strategy.plugins if isinstance(each, StaticFisherPlugin)]
    return plugin


class Fixed:
    """Pairs that are always these."""

    def __init__(self, count=8):
        self.prompts = [BASE_PROMPTS[index % 4] for index in range(count)]
        self.pictures = [MadePictures.picture(prompt, index) for index, prompt in enumerate(self.prompts)]

    def pairs(self, count, *, seed, exclude=()):
        return self.pictures, self.prompts


@pytest.mark.parametrize(("images", "batches"), [(4, 1), (8, 2), (5, 2)])
def test_fisher_is_that_of_alignment_on_the_first_pictures_before_the_task_and_stays(images, batches):
    model, source, found = tiny_model(), Fixed(), []

    def look(strategy):
        plugin = plugin_of(strategy)
        found.append({name: plugin.fisher(f"clip.{name}", None).double().clone() for name in names})

    names = [name for name, _ in model.clip.named_parameters() if name != "logit_scale"]
    clip = slow.double(model)
    strategy = GIFT(model, synthetic=source, static_fisher=images, plugins=[Spy(before_update=look)], **{**COMMON, **SYNTHETIC})
    strategy.train(made_stream((3, 2)).train_stream[0], shuffle=False)

    expected = dict.fromkeys(names, 0.0)
    for batch in range(batches):
        rows = slice(4 * batch, 4 * batch + 4)
        pictures = torch.stack([model.eval_transform(picture) for picture in source.pictures[rows]]).double()
        scores = slow.logits(clip, pictures, model.tokenizer(source.prompts[rows]))
        pairs = torch.arange(4)
        loss = 0.25 * (slow.cross_entropy(scores, pairs) + slow.cross_entropy(scores.T, pairs))
        for name, gradient in slow.gradients(clip, loss).items():
            expected[name] = expected[name] + gradient**2 / (gradient**2).mean() / batches
    assert len(found) == 4
    for name in names:
        if name.endswith("in_proj_bias"):
            continue
        torch.testing.assert_close(found[0][name], expected[name], rtol=5e-3, atol=1e-3)
        assert torch.equal(found[0][name], found[-1][name])


def test_measuring_leaves_no_gradient_and_only_consolidation_differs_from_gift():
    terms = []
    spy = Spy(before_update=lambda s: terms.append({name: float(value) for name, value in s.loss_terms.items()}))
    trained(ewc_v(plugins=[spy]))
    assert all(set(each) == {"cross_entropy", "distillation", "alignment", "ewc_v"} for each in terms)
    assert terms[0]["ewc_v"] == 0 < terms[1]["ewc_v"]
    same = [trained(ewc_v(kind=kind, awc_weight=0.0)) for kind in (EWCV, GIFT)]
    assert equal_weights(*same)
    assert not equal_weights(trained(ewc_v()), trained(ewc_v(kind=GIFT)))
    assert equal_weights(trained(ewc_v()), trained(ewc_v(kind=GIFT, static_fisher=64)))


def test_reference_form_differs_and_parses():
    assert not equal_weights(trained(ewc_v(static_fisher="reference:4")), trained(ewc_v(static_fisher=4)))
    assert parse_static_fisher(128) == (128, False) and parse_static_fisher("128") == (128, False)
    assert parse_static_fisher("reference:128") == (128, True) and parse_static_fisher("reference") == (64, True)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "paper", "reference:", "reference:x", ":4x", ""])
def test_static_fisher_of_another_form_is_refused(wrong):
    with pytest.raises(ValueError, match="a number of pictures, reference or reference:N, got"):
        ewc_v(static_fisher=wrong)


def test_static_fisher_without_alignment_is_refused_for_it_would_be_noise():
    with pytest.raises(ValueError, match="expected beta > 0 with static_fisher, got 0"):
        ewc_v(beta=0.0)


def test_static_fisher_needs_synthetic_replay_beside_it_and_works_in_naive():
    with pytest.raises(ValueError, match="expected a SyntheticReplayPlugin beside StaticFisherPlugin"):
        trained(naive(StaticFisherPlugin()))
    replays = [SyntheticReplayPlugin(MadePictures(), images=8, batch_size=4, base_prompts=BASE_PROMPTS) for _ in range(2)]
    ours = trained(naive(replays[0], ImageTextAlignmentPlugin(), StaticFisherPlugin(batch_size=4)))
    assert not equal_weights(ours, trained(naive(replays[1], ImageTextAlignmentPlugin())))


# ---- ablations


def test_pool_without_learned_classes_asks_for_the_broad_vocabulary_only():
    asked = {}
    for extend in (True, False):
        source = MadePictures()
        arguments = {**COMMON, **SYNTHETIC, "synthetic_images": 40, "train_iterations": 1}
        trained(GIFT(tiny_model(), synthetic=source, extend_pool=extend, **arguments))
        asked[extend] = [prompt for prompts, _ in source.calls[1:] for prompt in prompts]
    assert set(asked[False]) == set(BASE_PROMPTS) < set(asked[True])


RECORDED = {
    "fine-tuning": {"alpha": 0.0, "beta": 0.0, "consolidation_weight": 0.0, "adaptive": False},
    "alignment only": {"alpha": 0.0, "beta": 1.0, "adaptive": False},
    "both with l2": {"adaptive": False, "weight_decay": 0.1},
    "feature": {"distillation": "feature", "adaptive": False},
    "image only": {"distillation": "image_only", "adaptive": False},
    "text only, adaptive": {"distillation": "text_only"},
    "reverse kl": {"distillation": "reverse_kl", "adaptive": False, "adam_beta2": 0.99},
    "initial": {"teacher": "initial", "beta": 0.5},
    "wise": {"teacher": "wise:0.2", "consolidation_weight": 2.0, "alpha": 2.0},
    "static, one batch": {"static_fisher_batches": 1},
    "static, two batches": {"static_fisher_batches": 2},
    "static, four batches, initial": {"static_fisher_batches": 4, "teacher": "initial"},
    "static, image only": {"static_fisher_batches": 2, "distillation": "image_only"},
}


@NO_LOGGERS
@pytest.mark.parametrize("settings", RECORDED.values(), ids=RECORDED)
def test_a_record_made_by_the_formulas_is_repeated(tmp_path, settings):
    make_record(tmp_path / "made.safetensors", **settings)
    loss_error, weight_error = replay(tmp_path / "made.safetensors")
    assert loss_error < LOSS_TOLERANCE / 10 and weight_error < WEIGHT_TOLERANCE


@NO_LOGGERS
@pytest.mark.parametrize(
    ("made", "claimed"),
    [
        ({"static_fisher_batches": 2}, {"static_fisher_batches": 1}),
        ({"static_fisher_batches": 2}, {"static_fisher_batches": 0}),
        ({"teacher": "wise:0.2"}, {"teacher": "wise:0.3"}),
        ({"distillation": "image_only"}, {"distillation": "contrastive"}),
    ],
)
def test_a_record_of_other_settings_is_not(tmp_path, monkeypatch, made, claimed):
    import replay as tool

    make_record(tmp_path / "made.safetensors", **made)
    read = tool.read_record

    def claim(path):
        record = read(path)
        record.settings |= claimed
        return record

    monkeypatch.setattr(tool, "read_record", claim)
    _, weight_error = tool.replay(tmp_path / "made.safetensors")
    assert weight_error > WEIGHT_TOLERANCE


def test_the_tool_names_a_setting_it_does_not_know(tmp_path, capsys):
    make_record(tmp_path / "made.safetensors", alpha=1.0)
    record = tmp_path / "made.safetensors"
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(record, "pt") as file:
        settings = {**file.metadata(), "distillation": '"cosine"'}
    save_file(load_file(record), record, metadata=settings)
    assert main([str(record)]) == 1
    assert "unknown distillation 'cosine'" in capsys.readouterr().out
