"""Documentation addresses: the source of client-like probes, and the target of lookups of the route to clients."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address

NETWORKS = (IPv4Network("192.0.2.0/24"), IPv4Network("198.51.100.0/24"))
"""For documentation and on no network (RFC 5737). Its third, 203.0.113.0/24, is where clients stand in the lab."""
NETWORK6 = IPv6Network("2001:db8::/32")
"""The same for IPv6 (RFC 3849)."""
SOMEWHERE = {4: "192.0.2.1", 6: "2001:db8::1"}
"""An address that every host reaches by the same route as its clients elsewhere."""


def is_documentation(address: str) -> bool:
    """Whether an address is one that no client has."""
    one = ip_address(address)
    return any(one in network for network in (*NETWORKS, NETWORK6) if network.version == one.version)


def sources(number: int, held: Iterable[str] = (), used: Collection[str] = ()) -> dict[int, str]:
    """An address of nowhere per family (4, 6), chosen by a number, which should be random and large.

    `held` are addresses of hosts here: somebody who numbered its own network so gets the sender from the other one.
    `used` are senders of earlier tries: none of them is given again.
    """
    taken = [ip_address(address) for address in held]
    free = [network for network in NETWORKS if not any(address in network for address in taken)] or [*NETWORKS]
    rest, at = divmod(number, len(free))
    return {4: _unused(free[at], rest, used), 6: _unused(NETWORK6, rest, used)}


def _unused(network: IPv4Network | IPv6Network, number: int, used: Collection[str]) -> str:
    """The address with this number among the hosts of a network, or the next that is none of those used (fewer than
    the network has)."""
    hosts = network.num_addresses - 2
    while (address := str(network[1 + number % hosts])) in used:
        number += 1
    return address
