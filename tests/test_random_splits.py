"""Real images sampled for each task as torch's random_split does it (Table 5, ImageNet)."""

import pytest
import torch
from PIL import Image
from torch.utils.data import random_split
from torchvision.datasets import ImageFolder

from avalanche_gift.benchmarks.sources import ORDERS
from avalanche_gift.by_name import load_source
from avalanche_gift.config import RunConfig
from avalanche_gift.generation import RandomSplitFolder
from avalanche_gift.prompts import PromptSampler, imagenet_prompts
from avalanche_gift.training.synthetic_pairs import obtain_pairs
from avalanche_gift.wordnet import imagenet_names
from experiments.plan import World
from experiments.runner import all_runs, entries, load

CLASSES = {"tiger_cat": 5, "ant": 4, "Zebra": 6, "bee eater": 3}


def colour(number):
    return (number % 256, 7 * number % 256, 31 * number % 256)


@pytest.fixture
def folder(tmp_path):
    """Class folders with 18 images, the colour of each another one."""
    number = 0
    for name, count in CLASSES.items():
        (tmp_path / "images" / name).mkdir(parents=True)
        for k in range(count):
            Image.new("RGB", (4, 4), colour(number)).save(tmp_path / "images" / name / f"{9 - k}.png")
            number += 1
    return tmp_path / "images"


def first_colours(images):
    return [image.convert("RGB").getpixel((0, 0)) for image in images]


def by_torch(folder, count, seed):
    """The first part of torch's own split of torchvision's own data set: colours and folders' names."""
    data = ImageFolder(folder)
    part, _ = random_split(data, [count, len(data) - count], generator=torch.Generator().manual_seed(seed))
    images, labels = zip(*part, strict=True)
    return first_colours(images), [data.classes[label] for label in labels]


@pytest.mark.parametrize("count", [1, 5, 17])
@pytest.mark.parametrize("position", [0, 1, 10])
def test_a_task_gets_the_first_part_of_torchs_random_split_with_seed_42_and_its_place(folder, position, count):
    images, prompts = RandomSplitFolder(folder).pairs_of(position, count)
    colours, names = by_torch(folder, count, 42 + position)
    assert first_colours(images) == colours
    assert prompts == [f"a photo of a {name.replace('_', ' ')}." for name in names]


def test_a_larger_number_of_images_begins_with_the_smaller_one(folder):
    source = RandomSplitFolder(folder)
    assert source.rows_of(3, 15)[:5] == source.rows_of(3, 5)
    assert source.rows_of(3, 18) != source.rows_of(4, 18) and sorted(source.rows_of(3, 18)) == list(range(18))


def test_the_place_of_a_task_is_that_in_order_one_whatever_the_order_of_training(folder):
    source = RandomSplitFolder(folder, tasks=ORDERS["I"])
    for order in ORDERS.values():
        for position, name in enumerate(order):
            images, _ = source.pairs_of(position, 6, name)
            assert first_colours(images) == by_torch(folder, 6, 42 + ORDERS["I"].index(name))[0]
    assert ORDERS["II"][0] == "StanfordCars"  # trained first, the tenth of order I: seed 42 + 9
    assert source.rows_of(0, 18, "StanfordCars") == torch.randperm(18, generator=torch.Generator().manual_seed(51)).tolist()


def test_no_class_is_left_out_even_where_the_task_has_it(folder):
    arguments = {"pool": lambda: pytest.fail("prompts are the images' own"), "sampler": PromptSampler(1), "seed": 1}
    own = ["a photo of a ant.", "a photo of a Zebra."]
    images, prompts = obtain_pairs(RandomSplitFolder(folder), own_prompts=own, count=18, position=0, **arguments)
    assert len(images) == 18 and prompts.count(own[0]) == 4 and prompts.count(own[1]) == 6


def test_imagenets_folders_have_the_names_of_their_numbers_in_order(tmp_path):
    for number, folder in enumerate(imagenet_names()):
        (tmp_path / "train" / folder).mkdir(parents=True)
        Image.new("RGB", (2, 2), colour(number)).save(tmp_path / "train" / folder / "1.JPEG")
    source = RandomSplitFolder(tmp_path)
    rows = source.rows_of(2, 30)
    _, prompts = source.pairs_of(2, 30)
    assert prompts == [imagenet_prompts()[row] for row in rows], "one image a class: its row is its class"
    assert source._entries[0][1] == "a photo of a tench."
    (tmp_path / "train" / "n01440764" / "1.JPEG").unlink()
    with pytest.raises(FileNotFoundError, match="got none in n01440764"):
        RandomSplitFolder(tmp_path)
    (tmp_path / "train" / "n01440764").rmdir()
    part = RandomSplitFolder(tmp_path)
    assert len(part) == 999 and part._entries[0][1] == "a photo of a goldfish.", "by its number, not by its place"


def test_a_listed_folder_keeps_the_order_of_its_list(folder):
    files = [f"ant/{k}.png" for k in (9, 8, 7, 6)]
    (folder / "prompts.csv").write_text("file,prompt\n" + "".join(f"{file},a {k}\n" for k, file in enumerate(files)))
    source = RandomSplitFolder(folder)
    order = torch.randperm(4, generator=torch.Generator().manual_seed(43)).tolist()
    assert source.pairs_of(1, 3)[1] == [f"a {row}" for row in order[:3]]


def test_what_can_not_be_sampled_is_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"from 1 to the 18 images.*got 19"):
        RandomSplitFolder(folder).pairs_of(0, 19)
    with pytest.raises(ValueError, match=r"one of the tasks Aircraft.*got 'shapes'"):
        RandomSplitFolder(folder, tasks=ORDERS["I"]).pairs_of(0, 3, "shapes")
    with pytest.raises(FileNotFoundError):
        RandomSplitFolder(tmp_path / "none")


def test_table_five_samples_its_real_images_so_and_no_other_table_does(folder):
    world = World("mtil", data="data", sources={name: str(folder) for name in ("imagenet", "synthetic", "base-only")})
    for row in load("table5").ROWS:
        (config,) = row.configs(world, 42)
        sampled = str(config.source).startswith("random-split:")
        assert sampled == row.label.startswith("GIFT ImageNet")
        if sampled:
            source = load_source(config)
            assert source.tasks == ORDERS["I"] and source.seed == 42 and len(source) == 18
            assert config.synthetic["synthetic_images"] == (3000 if row.images == 3 else 1000)
    labels = {entry.row.label for entry in entries("table5", world, [42]) if entry.runs}
    assert labels == {row.label for row in load("table5").ROWS}
    others = all_runs(["table1", "table3", "table4"], world, [42]).values()
    assert not any(str(config.source).startswith("random-split:") for config in others)
    other = RunConfig(strategy="gift", benchmark="folders", model="mini", source=f"random-split:{folder}")
    assert load_source(other).tasks == (), "elsewhere by the position in training"
