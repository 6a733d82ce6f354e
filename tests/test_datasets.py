"""Data sets on disk: layouts of StanfordCars, what is missing or damaged, downloads, and the cache of resized pictures."""

import os
import pickle
import re
import shutil
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import layouts
import numpy as np
import pytest
import torch
from layouts import shade
from PIL import Image
from spoilt import flipped
from test_streams import make_folders
from torchvision import datasets as tv
from torchvision.datasets.utils import calculate_md5
from torchvision.transforms import Compose, Lambda, RandomCrop
from world import plain

from avalanche_gift.benchmarks import ClassFolders, dataset_check, download
from avalanche_gift.benchmarks.class_names import class_names
from avalanche_gift.benchmarks.dataset_check import check_dataset
from avalanche_gift.benchmarks.datasets import DamagedDataset, MissingDataset, read_dataset
from avalanche_gift.benchmarks.sources import SOURCES
from avalanche_gift.benchmarks.transforms import clip_transforms
from avalanche_gift.files import NotAFile

# ---- StanfordCars


def write_cars(root, layout):
    if layout == "class folders":
        layouts.cars_in_class_folders(root, 2, 1)
    else:
        layouts.cars(root, 2, 1, layouts.picture_writer, doubled=layout == "doubled")
    return root


LAYOUTS = ("torchvision", "doubled", "class folders")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cars_are_read_alike_from_three_layouts(tmp_path, layout):
    train, test = read_dataset("StanfordCars", write_cars(tmp_path, layout))
    assert sorted(train.targets) == sorted([*range(196)] * 2) and sorted(test.targets) == list(range(196))
    for part in (train, test):
        for index in range(0, len(part), 37):
            picture, label = part[index]
            assert label == part.targets[index] and np.asarray(picture).flat[0] == shade(label)


def test_torchvision_reads_its_own_layout_and_the_labels_are_its(tmp_path):
    train, _ = read_dataset("StanfordCars", write_cars(tmp_path, "torchvision"))
    theirs = tv.StanfordCars(tmp_path, "train")
    assert type(train.source) is tv.StanfordCars
    assert train.targets == [label for _, label in theirs._samples] and train.paths() == [path for path, _ in theirs._samples]


@pytest.mark.parametrize(
    ("layout", "gone", "named"),
    [
        ("torchvision", "devkit/cars_meta.mat", ["stanford_cars/devkit/cars_meta.mat"]),
        ("torchvision", "cars_test_annos_withlabels.mat", ["stanford_cars/cars_test_annos_withlabels.mat"]),
        ("torchvision", "cars_test", ["stanford_cars/cars_test/*.jpg"]),
        ("doubled", "car_devkit", ["stanford_cars/devkit/cars_train_annos.mat", "stanford_cars/devkit/cars_meta.mat"]),
        ("class folders", "car_data/test", ["stanford_cars/car_data/test"]),
    ],
)
def test_missing_files_of_cars_are_named_exactly(tmp_path, layout, gone, named):
    path = write_cars(tmp_path, layout) / "stanford_cars" / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(MissingDataset) as caught:
        read_dataset("StanfordCars", tmp_path)
    assert re.search(r"expected in \S+ (.*?); ", str(caught.value))[1].split(", ") == named
    assert "can't be downloaded" in str(caught.value)


def test_pictures_that_annotations_name_and_nobody_has_are_named(tmp_path):
    (write_cars(tmp_path, "doubled") / "stanford_cars" / "cars_train" / "cars_train" / "00007.jpg").unlink()
    with pytest.raises(DamagedDataset, match=r"1 pictures of cars_train_annos\.mat are missing in .*cars_train: 00007\.jpg"):
        read_dataset("StanfordCars", tmp_path)


def test_class_folders_of_other_names_are_refused(tmp_path):
    folder = write_cars(tmp_path, "class folders") / "stanford_cars" / "car_data" / "train"
    (folder / "Acura RL Sedan 2012").rename(folder / "Reliant Robin 1973")
    with pytest.raises(DamagedDataset, match="Reliant Robin 1973"):
        read_dataset("StanfordCars", tmp_path)


# ---- present, missing, damaged


@pytest.mark.parametrize("name", sorted(SOURCES))
def test_a_whole_data_set_is_present_and_one_without_a_picture_is_not(tmp_path, monkeypatch, name):
    assert check_dataset(name, tmp_path).state == "missing"
    layouts.write(name, tmp_path)
    layouts.accept(monkeypatch, tmp_path)
    monkeypatch.setitem(SOURCES, name, layouts.small(name, 2, 1))
    status = check_dataset(name, tmp_path)
    assert (status.state, status.detail) == ("present", "") and status.size > 0
    assert (status.train, status.test) == (SOURCES[name].train, SOURCES[name].test)
    pictures = sorted(path for path in (tmp_path / SOURCES[name].folder).rglob("*") if path.suffix in (".jpg", ".JPEG"))
    if pictures:
        pictures[0].write_bytes(b"")
        assert check_dataset(name, tmp_path).state == "damaged"
        pictures[0].unlink()
        assert check_dataset(name, tmp_path).state == "damaged"


def test_cut_off_files_are_damaged(tmp_path):
    layouts.write("MNIST", tmp_path)
    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])
    assert check_dataset("MNIST", tmp_path).state == "damaged"
    layouts.write("CIFAR100", tmp_path)  # torchvision's checksums are of the real one.
    status = check_dataset("CIFAR100", tmp_path)
    assert status.state == "damaged" and "corrupted" in status.detail


def test_the_shared_mnist_is_genuine(shared_folder, tmp_path):
    archive = shared_folder / "data" / "MNIST_idx.tar"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    with tarfile.open(archive) as tar:
        tar.extractall(tmp_path, filter="data")
    train, test = read_dataset("MNIST", tmp_path / "MNIST_idx")
    assert len(test) == SOURCES["MNIST"].test and len(train) == 6000
    assert np.bincount(test.targets).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert check_dataset("MNIST", tmp_path / "MNIST_idx").state == "damaged"  # A tenth of the train pictures.


def test_the_shared_cars_have_the_published_names(shared_folder):
    archive = shared_folder / "data" / "StanfordCars.tar"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    with tarfile.open(archive) as tar:
        folders = {name.split("/")[2] for name in tar.getnames() if name.count("/") == 2 and "/train/" in name}

    def letters(name):
        return re.sub("[^a-z0-9]", "", name.lower())

    assert {letters(name) for name in folders} == {letters(name) for name in class_names("StanfordCars")}


# ---- downloads


class Server:
    """Serves files with ranges; `limit` closes the connection after so many bytes of an answer."""

    def __init__(self, folder):
        self.requests, self.limit = [], None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                content = (folder / self.path.lstrip("/")).read_bytes()
                asked = self.headers.get("Range")
                outer.requests.append((self.path, asked))
                first = int(asked[6:-1]) if asked else 0
                if asked and first >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.end_headers()
                    return
                self.send_response(206 if asked else 200)
                self.send_header("Content-Length", str(len(content) - first))
                self.end_headers()
                self.wfile.write(content[first:] if outer.limit is None else content[first : first + outer.limit])

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def served(tmp_path, monkeypatch):
    """DTD and EuroSAT, small, packed as their authors pack them."""
    made = tmp_path / "made"
    layouts.write("DTD", made)
    layouts.write("EuroSAT", made)
    folder = tmp_path / "served"
    folder.mkdir()
    with tarfile.open(folder / "dtd-r1.0.1.tar.gz", "w:gz") as tar:
        tar.add(made / "dtd" / "dtd", "dtd")
    with zipfile.ZipFile(folder / "EuroSAT.zip", "w") as archive:
        for path in sorted((made / "eurosat").rglob("*.jpg")):
            archive.write(path, path.relative_to(made / "eurosat"))
    server = Server(folder)
    for name in ("DTD", "EuroSAT"):
        monkeypatch.setitem(SOURCES, name, layouts.small(name, 2, 1))
    monkeypatch.setattr(tv.DTD, "_URL", f"{server.url}/dtd-r1.0.1.tar.gz")
    monkeypatch.setattr(tv.DTD, "_MD5", calculate_md5(folder / "dtd-r1.0.1.tar.gz"))
    yield server
    server.close()


def test_a_download_is_put_in_its_place_whole(served, tmp_path):
    root = tmp_path / "root"
    assert download.download("DTD", root) == root / "dtd"
    assert check_dataset("DTD", root).state == "present"
    assert sorted(path.name for path in root.iterdir()) == [".incoming", "dtd"]
    assert not list((root / ".incoming").iterdir()) and not list(root.rglob("*.gz"))
    asked = len(served.requests)
    download.download("DTD", root)
    assert len(served.requests) == asked == 1


def test_an_interrupted_download_goes_on_where_it_stopped_and_is_never_taken_for_whole(served, tmp_path):
    root = tmp_path / "root"
    served.limit = 1000
    with pytest.raises(OSError, match=r"can't download dtd-r1.0.1.tar.gz.*the connection ended early.*run again"):
        download.download("DTD", root)
    assert check_dataset("DTD", root).state == "missing" and not (root / "dtd").exists()
    served.limit = None
    download.download("DTD", root)
    assert [asked for _, asked in served.requests] == [None, "bytes=1000-"]
    assert check_dataset("DTD", root).state == "present"


def test_a_part_that_is_complete_is_not_fetched_again(served, tmp_path):
    archive = download.archives("DTD")[0]
    part = tmp_path / "parts" / "dtd-r1.0.1.tar.gz.part"
    part.parent.mkdir()
    shutil.copyfile(tmp_path / "served" / "dtd-r1.0.1.tar.gz", part)
    assert download.fetch(archive, part.parent).is_file() and not part.exists()


def test_another_checksum_is_refused(served, tmp_path, monkeypatch):
    monkeypatch.setattr(tv.DTD, "_MD5", "0" * 32)
    root = tmp_path / "root"
    with pytest.raises(OSError, match=f"expected MD5 {'0' * 32} of dtd-r1.0.1.tar.gz"):
        download.download("DTD", root)
    assert not (root / "dtd").exists() and not list(root.rglob("*.part"))


def test_an_interrupted_unpacking_is_done_again(served, tmp_path, monkeypatch):
    root = tmp_path / "root"
    unpack = download._TORCHVISION["DTD"]

    def stop(stage, download):
        unpack(stage, download=download)
        next((stage / "dtd").rglob("*.jpg")).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(download._TORCHVISION, "DTD", stop)
        with pytest.raises(KeyboardInterrupt):
            download.download("DTD", root)
    assert check_dataset("DTD", root).state == "missing"
    download.download("DTD", root)
    assert check_dataset("DTD", root).state == "present" and len(served.requests) == 1


def test_a_download_with_other_counts_is_not_put_in_place(served, tmp_path, monkeypatch):
    monkeypatch.setitem(SOURCES, "DTD", layouts.small("DTD", 3, 1))
    with pytest.raises(OSError, match="what was downloaded is damaged"):
        download.download("DTD", tmp_path / "root")
    assert not (tmp_path / "root" / "dtd").exists()


def test_damaged_folders_are_left_alone(served, tmp_path):
    layouts.write("DTD", tmp_path)
    (tmp_path / "dtd" / "dtd" / "labels" / "test1.txt").unlink()
    with pytest.raises(FileExistsError, match=r"damaged .*move it away"):
        download.download("DTD", tmp_path)
    assert (tmp_path / "dtd" / "dtd" / "labels" / "train1.txt").exists() and not served.requests


def test_archives_without_an_attribute_in_torchvision_are_its_own(monkeypatch, tmp_path):
    """Caltech101 and EuroSAT keep address and checksum inside their methods: these are listened to."""
    seen = []
    for module in (tv.caltech, tv.eurosat):
        monkeypatch.setattr(module, "download_and_extract_archive", lambda *args, **kwargs: seen.append((args, kwargs)))
    with pytest.raises((RuntimeError, OSError)):
        tv.Caltech101(tmp_path, download=True)
    with pytest.raises(RuntimeError):
        tv.EuroSAT(tmp_path, download=True)
    for (args, kwargs), name in zip(seen, ("Caltech101", "EuroSAT"), strict=True):
        archive = download.archives(name)[0]
        assert archive.urls == (args[0],) and archive.md5 == kwargs["md5"]
        assert str(tmp_path / archive.place) == f"{kwargs['download_root']}/{args[0].rsplit('/', 1)[-1]}"


@pytest.mark.parametrize("name", [name for name, source in SOURCES.items() if source.downloadable])
def test_every_archive_is_unpacked_inside_the_folder_of_its_data_set(name):
    for archive in download.archives(name):
        assert archive.urls[0].startswith("http") and ".." not in archive.place
        assert archive.md5 is None or re.fullmatch("[0-9a-f]{32}", archive.md5)
    assert dataset_check.SOURCES is SOURCES


# ---- the cache of resized pictures

FOLDERS = {"birds": ["hawk", "jay"], "trees": ["elm", "oak"]}


@pytest.fixture
def folders(tmp_path):
    root = make_folders(tmp_path / "folders", FOLDERS, per_class=3)
    random = np.random.default_rng(0)
    for path in root.rglob("*.png"):
        Image.fromarray(random.integers(0, 255, (30, 23, 3), dtype=np.uint8)).save(path)
    Image.open(path).convert("L").save(path)  # A grey one, too.
    return root


def tensors(benchmark, mode="eval"):
    return [getattr(e.dataset, mode)()[i][0] for e in benchmark.test_stream for i in range(len(e.dataset))]


@pytest.mark.parametrize("incremental", [False, True])
def test_cached_pictures_are_bit_identical_and_decoded_once(folders, tmp_path, monkeypatch, incremental):
    train, test = clip_transforms(24)
    options = {"train_transform": train, "eval_transform": test, "class_incremental": incremental}
    expected = ClassFolders(folders, **options)
    cached = ClassFolders(folders, **options, cache_dir=tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 2
    again = ClassFolders(folders, **options, cache_dir=tmp_path / "cache")
    monkeypatch.setattr(Image, "open", None)
    for benchmark in (cached, again):
        for _ in range(2):
            assert all(torch.equal(a, b) for a, b in zip(tensors(benchmark), _restored(monkeypatch, expected), strict=True))
        assert [list(e.dataset.targets) for e in benchmark.test_stream] == [
            list(e.dataset.targets) for e in expected.test_stream
        ]


def _restored(monkeypatch, benchmark):
    monkeypatch.undo()
    values = tensors(benchmark)
    monkeypatch.setattr(Image, "open", None)
    return values


def test_the_train_transform_sees_the_original_of_a_cached_picture(folders, tmp_path):
    sizes = ClassFolders(
        folders, train_transform=lambda picture: picture.size, eval_transform=plain_rgb(), cache_dir=tmp_path / "cache"
    )
    assert set(tensors(sizes, "train")) == {(23, 30)}


def plain_rgb():
    return clip_transforms(16)[1]


def files_of(cache):
    return sorted(path.name for path in cache.iterdir())


def test_the_key_changes_with_transform_files_and_their_content(folders, tmp_path):
    cache = tmp_path / "cache"

    def build(transform, **options):
        ClassFolders(folders, train_transform=None, eval_transform=transform, cache_dir=cache, **options)
        return len(files_of(cache))

    assert [build(plain_rgb()), build(plain_rgb()), build(clip_transforms(17)[1]), build(plain_rgb(), max_pictures=2)] == [
        2,
        2,
        4,
        6,
    ]
    Image.new("RGB", (9, 9)).save(next((folders / "birds" / "test" / "jay").iterdir()))
    assert build(plain_rgb()) == 7


def test_a_damaged_cache_file_is_made_again_and_an_interrupted_one_is_not_kept(folders, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    options = {"train_transform": None, "eval_transform": plain_rgb(), "cache_dir": cache}
    expected = tensors(ClassFolders(folders, **options))
    names = files_of(cache)
    for name in names:
        (cache / name).write_bytes((cache / name).read_bytes()[:-5])
    assert all(torch.equal(a, b) for a, b in zip(tensors(ClassFolders(folders, **options)), expected, strict=True))
    shutil.rmtree(cache)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(OSError, match="No space left"):
            ClassFolders(folders, **options)
    assert files_of(cache) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(flipped(path.read_bytes())),
        lambda path: np.save(path, 255 - np.load(path)),
        lambda path: np.save(path, np.load(path)[:, :8]),
        lambda path: np.save(path, np.load(path)),  # a file of an earlier release, without a checksum
    ],
    ids=["a flipped bit", "inverted", "another shape", "no checksum"],
)
def test_an_altered_cache_file_is_made_again(folders, tmp_path, damage):
    cache = tmp_path / "cache"
    options = {"train_transform": None, "eval_transform": plain_rgb(), "cache_dir": cache}
    expected = tensors(ClassFolders(folders, **options))
    before = {path: path.read_bytes() for path in cache.iterdir()}
    for path in before:
        damage(path)
    assert all(torch.equal(a, b) for a, b in zip(tensors(ClassFolders(folders, **options)), expected, strict=True))
    assert {path: path.read_bytes() for path in cache.iterdir()} == before


def test_a_cache_file_that_is_a_named_pipe_is_refused_by_name(folders, tmp_path):
    cache = tmp_path / "cache"
    options = {"train_transform": None, "eval_transform": plain_rgb(), "cache_dir": cache}
    ClassFolders(folders, **options)
    path = next(cache.iterdir())
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(NotAFile, match=path.name):
        ClassFolders(folders, **options)


def test_cached_pictures_go_to_other_processes_without_their_bytes(folders, tmp_path):
    benchmark = ClassFolders(folders, train_transform=None, eval_transform=plain_rgb(), cache_dir=tmp_path / "cache")
    expected = tensors(benchmark)
    copy = pickle.loads(pickle.dumps(benchmark.test_stream[0].dataset.eval()))
    assert torch.equal(copy[0][0], expected[0])
    loader = torch.utils.data.DataLoader(benchmark.test_stream[0].dataset.eval(), batch_size=6, num_workers=1)
    assert torch.equal(next(iter(loader))[0], torch.stack(expected[:6]))


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (lambda picture: picture, "ends in ToTensor and Normalize"),
        (Compose([RandomCrop(4), *plain_rgb().transforms[2:]]), "RandomCrop"),
        (Compose([Lambda(lambda picture: picture), *plain_rgb().transforms[2:]]), "Lambda"),
        (Compose([lambda picture: picture, *plain_rgb().transforms[2:]]), "lambda"),
    ],
)
def test_transforms_that_can_not_be_cached_are_refused(folders, tmp_path, transform, message):
    with pytest.raises(ValueError, match=message):
        ClassFolders(folders, train_transform=None, eval_transform=transform, cache_dir=tmp_path / "cache")


def test_a_transform_that_leaves_grey_pictures_grey_is_refused(folders, tmp_path):
    benchmark = ClassFolders(folders, train_transform=None, eval_transform=plain(), cache_dir=tmp_path / "cache")
    assert tensors(benchmark)[0].shape[0] == 3  # torchvision's loader has made RGB of the grey one.
    layouts.write("MNIST", tmp_path)
    from avalanche_gift.benchmarks import MTIL

    with pytest.warns(UserWarning, match="MNIST"), pytest.raises(ValueError, match="a transform to RGB, got of MNIST L"):
        MTIL(tmp_path, ["MNIST"], eval_transform=plain(), cache_dir=tmp_path / "cache")
    assert not [name for name in files_of(tmp_path / "cache") if "MNIST" in name]


def test_pictures_in_arrays_are_cached_by_their_bytes(tmp_path):
    from avalanche_gift.benchmarks import MTIL

    def build():
        with pytest.warns(UserWarning, match="MNIST"):
            return MTIL(tmp_path, ["MNIST"], eval_transform=plain_rgb(), cache_dir=tmp_path / "cache")

    layouts.write("MNIST", tmp_path)
    first = tensors(build())
    assert len(files_of(tmp_path / "cache")) == 1
    file = tmp_path / "MNIST" / "raw" / "t10k-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    second = tensors(build())
    assert len(files_of(tmp_path / "cache")) == 2 and not torch.equal(first[-1], second[-1])
