"""The tally counts what failed and forgets nothing."""

from __future__ import annotations

import pytest

from tests.hostile.conftest import Tally


def test_one_failing_case_fails_the_class_and_stops_no_other() -> None:
    tally = Tally("numbers")
    for number in range(3):
        with tally.case(f"number {number}"):
            assert number != 1
    assert tally.tried == 3
    with pytest.raises(AssertionError, match=r"1 of 3 failed:\nnumber 1"):
        tally.settle()


def test_a_class_that_tried_nothing_is_no_success() -> None:
    with pytest.raises(AssertionError, match="nothing was tried"):
        Tally("nothing").settle()
