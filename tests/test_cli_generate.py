"""`avalanche-gift generate` as a user calls it, with the embedded pipeline's code and random weights."""

import json
import shutil
import signal
import warnings

import numpy as np
import pytest
import torch
from kill_generation import compare, sums
from pictures_made import contents
from PIL import Image

from avalanche_gift.benchmarks.mini.concepts import VOCABULARY
from avalanche_gift.cli import main
from avalanche_gift.evaluation import read_results
from avalanche_gift.generation import DiffusersGenerator, SyntheticStore
from avalanche_gift.generation.mini import GUIDANCE
from avalanche_gift.models.mini import mini_config, write_tokenizer


def untrained(folder):
    """The embedded text-to-image pipeline with random weights, saved as `folder / text_to_image`."""
    from open_clip.model import CLIP
    from transformers import PreTrainedTokenizerFast

    from avalanche_gift.generation.mini_pipeline import MiniDenoiser, MiniPipeline, new_scheduler, text_tower

    write_tokenizer(VOCABULARY, folder / "tokenizer")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(folder / "tokenizer"))
    sizes = mini_config(VOCABULARY)["model_cfg"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        clip = CLIP(embed_dim=sizes["embed_dim"], vision_cfg=sizes["vision_cfg"], text_cfg=sizes["text_cfg"])
        tower = text_tower(clip, start_id=tokenizer.bos_token_id).requires_grad_(False)
        pipeline = MiniPipeline(MiniDenoiser(), new_scheduler(), tower, tokenizer)
    target = folder / "text_to_image"
    pipeline.save_pretrained(target, safe_serialization=True)
    write_tokenizer(VOCABULARY, target / "tokenizer")
    index = json.loads((target / "model_index.json").read_text())
    index["tokenizer"] = ["transformers", "PreTrainedTokenizerFast"]
    (target / "model_index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("pair"))


def command(pair, out, *more, images=9):
    options = ["--source", str(pair), "--steps", "1", "--images", str(images), "--tasks", "2", "--batch-size", "4"]
    return ["generate", "--benchmark", "mini", *options, *map(str, more), "--out", str(out)]


@pytest.fixture(scope="module")
def whole(pair, tmp_path_factory):
    """A store made by one process in one go."""
    out = tmp_path_factory.mktemp("whole") / "store"
    assert main(command(pair, out)) == 0
    return out


def test_a_store_is_made_and_nothing_is_made_twice(pair, whole, capsys):
    store = SyntheticStore(whole)
    assert [len(store.task(position).records()) for position in store.positions()] == [9, 9]
    meta = store.task(1).meta()
    assert (meta["task"], meta["pipeline"], meta["steps"], meta["guidance"]) == ("textures", "MiniPipeline", 1, GUIDANCE)
    assert (meta["scheduler"], meta["dtype"], meta["device"]) == ("FlowMatchEulerDiscreteScheduler", "float32", "cpu")
    before = contents(whole)
    assert main(command(pair, whole)) == 0
    assert "2 tasks of 9 pictures; made 0 now" in capsys.readouterr().out
    assert contents(whole) == before


@pytest.mark.parametrize("batch_size", [1, 7, 32])
def test_pictures_are_equal_bit_for_bit_at_any_batch_size(pair, whole, tmp_path, batch_size):
    assert main(command(pair, tmp_path / "out", "--batch-size", batch_size)) == 0
    assert contents(tmp_path / "out") == contents(whole)


def test_other_settings_are_refused_with_the_field(pair, whole, capsys):
    assert main(command(pair, whole, "--steps", 2)) == 2
    assert "steps: there 1, asked 2" in capsys.readouterr().err
    assert main(command(pair, whole, images=12)) == 2
    assert "prompts_drawn: there 9, asked 12" in capsys.readouterr().err


def test_other_weights_under_the_same_name_are_noticed(pair, whole, tmp_path):
    def fingerprint(change):
        generator = DiffusersGenerator(pair / "text_to_image", num_inference_steps=1)
        with torch.no_grad():
            next(generator.pipeline.denoiser.parameters()).view(-1)[0] += change
        return generator.describe()["weights"]

    assert fingerprint(0.0) != fingerprint(0.5)


def test_dry_run_counts_and_estimates_and_writes_nothing(pair, tmp_path, capsys):
    assert main(command(pair, tmp_path / "out", "--dry-run")) == 0
    text = capsys.readouterr().out
    assert "0 shapes: 9 pictures, 9 missing" in text
    assert "18 pictures missing: about" in text
    assert "MB free" in text
    assert not (tmp_path / "out").exists()


def test_sheet_shows_pictures_of_each_task(pair, whole, tmp_path):
    assert main(command(pair, whole, "--sheet", tmp_path / "sheet.png")) == 0
    pixels = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert pixels.shape == (2 * 144, 804, 3)
    first = SyntheticStore(whole).task(1).picture(SyntheticStore(whole).task(1).kept()[0])
    assert (pixels[144 + 20, 4] == np.asarray(first)[0, 0]).all()


def test_shards_one_after_the_other_give_the_store_of_one_process(pair, whole, tmp_path):
    for number in (3, 1, 2):
        assert main(command(pair, tmp_path / "out", "--shard", f"{number}/3")) == 0
    assert contents(tmp_path / "out") == contents(whole)


def test_three_processes_of_torchrun_killed_at_random_give_the_store_of_one_process(pair, whole, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options = command(pair, "unused")[1:-2]
    assert compare("torchrun", options, tmp_path, sums(whole), kills=1, pause=0)["same"]
    assert contents(tmp_path / "torchrun") == contents(whole)


def test_pictures_that_never_come_end_in_one_line_and_a_code(pair, tmp_path, capsys, monkeypatch):
    black = [Image.new("RGB", (32, 32))]
    monkeypatch.setattr(DiffusersGenerator, "generate", lambda self, prompts, seeds: black * len(prompts))
    assert main(command(pair, tmp_path / "out", "--attempts", 2)) == 1
    assert "4 of 4 pictures failed 2 times" in capsys.readouterr().err
    assert main(command(pair, tmp_path / "dropped", "--drop-black")) == 0
    assert "18 black ones left out" in capsys.readouterr().out


def test_memory_that_runs_out_ends_in_one_line(pair, tmp_path, capsys, monkeypatch):
    def fail(self, prompts, seeds):
        raise torch.OutOfMemoryError("out of memory")

    monkeypatch.setattr(DiffusersGenerator, "generate", fail)
    assert main(command(pair, tmp_path / "out")) == 1
    assert "out of memory; try a smaller --batch-size" in capsys.readouterr().err


def test_ctrl_c_ends_in_one_line_and_the_code_of_its_signal(pair, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(DiffusersGenerator, "generate", lambda self, prompts, seeds: signal.raise_signal(signal.SIGINT))
    assert main(command(pair, tmp_path / "out")) == 130
    assert "stopped by SIGINT; the same command goes on from here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--device", "cuda:99"], "no GPU" if not torch.cuda.is_available() else ""),
        (["--device", "gpu"], "expected a --device such as cpu"),
        (["--batch-size", 0], "batch"),
        (["--attempts", 0], "--attempts of 1 or more"),
        (["--images", 0], "at least 1 picture a task"),
        (["--sheet", "sheet.gif"], "expected a file .png or .jpg"),
        (["--drop-lowest", 1], "expected --drop-lowest from 0"),
        (["--filter-model", "mini"], "with --drop-lowest SHARE only"),
        (["--source", "perfect", "--steps", 3], "expected num_inference_steps with a diffusers pipeline only"),
        (["--benchmark", "digits", "--drop-lowest", 0.1, "--steps", 3], "expected --filter-model NAME"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to be asked for")
def test_bad_options_are_named_before_anything_is_made(tmp_path, capsys, options, message):
    assert main(["generate", "--out", str(tmp_path / "out"), *map(str, options)]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_share_least_alike_is_left_out_and_taken_back(pair, whole, tmp_path, capsys):
    out = shutil.copytree(whole, tmp_path / "out")
    assert main(command(pair, out, "--drop-lowest", 0.34)) == 0
    assert "dropped 6 pictures that mini finds least like their prompts (shapes 3, textures 3)" in capsys.readouterr().out
    task = SyntheticStore(out).task(0)
    assert len(task.pairs(9)[0]) == 6
    assert task.dropped()["model"] == "mini"
    assert main(command(pair, out)) == 0
    assert len(task.kept()) == 6, "a call without the option leaves things as they are"
    assert main(command(pair, out, "--drop-lowest", 0)) == 0
    assert len(task.kept()) == 9


def test_a_run_on_a_store_is_the_run_that_makes_its_own_pictures(tmp_path):
    stream = ["--benchmark", "mini", "--tasks", "shapes", "letters", "--images", "8"]
    assert main(["generate", *stream, "--out", str(tmp_path / "store")]) == 0
    run = ["run", *stream, "--strategies", "gift", "--iterations", "3"]
    assert main([*run, "--source", str(tmp_path / "store"), "--out", str(tmp_path / "ahead")]) == 0
    assert main([*run, "--out", str(tmp_path / "own")]) == 0
    ahead, own = (read_results(tmp_path / name / "gift" / "seed-0" / "results.json") for name in ("ahead", "own"))
    assert ahead["accuracy"] == own["accuracy"]


def test_a_folder_of_pictures_takes_no_options_of_a_pipeline(tmp_path, capsys):
    (tmp_path / "cat").mkdir()
    Image.new("RGB", (4, 4), "red").save(tmp_path / "cat" / "a.png")
    out = ["--out", str(tmp_path / "out"), "--source", str(tmp_path)]
    assert main(["generate", *out, "--steps", "3"]) == 2
    assert "with a diffusers pipeline only" in capsys.readouterr().err
    assert main(["generate", "--benchmark", "mtil", "--out", str(tmp_path / "out")]) == 2
    assert "expected --source NAME" in capsys.readouterr().err


# ---- options of DiffusersGenerator


class _Pipeline:
    """What the options touch, with a scheduler of diffusers."""

    device = torch.device("cpu")

    def __init__(self, scheduler):
        self.scheduler, self.calls = scheduler, []
        self.unet = torch.nn.Conv2d(3, 4, 3)

    def set_progress_bar_config(self, **options):
        pass

    def to(self, *places, **options):
        self.calls.append(("to", *places, *options.values()))
        return self

    def enable_attention_slicing(self):
        self.calls.append("slicing")

    def enable_model_cpu_offload(self, device):
        self.calls.append(("offload", device))


def scheduler_after(kind, steps, asked=None):
    import diffusers

    pipeline = _Pipeline(getattr(diffusers, kind)())
    generator = DiffusersGenerator(pipeline, num_inference_steps=steps, scheduler=asked)
    assert type(pipeline.scheduler).__name__ == kind, "the caller's own pipeline keeps its scheduler"
    return type(generator.pipeline.scheduler).__name__


@pytest.mark.parametrize(
    ("kind", "steps", "asked", "expected"),
    [
        ("PNDMScheduler", 50, None, "PNDMScheduler"),
        ("PNDMScheduler", 49, None, "DPMSolverMultistepScheduler"),
        ("EulerDiscreteScheduler", 25, None, "DPMSolverMultistepScheduler"),
        ("PNDMScheduler", 25, "own", "PNDMScheduler"),
        ("PNDMScheduler", 25, "DDIMScheduler", "DDIMScheduler"),
        ("PNDMScheduler", 50, "EulerDiscreteScheduler", "EulerDiscreteScheduler"),
        ("FlowMatchEulerDiscreteScheduler", 12, None, "FlowMatchEulerDiscreteScheduler"),
        ("LCMScheduler", 4, None, "LCMScheduler"),
    ],
)
def test_scheduler_is_swapped_below_fifty_steps_unless_one_is_named(kind, steps, asked, expected):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # diffusers' own, of options that the other scheduler lacks
        assert scheduler_after(kind, steps, asked) == expected


def test_an_unknown_scheduler_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="came 'DDIMSchedular'; the nearest is 'DDIMScheduler'"):
        scheduler_after("PNDMScheduler", 50, "DDIMSchedular")


def test_options_reach_the_pipeline():
    from diffusers import DDIMScheduler

    pipeline = _Pipeline(DDIMScheduler())
    DiffusersGenerator(pipeline, attention_slicing=True, channels_last=True, cpu_offload=True, device="cuda:1")
    assert pipeline.calls == [("offload", "cuda:1"), "slicing"]
    assert pipeline.unet.weight.is_contiguous(memory_format=torch.channels_last)
    compiled = _Pipeline(DDIMScheduler())
    DiffusersGenerator(compiled, compile=True)
    assert compiled.unet._compiled_call_impl is not None
    with pytest.raises(ValueError, match="expected a GPU for cpu_offload"):
        DiffusersGenerator(pipeline, cpu_offload=True, device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="on a GPU half precision is right")
def test_half_precision_wants_a_gpu():
    from diffusers import DDIMScheduler

    with pytest.raises(ValueError, match="expected a GPU for half precision"):
        DiffusersGenerator(_Pipeline(DDIMScheduler()), half_precision=True)
