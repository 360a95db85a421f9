"""A cause is one row, one rule that finds it, and one fault that makes it."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import get_args

import pytest

from backends.lab import naming as lab
from dsrwizard.core.model.causes import APPLICATION, CAUSES, CURABLE, DEADLY, FELT, STOPS, Cause, by_hand, with_words
from tests.parsing import parsed
from tests.windows.faults import FAULTS as WINDOWS

ROOT = Path(__file__).parents[2]


@cache
def named_in_rules() -> frozenset[str]:
    """Every text in the rules of diagnosis that is just one word."""
    return frozenset(
        node.value
        for path in (ROOT / "dsrwizard/core/diagnosis").rglob("*.py")
        for node in ast.walk(parsed(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def test_every_id_has_its_row_and_every_row_its_id() -> None:
    assert tuple(CAUSES) == get_args(Cause)


@pytest.mark.parametrize("cause", CAUSES)
def test_a_rule_finds_it(cause: str) -> None:
    assert cause in named_in_rules()


@pytest.mark.parametrize("cause", CAUSES)
def test_a_fault_makes_it(cause: str) -> None:
    made = {fault.cause for fault in WINDOWS.values()} if CAUSES[cause].windows else set(lab.CAUSES)
    assert cause in made


@pytest.mark.parametrize("cause", CAUSES)
def test_its_words_are_half_a_sentence_for_a_column(cause: str) -> None:
    words = CAUSES[cause].words
    assert words == words.strip(" .")
    assert len(words) <= 85


def test_what_the_rows_add_up_to() -> None:
    """Facts of the field, not of the table: each of these lists decides what an operator is told or spared."""
    assert FELT[0] == "director-vip"  # nobody gets anywhere without it
    assert "not-persistent" not in FELT
    assert set(DEADLY) <= set(STOPS)  # what the probe cannot get through, no client can
    assert {"gateway", "rp-filter"} <= set(STOPS) - set(DEADLY)  # the director's own probe never leaves the network
    assert {"service-down", "firewall", "duplicate-vip", "gateway"}.isdisjoint(CURABLE)
    assert set(APPLICATION) <= set(STOPS)


def test_an_id_of_another_version_is_shown_as_it_is() -> None:
    assert with_words("vip-missing") == "vip-missing: the VIP is not on the real server"
    assert with_words("of-tomorrow") == "of-tomorrow"
    assert by_hand("of-tomorrow", "web1").endswith(".")
