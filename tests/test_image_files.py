"""Files as people have them: orientation, what systems leave behind, other formats, numbers for names, moved images."""

import os
import shutil
import struct

import layouts
import pytest
from layouts import shade
from PIL import Image, ImageOps
from test_streams import make_folders
from torchvision import datasets as tv
from world import plain

from avalanche_gift.benchmarks import MTIL, ClassFolders
from avalanche_gift.benchmarks.dataset_check import check_dataset
from avalanche_gift.benchmarks.datasets import DamagedDataset, MissingDataset, read_dataset
from avalanche_gift.benchmarks.references import FolderPictures
from avalanche_gift.benchmarks.sources import SOURCES
from avalanche_gift.by_name import load_benchmark, load_source
from avalanche_gift.config import RunConfig
from avalanche_gift.generation import FolderGenerator, RandomSplitFolder, as_source
from avalanche_gift.image_files import class_folders, image_files, is_left_behind
from avalanche_gift.pictures import open_rgb
from avalanche_gift.strategy_arguments import own_arguments
from avalanche_gift.wordnet import imagenet_names

TRANSFORMS = {"train_transform": lambda image: image, "eval_transform": lambda image: image}
LEFT_BEHIND = (
    ".DS_Store", "._0.png", "Thumbs.db", "desktop.ini", "Icon\r", ".ipynb_checkpoints/0-checkpoint.png", "__MACOSX/0.png",
    "__MACOSX/._0.png", "@eaDir/0.png/SYNOPHOTO_THUMB_XL.jpg", "SYNOFILE_THUMB_M.jpg", ".dropbox.cache/0.png", "#recycle/0.png",
)  # fmt: skip


def image(path, size=(8, 8), level=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level,) * 3).save(path, **options)
    return path


def litter(folder):
    """What systems leave in a folder, some of it images that can be opened."""
    for name in LEFT_BEHIND:
        image(folder / name.partition("/")[0] / "x.png" if name.endswith("db") and "/" in name else folder / name, format="PNG")


# ---- orientation


def turned(path, orientation):
    """A file with two coloured corners in the pixels, and the orientation in its EXIF data."""
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = Image.new("RGB", (24, 8), (0, 0, 0))
    stored.paste((255, 255, 255), (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(path, exif=exif)
    return path


@pytest.mark.parametrize("ending", ["png", "webp", "jpg", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_exif_orientation_says(tmp_path, orientation, ending):
    path = turned(tmp_path / f"a.{ending}", orientation)
    with Image.open(path) as file:
        expected = ImageOps.exif_transpose(file).convert("RGB")
    assert open_rgb(path).tobytes() == expected.tobytes() and open_rgb(path).size == expected.size
    assert expected.size == ((24, 8) if orientation < 5 else (8, 24))
    if ending != "tif":  # which Pillow turns by itself
        assert open_rgb(path, exif_orientation=False).size == (24, 8)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "1"])
def test_images_of_every_mode_are_turned(tmp_path, mode):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new(mode, (6, 3)).save(tmp_path / "a.png", exif=exif)
    assert open_rgb(tmp_path / "a.png").size == (3, 6)
    assert open_rgb(tmp_path / "a.png", exif_orientation=False).size == (6, 3)


@pytest.mark.parametrize(
    "spoilt",
    [b"", b"II*\x00", b"II*\x00\xff\xff\xff\xff", b"nonsense", struct.pack("<2sHIHHHI", b"II", 42, 8, 9, 0x0112, 3, 7)],
)
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # Pillow's own words
def test_damaged_exif_data_and_strange_orientations_leave_the_image_as_it_is(tmp_path, spoilt):
    Image.new("RGB", (6, 3)).save(tmp_path / "a.jpg", exif=b"Exif\x00\x00" + spoilt)
    assert open_rgb(tmp_path / "a.jpg").size == (6, 3)
    assert open_rgb(turned(tmp_path / "b.jpg", 9)).size == (24, 8)


@pytest.fixture
def photos(tmp_path):
    """A task, a replay source and a reference folder of photos on their side."""
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            turned(tmp_path / "tasks" / "pets" / split / name / "0.jpg", 6)
    turned(tmp_path / "source" / "cat" / "0.jpg", 6)
    return tmp_path


@pytest.mark.parametrize(("options", "size"), [({}, (8, 24)), ({"exif_orientation": False}, (24, 8))])
def test_photos_are_upright_in_tasks_sources_and_references_unless_told_otherwise(photos, options, size):
    benchmark = ClassFolders(photos / "tasks", **TRANSFORMS, **options)
    for stream in (benchmark.train_stream, benchmark.test_stream):
        assert {item[0].size for item in stream[0].dataset} == {size}
    for source in (FolderGenerator, RandomSplitFolder, as_source):
        assert [each.size for each in source(photos / "source", **options).pairs(1, seed=0)[0]] == [size]
    assert FolderPictures(photos / "source", **options)[0].size == size


def test_a_run_switches_it_off_for_its_tasks_source_and_references(photos, tiny_model):
    common = {"benchmark": "folders", "model": "tiny", "data": str(photos / "tasks"), "source": str(photos / "source")}
    usual = RunConfig(strategy="gift", **common)
    stored = RunConfig(strategy="gift", **common, exif_orientation=False)
    assert "exif_orientation" not in usual.settings() and stored.settings()["exif_orientation"] is False
    assert as_source(load_source(usual)).pairs(1, seed=0)[0][0].size == (8, 24)
    assert as_source(load_source(stored)).pairs(1, seed=0)[0][0].size == (24, 8)
    options = {"pictures": str(photos / "source")}
    zscl = own_arguments(RunConfig(strategy="zscl", **common, options=options, exif_orientation=False))
    assert zscl["pictures"][0].size == (24, 8)
    files = [load_benchmark(config, tiny_model).train_stream[0].dataset for config in (usual, stored)]
    assert not files[0][0][0].equal(files[1][0][0])


def test_the_cache_of_resized_images_knows_upright_ones_from_stored_ones(photos, tmp_path):
    def first(**options):
        transforms = {"train_transform": plain(), "eval_transform": plain(), "cache_dir": tmp_path / "cache"}
        return ClassFolders(photos / "tasks", **transforms, **options).test_stream[0].dataset.eval()[0][0]

    assert not first().equal(first(exif_orientation=False))
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_published_data_sets_are_read_as_their_pixels_are_stored(tmp_path):
    layouts.write("EuroSAT", tmp_path)
    turned(tmp_path / "eurosat" / "2750" / "Forest" / "Forest_1.jpg", 6)
    sizes = {part[index][0].size for part in read_dataset("EuroSAT", tmp_path) for index in range(len(part))}
    assert sizes == {(40, 32), (24, 8)}


# ---- what systems leave behind


@pytest.mark.parametrize("name", [name.partition("/")[0] for name in LEFT_BEHIND])
def test_what_systems_leave_behind_is_known_by_name(name):
    assert is_left_behind(name) and is_left_behind(name.upper())


@pytest.mark.parametrize("name", ["0.png", "macosx", "thumbs", "desktop", "icon.png", "eaDir", "recycle", "a.DS_Store.png"])
def test_a_persons_own_names_are_not(name):
    assert not is_left_behind(name)


def test_tasks_sources_and_references_are_the_same_with_and_without_it(tmp_path):
    for root in (tmp_path / "clean", tmp_path / "littered"):
        make_folders(root, {"birds": ["hawk", "jay"]})
    root = tmp_path / "littered"
    for folder in [path for path in root.rglob("*") if path.is_dir()] + [root]:
        litter(folder)

    def found(root):
        benchmark = ClassFolders(root, **TRANSFORMS)
        tasks = [
            (e.task_name, e.class_names, list(e.dataset.targets)) for e in (*benchmark.train_stream, *benchmark.test_stream)
        ]
        train = root / "birds" / "train"
        sources = [FolderGenerator(root / "birds"), FolderGenerator(train), RandomSplitFolder(train)]
        listed = [[(path.relative_to(root), prompt) for path, prompt in source._entries] for source in sources]
        return tasks, listed, [path.relative_to(root) for path in FolderPictures(root).paths]

    assert found(tmp_path / "littered") == found(tmp_path / "clean")
    assert class_folders(root) == ["birds"]


@pytest.mark.parametrize(
    "name",
    [
        "Aircraft",
        "Caltech101",
        "DTD",
        "EuroSAT",
        "Flowers",
        "Food",
        "OxfordPet",
        "SUN397",
        "TinyImageNet",
        "StanfordCars",
        "car_data",
    ],
)
def test_published_data_sets_are_the_same_with_and_without_it(tmp_path, monkeypatch, name):
    if name == "car_data":
        name = "StanfordCars"
        layouts.cars_in_class_folders(tmp_path, 2, 1)
    else:
        layouts.write(name, tmp_path, 2, 1)
    layouts.accept(monkeypatch, tmp_path)
    monkeypatch.setitem(SOURCES, name, layouts.small(name, 2, 1))

    def found():
        return [(part.paths(), part.targets) for part in read_dataset(name, tmp_path)]

    before = found()
    folders = [path for path in (tmp_path / SOURCES[name].folder).rglob("*") if path.is_dir()]
    for folder in [*folders[:12], tmp_path / SOURCES[name].folder]:
        litter(folder)
    assert found() == before
    assert check_dataset(name, tmp_path).state == "present"


@pytest.mark.parametrize("name", ["Caltech101", "EuroSAT", "SUN397"])
def test_sets_in_one_piece_are_read_as_torchvision_reads_them(tmp_path, name):
    layouts.write(name, tmp_path, 9, 3)
    theirs = getattr(tv, name)(tmp_path)
    labels = {"Caltech101": "y", "EuroSAT": "targets", "SUN397": "_labels"}[name]
    whole = read_dataset(name, tmp_path)[0].source
    if name == "SUN397":
        pairs = sorted(zip(map(str, theirs._image_files), theirs._labels, strict=True))
        assert whole.samples == pairs
        return
    assert [label for _, label in whole.samples] == getattr(theirs, labels)
    for index in range(0, len(whole), 97):
        (ours, _), (image, _) = whole[index], theirs[index]
        assert ours.tobytes() == image.tobytes() and ours.mode == image.mode


@pytest.mark.parametrize(
    ("name", "file", "stray"),
    [
        ("Caltech101", "caltech101/101_ObjectCategories/ant/image_0001.jpg", "image_0001 (1).jpg"),
        ("EuroSAT", "eurosat/2750/Forest/Forest_2.jpg", "Forest_2 copy.jpg"),
        ("SUN397", "SUN397/a/abbey/sun_000x00000.jpg", "sun_000x00000-checkpoint.jpg"),
        ("TinyImageNet", "tiny-imagenet-200/train/n01443537/images/n01443537_0.JPEG", "n01443537_0 2.JPEG"),
    ],
)
def test_a_file_under_another_name_is_named_where_the_count_is_off(tmp_path, monkeypatch, name, file, stray):
    layouts.write(name, tmp_path, 2, 1)
    monkeypatch.setitem(SOURCES, name, layouts.small(name, 2, 1))
    path = tmp_path / file
    shutil.copy(path, path.with_name(stray))
    assert check_dataset(name, tmp_path).state == "present", "a copy beside the original counts for nothing"
    path.unlink()
    status = check_dataset(name, tmp_path)
    assert status.state == "damaged" and stray in status.detail and "1 files that are not named as its own" in status.detail
    if name != "TinyImageNet":
        with pytest.warns(UserWarning, match=stray.replace("(", r"\(").replace(")", r"\)")):
            MTIL(tmp_path, [name], **TRANSFORMS)


# ---- what a person may have meant


@pytest.mark.parametrize("ending", ["heic", "HEIC", "avif", "jfif", "jp2", "psd", "tga"])
def test_images_in_other_formats_are_counted_and_named_once(tmp_path, ending):
    root = make_folders(tmp_path, {"birds": ["hawk", "jay"], "trees": ["elm", "oak"]})
    for path in (root / "birds" / "train" / "jay", root / "trees" / "test" / "elm"):
        (path / f"more.{ending}").write_bytes(b"as a phone saves it")
    with pytest.warns(UserWarning, match=rf"2 files in .* are not read.*\.{ending.lower()}.*more\.{ending}") as caught:
        ClassFolders(root, **TRANSFORMS)
    assert len(caught) == 1
    for read in (FolderGenerator, RandomSplitFolder, FolderPictures):
        with pytest.warns(UserWarning, match=rf"1 files in .*\.{ending.lower()}") as caught:
            read(root / "birds" / "train")
        assert len(caught) == 1


@pytest.mark.parametrize(
    "name", ["notes.txt", "labels.csv", "clip.mp4", "clip.mpg", "folder.ico", "scan.pdf", "data.h5", "README"]
)
def test_files_that_are_no_images_are_passed_over_without_a_word(tmp_path, name):
    root = make_folders(tmp_path, {"birds": ["hawk", "jay"]})
    (root / "birds" / "train" / "jay" / name).write_bytes(b"x")
    assert len(ClassFolders(root, **TRANSFORMS).train_stream[0].dataset) == 4
    assert len(FolderGenerator(root / "birds" / "train")) == 4


def test_every_reader_takes_the_same_endings_and_folders_within_a_class(tmp_path):
    root = make_folders(tmp_path, {"birds": ["hawk", "jay"]})
    for split in ("train", "test"):
        image(root / "birds" / split / "jay" / "2019" / "june" / "a.png")
        image(root / "birds" / split / "jay" / "b.GIF")
    assert len(ClassFolders(root, **TRANSFORMS).train_stream[0].dataset) == 6
    for read in (FolderGenerator, RandomSplitFolder, FolderPictures):
        assert len(read(root / "birds" / "train")) == 6
    assert len(FolderGenerator(root / "birds")) == 6, "the train split of a data set"


def test_a_source_may_hold_all_its_images_in_inner_folders(tmp_path):
    for name in ("cat", "dog"):
        image(tmp_path / name / "images" / "a.png")
    assert FolderGenerator(tmp_path).prompts == ("a photo of a cat.", "a photo of a dog.")


def test_the_order_is_torchvisions(tmp_path):
    for name in ("b/z.png", "b/a/c.png", "b/a b/d.png", "a/x.png", "b/B.png", "b/é.png", "b/10.png", "b/9.png"):
        image(tmp_path / name)
    assert image_files(tmp_path / "b") + image_files(tmp_path / "a") == [
        path for name in ("b", "a") for path, label in tv.ImageFolder(tmp_path).samples if label == "ab".index(name)
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipes_are_passed_over_circles_end_and_a_link_to_nowhere_is_named(tmp_path):
    image(tmp_path / "cat" / "a.png")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    (tmp_path / "cat" / "round").symlink_to(tmp_path / "cat")
    assert [os.path.basename(path) for path in image_files(tmp_path / "cat")] == ["a.png"]
    (tmp_path / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    source = FolderGenerator(tmp_path)
    with pytest.raises(ValueError, match=r"gone\.png"):
        source.generate(source.prompts * 2, [0, 1])


# ---- WordNet's numbers


def test_folders_of_imagenets_numbers_get_its_names(tmp_path):
    root = make_folders(tmp_path, {"fish": ["n01443537", "n01440764", "sea_horse"]})
    (experience,) = ClassFolders(root, **TRANSFORMS).train_stream
    assert experience.class_names == ("tench", "goldfish", "sea horse")
    for read in (FolderGenerator, RandomSplitFolder):
        assert set(read(root / "fish" / "train").prompts) == {f"a photo of a {name}." for name in experience.class_names}
    (root / "fish" / "classes.json").write_text('{"names": {"n01443537": "Carassius auratus"}}')
    assert ClassFolders(root, **TRANSFORMS).train_stream[0].class_names == ("tench", "Carassius auratus", "sea horse")


def test_the_thousand_names_are_open_clips_and_distinct():
    from open_clip import IMAGENET_CLASSNAMES

    names = imagenet_names()
    assert list(names) == sorted(names) and len(set(names.values())) == 1000
    other = [(number, a, b) for (number, a), b in zip(names.items(), IMAGENET_CLASSNAMES, strict=True) if a != b]
    assert other == [("n04008634", "projectile", "missile"), ("n04355933", "sunglass", "sunglasses")]


def test_other_numbers_are_warned_of_once_with_the_way_out(tmp_path):
    root = make_folders(tmp_path, {"fish": ["n99999999", "n01443537", "n99999998"]})
    with pytest.warns(UserWarning, match=r"2 class folders of .*n99999998, n99999999.*classes\.json.*names") as caught:
        assert ClassFolders(root, **TRANSFORMS).train_stream[0].class_names[0] == "goldfish"
    assert len(caught) == 1
    with pytest.warns(UserWarning, match=r"2 class folders of .*prompts\.csv"):
        FolderGenerator(root / "fish" / "train")
    names = '{"names": {"n99999999": "a", "n99999998": "b"}}'
    (root / "fish" / "classes.json").write_text(names)
    assert ClassFolders(root, **TRANSFORMS).train_stream[0].class_names == ("goldfish", "b", "a")


# ---- TinyImageNet with its validation images moved


def move(root, *, inner=False, prefixed=False, annotations=True, share=1.0):
    val = root / "tiny-imagenet-200" / "val"
    lines = [line.split("\t")[:2] for line in (val / "val_annotations.txt").read_text().splitlines()]
    for file, wnid in lines[: int(share * len(lines))]:
        folder = val / wnid / "images" if inner else val / wnid
        folder.mkdir(parents=True, exist_ok=True)
        (val / "images" / file).rename(folder / (f"{wnid}_{file}" if prefixed else file))
    if share == 1.0:
        (val / "images").rmdir()
    if not annotations:
        (val / "val_annotations.txt").unlink()
    return val


def write_tiny(root):
    """With the files numbered as the published ones are."""
    layouts.write("TinyImageNet", root, 1, 2)
    val = root / "tiny-imagenet-200" / "val"
    lines = (val / "val_annotations.txt").read_text().splitlines()
    lines = lines[::2] + lines[1::2]  # neighbours are of different classes
    for number, line in enumerate(lines):
        file, rest = line.split("\t", 1)
        (val / "images" / file).rename(val / "images" / f"val_{number}.JPEG")
        lines[number] = f"val_{number}.JPEG\t{rest}"
    (val / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize(
    "options",
    [{}, {"inner": True}, {"prefixed": True}, {"annotations": False}, {"inner": True, "annotations": False}, {"share": 0.4}],
)
def test_moved_validation_images_are_read_as_the_published_ones(tmp_path, monkeypatch, options):
    test = read_dataset("TinyImageNet", write_tiny(tmp_path))[1]
    before = test.targets
    move(tmp_path, **options)
    moved = read_dataset("TinyImageNet", tmp_path)[1]
    assert moved.targets == before
    for index in range(0, len(moved), 37):
        assert moved[index][0].getpixel((0, 0))[0] == shade(before[index])
    monkeypatch.setitem(SOURCES, "TinyImageNet", layouts.small("TinyImageNet", 1, 2))
    assert check_dataset("TinyImageNet", tmp_path).state == "present"


def test_moved_images_that_do_not_fit_are_one_clear_error(tmp_path):
    val = move(write_tiny(tmp_path))
    wnids = sorted(path.name for path in val.iterdir() if path.is_dir())
    first = next((val / wnids[0]).iterdir())
    first.rename(val / wnids[1] / first.name)
    with pytest.raises(DamagedDataset, match=rf"val_annotations\.txt names, got 1 elsewhere, first .*{first.name}"):
        read_dataset("TinyImageNet", tmp_path)
    (val / wnids[1] / first.name).unlink()
    with pytest.raises(DamagedDataset, match=rf"1 in neither, first {first.name}"):
        read_dataset("TinyImageNet", tmp_path)
    image(val / wnids[0] / first.name, format="PNG")
    image(val / "n00000000" / "val_1.JPEG")
    with pytest.raises(DamagedDataset, match=r"got also \['n00000000'\]"):
        read_dataset("TinyImageNet", tmp_path)


def test_images_that_were_not_moved_need_the_annotations(tmp_path):
    move(write_tiny(tmp_path), share=0.5, annotations=False)
    with pytest.raises(DamagedDataset, match="got 200 images without a class"):
        read_dataset("TinyImageNet", tmp_path)


def test_validation_images_that_are_gone_are_told_when_the_set_is_opened(tmp_path):
    val = write_tiny(tmp_path) / "tiny-imagenet-200" / "val"
    shutil.rmtree(val / "images")
    with pytest.raises(MissingDataset, match="val/images"):
        read_dataset("TinyImageNet", tmp_path)
