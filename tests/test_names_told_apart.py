"""Class names that a tokenizer can't tell apart, within the classes that are to be told apart."""

import re
import string

import open_clip
import pytest
import torch
from test_streams import make_folders
from world import Pictures, plain

from avalanche_gift.benchmarks import ClassFolders, MiniWorld, Task, clip_benchmark
from avalanche_gift.benchmarks.class_names import class_names, templates
from avalanche_gift.benchmarks.running_labels import running_labels
from avalanche_gift.benchmarks.sources import ORDERS
from avalanche_gift.models.mini import mini_clip
from avalanche_gift.prompts import training_prompts

ALIKE = [
    ("Crane", "crane"),
    ("cat", "cat "),
    ("cat", " cat"),
    ("polar bear", "polar  bear"),
    ("polar bear", "polar\tbear"),
    ("AT&T", "AT&amp;T"),
    ("ﬁre", "fire"),
]


def stream(*names, **options):
    tasks = [
        Task(name=f"task{number}", train=Pictures(len(own), 2, 0), test=Pictures(len(own), 2, 1), class_names=own)
        for number, own in enumerate(names)
    ]
    return clip_benchmark(tasks, train_transform=plain(), eval_transform=plain(), **options)


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_names_of_the_same_tokens_are_refused_by_both_names(tiny_model, one, other):
    with pytest.raises(ValueError) as caught:
        tiny_model.set_classes(["dog", one, "horse", other])
    assert repr(f"a photo of a {one}.") in str(caught.value) and repr(f"a photo of a {other}.") in str(caught.value)
    assert "classes.json" in str(caught.value)


@pytest.mark.parametrize("template", ["a photo of a {c}.", "a photo of a {c}", "{c}"])
@pytest.mark.parametrize("name", ["<end_of_text>", "dog<end_of_text>", "dog <end_of_text> red"])
def test_a_name_that_holds_an_end_token_is_refused(tiny_model, name, template):
    with pytest.raises(ValueError, match=r"without the tokenizer's end token.*<end_of_text>"):
        tiny_model.set_classes(["cat", name], [template])


@pytest.mark.parametrize("name", ["<|endoftext|>", "C++", "<start_of_text>", "end_of_text", "a" * 60, "é", "猫"])
def test_other_strange_names_are_taken(tiny_model, name):
    tiny_model.set_classes(["cat", "C", name])
    assert len(tiny_model.class_texts) == 3


def test_a_prompt_that_just_fits_is_no_cut_one(tiny_model):
    words = " ".join(["a"] * 30)
    assert (tiny_model.tokenizer([words])[0] != 0).all()
    tiny_model.set_classes(["cat", words], ["{c}"])


def test_a_later_task_with_such_names_is_refused_before_the_first_is_trained(tiny_model):
    benchmark = stream(["cat", "dog"], ["Crane", "crane"])
    with pytest.raises(ValueError, match=r"a photo of a Crane.*a photo of a crane"):
        tiny_model.adaptation(benchmark.train_stream[0])


def test_a_later_step_that_repeats_a_name_in_other_letters_is_refused_before_the_first_is_trained(tiny_model):
    benchmark = stream(["crane", "dog"], ["Crane", "owl"], class_incremental=True)
    with pytest.raises(ValueError, match=r"a photo of a crane.*a photo of a Crane"):
        tiny_model.adaptation(benchmark.train_stream[0])


def test_tasks_that_are_not_told_apart_may_share_names_in_any_letters_also_within_a_batch(tiny_model):
    benchmark = stream(["crane", "dog"], ["Crane", "dog"])
    tiny_model.eval()
    for experience in benchmark.train_stream:
        tiny_model.adaptation(experience)
    images = torch.zeros(2, 3, 32, 32)
    logits = tiny_model(images, torch.tensor([0, 1]))
    torch.testing.assert_close(logits[0], logits[1])


def test_names_may_recur_where_labels_run_on(tiny_model):
    benchmark = running_labels(stream(["crane", "dog"], ["crane", "owl"]))
    tiny_model.train()
    for experience in benchmark.train_stream:
        tiny_model.adaptation(experience)
    assert len(tiny_model.class_texts) == 4


def test_a_stream_is_checked_once(tiny_model, monkeypatch):
    benchmark = stream(["cat", "dog"], ["owl", "jay"])
    calls = []
    monkeypatch.setattr(tiny_model, "tokenize_classes", lambda *args, **kwargs: calls.append(args))
    for experience in (*benchmark.train_stream, *benchmark.test_stream):
        tiny_model.adaptation(experience)
    assert len(calls) == 2


def test_folders_of_such_names_are_refused_and_classes_json_is_the_way_out(tiny_model, tmp_path):
    root = make_folders(tmp_path, {"birds": ["Crane", "crane"]})

    def adapt():
        tiny_model.adaptation(ClassFolders(root, train_transform=plain(), eval_transform=plain()).train_stream[0])

    with pytest.raises(ValueError, match=r"classes\.json"):
        adapt()
    (root / "birds" / "classes.json").write_text('{"names": {"Crane": "construction crane"}}')
    adapt()


def published():
    yield from ((name, training_prompts(class_names(name), templates(name))) for name in ORDERS["I"])
    yield from ((name, training_prompts(class_names(name), templates("CIL"))) for name in ("CIFAR100_CIL", "TinyImageNet"))


@pytest.mark.parametrize(("name", "prompts"), list(published()), ids=[name for name, _ in published()])
def test_published_names_are_told_apart_by_clip_and_by_tokenizers_that_drop_case_and_punctuation(name, prompts):
    rows = open_clip.get_tokenizer("ViT-B-16")(prompts).tolist()
    assert len(set(map(tuple, rows))) == len(prompts)
    letters = [re.sub(rf"[{re.escape(string.punctuation)}]", "", prompt).lower().split() for prompt in prompts]
    assert len(set(map(tuple, letters))) == len(prompts)


def test_the_mini_world_is_told_apart_and_words_that_its_model_does_not_know_are_not():
    for options in ({}, {"class_incremental": True}):
        model = mini_clip()
        for experience in MiniWorld(0, train_transform=plain(), eval_transform=plain(), **options).train_stream:
            model.adaptation(experience)
    with (
        pytest.warns(UserWarning, match="does not know the word"),
        pytest.raises(ValueError, match=r"zebra.*giraffe.*unknown words are alike"),
    ):
        model.set_classes(["zebra", "giraffe"])
