"""MTIL from official layouts, its prompts, and what it says of data that are not as they should be."""

import hashlib
import shutil

import layouts
import numpy as np
import pytest
import torch
from layouts import shade
from test_streams import make_folders
from torchvision import datasets as tv

from avalanche_gift.benchmarks import MTIL, ClassFolders
from avalanche_gift.benchmarks.class_names import class_names, templates
from avalanche_gift.benchmarks.mtil import task_order
from avalanche_gift.benchmarks.mtil_prompts import as_csv, mtil_prompts
from avalanche_gift.benchmarks.sources import LEARNING_RATES, ORDERS, SOURCES, check_sizes, split_sizes
from avalanche_gift.benchmarks.stream import in_order
from avalanche_gift.benchmarks.transforms import clip_transforms
from avalanche_gift.prompts import imagenet_prompts, training_prompts

TRANSFORMS = {"train_transform": lambda picture: picture, "eval_transform": lambda picture: picture}
INCOMPLETE = "ignore:.*not comparable with published ones:UserWarning"
pytestmark = pytest.mark.filterwarnings(INCOMPLETE)

ORDER_I = """\
1	Aircraft	10000	637	9a4f31978e1021a5	a photo of a minibus.
2	Caltech101	10000	669	2674ca6ce2b092f2	a photo of a milk can.
3	CIFAR100	10000	656	3f7e755bae048c5b	a photo of a earth star fungus.
4	DTD	10000	670	79ac0e0cdce8e37c	a photo of a Boston Terrier.
5	EuroSAT	10000	687	c1941a0796da87a6	a photo of a Nile crocodile.
6	Flowers	10000	693	6b2b1d56c6748031	a photo of a china cabinet.
7	Food	10000	693	c6867f8dd6abe312	a photo of a helicopter.
8	MNIST	10000	723	a441af500533fc30	a photo of a head of a flamingo.
9	OxfordPet	10000	727	7b1a821ab8266937	a photo of a weevil.
10	StanfordCars	10000	757	d5e49abed2d37b50	a photo of a graduation cap.
11	SUN397	10000	757	323f86cfea9be7c0	a photo of a wolf spider."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """All eleven, two train pictures and one test picture a class (three where a set comes in one piece)."""
    folder = tmp_path_factory.mktemp("mtil")
    for name in ORDERS["I"]:
        layouts.write(name, folder)
    return folder


@pytest.fixture(scope="module")
def accepted(root):
    with pytest.MonkeyPatch.context() as patch:
        layouts.accept(patch, root)
        yield root


@pytest.fixture(scope="module")
def mtil(accepted):
    with pytest.warns(UserWarning, match="not comparable"):
        return MTIL(accepted, **TRANSFORMS)


# ---- the stream


@pytest.mark.parametrize("name", ORDERS["I"])
def test_every_picture_has_the_label_of_its_class(mtil, name):
    number = ORDERS["I"].index(name)
    for stream in (mtil.train_stream, mtil.test_stream):
        experience = stream[number]
        assert experience.task_name == name and experience.task_label == number
        assert len(experience.class_names) == SOURCES[name].classes
        labels = list(experience.dataset.targets)
        for index in np.linspace(0, len(labels) - 1, 40).astype(int):
            picture, label, task_label = experience.dataset[int(index)]
            assert label == labels[index] and task_label == number
            assert np.asarray(picture).flat[0] == shade(label)


def test_the_stream_has_1201_classes_in_eleven_experiences(mtil):
    assert len(mtil.train_stream) == len(mtil.test_stream) == 11
    assert sum(len(experience.class_names) for experience in mtil.train_stream) == 1201


def test_experiences_carry_published_names_templates_and_rates(mtil):
    for experience in (*mtil.train_stream, *mtil.test_stream):
        assert experience.class_names == class_names(experience.task_name)
        assert experience.templates == templates(experience.task_name)
        assert experience.learning_rate == LEARNING_RATES[experience.task_name]
    rates = {experience.task_name: experience.learning_rate for experience in mtil.train_stream}
    assert {name for name, rate in rates.items() if rate == 5e-5} == {"Aircraft", "MNIST"}
    assert set(rates.values()) == {5e-5, 1e-5}


def test_one_piece_sets_are_cut_as_random_split_over_the_torchvision_data_set(mtil, accepted):
    data = tv.EuroSAT(accepted)
    generator = torch.Generator().manual_seed(42)
    train, test = torch.utils.data.random_split(data, [int(0.8 * len(data)), len(data) - int(0.8 * len(data))], generator)
    number = ORDERS["I"].index("EuroSAT")
    assert [data.targets[i] for i in train.indices] == list(mtil.train_stream[number].dataset.targets)
    assert [data.targets[i] for i in test.indices] == list(mtil.test_stream[number].dataset.targets)


def test_sun397_is_cut_in_the_order_of_its_paths(accepted, monkeypatch):
    def labels():
        return list(MTIL(accepted, ["SUN397"], **TRANSFORMS).train_stream[0].dataset.targets)

    expected, rglob = labels(), layouts.Path.rglob
    monkeypatch.setattr(layouts.Path, "rglob", lambda self, pattern: reversed(list(rglob(self, pattern))))
    assert labels() == expected


def test_any_order_of_any_of_them(accepted):
    stream = MTIL(accepted, ["MNIST", "DTD"], **TRANSFORMS).train_stream
    assert [(e.task_name, e.task_label) for e in stream] == [("MNIST", 0), ("DTD", 1)]
    assert task_order("II")[0] == "StanfordCars" and sorted(task_order("II")) == sorted(task_order("I"))


def test_class_incremental_labels_run_on_and_shared_names_are_refused(accepted):
    stream = MTIL(accepted, ["DTD", "EuroSAT"], class_incremental=True, **TRANSFORMS).test_stream
    assert max(stream[0].dataset.targets) == 46 and set(stream[1].dataset.targets) <= set(range(47, 57))
    with pytest.raises(ValueError, match=r"twice: .*beaver"):
        MTIL(accepted, ["Caltech101", "CIFAR100"], class_incremental=True, **TRANSFORMS)


def test_shots_and_caps_are_seeded_and_open_nothing(accepted):
    def targets(**options):
        benchmark = MTIL(accepted, ["DTD"], **TRANSFORMS, **options)
        return [list(stream[0].dataset.targets) for stream in (benchmark.train_stream, benchmark.test_stream)]

    train, test = targets(shots=1)
    assert train == list(range(47)) and len(test) == 47
    assert [len(part) for part in targets(max_pictures=5)] == [5, 5]
    assert targets(max_pictures=5, seed=1) == targets(max_pictures=5, seed=1) != targets(max_pictures=5, seed=2)
    with pytest.raises(ValueError, match=r"shots=3 .*DTD, train.* has 2"):
        targets(shots=3)
    for option in ("shots", "max_pictures"):
        with pytest.raises(ValueError, match=f"{option} of at least one picture, got 0"):
            targets(**{option: 0})


def test_default_transforms_are_clips(accepted):
    benchmark = MTIL(accepted, ["MNIST"])
    for stream in (benchmark.train_stream, benchmark.test_stream):
        assert stream[0].dataset[0][0].shape == (3, 224, 224)
    train, test = map(repr, clip_transforms())
    assert "RandomResizedCrop(size=(224, 224), scale=(0.9, 1.0), ratio=(0.75, 1.3333), interpolation=bicubic" in train
    assert "Resize(size=224, interpolation=bicubic" in test and "CenterCrop" in test
    assert all("0.48145466" in steps and "Flip" not in steps for steps in (train, test))


def test_building_opens_no_picture(tmp_path):
    for name in ("Aircraft", "OxfordPet"):
        layouts.write(name, tmp_path, paint=False)
    benchmark = MTIL(tmp_path, ["Aircraft", "OxfordPet"], **TRANSFORMS)
    with pytest.raises(OSError, match=r"can't read .*0000000\.jpg of Aircraft.*skip_unreadable"):
        benchmark.train_stream[0].dataset[0]


def test_a_number_stands_for_the_first_tasks():
    assert in_order(ORDERS["II"], ["2"]) == ["StanfordCars", "Food"]
    assert in_order(["1", "2"], ["2"]) == ["2"] and in_order(["a", "b"], None) == ["a", "b"]
    for count in ("0", "3"):
        with pytest.raises(ValueError, match=f"from 1 to 2, got {count}; there are a, b"):
            in_order(["a", "b"], [count])


def test_folders_take_the_same_options(tmp_path):
    root = make_folders(tmp_path, {"birds": ["hawk", "jay"], "trees": ["elm", "oak"]}, per_class=4)
    broken = root / "birds" / "test" / "jay" / "2.png"
    broken.write_bytes(broken.read_bytes()[:40])
    with pytest.warns(UserWarning, match=r"birds: 1 unreadable pictures are left out: .*2\.png"):
        benchmark = ClassFolders(root, shots=3, skip_unreadable=True, **TRANSFORMS)
    assert [list(e.dataset.targets) for e in benchmark.train_stream] == [[0, 0, 0, 1, 1, 1]] * 2
    assert [len(e.dataset) for e in benchmark.test_stream] == [7, 8]
    assert [e.task_name for e in ClassFolders(root, order=["1"], **TRANSFORMS).train_stream] == ["birds"]
    with pytest.raises(ValueError, match=r"shots=5 .*birds, train, class 0 has 4"):
        ClassFolders(root, shots=5, **TRANSFORMS)


# ---- sizes


def test_sizes_of_the_protocol_are_checked_on_counts():
    for source in SOURCES.values():
        if source.whole is not None:
            assert split_sizes(source.whole) == (source.train, source.test)
        check_sizes(source.name, source.classes, source.train, source.test)
    with pytest.raises(ValueError, match=r"expected of SUN397 397 classes, 87003 train and 21751 test.*got 397 .* 21750 test"):
        check_sizes("SUN397", 397, 87003, 21750)
    assert sum(SOURCES[name].classes for name in ORDERS["I"]) == 1201


# ---- bad input


def test_all_missing_sets_are_named_a_line_each(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        MTIL(tmp_path, **TRANSFORMS)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == list(ORDERS["I"])
    assert all(str(tmp_path) in line and "http" in line for line in lines)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("III", "unknown order 'III'.*Available: I, II"),
        (["Aircrafts"], "unknown data set 'Aircrafts'; did you mean 'Aircraft'"),
        ([], "at least one task"),
        (["DTD", "DTD"], "distinct names"),
    ],
)
def test_bad_orders_are_refused(accepted, order, message):
    with pytest.raises(ValueError, match=message):
        MTIL(accepted, order, **TRANSFORMS)


def test_missing_root_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        MTIL(tmp_path / "nowhere")


def test_other_numbers_than_the_protocols_are_told(accepted):
    with pytest.warns(UserWarning, match=r"expected of MNIST 10 classes, 60000 train .* got 10 classes, 20 train and 10 test"):
        MTIL(accepted, ["MNIST"], **TRANSFORMS)


def spoil_list(folder):
    file = folder / "fgvc-aircraft-2013b" / "data" / "images_variant_train.txt"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if not line.endswith("A300B4")))


def test_a_class_in_test_that_train_lacks_is_named(tmp_path):
    layouts.write("Aircraft", tmp_path)
    spoil_list(tmp_path)
    with pytest.raises(ValueError, match=r"only classes of train, got also \['A300B4'\]"):
        MTIL(tmp_path, ["Aircraft"], **TRANSFORMS)


def test_an_empty_class_folder_is_named(tmp_path):
    layouts.write("Caltech101", tmp_path)
    folder = tmp_path / "caltech101" / "101_ObjectCategories" / "ewer"
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(ValueError, match="ewer"):
        MTIL(tmp_path, ["Caltech101"], **TRANSFORMS)


def test_unknown_classes_are_named(tmp_path):
    layouts.write("Aircraft", tmp_path)
    file = tmp_path / "fgvc-aircraft-2013b" / "data" / "variants.txt"
    file.write_text(file.read_text() + "Spitfire Mk I\n")
    with pytest.raises(ValueError, match=r"damaged.*Spitfire Mk I"):
        MTIL(tmp_path, ["Aircraft"], **TRANSFORMS)


def test_truncated_pictures_are_named_and_skipped_where_asked(tmp_path):
    layouts.write("DTD", tmp_path)
    file = tmp_path / "dtd" / "dtd" / "images" / "banded" / "banded_0000.jpg"
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    layouts.Image.fromarray(noise).save(file, format="JPEG")
    file.write_bytes(file.read_bytes()[:-400])
    benchmark = MTIL(tmp_path, ["DTD"], **TRANSFORMS)
    with pytest.raises(OSError, match=r"can't read .*banded_0000\.jpg of DTD.*truncated"):
        benchmark.train_stream[0].dataset[0]
    with pytest.warns(UserWarning, match=r"DTD: 1 unreadable pictures are left out: .*banded_0000\.jpg"):
        skipped = MTIL(tmp_path, ["DTD"], skip_unreadable=True, **TRANSFORMS)
    assert len(skipped.train_stream[0].dataset) == len(benchmark.train_stream[0].dataset) - 1
    assert skipped.train_stream[0].dataset[0][1] == 0


# ---- prompts


@pytest.fixture(scope="module")
def drawn():
    return mtil_prompts("I")


def test_order_one_draws_the_published_prompts(drawn):
    assert "\n".join(each.line() for each in drawn) == ORDER_I


def test_order_two_draws_1000_a_task_from_the_same_stream(drawn):
    second = mtil_prompts("II")
    assert [(each.position, each.task, len(each.prompts)) for each in second] == [
        (position, name, 1000) for position, name in enumerate(ORDERS["II"], start=1)
    ]
    assert second[0].prompts == drawn[0].prompts[:1000]
    digest = hashlib.sha256("\n".join(second[0].prompts).encode()).hexdigest()[:16]
    assert second[0].line().split("\t")[4] == digest


def test_the_pool_holds_only_tasks_already_learned():
    base = set(imagenet_prompts())
    learned: set[str] = set()
    for each in mtil_prompts("I"):
        assert set(each.prompts) <= base | learned
        learned |= set(training_prompts(class_names(each.task), templates(each.task)))
    with pytest.raises(ValueError, match="unknown order 'IV'"):
        mtil_prompts("IV")


def test_csv_holds_every_prompt(drawn):
    lines = as_csv(drawn).decode().splitlines()
    assert len(lines) == 1 + 110_000
    assert lines[:2] == ["position,task,number,prompt", "1,Aircraft,0,a photo of a minibus."]
