"""VIPs that this machine's own addresses rule out. Pure: what is known of its interfaces in, a refusal out."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_interface

from dsrwizard.core.intake.fields import parsed
from dsrwizard.core.intake.problems import Refusal
from dsrwizard.core.model.facts import Interface, InterfaceAddress


def own_address(interfaces: Iterable[Interface], vip: str) -> Refusal | None:
    """Refuses the director's own address, and the network and broadcast addresses of its networks, as a VIP.

    A VIP that stands on an interface beside the director's own address in that network is none of these, with whatever
    prefix somebody put it there.
    """
    ip = parsed(vip)
    if ip is None:
        return None
    for interface in interfaces:
        for entry in interface.addresses:
            network = ip_interface(f"{entry.address}/{entry.prefix}").network
            if network.version != ip.version or network.prefixlen == network.max_prefixlen:
                continue
            if parsed(entry.address) == ip:
                if not _beside(interface, entry):
                    return Refusal(
                        f"{ip} is this machine's own address on {interface.name}.",
                        "Write another, free address: real servers hold the VIP, too.",
                    )
            elif network.version == 4 and network.prefixlen < 31 and ip in (network[0], network[-1]):
                which = "the broadcast address" if ip == network[-1] else "the address"
                return Refusal(
                    f"{ip} is {which} of the network {network} on {interface.name}.",
                    "Write a free address of one machine.",
                )
    return None


def _beside(interface: Interface, entry: InterfaceAddress) -> bool:
    """Whether the interface has another address in this one's network."""
    network = ip_interface(f"{entry.address}/{entry.prefix}").network
    return any(
        other is not entry and other.prefix == entry.prefix and parsed(other.address) in network
        for other in interface.addresses
    )
