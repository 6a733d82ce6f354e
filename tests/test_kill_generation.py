"""The whole proof: 64 pictures a task of the embedded pair, killed five times; smaller ones are beside the parts they prove."""

import pytest
from kill_generation import GENERATE, WAYS, compare, run, sums

OPTIONS = ["--benchmark", "mini", "--images", "64", "--batch-size", "8"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "store"
    run([*GENERATE, *OPTIONS, "--out", str(out)])
    return sums(out)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_killed_five_times_the_store_is_that_of_one_run(whole, tmp_path, monkeypatch, way):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    result = compare(way, OPTIONS, tmp_path, whole, kills=5)
    assert result["pictures"] == 6 * 64
    assert result["same"], result
