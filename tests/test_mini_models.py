"""The embedded pair: loaded by the code that loads big models, and good enough to show what the paper shows."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from avalanche_gift.benchmarks.mini import TASKS, all_prompts, draw_task
from avalanche_gift.benchmarks.mini.concepts import VOCABULARY
from avalanche_gift.cli import main
from avalanche_gift.evaluation import read_results
from avalanche_gift.generation import DiffusersGenerator, mini_generator
from avalanche_gift.models.mini import MINI_FOLDER, mini_clip

PROMPTS = all_prompts()[::20]
SEEDS = list(range(len(PROMPTS)))


@pytest.fixture(scope="module")
def model():
    return mini_clip()


def arrays(pictures):
    return np.stack([np.asarray(picture) for picture in pictures])


def test_the_pair_is_small_enough_to_ship():
    weights = [path for part in ("clip", "text_to_image") for path in (MINI_FOLDER / part).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in weights) <= 8 * 2**20
    assert not {path.suffix for path in weights} & {".bin", ".pt", ".pth", ".pkl", ".ckpt"}


def test_every_word_has_a_token_of_its_own_and_the_end_token_is_the_largest(model):
    tokens = model.tokenizer([f"{word} {word}" for word in VOCABULARY])
    assert tokens.shape == (len(VOCABULARY), 12)
    assert len(set(tokens[:, 1].tolist())) == len(VOCABULARY)
    assert torch.equal(tokens[:, 1], tokens[:, 2])
    assert torch.equal(tokens.argmax(1), torch.full((len(VOCABULARY),), 3))
    assert torch.equal(model.tokenizer(["A photo, of a  RED circle!"]), model.tokenizer(["a photo of a red circle"]))
    assert tokens.min() == 0


def test_an_unknown_word_is_warned_of_once_by_name():
    model = mini_clip()
    with pytest.warns(UserWarning, match="'zebra'.*zero-shot accuracy is chance"):
        model.set_classes(["zebra", "circle"])
    model.set_classes(["zebra", "square"])


@pytest.mark.parametrize("task", TASKS)
def test_zero_shot_leaves_something_to_learn_and_something_to_lose(model, task):
    pictures, labels = draw_task(task, "test", seed=0)
    model.set_classes(TASKS[task])
    model.eval()
    from PIL import Image

    batch = torch.stack([model.eval_transform(Image.fromarray(picture)) for picture in pictures])
    with torch.no_grad():
        right = (model(batch).argmax(1) == torch.from_numpy(labels)).float().mean()
    assert 0.60 <= right <= 0.85, f"{task}: {right:.2f}, where chance is {1 / len(TASKS[task]):.2f}"


def test_a_prompt_and_a_seed_give_one_picture_at_any_batch_size():
    pipeline = mini_generator().pipeline
    one, seven, many = (
        arrays(DiffusersGenerator(pipeline, num_inference_steps=4, guidance_scale=3, batch_size=size).generate(PROMPTS, SEEDS))
        for size in (1, 7, 32)
    )
    assert one.shape == (len(PROMPTS), 32, 32, 3)
    assert (one == seven).all()
    assert (one == many).all()
    other = arrays(DiffusersGenerator(pipeline, num_inference_steps=4, guidance_scale=3).generate(PROMPTS[:1], [99]))
    assert (other != one[:1]).any()


def test_a_fresh_process_loads_both_and_makes_the_same_picture():
    code = (
        "import numpy as np, sys; from avalanche_gift.generation import mini_generator\n"
        "picture = mini_generator().generate(['a photo of a red circle.'], [7])[0]\n"
        "print(np.asarray(picture).sum())"
    )
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    here = mini_generator().generate(["a photo of a red circle."], [7])
    assert int(printed.split()[-1]) == int(arrays(here).sum())


def test_generated_pictures_are_what_their_prompts_say(model):
    concepts = [prompt for prompt in all_prompts() if len(prompt.split(" ")) < 7][:139]
    pictures = mini_generator().generate(concepts, range(len(concepts)))
    model.class_texts = model.tokenize_classes([(prompt,) for prompt in concepts])
    model.eval()
    with torch.no_grad():
        batch = torch.stack([model.eval_transform(picture) for picture in pictures])
        right = model(batch).argmax(1) == torch.arange(len(concepts))
    assert right.float().mean() >= 0.8


@pytest.mark.parametrize("part", ["clip", "text_to_image"])
@pytest.mark.parametrize("damage", ["missing", "altered"])
def test_missing_and_altered_files_are_named(tmp_path, part, damage):
    folder = Path(shutil.copytree(MINI_FOLDER, tmp_path / "pair"))
    victim = sorted((folder / part).rglob("*.safetensors"))[0]
    if damage == "missing":
        victim.unlink()
    else:
        content = bytearray(victim.read_bytes())
        content[-1] ^= 1
        victim.write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=victim.name):
        mini_clip(folder) if part == "clip" else mini_generator(folder)


def test_the_model_card_tells_how_the_pair_was_made():
    card = json.loads((MINI_FOLDER / "model_card.json").read_text(encoding="utf-8"))
    assert (MINI_FOLDER / "MODEL_CARD.md").is_file()
    assert {"command", "options", "versions", "results"} <= card.keys()
    assert card["options"]["seed"] == 1


def test_a_shortened_run_ends_with_a_whole_table(tmp_path, capsys):
    run = ["run", "--benchmark", "mini", "--tasks", "shapes", "letters", "--iterations", "3", "--images", "8"]
    assert main([*run, "--strategies", "finetune", "gift", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "Settings other than the paper's: iterations 3 (paper: 1000)" in printed
    assert (tmp_path / "summary.png").is_file()
    for strategy in ("finetune", "gift"):
        assert len(read_results(tmp_path / strategy / "seed-0" / "results.json")["accuracy"]) == 3
