import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from avalanche_gift.generation import (
    DiffusersGenerator,
    FolderGenerator,
    Generator,
    PairSource,
    as_source,
    picture_seed,
)

PROMPTS = ["a cat.", "a dog.", "a red house.", "a cat.", "a boat.", "a tree.", "a bird."]
SEEDS = [11, 12, 13, 14, 15, 16, 17]


def save(path, shade, mode="RGB"):
    """A 4 x 4 picture in one shade, by which a test knows it again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (shade, shade, shade)).convert(mode).save(path)
    return path


def shade(picture):
    return picture.convert("L").getpixel((0, 0))


@pytest.fixture
def classes(tmp_path):
    """Two classes of three and two pictures, shades 10, 11, 12 and 20, 21."""
    for name, first, number in (("polar_bear", 10, 3), ("cat", 20, 2)):
        for index in reversed(range(number)):
            save(tmp_path / name / f"{index}.png", first + index)
    return tmp_path


# ---- seeds


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0, 0), 419_900_000),
        ((0, 999), 419_900_999),
        ((1, 0), 420_000_000),
        ((10, 5), 420_900_005),
        ((2, 7, 1), 10_100_007),
    ],
)
def test_picture_seed_is_that_of_the_published_code(arguments, expected):
    assert picture_seed(*arguments) == expected


def test_last_seed_of_an_experience_lies_just_before_the_next():
    assert picture_seed(3, 99_999) + 1 == picture_seed(4, 0)


@pytest.mark.parametrize("arguments", [(-1, 0), (0, -1), (0, 0, -1), (0, 100_000)])
def test_picture_seed_refuses_what_would_meet_other_seeds(arguments):
    with pytest.raises(ValueError, match=r"expected .*, came"):
        picture_seed(*arguments)


# ---- folders: layouts


def test_class_folders_give_prompts_by_template(classes):
    pictures = FolderGenerator(classes)
    assert pictures.prompts == ("a photo of a cat.", "a photo of a polar bear.")
    assert len(pictures) == 5
    assert FolderGenerator(classes, template="a {c}, {odd}").prompts == ("a cat, {odd}", "a polar bear, {odd}")


def test_folder_names_may_hold_braces(tmp_path):
    save(tmp_path / "set {0} {c}" / "a.png", 1)
    assert FolderGenerator(tmp_path).prompts == ("a photo of a set {0} {c}.",)


def test_other_files_and_hidden_ones_are_passed_over(classes):
    (classes / "cat" / "notes.txt").write_text("no picture")
    (classes / "cat" / "._0.png").write_bytes(b"left by another system")
    (classes / "empty").mkdir()
    save(classes / ".trash" / "old.png", 1)
    save(classes / "loose.png", 1)
    save(classes / "cat" / "UPPER.JPG", 22)
    assert len(FolderGenerator(classes)) == 6
    assert FolderGenerator(classes).prompts == ("a photo of a cat.", "a photo of a polar bear.")


def test_train_split_of_a_data_set_is_found(tmp_path):
    (tmp_path / "classes.json").write_text("{}")
    save(tmp_path / "train" / "cat" / "a.jpg", 1)
    save(tmp_path / "test" / "cat" / "b.jpg", 2)
    pictures = FolderGenerator(tmp_path)
    assert (pictures.prompts, len(pictures)) == (("a photo of a cat.",), 1)


def test_a_class_may_be_called_train(classes):
    save(classes / "train" / "a.png", 1)
    save(classes / "train" / "cat" / "b.png", 1)
    assert FolderGenerator(classes).prompts[-1] == "a photo of a train."
    assert len(FolderGenerator(classes)) == 7


@pytest.mark.parametrize("name", ["prompts.csv", "prompts.jsonl", "manifest.jsonl"])
def test_prompts_file_names_files_and_prompts(classes, name):
    rows = [
        ("cat/1.png", "two, of \u2028 which"),
        ("./polar_bear/0.png", "a bear"),
        ("cat/0.png", "two, of \u2028 which"),
    ]
    if name.endswith("csv"):
        text = "\ufeffseed,file,prompt\n" + "".join(f'3,{file},"{prompt}"\n\n' for file, prompt in rows)
    else:
        records = [{"file": file, "prompt": prompt, "seed": 3} for file, prompt in rows]
        text = "\n\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    (classes / name).write_text(text, encoding="utf-8")
    pictures = FolderGenerator(classes)
    assert pictures.prompts == ("two, of \u2028 which", "a bear")
    assert [shade(picture) for picture in pictures.generate([rows[0][1]] * 2 + ["a bear"], [0, 1, 0])] == [21, 20, 10]


def test_listing_opens_no_picture(tmp_path):
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "a.png").write_bytes(b"not a picture")
    pictures = FolderGenerator(tmp_path)
    with pytest.raises(ValueError, match=r"can't read the picture '.*a\.png'"):
        pictures.generate(pictures.prompts, [0])


def test_truncated_picture_is_named(classes):
    path = save(classes / "cat" / "0.png", 1)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(ValueError, match=r"can't read the picture '.*0\.png'"):
        FolderGenerator(classes).generate(["a photo of a cat."], [0])


# ---- folders: errors


def test_root_must_be_a_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        FolderGenerator(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match=r"a\.png"):
        FolderGenerator(save(tmp_path / "a.png", 1))


@pytest.mark.parametrize("prompts", [None, "file,prompt\n"])
def test_root_without_pictures_is_an_error(tmp_path, prompts):
    save(tmp_path / "loose.png", 1)
    if prompts is not None:
        (tmp_path / "prompts.csv").write_text(prompts)
    with pytest.raises(ValueError, match="no pictures in"):
        FolderGenerator(tmp_path)


def test_template_needs_a_place_for_the_class(classes):
    with pytest.raises(ValueError, match=r"\{c\}.*'a photo of a \{\}\.'"):
        FolderGenerator(classes, template="a photo of a {}.")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("prompts.csv", "", "line 1: expected the columns file and prompt"),
        ("prompts.csv", "picture,prompt\na.png,a cat\n", "line 1: expected the columns file and prompt"),
        ("prompts.csv", "file,prompt\na.png,a cat\na.png,a cat, asleep\n", "line 3: expected one file and one prompt"),
        ("prompts.csv", "file,prompt\na.png\n", "line 2: expected a file and a prompt"),
        ("prompts.csv", 'file,prompt\na.png,"a cat\n', "line 2: not CSV"),
        ("prompts.csv", 'file,prompt\na.png,"a\ncat"\n\na.png\n', "line 5: expected a file and a prompt"),
        ("prompts.csv", "file,prompt\na.png,\n", "line 2: the prompt of 'a.png' is empty"),
        ("prompts.jsonl", '\n{"file": "a.png", "prompt"}\n', "line 2: not JSON"),
        ("prompts.jsonl", '["a.png", "a cat"]\n', "line 1: expected one file and one prompt"),
        ("prompts.jsonl", '{"file": "a.png"}\n', "line 1: expected a file and a prompt"),
        ("prompts.jsonl", '{"file": "a.png", "prompt": " "}\n', "line 1: the prompt of 'a.png' is empty"),
        ("manifest.jsonl", '{"file": "../a.png", "prompt": "a cat"}\n', "line 1: expected a path inside"),
        ("manifest.jsonl", '{"file": "cat/../../a.png", "prompt": "a cat"}\n', "line 1: expected a path inside"),
        ("manifest.jsonl", '{"file": "/etc/a.png", "prompt": "a cat"}\n', "line 1: expected a path inside"),
    ],
)
def test_malformed_line_is_named_with_file_and_number(tmp_path, name, text, message):
    save(tmp_path / "a.png", 1)  # beside the root: a path out of it would find a picture
    root = save(tmp_path / "root" / "a.png", 1).parent
    (root / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        FolderGenerator(root)
    assert name in str(caught.value)


def test_listed_file_must_exist(tmp_path):
    (tmp_path / "prompts.csv").write_text("file,prompt\ngone.png,a cat\n")
    with pytest.raises(FileNotFoundError, match=r"prompts\.csv', line 2: there is no file 'gone\.png'"):
        FolderGenerator(tmp_path)


def test_prompts_file_must_be_utf8(tmp_path):
    (tmp_path / "prompts.csv").write_bytes(b"file,prompt\na.png,caf\xe9\n")
    with pytest.raises(ValueError, match=r"prompts\.csv' is not UTF-8"):
        FolderGenerator(tmp_path)


# ---- folders: generate and pairs


def test_seed_chooses_among_the_pictures_of_a_prompt(classes):
    pictures = FolderGenerator(classes)
    bears = pictures.generate(["a photo of a polar bear."] * 4, [0, 1, 2, 419_900_000])
    assert [shade(picture) for picture in bears] == [10, 11, 12, 10 + 419_900_000 % 3]
    assert [shade(picture) for picture in pictures.generate(pictures.prompts, [1, 1])] == [21, 11]


@pytest.mark.parametrize(("name", "mode"), [("a.png", "RGBA"), ("b.png", "L"), ("c.gif", "P"), ("d.tif", "RGB")])
def test_pictures_come_loaded_and_in_their_own_mode(tmp_path, name, mode):
    path = save(tmp_path / "cat" / name, 51, mode)
    (picture,) = FolderGenerator(tmp_path).generate(["a photo of a cat."], [0])
    path.unlink()
    assert (picture.mode, shade(picture)) == (mode, 51)


def test_another_folder_describes_itself_otherwise(classes):
    before = FolderGenerator(classes).describe()
    assert before == FolderGenerator(classes).describe()
    assert (before["name"], before["pictures"]) == (classes.name, 5)
    (classes / "cat" / "0.png").rename(classes / "cat" / "2.png")
    assert FolderGenerator(classes).describe()["listing"] != before["listing"]


def test_unknown_prompt_is_answered_with_the_nearest(classes):
    with pytest.raises(ValueError, match=r"'a photo of a bear\.'; the nearest of its 2 prompts is 'a photo of a polar"):
        FolderGenerator(classes).generate(["a photo of a cat.", "a photo of a bear."], [0, 0])


def test_each_prompt_needs_a_seed(classes):
    with pytest.raises(ValueError, match="2 prompts and 1 seeds"):
        FolderGenerator(classes).generate(["a photo of a cat."] * 2, [0])


def test_pairs_are_drawn_without_replacement_and_by_seed(classes):
    source = FolderGenerator(classes)
    every = {10: "polar bear", 11: "polar bear", 12: "polar bear", 20: "cat", 21: "cat"}
    orders = set()
    for seed in range(10):
        pictures, prompts = source.pairs(99, seed=seed)
        shades = tuple(map(shade, pictures))
        assert sorted(shades) == sorted(every)
        assert prompts == [f"a photo of a {every[one]}." for one in shades]
        assert tuple(map(shade, source.pairs(99, seed=seed)[0])) == shades
        orders.add(shades)
        few = list(map(shade, source.pairs(3, seed=seed)[0]))
        assert len(few) == len(set(few)) == 3
    assert len(orders) > 5


def test_pairs_leave_out_excluded_prompts(classes):
    source = FolderGenerator(classes)
    pictures, prompts = source.pairs(5, seed=0, exclude=["a photo of a polar bear.", "something else"])
    assert sorted(map(shade, pictures)) == [20, 21]
    assert prompts == ["a photo of a cat."] * 2
    with pytest.raises(ValueError, match="none of the 5 pictures"):
        source.pairs(1, seed=0, exclude=source.prompts)
    with pytest.raises(ValueError, match="count of 1 or more, came 0"):
        source.pairs(0, seed=0)


# ---- diffusers


def tiny_pipeline(folder):
    """A whole Stable Diffusion with random weights and 16 x 16 pictures; its tokenizer knows single letters."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz."
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    start, end = len(words) - 2, len(words) - 1
    text_config = CLIPTextConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=32, projection_dim=16, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=24, bos_token_id=start, eos_token_id=end, pad_token_id=end,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return StableDiffusionPipeline(
            tokenizer=CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=24),
            text_encoder=CLIPTextModel(text_config),
            unet=UNet2DConditionModel(
                sample_size=8, layers_per_block=1, block_out_channels=(8, 16), norm_num_groups=4,
                cross_attention_dim=16, attention_head_dim=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            ),
            vae=AutoencoderKL(
                sample_size=16, block_out_channels=(8, 16), norm_num_groups=4,
                down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
            ),
            scheduler=DDIMScheduler(steps_offset=1, clip_sample=False, set_alpha_to_one=False),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )  # fmt: skip


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return tiny_pipeline(tmp_path_factory.mktemp("tokenizer"))


def tiny(pipeline, **options):
    return DiffusersGenerator(pipeline, **{"num_inference_steps": 2, "device": "cpu", "scheduler": "own", **options})


def arrays(pictures):
    return [np.asarray(picture).astype(int) for picture in pictures]


def assert_same(pictures, expected):
    """Equal up to 1 of 255: the noise is the same bit by bit, a kernel's order of adding may vary with the batch."""
    assert len(pictures) == len(expected)
    for picture, other in zip(arrays(pictures), arrays(expected), strict=True):
        assert np.abs(picture - other).max() <= 1


@pytest.mark.parametrize("options", [{}, {"eta": 1.0}])
def test_pictures_do_not_depend_on_the_batch(pipeline, options):
    """With eta the scheduler draws noise at each step too."""
    alone = tiny(pipeline, batch_size=1, **options).generate(PROMPTS, SEEDS)
    assert [(picture.mode, picture.size) for picture in alone] == [("RGB", (16, 16))] * 7
    for batch_size in (3, 7, 100):
        assert_same(tiny(pipeline, batch_size=batch_size, **options).generate(PROMPTS, SEEDS), alone)
    backwards = tiny(pipeline, batch_size=3, **options).generate(PROMPTS[::-1], SEEDS[::-1])
    assert_same(backwards[::-1], alone)


def test_picture_is_that_of_the_pipeline_with_its_seed(pipeline):
    import torch

    pictures = tiny(pipeline, batch_size=3, guidance_scale=4.5, height=32, width=16).generate(PROMPTS, SEEDS)
    for index in (0, 4, 6):
        generator = torch.Generator("cpu").manual_seed(SEEDS[index])
        expected = pipeline(
            PROMPTS[index], generator=generator, num_inference_steps=2, guidance_scale=4.5, height=32, width=16
        ).images
        assert expected[0].size == (16, 32)
        assert_same(pictures[index : index + 1], expected)


def test_seed_prompt_steps_and_scale_all_tell(pipeline):
    def one(prompt="a cat.", seed=1, **options):
        return arrays(tiny(pipeline, **options).generate([prompt], [seed]))[0]

    reference = one()
    others = [
        one(seed=2),
        one(seed=-100_000),
        one(prompt="a dog."),
        one(num_inference_steps=4),
        one(guidance_scale=2.0),
    ]
    for other in others:
        assert np.abs(other - reference).max() > 1


def test_no_prompts_give_no_pictures(pipeline):
    assert tiny(pipeline).generate([], []) == []


def test_progress_bar_is_silent(pipeline, capsys):
    tiny(pipeline).generate(PROMPTS[:1], SEEDS[:1])
    assert capsys.readouterr() == ("", "")


def test_saved_pipeline_is_loaded_from_its_folder(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    loaded = tiny(tmp_path)
    assert type(loaded.pipeline) is type(pipeline)
    assert_same(loaded.generate(PROMPTS, SEEDS), tiny(pipeline).generate(PROMPTS, SEEDS))
    assert isinstance(as_source(str(tmp_path)), DiffusersGenerator)


def test_pickled_weights_are_not_loaded(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path, safe_serialization=False)
    with pytest.raises(OSError, match="safetensors"):
        tiny(tmp_path)


def test_kind_unknown_to_the_auto_class_is_loaded_all_the_same(tmp_path):
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    unet = UNet2DModel(
        sample_size=8, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2,
    )  # fmt: skip
    DDPMPipeline(unet=unet, scheduler=DDPMScheduler()).save_pretrained(tmp_path)
    assert isinstance(tiny(tmp_path).pipeline, DDPMPipeline)


def test_too_few_pictures_are_an_error():
    from diffusers import DDIMScheduler, DiffusionPipeline

    class OnePicturePipeline(DiffusionPipeline):
        def __init__(self, scheduler):
            super().__init__()
            self.register_modules(scheduler=scheduler)

        def __call__(self, prompt, **kwargs):
            return SimpleNamespace(images=[Image.new("RGB", (4, 4))])

    short = tiny(OnePicturePipeline(DDIMScheduler()), batch_size=2)
    assert len(short.generate(PROMPTS[:1], SEEDS[:1])) == 1
    with pytest.raises(RuntimeError, match="expected 2 pictures for 2 prompts, the pipeline returned 1; leave"):
        short.generate(PROMPTS, SEEDS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output_type": "np"}, "returned ndarray; leave output_type at 'pil'"),
        ({"return_dict": False}, "came tuple; .*return_dict"),
    ],
)
def test_anything_but_one_pil_picture_a_prompt_is_an_error(pipeline, options, message):
    with pytest.raises(RuntimeError, match=message):
        tiny(pipeline, **options).generate(PROMPTS[:2], SEEDS[:2])


def test_wrong_arguments_are_named(pipeline):
    with pytest.raises(ValueError, match="7 prompts and 6 seeds"):
        tiny(pipeline).generate(PROMPTS, SEEDS[1:])
    with pytest.raises(ValueError, match="batch_size of 1 or more, came 0"):
        tiny(pipeline, batch_size=0)
    with pytest.raises(ValueError, match="came generator:"):
        tiny(pipeline, generator=None)


# ---- sources and the room itself


def test_as_source_takes_folders_pipelines_and_objects(classes, pipeline):
    assert isinstance(as_source(classes), FolderGenerator)
    assert isinstance(as_source(str(classes)), FolderGenerator)
    assert as_source(pipeline).pipeline is pipeline
    for own in (SimpleNamespace(generate=len), SimpleNamespace(pairs=len)):
        assert as_source(own) is own


@pytest.mark.parametrize(("source", "came"), [(3, "came int"), (None, "came NoneType"), (FolderGenerator, "came the class")])
def test_as_source_says_what_came(source, came):
    with pytest.raises(TypeError, match=f"expected a folder .*{came}"):
        as_source(source)


def test_as_source_does_not_take_a_missing_folder_for_a_download():
    with pytest.raises(FileNotFoundError, match=r"DiffusersGenerator\('some/model'\)"):
        as_source("some/model")


def test_sources_fulfil_the_protocols(classes, pipeline):
    assert isinstance(FolderGenerator(classes), Generator)
    assert isinstance(FolderGenerator(classes), PairSource)
    assert isinstance(tiny(pipeline), Generator)
    assert not isinstance(tiny(pipeline), PairSource)


def test_importing_the_room_is_cheap():
    code = (
        "import sys\n"
        "from avalanche_gift.generation import *\n"
        "assert callable(DiffusersGenerator) and callable(as_source)\n"
        "print(sorted({'torch', 'diffusers', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_room_names_what_it_lacks():
    import avalanche_gift.generation as room

    with pytest.raises(AttributeError, match="nothing_here"):
        room.nothing_here  # noqa: B018
    assert set(room.__all__) <= set(dir(room))
