"""A model folder is data: whatever in it could name code, a remote or a file elsewhere is refused before it is opened."""

import json
import shutil
from pathlib import Path

import open_clip
import pytest
import torch
from canary import Canary, edit_json
from open_clip.factory import _MODEL_CONFIGS
from spoilt import write_model

from avalanche_gift.by_name import load_model
from avalanche_gift.files import check_files, write_checksums
from avalanche_gift.models import CLIPClassifier
from avalanche_gift.models.folder_check import check_model_folder
from avalanche_gift.models.loading import CONFIG_FILE, WEIGHTS_FILE

TOKENIZER_BASE = "__import__('transformers').PreTrainedTokenizerFast"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "model"
    write_model(folder)
    return folder


@pytest.fixture
def model(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "pair" / "clip"))


@pytest.fixture
def canary(tmp_path):
    return Canary(tmp_path / "it-ran")


@pytest.fixture
def nothing_opened(monkeypatch):
    """Fails a test in which open_clip or transformers is asked for anything."""

    def opened(*args, **kwargs):
        raise AssertionError(f"opened: {args}")

    for name in ("create_model_and_transforms", "get_tokenizer", "load_checkpoint"):
        monkeypatch.setattr(open_clip, name, opened)
    monkeypatch.setattr(torch, "load", opened)


def attacked(model, canary, map_in="tokenizer_config.json"):
    """The folder of a public report: code beside the model, named by its configs."""
    canary.module(model / "evil.py", "MyTok", TOKENIZER_BASE)
    edit_json(
        model / "open_clip_config.json",
        lambda config: config["model_cfg"]["text_cfg"].update(tokenizer_kwargs={"trust_remote_code": True}),
    )
    edit_json(model / "tokenizer_config.json", lambda config: config.pop("tokenizer_class") and None)
    named = {"AutoTokenizer": ["evil.MyTok", "evil.MyTok"], "AutoConfig": "evil.MyTok"}
    edit_json(model / map_in, lambda config: config.update(auto_map=named, model_type="bert"))


@pytest.mark.parametrize("map_in", ["tokenizer_config.json", "config.json"])
@pytest.mark.parametrize("form", ["folder", "pair"])
def test_code_beside_a_model_does_not_run(model, canary, nothing_opened, map_in, form):
    attacked(model, canary, map_in)
    write_checksums(model.parent, ["clip"])
    with pytest.raises(ValueError, match=r"open_clip_config\.json, got .*'trust_remote_code'"):
        load_model(str(model if form == "folder" else model.parent))
    assert not canary.fired()


@pytest.mark.parametrize("map_in", ["tokenizer_config.json", "config.json"])
def test_code_that_only_the_map_names_is_refused_without_a_question(model, canary, nothing_opened, map_in):
    attacked(model, canary, map_in)
    edit_json(model / CONFIG_FILE, lambda config: config["model_cfg"]["text_cfg"].pop("tokenizer_kwargs") and None)
    with pytest.raises(ValueError, match=rf"{map_in}, got 'auto_map'"):
        CLIPClassifier.from_folder(model)
    assert not canary.fired()


def at(config, path):
    for key in path:
        config = config.setdefault(key, {})
    return config


TEXT, VISION = ("model_cfg", "text_cfg"), ("model_cfg", "vision_cfg")
DESCRIPTIONS = {
    "a remote tower": (VISION, "timm_model_name", "hf-hub:someone/model"),
    "a tower in a folder": (VISION, "timm_model_name", "local-dir:/elsewhere/model"),
    "a module": (VISION, "timm_model_name", "evil/tower.py"),
    "a text tower anywhere": (TEXT, "hf_model_name", "/elsewhere/model"),
    "a text tower above": (TEXT, "hf_model_name", "../model"),
    "a text tower on the hub": (TEXT, "hf_model_name", "someone/model"),
    "a tokenizer anywhere": (TEXT, "hf_tokenizer_name", "/elsewhere/model"),
    "a tokenizer by a link": (TEXT, "hf_tokenizer_name", "https://example.com/x"),
    "a file of merges": ((*TEXT, "tokenizer_kwargs"), "bpe_path", "/elsewhere/merges.gz"),
    "a revision of code": ((*TEXT, "tokenizer_kwargs"), "code_revision", "main"),
    "a subfolder": ((*TEXT, "tokenizer_kwargs"), "subfolder", "../x"),
    "a list for a switch": ((*TEXT, "tokenizer_kwargs"), "clean", ["evil.clean"]),
    "an activation": ((*VISION, "act_kwargs"), "evil", "evil.Act"),
    "a dotted name": (VISION, "pool_type", "evil.pool"),
    "an infinite number": (("model_cfg",), "init_logit_scale", float("inf")),
    "an unknown part": (("model_cfg",), "loader_cfg", {"module": "evil"}),
    "an unknown part beside": ((), "custom_code", "evil.py"),
    "a transform": (("preprocess_cfg",), "mode", "evil.Mode"),
    "an object in a list": (("preprocess_cfg",), "mean", [{"auto_map": "evil"}]),
}


@pytest.mark.parametrize(("path", "key", "value"), DESCRIPTIONS.values(), ids=DESCRIPTIONS)
def test_a_description_that_leads_elsewhere_is_refused_by_its_key(model, nothing_opened, path, key, value):
    edit_json(model / CONFIG_FILE, lambda config: at(config, path).update({key: value}))
    with pytest.raises(ValueError, match=rf"'{key}'"):
        CLIPClassifier.from_folder(model)


OTHERS = {
    "a vocabulary elsewhere": ("tokenizer_config.json", {"vocab_file": "/etc/passwd"}, "vocab_file"),
    "a vocabulary in the working folder": ("tokenizer_config.json", {"tokenizer_file": "evil"}, "tokenizer_file"),
    "another vocabulary by version": ("tokenizer_config.json", {"fast_tokenizer_files": ["../tokenizer.1.json"]}, "fast_token"),
    "arguments for sentencepiece": ("tokenizer_config.json", {"sp_model_kwargs": {"model_file": "/x"}}, "sp_model_kwargs"),
    "a template": ("tokenizer_config.json", {"chat_template": "{{ 1 }}"}, "chat_template"),
    "positional arguments": ("tokenizer_config.json", {"init_inputs": ["/etc/passwd"]}, "init_inputs"),
    "a class of another module": ("tokenizer_config.json", {"tokenizer_class": "evil.MyTok"}, "tokenizer_class"),
    "a class that reads pickles": ("tokenizer_config.json", {"tokenizer_class": "TransfoXLTokenizer"}, "tokenizer_class"),
    "a class looked up": ("tokenizer_config.json", {"tokenizer_class": "AutoTokenizer"}, "tokenizer_class"),
    "a token of another class": ("tokenizer_config.json", {"pad_token": {"__type": "evil.Token"}}, "__type"),
    "a file among the tokens": ("special_tokens_map.json", {"vocab_file": "/etc/passwd"}, "vocab_file"),
    "code among the tokens": ("special_tokens_map.json", {"auto_map": {"AutoTokenizer": "evil.T"}}, "auto_map"),
    "an added token that is no number": ("added_tokens.json", {"x": {"auto_map": 1}}, "'x'"),
    "kernels from the hub": ("config.json", {"attn_implementation": "someone/kernels"}, "attn_implementation"),
    "kernels from the hub, nested": ("config.json", {"text_config": {"_attn_implementation": "a/b"}}, "_attn_implementation"),
    "a quantiser": ("config.json", {"quantization_config": {"quant_method": "evil"}}, "quantization_config"),
    "a backbone on the hub": ("config.json", {"backbone": "someone/model"}, "backbone"),
    "another configuration by version": ("config.json", {"configuration_files": ["../config.1.json"]}, "configuration_files"),
    "code for a processor": ("preprocessor_config.json", {"auto_map": {"AutoImageProcessor": "evil.P"}}, "auto_map"),
    "code for generation": ("generation_config.json", {"custom_generate": "evil.py"}, "custom_generate"),
    "pickled weights by an index": ("model.safetensors.index.json", {"weight_map": {"a": "pytorch_model.bin"}}, "model.bin"),
    "no map in an index": ("model.safetensors.index.json", {}, "weight_map"),
}


@pytest.mark.parametrize(("file", "content", "named"), OTHERS.values(), ids=OTHERS)
def test_the_other_files_of_a_model_are_held_to_the_same(model, nothing_opened, file, content, named):
    edit_json(model / file, lambda config: config.update(content))
    with pytest.raises(ValueError, match=rf"{file}.*{named}|{named}.*{file}"):
        CLIPClassifier.from_folder(model)


@pytest.mark.parametrize("file", ["chat_template.jinja", "additional_chat_templates/x.jinja"])
def test_templates_are_refused(model, file):
    (model / file).parent.mkdir(exist_ok=True)
    (model / file).write_text("{{ 1 }}")
    with pytest.raises(ValueError, match="expected no code in a model folder, got the template"):
        CLIPClassifier.from_folder(model)


@pytest.mark.parametrize("file", [CONFIG_FILE, WEIGHTS_FILE, "tokenizer.json"])
def test_a_link_out_of_the_folder_is_refused(model, tmp_path, nothing_opened, file):
    (model / file).rename(tmp_path / file)
    (model / file).symlink_to(tmp_path / file)
    with pytest.raises(ValueError, match=rf"got the link .*{file} to elsewhere; copy the file"):
        CLIPClassifier.from_folder(model)


def test_links_within_a_folder_and_within_the_hub_cache_are_followed(model, tmp_path):
    (model / "tokenizer.json").rename(model / "words")
    (model / "tokenizer.json").symlink_to("words")
    assert CLIPClassifier.from_folder(model)
    snapshot = tmp_path / "models--a--b" / "snapshots" / "1"
    blobs = tmp_path / "models--a--b" / "blobs"
    snapshot.parent.mkdir(parents=True)
    shutil.copytree(model, snapshot)
    blobs.mkdir()
    (snapshot / WEIGHTS_FILE).rename(blobs / "7")
    (snapshot / WEIGHTS_FILE).symlink_to("../../blobs/7")
    assert CLIPClassifier.from_folder(snapshot)


def test_checksums_of_files_outside_are_refused(tmp_path):
    (tmp_path / "pair" / "clip").mkdir(parents=True)
    (tmp_path / "pair" / "checksums.json").write_text('{"clip/../../secret": "0"}')
    with pytest.raises(ValueError, match=r"expected files inside .*, got 'clip/\.\./\.\./secret'"):
        check_files(tmp_path / "pair", "clip")


# ---- text towers of transformers


def tower_config(vocabulary=167):
    from transformers import BertConfig

    return BertConfig(
        vocab_size=vocabulary, hidden_size=24, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=16,
    )  # fmt: skip


@pytest.fixture
def with_text_tower(model, tmp_path):
    """A model whose text tower is of transformers, with random weights, and the folder that it is saved in."""
    (tmp_path / "tower").mkdir()
    (tmp_path / "tower" / "config.json").write_text(tower_config().to_json_string())
    config = json.loads((model / CONFIG_FILE).read_text())
    text = {
        "hf_model_name": "google-bert/bert-base-uncased", "hf_tokenizer_name": "mini", "hf_model_pretrained": False,
        "hf_pooler_type": "mean_pooler", "hf_proj_type": "linear", "context_length": 12,
    }  # fmt: skip
    model_cfg = config["model_cfg"] | {"text_cfg": text}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        built = {**text, "hf_model_name": str(tmp_path / "tower")}
        clip = open_clip.CustomTextCLIP(model_cfg["embed_dim"], model_cfg["vision_cfg"], built)
    from avalanche_gift.models.loading import save_folder

    save_folder(clip, model, {**config, "model_cfg": model_cfg})
    return clip, model


def test_a_text_tower_of_transformers_comes_from_its_folder_alone(with_text_tower, monkeypatch):
    from transformers import AutoModel

    def loaded(*args, **kwargs):
        raise AssertionError("weights of another place were asked for")

    monkeypatch.setattr(AutoModel, "from_pretrained", loaded)
    clip, folder = with_text_tower
    model = CLIPClassifier.from_folder(folder)
    tokens = model.tokenizer(["a red circle"])
    clip.eval()
    model.eval()
    with torch.no_grad():
        assert torch.equal(model.clip.encode_text(tokens), clip.encode_text(tokens))


def test_a_pickle_beside_a_text_tower_is_never_opened(with_text_tower, canary, monkeypatch):
    _, folder = with_text_tower
    (folder / "pytorch_model.bin").write_bytes(canary.pickled())

    def opened(*args, **kwargs):
        raise AssertionError("torch.load was called")

    monkeypatch.setattr(torch, "load", opened)
    assert CLIPClassifier.from_folder(folder)
    assert not canary.fired()


@pytest.mark.parametrize("absolute", [True, False])
def test_a_text_tower_in_another_folder_is_refused_before_its_pickle_is_opened(
    with_text_tower, canary, nothing_opened, tmp_path, monkeypatch, absolute
):
    _, folder = with_text_tower
    other = tmp_path / "tower"
    (other / "pytorch_model.bin").write_bytes(canary.pickled())
    monkeypatch.chdir(tmp_path)
    name = str(other) if absolute else "tower"
    edit_json(folder / CONFIG_FILE, lambda config: config["model_cfg"]["text_cfg"].update(hf_model_name=name))
    (folder / "config.json").unlink()
    with pytest.raises(ValueError, match="hf_model_name"):
        CLIPClassifier.from_folder(folder)
    assert not canary.fired()


def test_a_text_tower_of_an_unknown_type_is_refused(with_text_tower, nothing_opened):
    _, folder = with_text_tower
    edit_json(folder / "config.json", lambda config: config.update(model_type="evil"))
    with pytest.raises(ValueError, match=r"expected a text tower of the types .* got 'evil'"):
        CLIPClassifier.from_folder(folder)


# ---- what people's folders hold


@pytest.mark.parametrize("name", sorted(_MODEL_CONFIGS))
def test_every_description_that_comes_with_open_clip_is_allowed(tmp_path, name):
    (tmp_path / CONFIG_FILE).write_text(json.dumps({"model_cfg": _MODEL_CONFIGS[name], "preprocess_cfg": {}}))
    (tmp_path / "config.json").write_text('{"model_type": "roberta"}')
    checked = check_model_folder(tmp_path, CONFIG_FILE)["model_cfg"]
    assert checked["vision_cfg"] == _MODEL_CONFIGS[name]["vision_cfg"]


def test_the_usual_files_of_the_hub_are_allowed(model):
    """As transformers writes them for a CLIP, with the paths of whoever wrote them."""
    edit_json(
        model / "tokenizer_config.json",
        lambda config: config.update(
            {
                "name_or_path": "/home/someone/.cache/x",
                "special_tokens_map_file": "/home/someone/map.json",
                "sp_model_kwargs": {},
                "unk_token": {"__type": "AddedToken", "content": "<unk>", "lstrip": False},
                "added_tokens_decoder": {"0": {"content": "<pad>", "special": True}},
                "additional_special_tokens": ["</a/b>"],
                "trust_remote_code": False,
            }
        ),
    )
    (model / "special_tokens_map.json").write_text('{"pad_token": "<pad>"}')
    (model / "config.json").write_text(
        json.dumps(
            {
                "_name_or_path": "openai/clip-vit-base-patch16",
                "architectures": ["CLIPModel"],
                "model_type": "clip",
                "torch_dtype": "float32",
                "transformers_version": "4.22.0.dev0",
                "text_config": {"id2label": {"0": "a label, with: text"}, "hidden_act": "quick_gelu", "prefix": None},
                "text_config_dict": None,
                "logit_scale_init_value": 2.6592,
            }
        )
    )
    (model / "pytorch_model.bin").write_bytes(b"never read")
    assert CLIPClassifier.from_folder(model)
