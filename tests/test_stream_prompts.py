"""What `generate` makes ahead is what training on the same stream draws: prompts and seeds, task by task."""

import argparse

import layouts
import pytest
from pictures_made import Noise
from PIL import Image
from test_streams import TASKS as FOLDERS, make_folders
from world import quiet

from avalanche_gift import cli
from avalanche_gift.benchmarks.mini import TASKS
from avalanche_gift.benchmarks.mtil_prompts import mtil_prompts
from avalanche_gift.by_name import BENCHMARKS, CLASS_INCREMENTAL, load_benchmark, load_model
from avalanche_gift.cli_generate import plan_of
from avalanche_gift.config import RunConfig
from avalanche_gift.generation import PerTask
from avalanche_gift.run import build
from avalanche_gift.stream_classes import classes_of
from avalanche_gift.stream_prompts import base_of, stream_prompts
from avalanche_gift.training.plugins import SyntheticReplayPlugin

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*not comparable with published ones:UserWarning", "ignore:the mini CLIP does not know:UserWarning"
)


class Noting(Noise):
    """Notes prompts and seeds, call by call."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def generate(self, prompts, seeds):
        self.asked.append((tuple(prompts), tuple(seeds)))
        return super().generate(prompts, seeds)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for name in ("DTD", "EuroSAT", "MNIST", "CIFAR100", "TinyImageNet"):
        layouts.write(name, folder)
    with pytest.MonkeyPatch.context() as patch:
        layouts.accept(patch, folder)
        yield folder


def planned(*options):
    arguments: argparse.Namespace = cli.parser().parse_args(["generate", "--out", "unused", *map(str, options)])
    return [(task.prompts, task.seeds) for task in plan_of(arguments)[0]]


def asked_in_training(source, **settings):
    """What GIFT asks its generator for, as `run` puts it together, in one iteration a task."""
    config = RunConfig(
        strategy="gift", source=str(source), train_iterations=1, train_mb_size=2,
        synthetic={"synthetic_images": 6, "synthetic_mb_size": 2}, **settings,
    )  # fmt: skip
    model = load_model(config.model)
    strategy, generator = build(config, model, quiet()), Noting()
    (plugin,) = (each for each in strategy.plugins if isinstance(each, SyntheticReplayPlugin))
    plugin.source = PerTask(generator)
    for experience in load_benchmark(config, model).train_stream:
        strategy.train(experience, eval_streams=[])
    return generator.asked


@pytest.fixture
def pictures(tmp_path):
    (tmp_path / "source" / "cat").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "source" / "cat" / "a.png")
    return tmp_path / "source"


def test_mini_draws_what_was_planned(pictures):
    tasks = ("letters", "shapes", "land")
    asked = asked_in_training(pictures, benchmark="mini", model="mini", tasks=tasks, seed=3)
    assert asked == planned("--images", 6, "--tasks", *tasks, "--seed", 3)
    assert len(asked) == 3


def test_mtil_draws_what_was_planned_from_ten_thousand(pictures, data):
    tasks = ("DTD", "EuroSAT", "MNIST")
    asked = asked_in_training(pictures, benchmark="mtil", model="clip-tiny", tasks=tasks, data=str(data), seed=42)
    options = ("--benchmark", "mtil", "--images", 6, "--tasks", *tasks, "--seed", 42)
    assert asked == planned(*options)
    assert asked != planned(*options, "--drawn", 6)


def test_folders_draw_what_was_planned(pictures, tmp_path):
    root = make_folders(tmp_path / "mine", FOLDERS)
    asked = asked_in_training(pictures, benchmark="folders", model="clip-tiny", data=str(root))
    assert len(asked) > 1
    assert asked == planned("--benchmark", "folders", "--data", root, "--images", 6)


@pytest.mark.parametrize("order", ["I", "II"])
def test_mtil_is_planned_as_published(order):
    plan = planned("--benchmark", "mtil", "--order", order, "--seed", 42)
    assert [prompts for prompts, _ in plan] == [drawn.prompts[:1000] for drawn in mtil_prompts(order)]
    assert [seeds[0] for _, seeds in plan][:2] == [419_900_000, 420_000_000]


@pytest.mark.parametrize("benchmark", [*CLASS_INCREMENTAL, "digits", "mini"])
def test_every_named_stream_has_the_prompts_of_its_experiences(benchmark, data):
    where = None if benchmark in ("mini", "digits") else str(data)
    config = RunConfig(strategy="gift", benchmark=benchmark, model="clip-tiny", data=where, seed=0)
    stream = load_benchmark(config, load_model("clip-tiny")).train_stream
    assert stream_prompts(benchmark) == [(each.task_name, classes_of(each).generation_prompts) for each in stream]


def test_base_prompts_are_imagenets_or_the_benchmarks_own():
    assert [len(base_of(name)) for name in ("digits", "folders", "mini", "mtil", "cifar100", "tinyimagenet-20")] == [
        26, 1000, 163, 1000, 100, 100,
    ]  # fmt: skip
    assert all(base_of(name) for name in BENCHMARKS)


def test_pictures_a_task_are_those_of_a_run():
    assert [len(prompts) for prompts, _ in planned()] == [200] * 6
    assert len(planned("--benchmark", "cifar100")[0][0]) == 1000


def test_wrong_streams_are_refused():
    assert [name for name, _ in stream_prompts("mini")] == list(TASKS)
    assert [name for name, _ in stream_prompts("mini", tasks=["2"])] == ["shapes", "textures"]
    for wrong in ({"order": "I"}, {"tasks": ["lettres"]}, {"tasks": ["7"]}):
        with pytest.raises(ValueError, match=r"expected|unknown"):
            stream_prompts("mini", **wrong)
    with pytest.raises(ValueError, match="expected no --tasks for digits"):
        stream_prompts("digits", tasks=["zero-one"])
    with pytest.raises(ValueError, match="expected --data DIR"):
        stream_prompts("folders")
    with pytest.raises(ValueError, match="unknown benchmark 'minni'"):
        stream_prompts("minni")
