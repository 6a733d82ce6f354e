"""What several processes compute together, to be compared with one: `torchrun --nproc-per-node 2 tests/processes.py FOLDER`."""

import dataclasses
import json
import sys
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file
from test_resume import STRATEGIES, After
from torchvision.transforms.functional import pil_to_tensor
from world import SIDE, made_stream, quiet, tiny_model, weights_of

from avalanche_gift import distributed
from avalanche_gift.config import RunConfig
from avalanche_gift.evaluation import AccuracyMatrix
from avalanche_gift.interruption import Interrupted, Interruption
from avalanche_gift.models.loss_scaling import LossScaling
from avalanche_gift.run import run, seed_everything
from avalanche_gift.training.plugins.optimizer import own_optimizer

PROVEN = [name for name in STRATEGIES if not name.startswith("moe-adapters")]
IN_FLOAT32 = ("finetune", "l2", "gift")
TASKS, ITERATIONS = 2, 10
SMALL = RunConfig(
    strategy="gift",
    benchmark="mini",
    model="mini",
    tasks=("shapes", "letters"),
    train_iterations=3,
    train_mb_size=5,
    synthetic={"synthetic_images": 5, "synthetic_mb_size": 4},
)
SHARDED = dataclasses.replace(SMALL, shard_optimizer=True)


def scaled(picture):
    return pil_to_tensor(picture.resize((SIDE, SIDE))).to(torch.get_default_dtype()) / 64 - 2


def trained(name, dtype, *, scale=None, **arguments):
    """Weights, accuracies and the moments kept here, after 20 steps over two tasks, with batches of odd sizes and one row.

    scale: of losses on their way back, as with towers in float16.
    """
    torch.set_default_dtype(dtype)
    try:
        seed_everything(5)
        matrix = AccuracyMatrix(figure=False)
        model = tiny_model().to(dtype)
        model.loss_scaling = None if scale is None else LossScaling(scale)
        model.train_transform = model.eval_transform = scaled
        counts = (3, 2)
        stream = made_stream(counts, per_class=3, train_transform=scaled, eval_transform=scaled)
        common = {"train_iterations": ITERATIONS, "train_mb_size": 4, "lr": 1e-3, "seed": 3, **arguments}
        strategy = STRATEGIES[name](model=model, evaluator=quiet(matrix), **common)
        whole = name == "joint"
        for experience in [stream.train_stream] if whole else stream.train_stream:
            strategy.train(experience, eval_streams=[])
            strategy.eval(stream.test_stream)
        kept = sum(values["exp_avg"].numel() for values in own_optimizer(strategy.optimizer).state.values())
        return weights_of(model), matrix.rows(), kept
    finally:
        torch.set_default_dtype(torch.float32)


def everything(folder):
    """Writes what this process has at the end of each case."""
    own = folder / f"process-{torch.distributed.get_rank()}"
    own.mkdir()
    accuracies = {}
    for name in PROVEN:
        for dtype in (torch.float64, torch.float32) if name in IN_FLOAT32 else (torch.float64,):
            case = f"{name} {str(dtype).removeprefix('torch.')}"
            weights, accuracies[case], _ = trained(name, dtype)
            save_file(weights, own / f"{case}.safetensors")
    save_file(trained("gift", torch.float64, scale=1024.0)[0], own / "scaled.safetensors")
    weights, _, moments = trained("gift", torch.float64, shard_optimizer=True)
    save_file(weights, own / "sharded.safetensors")
    refusals = []
    for name in ("moe-adapters", "avalanche-ewc"):
        try:
            if name == "moe-adapters":
                trained(name, torch.float32)
            else:
                run(RunConfig(strategy=name, benchmark="mini", model="mini"), folder / "refused", lambda _: None)
        except ValueError as error:
            refusals.append(str(error))
    runs = {"run": (SMALL, SMALL), "sharded": (SHARDED, SHARDED), "mixed": (SHARDED, SMALL)}
    stopped = [cut_off(folder / place, *configs) for place, configs in runs.items()]
    numbers = {"accuracies": accuracies, "refusals": refusals, "stopped": stopped, "moments": moments}
    (own / "numbers.json").write_text(json.dumps(numbers))


def cut_off(folder, config, config_of_the_rest):
    """Whether a run was cut off, before it went on to its end."""
    stopped = False
    try:  # a signal reaches the second process alone
        told = After(3) if torch.distributed.get_rank() else Interruption()
        run(config, folder, lambda _: None, checkpoint_every=2, interruption=told)
    except Interrupted:
        stopped = True
    run(config_of_the_rest, folder, lambda _: None, checkpoint_every=2)
    return stopped


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    distributed.start("cpu")
    everything(Path(sys.argv[1]))
