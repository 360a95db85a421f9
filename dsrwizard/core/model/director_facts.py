"""What is looked at on the director beside its IPVS table: packet filters, the kernel's ways, neighbours, counters.

`None` and a `problem` are "unknown": nothing may be concluded from them.
"""

from __future__ import annotations

from typing import Literal

from dsrwizard.core.model.answers import Arrival
from dsrwizard.core.model.changes import DestinationState, ServiceState
from dsrwizard.core.model.packet_filter import FilterChain
from dsrwizard.core.model.shown import Shown

ROOT_ALONE = "The kernel tells root alone which tables of iptables there are."
"""Why a user with the two capabilities that dsrwizard needs cannot read the packet filter."""


class KernelWay(Shown, frozen=True, kw_only=True):
    """Where the kernel sends a packet, as it says when asked (RTM_GETROUTE).

    `kind`: `unicast`, `local`, `blackhole`, `unreachable`, `prohibit`, … or empty where `problem` (the kernel's words)
    says why there is none; `number` is its errno. `entry`: the destination of the route that decides (`10.0.0.0/24`,
    `default`), `table` its table; `mtu` the largest packet that it takes, 0 where it was not told.
    """

    address: str
    kind: str = ""
    gateway: str = ""
    interface: str = ""
    source: str = ""
    table: str = ""
    entry: str = ""
    metric: int = 0
    mtu: int = 0
    problem: str = ""
    number: int = 0


class KernelRule(Shown, frozen=True, kw_only=True):
    """A route or a rule of policy routing that ends a packet's way, in the words of `ip route` or `ip rule`."""

    what: Literal["route", "rule"]
    text: str
    covers: tuple[str, ...] = ()
    """The addresses asked about that it applies to."""
    version: Literal[4, 6] = 4


class ComingIn(Shown, frozen=True, kw_only=True):
    """What the kernel does with a packet from `client` to `vip` that comes in on `interface`."""

    vip: str
    client: str
    interface: str
    kind: str = ""
    problem: str = ""
    number: int = 0


class NeighbourEntry(Shown, frozen=True, kw_only=True):
    """An entry of the neighbour table. `state`: permanent, noarp, reachable, stale, delay, probe, failed, incomplete or
    none."""

    address: str
    interface: str
    mac: str = ""
    state: str = ""

    @property
    def fixed(self) -> bool:
        """Somebody wrote it by hand, and the kernel does not ask again."""
        return self.state in ("permanent", "noarp")


class OtherService(Shown, frozen=True, kw_only=True):
    """An IPVS service that no deployment can name: `mark` of a firewall mark, else 0. `destinations` are RIPs with
    their port and state."""

    label: str
    family: Literal[4, 6]
    mark: int = 0
    state: ServiceState
    destinations: tuple[tuple[str, int, DestinationState], ...] = ()


class DirectorLook(Shown, frozen=True, kw_only=True):
    """One look at the director's own path.

    `ways`: RIP → where the kernel sends a packet now; `entries`: the same as its route says, without what a redirect
    has taught it. `stops`: routes and rules that end the way of an address asked about. `settings`: IPVS' and network
    settings by their key. `sync`: states of IPVS' synchronisation (`master`, `backup`). `counters` by nstat's names.
    """

    chains: tuple[FilterChain, ...] | None = None
    chains_problem: str = ""
    settings: dict[str, str] = {}
    ways: dict[str, KernelWay] = {}
    entries: dict[str, KernelWay] = {}
    stops: tuple[KernelRule, ...] = ()
    coming: tuple[ComingIn, ...] = ()
    neighbours: tuple[NeighbourEntry, ...] = ()
    mtus: dict[str, int] = {}
    others: tuple[OtherService, ...] = ()
    sync: tuple[str, ...] | None = None
    counters: dict[str, int] = {}
    problem: str = ""
    """Why the kernel's ways and neighbours could not be read."""


class Entered(Shown, frozen=True, kw_only=True):
    """Which of the connections that came in have no entry in IPVS' table; `problem`: why that is not known."""

    lost: tuple[Arrival, ...] = ()
    problem: str = ""
