import os
import random
import signal
import subprocess
import sys
import time

import pytest
from pictures_made import BASE, TASKS, Noise, contents, fill, planned

from avalanche_gift.generation import GenerationError, SyntheticStore, make_pictures, picture_seed, plan_tasks, retry_seed
from avalanche_gift.generation.making import shard_of_process
from avalanche_gift.prompts import PromptSampler

SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from pictures_made import Noise, fill, planned
from avalanche_gift.generation import SyntheticStore

class Slow(Noise):
    def generate(self, prompts, seeds):
        time.sleep(0.004 * len(prompts))
        return super().generate(prompts, seeds)

Slow.__name__ = "Noise"
fill(SyntheticStore({root!r}), Slow(), planned(64), batch_size=5)
"""


def test_prompts_and_seeds_are_those_that_a_strategy_draws():
    plan = planned()
    sampler = PromptSampler(42)
    assert list(plan[0].prompts) == sampler.draw(BASE, 6)
    assert list(plan[1].prompts) == sampler.draw(BASE + TASKS[0][1], 6)
    assert list(plan[2].prompts) == sampler.draw(BASE + TASKS[0][1] + TASKS[1][1], 6)
    assert [task.seeds[0] for task in plan] == [419_900_000, 420_000_000, 420_100_000]


def test_a_skipped_task_never_joins_the_pool():
    plan = plan_tasks(["x"], TASKS, images=50, skip=["pets"])
    assert set(plan[1].prompts) == {"x"}
    assert set(plan[2].prompts) == {"x", "a photo of a pie."}
    assert plan_tasks(["x"], TASKS, images=50, skip=[0]) == plan
    with pytest.raises(ValueError, match="expected to skip some of"):
        plan_tasks(["x"], TASKS, images=1, skip=["pet"])


def test_more_prompts_drawn_than_used_move_the_random_numbers_on():
    assert planned(3, drawn=10)[1].prompts == planned(10)[1].prompts[:3]
    with pytest.raises(ValueError, match="got 5 of 4"):
        planned(5, drawn=4)


def test_seeds_of_retries_meet_no_first_seed():
    firsts = {picture_seed(task, index) for task in (0, 10) for index in (0, 99_999)}
    assert retry_seed(7, 1) == 7
    assert min(retry_seed(seed, attempt) for seed in firsts for attempt in (2, 3, 5)) > picture_seed(98, 99_999, seed=1000)
    assert max(retry_seed(2**63 - 1, attempt) for attempt in (1, 2)) < 2**63


def test_black_broken_and_failing_pictures_are_drawn_again():
    prompts, seeds = BASE[:5], [1, 2, 3, 4, 5]
    generator = Noise(black=[2, retry_seed(2, 2)], broken=[4], raising=[5])
    made = make_pictures(generator, prompts, seeds)
    assert [one.attempts for one in made] == [1, 3, 1, 2, 2]
    assert [one.seed for one in made] == [1, retry_seed(2, 3), 3, retry_seed(4, 2), retry_seed(5, 2)]
    expected = Noise().generate(prompts, [one.seed for one in made])
    assert [one.picture.tobytes() for one in made] == [picture.tobytes() for picture in expected]


def test_a_picture_that_never_comes_is_reported_and_the_others_stay(tmp_path):
    store, task = SyntheticStore(tmp_path), planned()[0]
    never = [retry_seed(task.seeds[4], attempt) for attempt in (1, 2, 3)]
    with pytest.raises(GenerationError, match=r"1 of 2 pictures failed 3 times, .* seed 419900004: the picture is black"):
        fill(store, Noise(black=never), [task], batch_size=2, attempts=3)
    assert len(store.task(0).pairs(4)[0]) == 4
    assert fill(store, Noise(), [task]) == 2


def test_black_pictures_are_left_out_where_that_is_asked_for(tmp_path):
    store, task = SyntheticStore(tmp_path), planned()[0]
    fill(store, Noise(black=task.seeds[1:2]), [task], black="drop")
    pictures, prompts = store.task(0).pairs(6)
    assert len(pictures) == 5
    assert prompts == [prompt for index, prompt in enumerate(task.prompts) if index != 1]
    assert fill(store, Noise(), [task], black="drop") == 0


def test_errors_of_another_kind_pass_through():
    class Mistaken:
        def generate(self, prompts, seeds):
            raise ValueError("no such prompt")

    with pytest.raises(ValueError, match="no such prompt"):
        make_pictures(Mistaken(), ["x"], [1])


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_batch_size_changes_nothing(tmp_path, batch_size):
    fill(SyntheticStore(tmp_path / "one"), Noise(), planned(40), batch_size=40)
    fill(SyntheticStore(tmp_path / "other"), Noise(), planned(40), batch_size=batch_size)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


def test_only_what_is_missing_is_made(tmp_path):
    store, generator = SyntheticStore(tmp_path), Noise()
    fill(store, generator, planned(3, drawn=6), drawn=6)
    generator.calls.clear()
    assert fill(store, generator, planned(6, drawn=6), drawn=6, batch_size=2) == 9
    assert generator.calls[:2] == [[419_900_003, 419_900_004], [419_900_005]]
    assert fill(store, generator, planned(6, drawn=6), drawn=6) == 0


def test_killed_five_times_a_store_ends_as_one_made_in_one_go(tmp_path):
    fill(SyntheticStore(tmp_path / "whole"), Noise(), planned(64), batch_size=64)
    root, kills, chance = tmp_path / "killed", 0, random.Random(0)
    script = SCRIPT.format(tests=os.path.dirname(__file__), root=str(root))
    while kills < 5:
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
        before = len(list(root.glob("task-*/*.png")))
        deadline = time.monotonic() + 60
        wanted = before + chance.randint(1, 25)
        while len(list(root.glob("task-*/*.png"))) < wanted and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        error = process.communicate()[1]
        assert process.returncode == -signal.SIGKILL, f"made {before} before; it ended by itself: {error.decode()}"
        kills += 1
    made = sum(len(SyntheticStore(root).task(position).records()) for position in range(3))
    assert 0 < made < 3 * 64
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    assert contents(root) == contents(tmp_path / "whole")


def test_shards_come_from_the_option_or_from_torchrun(monkeypatch):
    assert shard_of_process() == (1, 1)
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert shard_of_process() == (3, 3)
    assert shard_of_process("2/8") == (2, 8)
    for wrong in ("0/3", "4/3", "x", "1/"):
        with pytest.raises(ValueError, match="expected --shard K/N"):
            shard_of_process(wrong)
