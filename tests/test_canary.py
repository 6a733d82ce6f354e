"""A canary in every kind of file that the package reads: it never fires, and the file is refused or read as plain data."""

import ast
import json
import pickle
import shutil
import sys
from pathlib import Path

import layouts
import numpy as np
import pytest
import spoilt
import torch
from canary import POSTSCRIPT, Canary, fake_ghostscript, shapes
from PIL import EpsImagePlugin, Image
from spoilt import CHECKPOINTS, META

from avalanche_gift.benchmarks import ClassFolders
from avalanche_gift.benchmarks.datasets import DamagedDataset, read_dataset
from avalanche_gift.benchmarks.picture_cache import CachedPictures
from avalanche_gift.benchmarks.references import FolderPictures, read_texts
from avalanche_gift.by_name import load_model
from avalanche_gift.cli import main
from avalanche_gift.evaluation import read_results
from avalanche_gift.files import sha256_of, write_checksums
from avalanche_gift.generation import (
    DiffusersGenerator,
    FolderGenerator,
    KeptPictures,
    RandomSplitFolder,
    SyntheticStore,
    mini_generator,
)
from avalanche_gift.lock import locked
from avalanche_gift.models.mini import MINI_FOLDER
from avalanche_gift.training.checkpoint_files import INDEX, Checkpoints

ROOT = Path(__file__).parents[1]
SHAPES = ("pickle", "array of objects", "torch archive", "Python", "JSON with tags", "YAML with tags", "PostScript")
"""Of `canary.shapes`."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        spoilt.write_world(root, patch)
        shutil.copytree(MINI_FOLDER, root / "pair")
        Path("random/blue").mkdir(parents=True)
        shutil.copy("source/white.png", "random/blue/0.png")
        Path("refs").mkdir()
        shutil.copy("source/white.png", "refs/0.png")
    return root


@pytest.fixture
def world(whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "world")
    monkeypatch.chdir(tmp_path / "world")
    return tmp_path / "world"


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """Also where a module named `evil`, and a program named `gs`, would be found."""
    canary = Canary(tmp_path / "it-ran")
    canary.module(tmp_path / "found" / "evil.py")
    fake_ghostscript(tmp_path / "found", canary)
    monkeypatch.syspath_prepend(tmp_path / "found")
    monkeypatch.setenv("PATH", str(tmp_path / "found"), prepend=":")
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    yield canary
    sys.modules.pop("evil", None)


# ---- the canaries live


@pytest.mark.parametrize("shape", SHAPES)
def test_a_careless_reader_would_fire_it(canary, tmp_path, monkeypatch, shape):
    assert tuple(shapes(canary)) == SHAPES
    path = tmp_path / "file"
    path.write_bytes(shapes(canary)[shape])

    def with_ghostscript():
        monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
        with Image.open(path) as image:
            image.load()

    careless = {
        "pickle": lambda: pickle.loads(path.read_bytes()),
        "array of objects": lambda: np.load(path, allow_pickle=True),
        "torch archive": lambda: torch.load(path, weights_only=False),
        "Python": lambda: exec(path.read_text()),
        "JSON with tags": lambda: __import__(json.loads(path.read_text())["module"]),
        "YAML with tags": lambda: __import__("yaml").unsafe_load(path.read_text()),
        "PostScript": with_ghostscript,
    }
    try:
        careless[shape]()
    except (OSError, SyntaxError):
        assert shape == "PostScript"  # our program makes no image
    assert canary.fired()


# ---- every kind of file


def run_stream():
    return ClassFolders("tasks", train_transform=np.asarray, eval_transform=np.asarray)


def resized():
    from torchvision.transforms import Compose, Normalize, Resize, ToTensor

    from avalanche_gift.benchmarks.folders import read_task

    transform = Compose([Resize((8, 8)), ToTensor(), Normalize([0.5], [0.5])])
    cached = CachedPictures(read_task(Path("tasks/cold")).test, name="cold", transform=transform, folder="cache")
    return cached, cached[0][0].resized()


class Red:
    def generate(self, prompts, seeds):
        return spoilt.in_red(len(prompts))

    def describe(self):
        return {}


def kept():
    return KeptPictures(Red(), "kept").generate(["a"], [0])


def first_image(stream):
    return stream.train_stream[0].dataset[0][0]


def checkpoint():
    checkpoints = Checkpoints(CHECKPOINTS)
    return checkpoints.read(*checkpoints.newest())


def last_checkpoint():
    return spoilt.last_checkpoint()[0]


def checkpoint_with_checksum():
    """As somebody would leave it who wants it to be read."""
    path, index = spoilt.last_checkpoint()
    index["checkpoints"][-1]["sha256"] = sha256_of(path)
    (CHECKPOINTS / INDEX).write_text(json.dumps(index))
    return checkpoint()


def store_picture():
    """With its checksum in the manifest."""
    path = Path("ahead/task-00/00000.png")
    manifest = Path(spoilt.MANIFEST)
    records = [json.loads(line) for line in manifest.read_text().splitlines()]
    folder = SyntheticStore("ahead").task(0)
    found = {index: record for index, record in folder.records().items() if record.file == path.name}
    assert found and records
    (record,) = found.values()
    return folder.picture(type(record)(**{**record.__dict__, "sha256": sha256_of(path)}))


def lock():
    with locked(Path("out/new")):
        return True


def pair(part):
    write_checksums(Path("pair"), ["clip", "text_to_image"])
    return load_model("pair") if part == "clip" else mini_generator("pair")


def one_line(*arguments):
    assert main(list(arguments)) in (0, 2)


MODEL = ("open_clip_config.json", "open_clip_model.safetensors", "tokenizer.json", "tokenizer_config.json")
MODEL_TOO = (
    *("config.json", "special_tokens_map.json", "added_tokens.json", "preprocessor_config.json", "vocab.json", "probe.json"),
    *("pytorch_model.bin", "model.safetensors.index.json", "evil.py", "tokenizer.model"),
)
PARTS = (
    *("model_index.json", "denoiser/config.json", "denoiser/diffusion_pytorch_model.safetensors"),
    *("denoiser/diffusion_pytorch_model.bin", "denoiser/evil.py", "scheduler/scheduler_config.json"),
    *("text_encoder/config.json", "text_encoder/model.safetensors", "text_encoder/pytorch_model.bin"),
    *("tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json", "tokenizer/special_tokens_map.json", "README.md"),
)
KINDS = {
    **{f"model: {name}": (f"model/{name}", lambda: load_model("model")) for name in (*MODEL, *MODEL_TOO)},
    **{f"pair, model: {name}": (f"pair/clip/{name}", lambda: pair("clip")) for name in (*MODEL, "config.json")},
    **{f"pair, pipeline: {name}": (f"pair/text_to_image/{name}", lambda: pair("text_to_image")) for name in PARTS},
    "pair: checksums": ("pair/checksums.json", lambda: load_model("pair")),
    "pipeline: index": ("pipe/model_index.json", lambda: DiffusersGenerator("pipe", device="cpu")),
    "task: classes.json": ("tasks/cold/classes.json", run_stream),
    "task: image": ("tasks/cold/train/blue/0.png", lambda: first_image(run_stream())),
    "source: prompts.csv": ("source/prompts.csv", lambda: FolderGenerator("source").pairs(1, seed=0)),
    "source: prompts.jsonl": ("source/prompts.jsonl", lambda: FolderGenerator("source").pairs(1, seed=0)),
    "source: image": ("source/white.png", lambda: FolderGenerator("source").pairs(3, seed=0)),
    "random splits: image": ("random/blue/0.png", lambda: RandomSplitFolder("random").pairs_of(0, 1)),
    "references: image": ("refs/0.png", lambda: FolderPictures("refs")[0]),
    **{f"captions{end}": (f"captions{end}", lambda end=end: read_texts(f"captions{end}")) for end in (".txt", ".csv", ".tsv")},
    "store: meta": (META, lambda: SyntheticStore("ahead").task(0).meta()),
    "store: manifest": (spoilt.MANIFEST, lambda: SyntheticStore("ahead").task(0).kept()),
    "store: dropped": ("ahead/task-00/dropped.json", lambda: SyntheticStore("ahead").task(0).kept()),
    "store: image": ("ahead/task-00/00000.png", store_picture),
    "checkpoints: index": (CHECKPOINTS / INDEX, checkpoint),
    "checkpoints: state": (last_checkpoint, checkpoint_with_checksum),
    "lock": ("out/new/lock.json", lock),
    "results": ("out/zero-shot/seed-0/results.json", lambda: read_results("out/zero-shot/seed-0/results.json")),
    "report: experiment": ("out/table1.json", lambda: one_line("report", "out", "--html", "page.html")),
    "report: figure": ("out/figure1.png", lambda: one_line("report", "out", "--html", "page.html")),
    "cache of evaluation": ("cache", resized),
    "cache of generated images": ("kept", kept),
}
REFUSED = (ValueError, OSError, TypeError, pickle.UnpicklingError)


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_ever_runs(world, canary, kind):
    place, read = KINDS[kind]
    path = place() if callable(place) else Path(place)
    if kind.startswith("cache"):
        read()
        (path,) = path.iterdir()
    path.parent.mkdir(parents=True, exist_ok=True)
    for shape, content in shapes(canary).items():
        path.write_bytes(content)
        try:
            read()
        except REFUSED as error:
            assert not isinstance(error, ModuleNotFoundError), shape
        assert not canary.fired(), shape


PUBLISHED = {"CIFAR100": ("train", "test", "meta"), "Flowers": ("imagelabels.mat", "setid.mat")}


# torchvision leaves an image open that it can't read
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", sorted(layouts._WRITERS))
def test_no_file_of_a_data_set_ever_runs(tmp_path, canary, monkeypatch, name):
    whole = layouts.write(name, tmp_path / "whole", 1, 1)
    layouts.accept(monkeypatch, whole)
    assert read_dataset(name, whole)
    listings = [path for path in whole.rglob("*") if path.is_file() and path.suffix not in (".jpg", ".JPEG", ".png", ".tif")]
    for path in listings:
        before = path.read_bytes()
        for shape, content in shapes(canary).items():
            path.write_bytes(content)
            try:
                read_dataset(name, whole)
            except DamagedDataset:
                pass
            else:
                assert path.name not in PUBLISHED.get(name, ()), f"{shape} in {path.name}"
            assert not canary.fired(), f"{shape} in {path.name}"
        path.write_bytes(before)
    image = next((path for path in whole.rglob("*") if path.suffix in (".jpg", ".JPEG", ".png", ".tif")), None)
    if image is not None:
        image.write_bytes(POSTSCRIPT)
        for pictures in read_dataset(name, whole):
            for index in range(len(pictures)):
                try:
                    pictures[index]
                except OSError:
                    continue
        assert not canary.fired()


@pytest.mark.parametrize("file", PUBLISHED["CIFAR100"])
def test_a_pickle_of_cifar_with_another_md5_is_refused_before_it_is_opened(tmp_path, canary, monkeypatch, file):
    """Even one that holds all that is wanted beside the canary."""
    layouts.write("CIFAR100", tmp_path)
    layouts.accept(monkeypatch, tmp_path)
    path = tmp_path / "cifar-100-python" / file
    path.write_bytes(pickle.dumps({**pickle.loads(path.read_bytes()), "canary": canary}))
    with pytest.raises(DamagedDataset, match="corrupted"):
        read_dataset("CIFAR100", tmp_path)
    assert not canary.fired()


def test_the_pickles_of_old_torchvision_releases_are_not_opened(tmp_path, canary, monkeypatch):
    layouts.write("MNIST", tmp_path)
    processed = tmp_path / "MNIST" / "processed"
    processed.mkdir()
    for name in ("training.pt", "test.pt"):
        (processed / name).write_bytes(shapes(canary)["torch archive"])

    def opened(*args, **kwargs):
        raise AssertionError("torch.load was called")

    monkeypatch.setattr(torch, "load", opened)
    train, _ = read_dataset("MNIST", tmp_path)
    assert len(train) == 20
    assert not canary.fired()


def test_names_from_files_are_text_on_the_page(world, canary):
    """A page is opened in a browser, for which a name could be a script."""
    hostile = "<script>document.title='it ran'</script>"
    path = Path("out/zero-shot/seed-0/results.json")
    results = json.loads(path.read_text())
    results["strategy"] = hostile
    results["experiences"][0] = f"'\"><img src=x onerror=alert(1)>{hostile}"
    results.pop("sha256")
    path.write_text(json.dumps(results))
    record = {"experiment": "table1", "rows": {hostile: {hostile: {"ours": 1.0}}}, "what": hostile, "world": hostile}
    Path("out/table1.json").write_text(json.dumps({**record, "protocol": hostile, "seeds": [0], "not_there": [hostile]}))
    meta = json.loads(Path(META).read_text())
    Path(META).write_text(json.dumps({**meta, "task": hostile}))
    assert main(["report", "out", "ahead", "--html", "page.html"]) == 0
    page = Path("page.html").read_text()
    assert "document.title=" in page
    assert hostile not in page
    assert "<img src=x" not in page


# ---- and nothing else is read


READING = {
    "read_text",
    "read_bytes",
    "read_file",
    "open",
    "load",
    "load_file",
    "loadmat",
    "from_pretrained",
    "load_config",
    "urlopen",
}
COVERED = {
    "benchmarks/download.py": "archives and pages of data sets: `test_datasets.py` and the table of bad input",
    "benchmarks/class_names.py": "the package's own lists",
    "evaluation/published.py": "the package's own tables",
    "evaluation/memory.py": "the kernel's",
    "report/page.py": "the package's own style",
    "generation/making.py": "images that a generator returned",
    "run_loggers.py": "lines of text, cut and written again",
    **dict.fromkeys(("benchmarks/folders.py", "benchmarks/references.py", "benchmarks/picture_cache.py"), "KINDS"),
    **dict.fromkeys((f"benchmarks/{name}.py" for name in ("datasets", "stanford_cars", "tiny_imagenet")), "data sets"),
    "models/probe.py": "KINDS",
    **dict.fromkeys(
        ("cli_report.py", "evaluation/results.py", "lock.py", "files.py", "pictures.py", "plain_configs.py"), "KINDS"
    ),
    **dict.fromkeys((f"generation/{name}.py" for name in ("diffusers_generator", "folder_check", "folders", "kept")), "KINDS"),
    **dict.fromkeys((f"generation/{name}.py" for name in ("manifest", "mini_pipeline", "store")), "KINDS"),
    "training/checkpoint_files.py": "KINDS",
}
FORBIDDEN = {
    *("pickle.load", "pickle.loads", "pickle.Unpickler", "torch.load", "torch.jit.load", "torch.hub.load", "joblib.load"),
    *("marshal.load", "marshal.loads", "shelve.open", "yaml.load", "yaml.unsafe_load", "eval", "exec", "__import__"),
    *("os.system", "os.popen", "runpy.run_path", "runpy.run_module", "importlib.import_module", "import_module"),
    *("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_call", "subprocess.check_output"),
}


def calls(path):
    return [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]


SOURCES = sorted((ROOT / "avalanche_gift").rglob("*.py"))


def test_every_module_that_reads_files_has_a_canary_or_a_reason():
    reading = {
        path.relative_to(ROOT / "avalanche_gift").as_posix()
        for path in SOURCES
        for call in calls(path)
        if (call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")) in READING
    }
    assert reading <= COVERED.keys(), "put the new kind of file into KINDS"
    assert COVERED.keys() <= reading, "these read nothing any more"


@pytest.mark.parametrize("folder", ["avalanche_gift", "benchmarks"])
def test_no_module_can_run_what_it_reads(folder):
    for path in sorted((ROOT / folder).rglob("*.py")):
        for call in calls(path):
            name = ast.unparse(call.func)
            assert name not in FORBIDDEN or folder == "benchmarks", f"{path}:{call.lineno}: {name}"
            if name in ("np.load", "numpy.load"):
                assert "allow_pickle=False" in ast.unparse(call), f"{path}:{call.lineno}: say allow_pickle=False"
