"""Makes the tiny CLIP and the tiny text-to-image model of the embedded mini world from nothing.

No table of the paper. The shipped pair comes out of

    python experiments/pretrain_mini.py

on two CPU cores; hours, versions and what came out stand in the model card beside the weights
(avalanche_gift/models/mini_weights/MODEL_CARD.md). A run that was cut off goes on where it was when the same command
is given again; after its end it only measures. The pictures of the tasks are drawn for the card's zero-shot line only, once
training is over.
"""

import argparse
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch
from mini_pretraining import clip, drawing, evaluate, generator

from avalanche_gift.files import write_aside, write_checksums
from avalanche_gift.generation.mini import GUIDANCE, STEPS, mini_generator
from avalanche_gift.models.loading import save_folder
from avalanche_gift.models.mini import MINI_FOLDER, mini_clip

PARTS = ("clip", "text_to_image")
UNSEEN_FROM = 100_000_000
PACKAGES = ("torch", "open_clip_torch", "diffusers", "transformers", "tokenizers", "numpy", "pillow", "matplotlib")


def main() -> None:
    args = _arguments()
    work = args.work / f"seed-{args.seed}"
    wide = drawing.pool(drawing.wide, args.clip_pictures, seed=args.seed, folder=args.work)
    canonical = drawing.pool(drawing.canonical, args.generator_pictures, seed=args.seed, folder=args.work)
    model, clip_seconds = _train_clip(args, work, wide)
    generator_seconds = _train_generator(args, work, canonical, model)
    _publish(work / "made", args.out)
    notes = {
        "hours": {"clip": clip_seconds / 3600, "generator": generator_seconds / 3600},
        "pictures_sha256": {"clip": drawing.digest(wide), "generator": drawing.digest(canonical)},
    }
    print(_card(args, notes), flush=True)


def _train_clip(args: argparse.Namespace, work: Path, pool: drawing.Pool) -> tuple[Any, float]:
    folder = work / "made" / "clip"
    model = clip.new_clip(folder, args.seed)
    unseen = drawing.wide(UNSEEN_FROM, 1000, args.seed)
    training = clip.train(model, pool, unseen, steps=args.clip_steps, seed=args.seed, work=work)
    with torch.no_grad():
        model.clip.logit_scale.clamp_(max=torch.tensor(clip.MOST_SCALE).log())
    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    save_folder(model.clip.half(), folder, config)
    return clip.CLIPClassifier.from_folder(folder), training.seconds


def _train_generator(args: argparse.Namespace, work: Path, pool: drawing.Pool, model: Any) -> float:
    pipeline = generator.new_pipeline(model, work, args.seed)
    training = generator.train(pipeline, pool, steps=args.generator_steps, seed=args.seed, work=work)
    generator.save(pipeline, work / "made" / "text_to_image")
    return training.seconds


def _publish(made: Path, out: Path) -> None:
    """Copies both models to `out` and writes their checksums last."""
    for part in PARTS:
        for path in sorted((made / part).rglob("*")):
            if path.is_file():
                write_aside(out / path.relative_to(made), path.read_bytes())
    write_checksums(out, PARTS)


def _card(args: argparse.Namespace, notes: dict[str, dict[str, Any]]) -> str:
    model = mini_clip(args.out)
    pictures = mini_generator(args.out)
    unseen = drawing.wide(UNSEEN_FROM + 1000, 4000, args.seed)
    print("measuring", flush=True)
    results = evaluate.measured(model, pictures, unseen, args.seed)
    evaluate.write_sheet(pictures, args.out / "samples.png", args.seed)
    card = {
        "command": " ".join(["python", *sys.argv]),
        "options": {name: value for name, value in vars(args).items() if isinstance(value, int)},  # no paths of a machine
        "hours": notes["hours"],
        "pictures_sha256": notes["pictures_sha256"],
        "device": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads",
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "megabytes": {part: _megabytes(args.out / part) for part in PARTS},
        "sampling": {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE},
        "results": results,
        "weak_concepts": evaluate.concepts_below(model, unseen),
    }
    write_aside(args.out / "model_card.json", json.dumps(card, indent=2).encode())
    text = _as_text(card)
    write_aside(args.out / "MODEL_CARD.md", text.encode())
    return text


def _megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


# ruff: noqa: E501 - a table of Markdown has one line a row
def _as_text(card: dict[str, Any]) -> str:
    results, hours, sizes = card["results"], card["hours"], card["megabytes"]
    tasks = ", ".join(f"{name} {score:.1f}" for name, score in results["zero_shot"].items())
    kinds = ", ".join(
        f"{name} {score:.0f} ({results['agreement_canonical'][name]:.0f})" for name, score in results["agreement"].items()
    )
    return f"""# The tiny CLIP and the tiny text-to-image model

Drawn, trained and measured by one command, seed {card["options"]["seed"]}, from nothing; no picture of a task's style was trained on.

    {card["command"]}

| | |
|---|---|
| Hours of training | CLIP {hours["clip"]:.2f}, generator {hours["generator"]:.2f}; {card["device"]} |
| Steps | CLIP {card["options"]["clip_steps"]} of {clip.BATCH} pictures, generator {card["options"]["generator_steps"]} of {generator.BATCH} |
| Size, half precision | CLIP {sizes["clip"]:.2f} MB, text-to-image {sizes["text_to_image"]:.2f} MB |
| CLIP, {results["unseen_pictures"]} unseen pictures, 139 classes | {results["unseen_accuracy"]:.1f} % |
| Zero-shot on the tasks' test sets, % | {tasks} |
| Generated pictures labelled with their concept, 3 of each of 139 | {results["agreement"]["all"]:.1f} % |
| The same, canonical pictures | {results["agreement_canonical"]["all"]:.1f} %; ratio {results["agreement_ratio"]:.3f} |
| By kind, generated (canonical), % | {kinds} |
| Right colour of 80 coloured shapes, 3 of each | {results["right_colour"]:.1f} % (canonical {results["right_colour_canonical"]:.1f} %) |
| Time for 200 pictures, {card["sampling"]["num_inference_steps"]} steps, guidance {card["sampling"]["guidance_scale"]} | {results["seconds_for_200_pictures"]:.1f} s |

Pictures enter the CLIP at 32 x 32 (bicubic), less 0.5 and divided by 0.25. It knows the words of the mini world only.
`samples.png` shows one generated picture of each of the 219 classes. `model_card.json` holds all numbers and versions.
The generator recalls the classes it was trained on, in few styles; it composes nothing new.
"""


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--seed", type=int, default=1, help="weights, pictures and order of both trainings (default %(default)s, as shipped)"
    )
    parser.add_argument("--clip-steps", type=int, default=6500, help="steps of 128 pictures (default %(default)s)")
    parser.add_argument("--generator-steps", type=int, default=12_000, help="steps of 64 pictures (default %(default)s)")
    parser.add_argument("--clip-pictures", type=int, default=240_000, help="drawn once (default %(default)s)")
    parser.add_argument("--generator-pictures", type=int, default=100_000, help="drawn once (default %(default)s)")
    parser.add_argument("--out", type=Path, default=MINI_FOLDER, help="where both models go (default: into the package)")
    parser.add_argument("--work", type=Path, default=Path("runs/pretrain_mini"), help="checkpoints and drawn pictures")
    args = parser.parse_args()
    if args.seed < 0 or min(args.clip_steps, args.generator_steps, args.clip_pictures, args.generator_pictures) < 1:
        parser.error("expected a seed of 0 or more, and positive steps and pictures")
    return args


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    main()
