"""What kernels of other versions tell of links, addresses and routes: what is no IP is left out, and nothing breaks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from socket import AF_INET, AF_INET6
from typing import Any

import pytest

from backends.netlink import links
from backends.netlink.numbers import METHODS, method_name, method_number
from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.model.changes import DestinationChange, DestinationState, ServiceKey
from dsrwizard.core.model.facts import Interface, InterfaceAddress, Route

AF_MCTP = 45


class Message(dict[str, Any]):
    """As pyroute2 decodes one: fields by name, attributes by `get_attr`."""

    def get_attr(self, name: str) -> Any:
        return self.get("attrs", {}).get(name)


def link(index: int, name: str, **attrs: Any) -> Message:
    return Message(index=index, flags=1, attrs={"IFLA_IFNAME": name, **attrs})


def address(index: int = 1, family: int = AF_INET, prefix: int = 24, **attrs: Any) -> Message:
    return Message(index=index, family=family, prefixlen=prefix, scope=0, flags=0, attrs=attrs)


def route(**attrs: Any) -> Message:
    return Message(family=AF_INET, type=1, attrs={"RTA_OIF": 1, **attrs})


class Kernel:
    def __init__(self, found: list[Message], addresses: list[Message], routes: list[Message]) -> None:
        self._links, self._addresses, self._routes = found, addresses, routes

    def get_links(self) -> list[Message]:
        return self._links

    def get_addr(self) -> list[Message]:
        return self._addresses

    def get_default_routes(self, family: int) -> list[Message]:
        return self._routes if family == AF_INET else []


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(*addresses: Message, routes: tuple[Message, ...] = ()) -> None:
        @contextmanager
        def opened(what: str, *, looking: bool = False) -> Iterator[Kernel]:
            yield Kernel([link(1, "eth0", IFLA_ADDRESS="02:00:0a:00:00:02"), link(2, "tun0")], [*addresses], [*routes])

        monkeypatch.setattr(links, "_route", opened)

    return use


def test_addresses_of_other_protocols_are_no_ip_addresses(kernel: Any) -> None:
    kernel(
        address(IFA_LOCAL="10.0.0.2", IFA_ADDRESS="10.0.0.3"),
        address(family=AF_MCTP, IFA_LOCAL=b"\x08"),
        address(),
        address(index=2, family=AF_INET6, prefix=64, IFA_ADDRESS="fd00::2", IFA_FLAGS=0x40),
        address(index=9, IFA_LOCAL="10.0.0.9"),  # its link is gone meanwhile
    )
    assert links.interfaces() == (
        Interface(
            name="eth0",
            mac="02:00:0a:00:00:02",
            up=True,
            addresses=(InterfaceAddress(address="10.0.0.2", prefix=24),),
        ),
        Interface(name="tun0", up=True, addresses=(InterfaceAddress(address="fd00::2", prefix=64, tentative=True),)),
    )


def test_gateways_of_every_kind(kernel: Any) -> None:
    kernel(
        routes=(
            route(RTA_GATEWAY="10.0.0.1"),
            route(RTA_VIA={"family": AF_INET6, "addr": "fe80::1"}),
            route(RTA_VIA={"family": 28, "addr": b"\x00"}),
            route(),
            Message(family=AF_INET, type=7, attrs={}),  # unreachable
            Message(
                family=AF_INET, type=1, attrs={"RTA_MULTIPATH": [Message(oif=2, attrs={}), Message(oif=7, attrs={})]}
            ),
        )
    )
    assert links.default_routes() == (
        Route(gateway="10.0.0.1", interface="eth0"),
        Route(gateway="fe80::1", interface="eth0"),
        Route(gateway="", interface="eth0"),
        Route(gateway="", interface="eth0"),
        Route(gateway="", interface="tun0"),
        Route(gateway="", interface=""),
    )


def test_a_forwarding_method_of_a_newer_kernel_is_kept_by_its_number_and_can_be_planned() -> None:
    for number in range(8):
        assert method_number(method_name(number)) == number
    assert method_name(5) == "method 5"
    assert method_number("dr") == {name: number for number, name in METHODS.items()}["dr"]
    with pytest.raises(KeyError):
        method_number("method x")
    for state in (DestinationState(1, "method 5"), DestinationState(1, "bypass")):
        key = ServiceKey("10.0.0.10", "tcp", 80)
        change = DestinationChange(service=key, address="10.0.0.101", port=80, old=state, new=DestinationState(1))
        assert commands(change)[0].endswith("-r 10.0.0.101:80 -g -w 1")
        assert commands(change.inverse())
