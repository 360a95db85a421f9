"""What is observed on a Linux real server beyond what every system has. `None` is "unknown", as in `facts`."""

from __future__ import annotations

from typing import Literal

from dsrwizard.core.model.packet_filter import FilterChain
from dsrwizard.core.model.shown import Shown

WayState = Literal["route", "none", "blackhole", "unreachable", "prohibit", "unknown"]
"""What the kernel says of a way: there is one; no rule and table has any; or a route or rule refuses on purpose."""


class ClientWay(Shown, frozen=True, kw_only=True):
    """The way that replies from a VIP take to one client, as the kernel chooses it by rules, tables and devices.

    `real`: the client was seen or is the client host; otherwise it is a documentation address. `table` and `mtu` are
    empty and 0 where the kernel names none; `refusing` is the route or rule behind a way that refuses, as `ip` lists
    it.
    """

    vip: str
    client: str
    real: bool
    state: WayState
    gateway: str = ""
    interface: str = ""
    table: str = ""
    mtu: int = 0
    refusing: str = ""


class Neighbour(Shown, frozen=True, kw_only=True):
    """An entry of the neighbour table (`ip neigh`); `mac` is empty where nobody has answered. `state` as `ip` says it:
    REACHABLE, STALE, PERMANENT, FAILED, INCOMPLETE, …"""

    address: str
    interface: str
    mac: str
    state: str


class OwnBalancer(Shown, frozen=True, kw_only=True):
    """An IPVS service on a real server (`/proc/net/ip_vs`). A firewall mark has no address and the mark as its port;
    `elsewhere` are the destinations with a weight that get packets as they are (direct routing, tunnel), `here` whether
    there are others: the server itself, or by translation."""

    protocol: Literal["tcp", "udp", "sctp", "fwm"]
    address: str
    port: int
    elsewhere: tuple[str, ...] = ()
    here: bool = False


class BootFile(Shown, frozen=True, kw_only=True):
    """A file that may set addresses or ARP settings at boot, and its lines. `active`: something runs or reads it."""

    path: str
    lines: tuple[str, ...]
    active: bool = False


class BootSetting(Shown, frozen=True, kw_only=True):
    """One line of a sysctl file. `key` as written; `value` None: the line keeps patterns from setting it."""

    path: str
    key: str
    value: str | None


class Boot(Shown, frozen=True, kw_only=True):
    """What the next boot sets: sysctl lines in the order in which they are applied, and other files about it."""

    settings: tuple[BootSetting, ...] = ()
    files: tuple[BootFile, ...] = ()


class LinuxFacts(Shown, frozen=True, kw_only=True):
    """A close look at a Linux server."""

    ways: tuple[ClientWay, ...] = ()
    neighbours: tuple[Neighbour, ...] = ()
    local_networks: tuple[str, ...] = ()
    """Networks that the kernel takes for its own addresses (table `local`), with or without an address in them."""
    balancer: tuple[OwnBalancer, ...] | None = None
    chains: tuple[FilterChain, ...] | None = None
    """Its packet filters; None: they could not be read, and `chains_problem` says why."""
    chains_problem: str = ""
    boot: Boot | None = None
