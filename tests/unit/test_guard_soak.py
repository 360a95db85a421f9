"""What a soak of the guard calls a wrong removal, and what a death that nobody noticed."""

from __future__ import annotations

import pytest

from tests.bench.guard_soak import Death, Soak, _address

SOAK = Soak(
    [Death("web2", "firewall", 98.0, 100.0, 112.0, 112.0), Death("web2", "service-down", 130.0, 130.0, 136.0, 136.0)]
)


@pytest.mark.parametrize(
    ("when", "server", "right"),
    [
        (101.0, "web2", True),
        (99.0, "web2", True),  # the fault's script was still under way
        (114.0, "web2", True),  # a round of before the cure
        (101.0, "web1", False),
        (90.0, "web2", False),
        (120.0, "web2", False),
    ],
)
def test_a_removal_is_wrong_where_no_death_explains_it(when: float, server: str, right: bool) -> None:
    assert bool(SOAK.wrong([(when, server)])) is not right


def test_a_death_is_missed_unless_the_server_went_out_or_was_out_still() -> None:
    assert len(SOAK.missed([], [])) == 2
    assert SOAK.missed([(101.0, "web2"), (131.0, "web2")], []) == []
    assert SOAK.missed([(101.0, "web2")], [(101.0, 140.0, "web2")]) == []
    assert SOAK.missed([(101.0, "web2")], [(101.0, 116.0, "web2")]) == SOAK.deaths[1:]
    assert Soak([Death("web1", "firewall", 10.0, 10.0, 12.0, 12.0)]).missed([], []) == []


@pytest.mark.parametrize(
    ("written", "address"),
    [("0A000065:0050", "10.0.0.101"), ("[fd00:0010:0000:0000:0000:0000:0000:0101]:0050", "fd00:10::101")],
)
def test_addresses_are_read_as_the_kernel_writes_them(written: str, address: str) -> None:
    assert _address(written) == address
