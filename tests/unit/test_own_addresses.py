"""Which of the director's own addresses rule a VIP out, before anything is asked on the network."""

from __future__ import annotations

import pytest

from dsrwizard.core.intake.own_addresses import own_address
from dsrwizard.core.model.facts import Interface, InterfaceAddress


def card(*addresses: str, name: str = "eth0") -> Interface:
    parts = [address.split("/") for address in addresses]
    return Interface(name=name, addresses=tuple(InterfaceAddress(address=ip, prefix=int(size)) for ip, size in parts))


@pytest.mark.parametrize(
    ("vip", "cards", "said"),
    [
        ("10.0.0.2", [card("10.0.0.2/24")], "10.0.0.2 is this machine's own address on eth0."),
        ("10.0.0.255", [card("10.0.0.2/24")], "10.0.0.255 is the broadcast address of the network 10.0.0.0/24"),
        ("10.0.0.0", [card("10.0.0.2/24")], "10.0.0.0 is the address of the network 10.0.0.0/24"),
        ("10.1.255.255", [card("10.0.0.2/24"), card("10.1.2.3/16", name="eth1")], "network 10.1.0.0/16 on eth1"),
        ("fd00::2", [card("fd00::2/64")], "fd00::2 is this machine's own address"),
        ("fd00:0::2", [card("fd00::2/64")], "fd00::2 is this machine's own address"),
    ],
)
def test_an_address_that_this_machine_needs_itself_is_refused(vip: str, cards: list[Interface], said: str) -> None:
    refusal = own_address(cards, vip)
    assert refusal is not None
    assert said in refusal.message
    assert "free" in refusal.hint


@pytest.mark.parametrize(
    ("vip", "cards"),
    [
        ("10.0.0.10", [card("10.0.0.2/24")]),
        ("10.0.0.10", [card("10.0.0.2/24", "10.0.0.10/32")]),
        ("10.0.0.10", [card("10.0.0.10/24", "10.0.0.2/24")]),
        ("10.0.0.10", [card("10.0.0.10/32", name="lo")]),
        ("10.0.0.1", [card("10.0.0.0/31")]),
        ("fd00::ffff:ffff:ffff:ffff", [card("fd00::2/64")]),
        ("198.51.100.255", [card("10.0.0.2/24")]),
        ("", [card("10.0.0.2/24")]),
        ("10.0.0.", [card("10.0.0.2/24")]),
    ],
)
def test_a_vip_that_stands_already_or_is_elsewhere_is_none_of_them(vip: str, cards: list[Interface]) -> None:
    assert own_address(cards, vip) is None
