"""This machine's interfaces, addresses and default routes: seen and changed through pyroute2.

Every call has a socket of its own, because pyroute2's sockets belong to the thread that made them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from socket import AF_INET, AF_INET6
from typing import TYPE_CHECKING, Any, Literal

from backends.netlink.problems import AS_ROOT
from dsrwizard.core.model.errors import CommandFailed, DsrError, LookError, NoInterface, NoPrivilege
from dsrwizard.core.model.facts import Interface, InterfaceAddress, Route

if TYPE_CHECKING:
    from pyroute2 import IPRoute

IFF_UP = 0x1
IFA_F_NODAD = 0x02
IFA_F_DADFAILED = 0x08
IFA_F_TENTATIVE = 0x40
FOREVER = 0xFFFFFFFF
"""INFINITY_LIFE_TIME of an address, in seconds (kernel include/net/addrconf.h)."""
RTN_UNICAST = 1
SCOPES = {0: "global", 200: "site", 253: "link", 254: "host"}


@contextmanager
def _route(what: str, *, looking: bool = False) -> Iterator[IPRoute]:
    """A route netlink socket; what the kernel refuses becomes a DsrError that begins with `what`."""
    from backends.netlink.pyroute import NetlinkError, route_socket

    try:
        with route_socket() as opened:
            yield opened
    except NetlinkError as error:
        raise _refused(error.code, what, looking) from None
    except OSError as error:
        raise _refused(error.errno or 0, what, looking) from None


def _refused(number: int, what: str, looking: bool) -> DsrError:
    why = f"The kernel says: {os.strerror(number)}."
    if looking:
        return LookError(what, why, "Try again; `ip addr` shows the current state.")
    if number == errno.EPERM:
        return NoPrivilege(what, "Only root (CAP_NET_ADMIN) may change addresses and interfaces.", AS_ROOT)
    if number == errno.EACCES:
        return CommandFailed(
            what, "IPv6 is switched off on this interface.", "Set net.ipv6.conf.<interface>.disable_ipv6 to 0."
        )
    return CommandFailed(what, why, "Look at `ip addr`, then plan again.")


def interfaces() -> tuple[Interface, ...]:
    """Every interface of this machine with its addresses, in the kernel's order. Raises LookError."""
    with _route("The interfaces of this machine could not be read.", looking=True) as route:
        links = list(route.get_links())
        addresses = list(route.get_addr())
    found: dict[int, list[InterfaceAddress]] = {}
    for message in addresses:
        entry = _address(message)
        if entry is not None:
            found.setdefault(message["index"], []).append(entry)
    return tuple(_interface(link, tuple(found.get(link["index"], ()))) for link in links)


def _interface(link: Any, addresses: tuple[InterfaceAddress, ...]) -> Interface:
    info = link.get_attr("IFLA_LINKINFO")
    return Interface(
        name=link.get_attr("IFLA_IFNAME") or "",
        mac=link.get_attr("IFLA_ADDRESS") or "",
        up=bool(link["flags"] & IFF_UP),
        kind=(info.get_attr("IFLA_INFO_KIND") if info else None) or "",
        addresses=addresses,
    )


def _address(message: Any) -> InterfaceAddress | None:
    """None for what is no IP address: kernels tell those of other protocols (MCTP, Phonet) in the same list."""
    # the peer stands in IFA_ADDRESS on point-to-point links; the machine's own is IFA_LOCAL where there is one
    address = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    if message["family"] not in (AF_INET, AF_INET6) or not address:
        return None
    flags = message.get_attr("IFA_FLAGS")
    if flags is None:
        flags = message["flags"]
    return InterfaceAddress(
        address=address,
        prefix=message["prefixlen"],
        scope=SCOPES.get(message["scope"], str(message["scope"])),
        tentative=bool(flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)),
    )


def default_routes() -> tuple[Route, ...]:
    """The default routes of the main table, IPv4 first; one for each next hop. Raises LookError."""
    with _route("The routes of this machine could not be read.", looking=True) as route:
        names = {link["index"]: link.get_attr("IFLA_IFNAME") or "" for link in route.get_links()}
        found = [*route.get_default_routes(family=AF_INET), *route.get_default_routes(family=AF_INET6)]
    return tuple(hop for message in found if message["type"] == RTN_UNICAST for hop in _hops(message, names))


def _hops(message: Any, names: dict[int, str]) -> Iterator[Route]:
    family: Literal[4, 6] = 4 if message["family"] == AF_INET else 6
    several = message.get_attr("RTA_MULTIPATH")
    if not several:
        yield _hop(message, names.get(message.get_attr("RTA_OIF"), ""), family)
        return
    for hop in several:
        yield _hop(hop, names.get(hop["oif"], ""), family)


def _hop(message: Any, interface: str, family: Literal[4, 6]) -> Route:
    gateway = message.get_attr("RTA_GATEWAY")
    if gateway is None:
        via = message.get_attr("RTA_VIA")  # an IPv4 route by an IPv6 gateway
        gateway = via["addr"] if via else ""
    if not isinstance(gateway, str):
        gateway = ""  # by a protocol that is no IP
    return Route(gateway=gateway, interface=interface, family=family)


def add_address(interface: str, address: str, prefix: int) -> None:
    """Puts an address on an interface; an IPv6 one without duplicate address detection, because the real servers
    hold the VIP too, and deprecated, so that this machine does not speak from it (RFC 6724, rule 3). Raises
    NoInterface, NoPrivilege, CommandFailed."""
    what = f"{address}/{prefix} could not be added to {interface}."
    with _route(what) as route:
        extra = {"flags": IFA_F_NODAD, "preferred_lft": 0, "valid_lft": FOREVER} if _is_ipv6(address) else {}
        route.addr("add", index=_index(route, interface, what), address=address, prefixlen=prefix, **extra)


def _is_ipv6(address: str) -> bool:
    return ip_address(address).version == 6


def remove_address(interface: str, address: str, prefix: int) -> None:
    """Takes an address off an interface. Raises NoInterface, NoPrivilege, CommandFailed."""
    what = f"{address}/{prefix} could not be removed from {interface}."
    with _route(what) as route:
        route.addr("del", index=_index(route, interface, what), address=address, prefixlen=prefix)


def add_dummy(name: str) -> None:
    """Makes a dummy interface and brings it up. Raises NoPrivilege, CommandFailed."""
    what = f"The dummy interface {name} could not be created."
    with _route(what) as route:
        route.link("add", ifname=name, kind="dummy")
        route.link("set", index=_index(route, name, what), state="up")


def bring_up(name: str) -> None:
    """Brings an interface up. Raises NoInterface, NoPrivilege, CommandFailed."""
    what = f"The interface {name} could not be brought up."
    with _route(what) as route:
        route.link("set", index=_index(route, name, what), state="up")


def remove_link(name: str) -> None:
    """Removes an interface. Raises NoInterface, NoPrivilege, CommandFailed."""
    what = f"The interface {name} could not be removed."
    with _route(what) as route:
        route.link("del", index=_index(route, name, what))


def _index(route: IPRoute, interface: str, what: str) -> int:
    found = list(route.link_lookup(ifname=interface))
    if not found:
        raise NoInterface(what, f"This machine has no interface {interface}.", "See `ip link` for its names.")
    return int(found[0])
