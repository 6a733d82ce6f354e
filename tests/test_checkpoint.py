"""Checkpoint files: what is written is read again, and what is cut, altered, newer or hostile is refused by name."""

import json
import random

import numpy as np
import pytest
import torch

from avalanche_gift.training.checkpoint_files import INDEX, CheckpointError, Checkpoints, random_state, restore_random_state

STATE = {
    "weights": {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(3, dtype=torch.int64)},
    "list": [1, 2.5, None, True, "text", [torch.ones(2)]],
}


def file_of(checkpoints, experience, iteration):
    entries = json.loads((checkpoints.folder / INDEX).read_text())["checkpoints"]
    names = [entry["file"] for entry in entries if (entry["experience"], entry["iteration"]) == (experience, iteration)]
    return checkpoints.folder / names[0]


@pytest.fixture
def checkpoints(tmp_path):
    made = Checkpoints(tmp_path / "checkpoints")
    made.write(0, 0, STATE)
    return made


def test_a_state_comes_back_as_it_was(checkpoints):
    found = checkpoints.read(0, 0)
    assert torch.equal(found["weights"]["a"], STATE["weights"]["a"])
    assert torch.equal(found["weights"]["b"], STATE["weights"]["b"])
    assert found["list"][:5] == STATE["list"][:5]
    assert torch.equal(found["list"][5][0], torch.ones(2))


def test_tensors_that_share_memory_are_kept_apart(checkpoints):
    shared = torch.zeros(4)
    checkpoints.write(0, 5, {"one": shared, "two": shared[:2]})
    assert checkpoints.read(0, 5)["two"].tolist() == [0, 0]


def test_the_last_two_are_kept_and_the_starts_they_need(checkpoints):
    for place in [(0, 10), (0, 20), (0, 30), (1, 0)]:
        checkpoints.write(*place, STATE)
    assert sorted(path.name[11:14] + path.name[25:32] for path in checkpoints.folder.glob("*.safetensors")) == [
        "0000000000",
        "0000000030",
        "0010000000",
    ]
    assert checkpoints.newest() == (1, 0)
    file_of(checkpoints, 1, 0).unlink()
    assert checkpoints.newest() == (0, 30)
    file_of(checkpoints, 0, 0).unlink()
    assert checkpoints.newest() is None


def test_a_checkpoint_cut_at_any_byte_or_altered_is_refused_by_its_name(checkpoints):
    path = file_of(checkpoints, 0, 0)
    whole = path.read_bytes()
    for content in [*(whole[:size] for size in range(0, len(whole), 7)), whole[:-1] + b"x", b"", b"\xff" * 64]:
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match=path.name):
            checkpoints.read(0, 0)


@pytest.mark.parametrize(
    "header", [b"\xff" * 8 + b"{}", (2**40).to_bytes(8, "little"), (2).to_bytes(8, "little") + b"{}", b"\x05"]
)
def test_a_hostile_header_is_refused_even_with_the_right_checksum(checkpoints, header):
    import hashlib

    path = file_of(checkpoints, 0, 0)
    path.write_bytes(header)
    index = json.loads((checkpoints.folder / INDEX).read_text())
    index["checkpoints"][0]["sha256"] = hashlib.sha256(header).hexdigest()
    (checkpoints.folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(CheckpointError, match=path.name):
        checkpoints.read(0, 0)


def test_an_index_that_is_cut_newer_or_leads_elsewhere_is_refused(checkpoints):
    path = checkpoints.folder / INDEX
    whole = path.read_text()
    for size in range(len(whole.rstrip())):
        path.write_text(whole[:size])
        with pytest.raises(CheckpointError, match="index"):
            checkpoints.newest()
    path.write_text(whole.replace('"version": 1', '"version": 2'))
    with pytest.raises(CheckpointError, match="version 1, got 2"):
        checkpoints.newest()
    path.write_text(whole.replace("experience-000", "../experience-000"))
    with pytest.raises(CheckpointError, match="own folder"):
        checkpoints.newest()


@pytest.mark.parametrize("state", [{1: 2}, {"a": "tensor:b"}, {"a": object()}])
def test_a_state_that_could_not_be_read_again_is_not_written(checkpoints, state):
    with pytest.raises((TypeError, ValueError)):
        checkpoints.write(0, 5, state)
    assert checkpoints.newest() == (0, 0)


def test_all_generators_go_on_where_they_were(checkpoints):
    random.gauss(0, 1), np.random.standard_normal(3)
    checkpoints.write(0, 5, {"random": random_state()})
    wanted = [random.gauss(0, 1), np.random.standard_normal(), torch.rand(2).tolist()]
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    restore_random_state(checkpoints.read(0, 5)["random"])
    assert [random.gauss(0, 1), np.random.standard_normal(), torch.rand(2).tolist()] == wanted
