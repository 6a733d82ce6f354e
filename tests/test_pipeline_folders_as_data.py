"""A diffusers folder is data: what could name code, a remote or a file elsewhere is refused before diffusers opens it."""

import json
import shutil
import warnings
from pathlib import Path

import pytest
import torch
from canary import Canary, edit_json
from test_generation import tiny_pipeline

from avalanche_gift.files import write_checksums
from avalanche_gift.generation import DiffusersGenerator, as_source, mini_generator
from avalanche_gift.generation.diffusers_generator import _checked_folder
from avalanche_gift.generation.folder_check import check_index
from avalanche_gift.models.mini import MINI_FOLDER

INDEX = "model_index.json"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    tiny_pipeline(tmp_path_factory.mktemp("tokenizer")).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "pipeline"))


@pytest.fixture
def pair(tmp_path):
    """The embedded pair, whose text-to-image part is read by our own pipeline."""
    return Path(shutil.copytree(MINI_FOLDER, tmp_path / "pair"))


@pytest.fixture
def canary(tmp_path, monkeypatch):
    (tmp_path / "modules").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "modules")  # what a careless `import` would find
    return Canary(tmp_path / "it-ran")


@pytest.fixture
def nothing_opened(monkeypatch):
    """Fails a test in which diffusers is asked to load anything."""
    from diffusers import AutoPipelineForText2Image, DiffusionPipeline

    def opened(*args, **kwargs):
        raise AssertionError(f"opened: {args}")

    monkeypatch.setattr(AutoPipelineForText2Image, "from_pretrained", opened)
    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", opened)
    monkeypatch.setattr(torch, "load", opened)


def test_a_whole_folder_is_loaded(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert DiffusersGenerator(folder, device="cpu").pipeline.unet is not None


NAMED = {
    "a pipeline of its own": ("_class_name", ["evil", "Evil"]),
    "a pipeline file": ("_class_name", ["custom.py", "Evil"]),
    "a dotted pipeline": ("_class_name", "evil.Evil"),
    "a module of anywhere": ("unet", ["evil", "Evil"]),
    "a dotted module": ("unet", ["evil.sub", "Evil"]),
    "a module of the standard library": ("unet", ["subprocess", "Popen"]),
    "a private class": ("unet", ["diffusers", "_Evil"]),
    "a dotted class": ("unet", ["diffusers", "utils.Evil"]),
    "a class that reads a map": ("tokenizer", ["transformers", "AutoTokenizer"]),
    "a class that reads pickles": ("tokenizer", ["transformers", "TransfoXLTokenizer"]),
    "a class of another format": ("unet", ["diffusers", "OnnxRuntimeModel"]),
    "the module of our own pair": ("unet", ["avalanche_gift.generation.mini_pipeline", "MiniDenoiser"]),
    "a part in another folder": ("../unet", ["diffusers", "UNet2DConditionModel"]),
    "an unfinished part": ("unet", ["evil", None]),
    "a map of code": ("auto_map", {"DiffusionPipeline": "evil.Evil"}),
    "a file": ("checkpoint_file", "/etc/passwd"),
    "a name that is a path": ("variant_of", "../../x"),
}


@pytest.mark.parametrize(("key", "value"), NAMED.values(), ids=NAMED)
def test_an_index_that_names_code_is_refused_by_its_key(folder, canary, nothing_opened, tmp_path, key, value):
    for place in (folder / "evil.py", folder / "custom.py", tmp_path / "modules" / "evil.py"):
        canary.module(place)
    edit_json(folder / INDEX, lambda index: index.update({key: value}))
    with pytest.raises(ValueError, match=rf"model_index\.json, got '{key}'"):
        DiffusersGenerator(folder, device="cpu")
    assert not canary.fired()


@pytest.mark.parametrize("name", ["diffusers.py", "transformers.py", "other.py"])
def test_code_in_a_part_is_refused_although_the_index_names_a_library(folder, canary, nothing_opened, name):
    canary.module(folder / "unet" / name, "UNet2DConditionModel")
    with pytest.raises(ValueError, match=rf"no code in the parts of a pipeline, got .*unet/{name}"):
        as_source(folder)
    assert not canary.fired()


PARTS = {
    "unet/config.json": {"auto_map": {"AutoModel": "evil.Evil"}},
    "unet/diffusion_pytorch_model.safetensors.index.json": {"weight_map": {"a": "diffusion_pytorch_model.bin"}},
    "vae/config.json": {"quantization_config": {"quant_method": "evil"}},
    "text_encoder/config.json": {"_attn_implementation": "someone/kernels"},
    "text_encoder/model.safetensors.index.json": {"weight_map": {"a": "../../model.safetensors"}},
    "tokenizer/tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["evil.Evil", None]}},
    "tokenizer/special_tokens_map.json": {"vocab_file": "/etc/passwd"},
    "scheduler/scheduler_config.json": {"prediction_type": "evil.Evil"},
    "unet/model_index.json": {"_class_name": ["evil", "Evil"]},
}


@pytest.mark.parametrize("file", PARTS)
def test_the_configurations_of_the_parts_are_held_to_the_same(folder, nothing_opened, file):
    edit_json(folder / file, lambda config: config.update(PARTS[file]))
    with pytest.raises(ValueError, match=file.replace(".", r"\.")):
        DiffusersGenerator(folder, device="cpu")


def test_an_index_that_leads_to_a_pickle_is_refused_before_that_is_opened(folder, canary, nothing_opened):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "unet" / "part.bin").write_bytes(canary.pickled())
    name = "diffusion_pytorch_model.safetensors.index.json"
    (folder / "unet" / name).write_text(json.dumps({"metadata": {}, "weight_map": {"conv_in.weight": "part.bin"}}))
    with pytest.raises(ValueError, match=r"\.safetensors files beside .* got 'part\.bin': pickled weights"):
        DiffusersGenerator(folder, device="cpu")
    assert not canary.fired()


def test_a_link_out_of_a_part_is_refused(folder, nothing_opened, tmp_path):
    config = folder / "unet" / "config.json"
    config.rename(tmp_path / "config.json")
    config.symlink_to(tmp_path / "config.json")
    with pytest.raises(ValueError, match=r"got the link .*config\.json to elsewhere"):
        DiffusersGenerator(folder, device="cpu")


def test_a_model_card_that_names_another_pipeline_is_refused(folder, nothing_opened):
    (folder / "README.md").write_text('---\n"pri\\x6fr":\n- someone/prior\n---\n# A model\n')
    with pytest.raises(ValueError, match=r"a whole pipeline in .*, got the repository 'someone/prior' in its README\.md"):
        DiffusersGenerator(folder, device="cpu")
    (folder / "README.md").write_text("---\nlicense: mit\n---\nprior: someone/prior\n")
    with pytest.raises(AssertionError, match="opened"):
        DiffusersGenerator(folder, device="cpu")


@pytest.mark.parametrize("file", ["text_encoder/config.json", "tokenizer/tokenizer_config.json", "denoiser/config.json"])
def test_the_embedded_form_is_held_to_the_same(pair, canary, file):
    canary.module((pair / "text_to_image" / file).with_name("evil.py"))
    edit_json(pair / "text_to_image" / file, lambda config: config.update(auto_map={"AutoTokenizer": "evil.Evil"}))
    write_checksums(pair, ["clip", "text_to_image"])
    with pytest.raises(ValueError, match=r"no code in the parts of a pipeline"):
        mini_generator(pair)
    next((pair / "text_to_image").rglob("evil.py")).unlink()
    write_checksums(pair, ["clip", "text_to_image"])
    with pytest.raises(ValueError, match=rf"{file}, got 'auto_map'"):
        mini_generator(pair)
    assert not canary.fired()


def test_the_embedded_form_takes_its_own_denoiser_and_no_other(pair, canary, tmp_path):
    canary.module(tmp_path / "modules" / "evil.py")
    for value in (["evil", "Evil"], ["avalanche_gift.cli", "main"]):
        edit_json(pair / "text_to_image" / INDEX, lambda index, value=value: index.update(denoiser=value))
        write_checksums(pair, ["clip", "text_to_image"])
        with pytest.raises(ValueError, match=r"model_index\.json, got 'denoiser'"):
            mini_generator(pair)
    assert not canary.fired()


# ---- pipelines of the hub, whose folder is checked once it is here


@pytest.fixture
def hub(folder, monkeypatch):
    """A hub of one pipeline; what was asked of it."""
    from diffusers import DiffusionPipeline

    asked = []

    def load_config(name, **options):
        asked.append(("index", name, options))
        return json.loads((folder / INDEX).read_text())

    def download(name, **options):
        asked.append(("all", name, options))
        return str(folder)

    monkeypatch.setattr(DiffusionPipeline, "load_config", load_config)
    monkeypatch.setattr(DiffusionPipeline, "download", download)
    return asked


def test_the_index_of_a_hub_pipeline_is_checked_before_the_rest_is_fetched(folder, hub, nothing_opened):
    edit_json(folder / INDEX, lambda index: index.update(_class_name=["evil", "Evil"]))
    with pytest.raises(ValueError, match=r"model_index\.json of 'someone/model', got '_class_name'"):
        DiffusersGenerator("someone/model", revision="r", device="cpu")
    assert hub == [("index", "someone/model", {"revision": "r"})]


def test_the_parts_of_a_hub_pipeline_are_checked_once_they_are_here(folder, hub, nothing_opened):
    edit_json(folder / "unet" / "config.json", lambda config: config.update(auto_map={"AutoModel": "evil.Evil"}))
    with pytest.raises(ValueError, match=r"unet/config\.json, got 'auto_map'"):
        DiffusersGenerator("someone/model", device="cpu")
    assert [what for what, *_ in hub] == ["index", "all"]
    assert hub[1][2]["use_safetensors"] is True


def test_what_a_hub_pipeline_is_connected_to_is_checked_too(folder, hub, monkeypatch):
    (folder / "README.md").write_text("---\nprior:\n- someone/prior\n---\n")
    connected = iter([["someone/prior"], []])
    monkeypatch.setattr("avalanche_gift.generation.diffusers_generator.connected", lambda folder: next(connected))
    assert _checked_folder("someone/model", {"use_safetensors": True}) == str(folder)
    assert [name for what, name, _ in hub if what == "all"] == ["someone/model", "someone/prior"]


# ---- what people's folders hold

STABLE_DIFFUSION = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.6.0.dev0",
    "_name_or_path": "/home/someone/sd",
    "_ignore_files": ["unet/diffusion_pytorch_model.bin"],
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
    "image_encoder": [None, None],
    "requires_safety_checker": True,
    "scheduler": ["diffusers", "PNDMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


@pytest.mark.parametrize(
    "index",
    [
        STABLE_DIFFUSION,
        {**STABLE_DIFFUSION, "tokenizer_2": ["transformers", "T5TokenizerFast"], "boundary_ratio": None},
        {"_class_name": "KandinskyPipeline", "text_encoder": ["kandinsky", "MultilingualCLIP"]},
    ],
)
def test_the_usual_indexes_are_allowed(index):
    check_index(index, where="model_index.json")
