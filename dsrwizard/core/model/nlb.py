"""The MACs that Network Load Balancing of Windows makes of a cluster's IPv4 address."""

from __future__ import annotations

from ipaddress import IPv4Address

from dsrwizard.core.model.values import parsed


def balanced_macs(address: str) -> frozenset[str]:
    """Unicast 02-bf and multicast 03-bf with the address' four bytes, IGMP multicast 01-00-5e-7f with its last two
    (Microsoft, "Network Load Balancing parameters"); empty for IPv6."""
    found = parsed(address)
    if not isinstance(found, IPv4Address):
        return frozenset()
    parts = [f"{part:02x}" for part in found.packed]
    whole, last = ":".join(parts), ":".join(parts[2:])
    return frozenset({f"02:bf:{whole}", f"03:bf:{whole}", f"01:00:5e:7f:{last}"})
