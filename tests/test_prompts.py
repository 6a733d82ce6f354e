"""Class names to prompts, the pool, and the published prompt lists of Order I."""

import hashlib
import json
import random
from pathlib import Path

import pytest

from avalanche_gift.prompts import PromptSampler, class_prompts, fill, imagenet_prompts, prompt_pool, training_prompts

ODD_NAMES = ["{c}", "a {0} set {", '"quoted" o\'clock', "fire 🔥", "100 % \\n", "naïve café"]

# Order I: dataset, its training template, the first 16 hex digits of SHA-256 over its first 1,000 prompts, one a line, and
# the first of them. The lists that the authors published have these digits; each held 10,000 prompts.
ORDER_I = [
    ("Aircraft", "a photo of a {c}, a type of aircraft.", "9a4f31978e1021a5", "a photo of a minibus."),
    ("Caltech101", "a photo of a {c}.", "2674ca6ce2b092f2", "a photo of a milk can."),
    ("CIFAR100", "a photo of a {c}.", "3f7e755bae048c5b", "a photo of a earth star fungus."),
    ("DTD", "a photo of a {c} texture.", "79ac0e0cdce8e37c", "a photo of a Boston Terrier."),
    ("EuroSAT", "a centered satellite photo of {c}.", "c1941a0796da87a6", "a photo of a Nile crocodile."),
    ("Flowers", "a photo of a {c}, a type of flower.", "6b2b1d56c6748031", "a photo of a china cabinet."),
    ("Food", "a photo of a {c}, a type of food.", "c6867f8dd6abe312", "a photo of a helicopter."),
    ("MNIST", 'a photo of the number: "{c}".', "a441af500533fc30", "a photo of a head of a flamingo."),
    ("OxfordPet", "a photo of a {c}, a type of pet.", "7b1a821ab8266937", "a photo of a weevil."),
    ("StanfordCars", "a photo of a {c}, a type of car.", "d5e49abed2d37b50", "a photo of a graduation cap."),
    ("SUN397", "a photo of a {c}.", "323f86cfea9be7c0", "a photo of a wolf spider."),
]
POOL_SIZES_I = [1000, 1100, 1201, 1301, 1348, 1358, 1460, 1561, 1571, 1608, 1804]


def test_the_eleven_published_prompt_lists_of_order_i_come_out_to_the_letter(shared_folder: Path):
    names_file = shared_folder / "spec" / "classnames.json"
    if not names_file.is_file():
        pytest.skip(f"no {names_file}")
    names = json.loads(names_file.read_text(encoding="utf-8"))
    base, sampler = imagenet_prompts(), PromptSampler(seed=42)
    learned: list[list[str]] = []
    for (dataset, template, digits, first), size in zip(ORDER_I, POOL_SIZES_I, strict=True):
        pool = prompt_pool(base, learned)
        drawn = sampler.draw(pool, 10_000)
        assert len(pool) == size
        assert drawn[0] == first
        assert hashlib.sha256("\n".join(drawn[:1000]).encode()).hexdigest()[:16] == digits, dataset
        learned.append(training_prompts(names[dataset], [template]))


def test_class_prompts_are_grouped_by_class_with_the_training_prompt_first():
    prompts = class_prompts(["cat", "dog"], ["a photo of a {c}.", "{c} and {c}"])
    assert prompts == (("a photo of a cat.", "cat and cat"), ("a photo of a dog.", "dog and dog"))
    assert training_prompts(["cat", "dog"], ["a {c}.", "the {c}."]) == ["a cat.", "a dog."]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_class_name_survives(name):
    assert fill("<{c}> {0} {", name) == "<" + name + "> {0} {"
    assert training_prompts([name], ["a {c}."]) == [f"a {name}."]


@pytest.mark.parametrize("names", [["cat", ""], ["cat", " \t"], ["cat", None], [3]])
def test_empty_class_names_are_refused(names):
    with pytest.raises(ValueError, match="non-empty class names, got "):
        class_prompts(names, ["a {c}."])


def test_repeated_class_names_are_refused_by_name():
    with pytest.raises(ValueError, match=r"distinct class names, got twice: \['crane'\]"):
        class_prompts(["crane", "dog", "crane"], ["a {c}."])


@pytest.mark.parametrize("templates", [[], ["a {c}.", "a photo"], ["a {}."], ["a {C}."]])
def test_templates_without_a_place_for_the_name_are_refused(templates):
    with pytest.raises(ValueError, match=r"templates that hold \{c\}"):
        class_prompts(["cat"], templates)


def test_one_string_for_a_list_of_templates_is_refused():
    with pytest.raises(ValueError, match=r"list of templates, got the one string 'a \{c\}\.'"):
        class_prompts(["cat"], "a {c}.")


def test_imagenet_prompts_are_a_thousand_of_which_two_come_twice():
    prompts = imagenet_prompts()
    assert (len(prompts), len(set(prompts))) == (1000, 998)
    assert prompts[0] == "a photo of a tench."
    assert prompts.count("a photo of a missile.") == prompts.count("a photo of a sunglasses.") == 2


def test_the_pool_is_the_base_and_then_what_was_learned_in_order_with_nothing_dropped():
    base = ["b", "a", "b"]
    assert prompt_pool(base, []) == ["b", "a", "b"]
    assert prompt_pool(iter(base), [["z", "a"], ("y",)]) == ["b", "a", "b", "z", "a", "y"]
    assert base == ["b", "a", "b"]


def test_an_experience_joins_the_pool_only_for_the_next_one():
    experiences = [["cat", "dog"], ["rose"], ["car"]]
    pools = [prompt_pool(["base"], experiences[:t]) for t in range(3)]
    assert pools == [["base"], ["base", "cat", "dog"], ["base", "cat", "dog", "rose"]]


def test_draws_are_random_choice_on_one_stream_that_goes_on_through_the_experiences():
    pools = [["a", "b", "c"], ["a", "b", "c", "d", "e"]]
    sampler, plain = PromptSampler(seed=7), random.Random(7)
    drawn = [sampler.draw(pool, 50) for pool in pools]
    assert drawn == [[plain.choice(pool) for _ in range(50)] for pool in pools]
    assert set(drawn[1]) == set(pools[1])
    assert drawn[1] != PromptSampler(seed=7).draw(pools[1], 50)


def test_the_same_seed_draws_the_same_and_another_seed_does_not():
    pool = [str(number) for number in range(100)]
    draws = [PromptSampler(seed).draw(pool, 20) for seed in (42, 42, 43)]
    assert draws[0] == draws[1] != draws[2]
    assert PromptSampler().draw(pool, 20) == draws[0]


def test_pythons_own_random_numbers_are_neither_read_nor_moved():
    random.seed(1)
    before = random.getstate()
    PromptSampler(seed=3).draw(["a", "b"], 5)
    assert random.getstate() == before


def test_a_sampler_goes_on_from_a_state_that_went_through_json():
    pool = [str(number) for number in range(1000)]
    sampler = PromptSampler(seed=42)
    sampler.draw(pool, 123)
    state = json.loads(json.dumps(sampler.state_dict()))
    following = sampler.draw(pool, 700)  # more than one block of the generator's 624 numbers
    resumed = PromptSampler(seed=0)
    resumed.load_state_dict(state)
    assert resumed.draw(pool, 700) == following


def test_an_empty_pool_and_a_count_below_one_are_refused():
    with pytest.raises(ValueError, match="at least one prompt in the pool, got none"):
        PromptSampler().draw([], 1)
    for count in (0, -1):
        with pytest.raises(ValueError, match=f"at least one prompt, got {count}"):
            PromptSampler().draw(["a"], count)
