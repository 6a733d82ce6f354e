"""Reference pictures and texts: folders, caption files, the mini world's own."""

import pytest
import torch
from PIL import Image

from avalanche_gift.benchmarks.defaults import strategy_options
from avalanche_gift.benchmarks.mini.references import mini_references
from avalanche_gift.benchmarks.pictures import PictureError
from avalanche_gift.benchmarks.references import FolderPictures, captions_beside, read_texts
from avalanche_gift.config import RunConfig
from avalanche_gift.strategy_arguments import own_arguments


def test_pictures_of_a_folder_come_by_path_however_deep_they_lie(tmp_path):
    for number, name in enumerate(("b/n1/x.JPEG", "a.png", "b/c.jpg")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4 + number, 4)).save(tmp_path / name)
    (tmp_path / "b" / "notes.txt").write_text("no picture")
    found = FolderPictures(tmp_path)
    assert [path.name for path in found.paths] == ["a.png", "c.jpg", "x.JPEG"]
    assert [(picture.size, picture.mode) for picture in (found[0], found[1], found[2])] == [
        ((5, 4), "RGB"),
        ((6, 4), "RGB"),
        ((4, 4), "RGB"),
    ]


def test_a_broken_picture_is_named_and_an_empty_or_missing_folder_refused(tmp_path):
    with pytest.raises(ValueError, match="expected pictures"):
        FolderPictures(tmp_path)
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    with pytest.raises(PictureError, match=r"torn\.png"):
        FolderPictures(tmp_path)[0]
    with pytest.raises(FileNotFoundError, match="no folder"):
        FolderPictures(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "a cat\n\n a dog \na cat\n"),
        ("a.csv", 'filepath,title\n1.jpg,a cat\n2.jpg," a dog"\n3.jpg,a cat\n4.jpg,\n'),
        ("a.tsv", "\ufeffcaption\turl\na cat\thttp\na dog\thttp\n"),
    ],
)
def test_texts_come_once_and_in_order(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    assert read_texts(tmp_path / name) == ["a cat", "a dog"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "file,words\n1,a cat\n", r"one of the columns .*'caption'.* got \['file', 'words'\]"),
        ("a.txt", "\n \n", "at least one text"),
        ("a.json", "[]", r"\.txt, \.csv or \.tsv"),
    ],
)
def test_files_without_texts_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_texts(tmp_path / name)


def test_the_mini_world_has_references_of_its_own_a_function_of_the_seed():
    (pictures, captions), (again, _), (others, _) = mini_references(20), mini_references(20), mini_references(20, seed=1)
    assert len(pictures) == 20 and pictures[3][0].size == (32, 32)
    assert (pictures.pictures == again.pictures).all() and (pictures.pictures != others.pictures).any()
    assert 0 < len(captions) <= 20 and len(set(captions)) == len(captions)


def test_a_run_on_the_mini_world_takes_them_unless_told_otherwise(tmp_path):
    config = RunConfig(strategy="zscl", benchmark="mini", model="mini", options={"pictures": str(tmp_path)})
    arguments = own_arguments(config)
    assert arguments["pictures"] == str(tmp_path) and arguments["texts"] and isinstance(arguments["texts"][0], str)
    own = own_arguments(RunConfig(strategy="zscl", benchmark="mini", model="mini", train_mb_size=7))
    assert len(own["pictures"]) == 1000 and own["reference_mb_size"] == 7
    assert not torch.is_tensor(own["texts"]) and len(own["texts"]) > 200


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ((), None),
        (("cc.csv",), "cc.csv"),
        (("cc/captions.txt", "cc.csv"), "cc/captions.txt"),
        (("cc/captions.tsv", "cc/captions.txt"), "cc/captions.tsv"),
        (("cc/prompts.csv", "captions.csv"), None),
    ],
)
def test_captions_are_found_in_the_folder_of_the_images_or_beside_it_and_are_zscls_texts(tmp_path, files, found):
    (tmp_path / "cc").mkdir()
    for name in files:
        (tmp_path / name).write_text("caption\na cat on a mat\n")
    folder = tmp_path / "cc"
    assert captions_beside(folder) == (None if found is None else tmp_path / found)
    options = strategy_options("cifar100", "zscl", {"pictures": str(folder)})
    assert options.get("texts") == (None if found is None else str(tmp_path / found))
    assert "texts" not in strategy_options("cifar100", "lwf", {})
    given = strategy_options("cifar100", "zscl", {"pictures": str(folder), "texts": "mine.txt"})
    assert given["texts"] == "mine.txt"


def test_a_run_without_captions_takes_the_base_prompts_and_one_with_captions_takes_these(tmp_path):
    common = {"strategy": "zscl", "benchmark": "cifar100", "model": "tiny"}
    without = own_arguments(RunConfig(**common, options={"pictures": str(tmp_path)}))
    assert len(without["texts"]) == 100 and without["texts"][0].startswith("a photo of a ")
    beside = own_arguments(RunConfig(**common, options={"pictures": str(tmp_path), "texts": "captions.csv"}))
    assert beside["texts"] == "captions.csv"
