"""Does dropping the pictures that a CLIP finds least like their prompts leave better ones? On the mini world.

    avalanche-gift generate --images 64 --out STORE
    python benchmarks/filters.py STORE --judge DIR >> benchmarks/filters.jsonl

One JSON line: for each share dropped, how many, and how many per cent of the kept pictures are labelled with their own prompt
among all 219: by the mini CLIP, which is also the filter and so sees its own choice, and by the judge, which has no part in it.
--judge: a folder with another pair's clip/, as `experiments/pretrain_mini.py --seed N --out DIR` writes it. The order in which
pictures are dropped: by the rank of their prompt (`generate --drop-lowest`), or by the cosine to it alone.
"""

import argparse
import json
import os
import platform
import warnings
from datetime import date
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from avalanche_gift.benchmarks.mini import all_prompts  # noqa: E402
from avalanche_gift.generation import SyntheticStore  # noqa: E402
from avalanche_gift.generation.filters import clip_similarity, lowest, prompt_ranks  # noqa: E402
from avalanche_gift.models.mini import mini_clip  # noqa: E402

SHARES = (0.0, 0.1, 0.2, 0.3)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--judge")
    arguments = parser.parse_args()
    store, pool = SyntheticStore(arguments.store), list(all_prompts())
    entries = [(folder, record) for folder in map(store.task, store.positions()) for record in folder.records().values()]
    own = torch.tensor([pool.index(record.prompt) for _, record in entries])
    pictures = [folder.picture(record) for folder, record in entries]
    models = {"filter": mini_clip()} | ({"judge": mini_clip(arguments.judge)} if arguments.judge else {})
    found = {name: clip_similarity(model)(pictures, pool) for name, model in models.items()}
    right = {name: prompt_ranks(similarities, own) == 0 for name, similarities in found.items()}
    orders = {"rank": found["filter"], "cosine": only_own(found["filter"], own)}
    results = {order: [kept(lowest(by, own, share), share, right) for share in SHARES] for order, by in orders.items()}
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    facts = {"date": date.today().isoformat(), "versions": versions, "weights": (store.task(0).meta() or {}).get("weights")}
    print(json.dumps({"measurement": "filters", "pictures": len(pictures), "prompts": len(pool), **results, **facts}))


def only_own(similarities: Tensor, own: Tensor) -> Tensor:
    """With every rank 0, so that the similarity to its own prompt alone orders the pictures."""
    mine = torch.zeros_like(similarities).scatter_(1, own[:, None], 1).bool()
    return similarities.where(mine, torch.full_like(similarities, -2))


def kept(dropped: list[int], share: float, right: dict[str, Tensor]) -> dict[str, Any]:
    mask = torch.ones(len(next(iter(right.values()))), dtype=torch.bool)
    mask[dropped] = False
    agreement = {f"agreement_{name}": round(100 * each[mask].float().mean().item(), 1) for name, each in right.items()}
    return {"share": share, "dropped": len(dropped), **agreement}


if __name__ == "__main__":
    main()
