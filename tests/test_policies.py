"""When pictures are made: whichever policy a strategy is given, the pictures of a position are the same."""

import numpy as np
import pytest
import torch
from pictures_made import Noise, fill
from world import BASE_PROMPTS, COUNTS, equal_weights, made_stream, names_of, quiet, template_of, tiny_model, weights_of

from avalanche_gift import GIFT
from avalanche_gift.generation import Ahead, PerTask, RegenerateEvery, StoreError, SyntheticStore, picture_seed, plan_tasks
from avalanche_gift.generation.filters import Filtered, clip_similarity, drop_lowest, low_ranking, lowest, prompt_ranks
from avalanche_gift.prompts import training_prompts

STREAM = [(f"task{task}", training_prompts(names_of(task), [template_of(task)])) for task in range(3)]


def planned(images=8, seed=5, **options):
    return plan_tasks(BASE_PROMPTS, STREAM, images=images, seed=seed, **options)


def gift(synthetic, **options):
    settings = {"train_iterations": 4, "lr": 1e-3, "train_mb_size": 6, "evaluator": quiet, "seed": 5}
    synthetic_settings = {"synthetic_images": 8, "synthetic_mb_size": 5, "base_prompts": BASE_PROMPTS}
    return GIFT(tiny_model(), synthetic=synthetic, **{**settings, **synthetic_settings, **options})


def trained(synthetic, **options):
    strategy = gift(synthetic, **options)
    strategy.train(made_stream(COUNTS).train_stream)
    return weights_of(strategy.model)


class Noting(Noise):
    """Notes the prompts it was asked for, call by call."""

    def __init__(self):
        super().__init__()
        self.prompts = []

    def generate(self, prompts, seeds):
        self.prompts.append(list(prompts))
        return super().generate(prompts, seeds)


def test_ahead_per_task_and_a_plain_generator_train_to_the_same_weights(tmp_path):
    store = SyntheticStore(tmp_path)
    fill(store, Noise(), planned(), seed=5, batch_size=3)
    plain = trained(Noise())
    assert equal_weights(plain, trained(PerTask(Noise())))
    assert equal_weights(plain, trained(Ahead(tmp_path)))
    assert equal_weights(plain, trained(tmp_path))
    assert not equal_weights(plain, trained(Noise(), seed=6))


def test_a_store_of_another_order_of_tasks_is_refused_by_the_name_of_the_task(tmp_path):
    store = SyntheticStore(tmp_path)
    fill(store, Noise(), plan_tasks(BASE_PROMPTS, STREAM[::-1], images=8, seed=5), seed=5)
    with pytest.raises(StoreError, match=r"pictures of the task 'task0'.*found those of 'task2'"):
        trained(Ahead(tmp_path))


def test_a_strategy_draws_what_the_plan_says():
    generator = Noting()
    trained(PerTask(generator))
    assert generator.prompts == [list(task.prompts) for task in planned()]
    assert generator.calls == [list(task.seeds) for task in planned()]


@pytest.mark.parametrize("skip", [0, "named"])
def test_skipped_tasks_never_join_the_pool(skip):
    name = made_stream(COUNTS).train_stream[0].task_name
    generator = Noting()
    trained(PerTask(generator, skip=[name if skip == "named" else skip]), synthetic_images=60)
    assert generator.prompts == [list(task.prompts) for task in planned(60, skip=[0])]
    assert not set(STREAM[0][1]) & set(generator.prompts[2])
    assert set(STREAM[1][1]) & set(generator.prompts[2])


def test_fresh_pictures_come_every_k_iterations_and_the_first_are_those_of_per_task():
    generator = Noting()
    trained(RegenerateEvery(2, generator), train_iterations=5)
    assert len(generator.calls) == 3 * 3
    assert [call[0] for call in generator.calls[:4]] == [picture_seed(0, first, 5) for first in (0, 8, 16)] + [
        picture_seed(1, 0, 5)
    ]
    assert generator.prompts[::3] == [list(task.prompts) for task in planned()]
    assert len({tuple(prompts) for prompts in generator.prompts}) == 9
    assert set(generator.prompts[1]) <= set(BASE_PROMPTS)


def test_regenerating_later_than_a_task_lasts_is_per_task():
    assert equal_weights(trained(RegenerateEvery(100, Noise())), trained(PerTask(Noise())))
    assert not equal_weights(trained(RegenerateEvery(2, Noise())), trained(PerTask(Noise())))


def test_the_teacher_of_fresh_pictures_is_the_model_as_the_task_began():
    """Equal pictures in every round: only a teacher that moves with the student would change the weights."""

    class Constant(Noise):
        def generate(self, prompts, seeds):
            return super().generate(["x"] * len(prompts), range(len(prompts)))

    def one_prompt(policy):
        return trained(policy, base_prompts=["a photo of a thing."], synthetic_mb_size=8, beta=0.0, awc_weight=0.0)

    renewed = RegenerateEvery(1, Constant(), skip=range(3))
    fixed = PerTask(Constant(), skip=range(3))
    ours, expected = one_prompt(renewed), one_prompt(fixed)
    assert all(torch.allclose(ours[name], expected[name], atol=1e-6) for name in expected)


def test_black_pictures_are_drawn_again_in_training_too():
    black = Noise(black=planned()[0].seeds[:2])
    trained(PerTask(black))
    assert [len(call) for call in black.calls[:2]] == [8, 2]


def test_wrong_policies_are_refused(tmp_path):
    with pytest.raises(StoreError, match=r"expected a store .* found no task-\*/meta\.json"):
        Ahead(tmp_path)
    with pytest.raises(ValueError, match="every 1 or more iterations, came 0"):
        RegenerateEvery(0, Noise())
    with pytest.raises(TypeError, match="one string 'MNIST'"):
        PerTask(Noise(), skip="MNIST")
    with pytest.raises(TypeError, match="no generate"):
        PerTask(Ahead.__new__(Ahead))


def test_too_small_a_store_is_an_error_of_training(tmp_path):
    fill(SyntheticStore(tmp_path), Noise(), planned(4), seed=5)
    with pytest.raises(StoreError, match="expected 8 pictures"):
        trained(Ahead(tmp_path))


# ---- filters


def test_rank_counts_the_prompts_that_are_nearer():
    similarities = torch.tensor([[0.9, 0.1, 0.5], [0.2, 0.2, 0.3], [0.4, 0.5, 0.6]])
    assert prompt_ranks(similarities, torch.tensor([0, 1, 0])).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="expected similarities"):
        prompt_ranks(similarities, torch.tensor([0]))


def told(pictures, prompts):
    """Pictures are numbers: the place of the prompt they show, in the pool sorted by name."""
    order = {prompt: place for place, prompt in enumerate(sorted(prompts))}
    return torch.tensor([[-abs(order[prompt] - picture) for prompt in prompts] for picture in pictures]).float()


def test_pictures_unlike_their_prompt_are_found():
    pool = ["a", "b", "c", "d"]
    assert low_ranking([0, 3, 2], ["a", "a", "b"], pool, told, worst_rank=1) == [1, 2]
    assert low_ranking([0, 3, 2], ["a", "a", "b"], pool, told, worst_rank=2) == [1]
    assert low_ranking([], [], pool, told, worst_rank=1) == []


def test_filtered_draws_them_again_and_counts_them():
    class Numbers:
        def generate(self, prompts, seeds):
            return [0 if prompt == "a" or seed > 2**40 else 3 for prompt, seed in zip(prompts, seeds, strict=True)]

    filtered = Filtered(Numbers(), ["a", "b", "c", "d"], told, worst_rank=2)
    assert filtered.generate(["a", "b", "d"], [1, 2, 3]) == [0, 0, 3]
    assert filtered.dropped == 1


def test_the_lowest_share_goes_by_rank_and_then_by_similarity():
    similarities = torch.tensor([[0.9, 0.1], [0.3, 0.2], [0.2, 0.8], [0.5, 0.6]])
    own = torch.tensor([0, 0, 0, 0])
    assert [lowest(similarities, own, share) for share in (0, 0.25, 0.5, 0.75)] == [[], [2], [2, 3], [1, 2, 3]]
    assert len(lowest(torch.zeros(100, 2), torch.zeros(100, dtype=torch.long), 0.29)) == 29
    for share in (-0.1, 1):
        with pytest.raises(ValueError, match="expected a share to drop"):
            lowest(similarities, own, share)


def test_dropping_the_lowest_passes_over_black_pictures(tmp_path):
    store, task = SyntheticStore(tmp_path), planned()[0]
    fill(store, Noise(black=task.seeds[2:3]), [task], seed=5, black="drop")
    folder = store.task(0)

    def similarity(pictures, prompts):
        rows = [tuple(np.asarray(picture)[0, 0]) for picture in pictures]
        return torch.tensor([[sum(map(int, row))] * len(prompts) for row in rows]).float()

    dropped = drop_lowest(folder, task.pool, similarity, share=0.3, model="brightness")
    brightness = {r.index: int(np.asarray(folder.picture(r))[0, 0].astype(int).sum()) for r in folder.records().values()}
    del brightness[2]
    assert dropped == sorted(sorted(brightness, key=lambda index: brightness[index])[:2])
    assert folder.dropped() == {"share": 0.3, "pictures": 7, "model": "brightness", "indices": dropped}
    assert len(folder.pairs(8)[0]) == 5


@torch.no_grad()
def test_similarity_is_the_cosine_that_clip_finds():
    model, prompts = tiny_model(), ["a photo of a sun.", "a photo of a moon."]
    pictures = Noise().generate(BASE_PROMPTS[:3], [1, 2, 3])
    model.eval()
    images = model.encode_image(torch.stack([model.eval_transform(picture) for picture in pictures]))
    expected = images @ model.encode_text(model.tokenize(prompts)).T
    model.train()
    found = clip_similarity(model, batch_size=2)(pictures, prompts)
    assert torch.allclose(found, expected, atol=1e-6)
    assert found.shape == (3, 2)
    assert found.abs().max() <= 1 + 1e-6
    assert model.training
