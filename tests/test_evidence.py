"""What the embedded world's committed evidence says, and that a seed of it can be had again."""

import json
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).parents[1] / "experiments" / "mini"
RANKED = ("finetune", "l2, weight 0.1", "gift, AWC 0.1")


def records():
    return json.loads((EXPERIMENTS / "evidence.json").read_text(encoding="utf-8"))["runs"]


def by_variant(runs, pair, seed):
    return {run["variant"]: run["metrics"] for run in runs if (run["pair"], run["seed"]) == (pair, seed)}


def test_there_are_five_seeds_and_two_pre_trained_pairs():
    runs = records()
    for variant in ("zero-shot", *RANKED, "gift without weight term"):
        places = {(run["pair"], run["seed"]) for run in runs if run["variant"] == variant}
        assert len({pair for pair, _ in places}) == 2
        assert len(places) == 10


@pytest.mark.parametrize("metric", ["average", "last"])
def test_gift_is_above_l2_and_l2_above_finetune_on_every_seed(metric):
    runs = records()
    for pair, seed in sorted({(run["pair"], run["seed"]) for run in runs}):
        found = by_variant(runs, pair, seed)
        finetune, l2, gift = (found[name][metric] for name in RANKED)
        assert gift > l2 > finetune, (pair, seed)


@pytest.mark.slow
def test_one_seed_run_again_ranks_as_in_the_evidence(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    import evidence

    out = tmp_path / "evidence.json"
    line = ["evidence.py", "--seeds", "7", "--only", *RANKED, "--work", str(tmp_path / "work"), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", line)
    evidence.main()
    found = by_variant(json.loads(out.read_text(encoding="utf-8"))["runs"], "mini", 7)
    finetune, l2, gift = (found[name] for name in RANKED)
    assert gift["transfer"] > finetune["transfer"] + 5
    assert gift["last"] > finetune["last"] + 3
    assert gift["average"] > l2["average"] > finetune["average"]
