"""Choosing by name."""

import pytest

from avalanche_gift.names import check_name, raise_unknown


def test_a_known_name_comes_back():
    assert check_name("strategy", "zscl", ["gift", "zscl"]) == "zscl"


def test_an_unknown_name_raises_with_the_nearest_and_all_of_them_sorted():
    with pytest.raises(ValueError) as raised:
        check_name("strategy", "zslc", iter(["zscl", "gift", "l2"]))
    assert str(raised.value) == "unknown strategy 'zslc'; did you mean 'zscl'? Available: gift, l2, zscl."


def test_a_name_near_to_none_gets_no_guess():
    with pytest.raises(ValueError) as raised:
        raise_unknown("benchmark", "qqqq", ["mini", "mtil"])
    assert str(raised.value) == "unknown benchmark 'qqqq'. Available: mini, mtil."
