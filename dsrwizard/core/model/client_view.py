"""The client host's view: its connections through each VIP, and what the director's table says of them."""

from __future__ import annotations

from typing import Literal

import msgspec

from dsrwizard.core.model.answers import Connected
from dsrwizard.core.model.deployment import Vip
from dsrwizard.core.model.values import canonical

Connecting = Literal["open", "refused", "silent", "unreachable", "unknown"]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """Reply frames of one connection as they reached the client host: sender's MAC (empty: the link has none), TTL or
    hop limit, how many."""

    mac: str
    ttl: int
    frames: int = 1


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One fresh TCP connection from the client host to a VIP.

    `client_port` 0: its tools did not tell. Times in milliseconds from the beginning of the connection; `sent` and
    `received` are payload bytes, None where nobody counted. `ended`: the server has closed the connection.
    """

    port: int
    result: Connecting
    client: str = ""
    client_port: int = 0
    milliseconds: float | None = None
    first_byte: float | None = None
    sent: int | None = None
    received: int | None = None
    ended: bool = False
    replies: tuple[Reply, ...] = ()


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """What the director has of the client host's connections to one VIP and TCP port, by the port they came from.

    `given`: the RIP each was given to; `missing`: those it surely has no entry of; what is in neither is not told.
    `able`: IPVS has the service and a destination that takes new connections. `replies`: reply packets of each RIP that
    IPVS has counted since it has the destination, `grown` during the look. `problem`: why nothing is told.
    """

    given: dict[int, str] = {}
    missing: frozenset[int] = frozenset()
    able: bool = False
    replies: dict[str, int] = {}
    grown: dict[str, int] = {}
    problem: str = ""


class ClientVip(msgspec.Struct, frozen=True, kw_only=True):
    """One VIP as the client host sees it.

    `neighbour` is the MAC in its neighbour table, empty where it has none; `on_link` says whether it sends to the VIP
    without a router, None where it could not tell. `connects` holds the TCP services, address = the VIP: open when one
    of the connections (`tries`) was. `passages`: what the director has of those, by port. `ttl`: of the answer to the
    ping, which the director gives. `large`: connections with a request of full size, which are not among `tries`.
    `untapped`: why no reply frames were captured.
    """

    vip: str
    ping: Literal["answered", "silent", "unknown"] = "unknown"
    milliseconds: float | None = None
    on_link: bool | None = None
    neighbour: str = ""
    connects: tuple[Connected, ...] = ()
    ttl: int | None = None
    tries: tuple[Tried, ...] = ()
    large: tuple[Tried, ...] = ()
    passages: dict[int, Passage] = {}
    untapped: str = ""

    def connect(self, port: int) -> Connected | None:
        return next((connected for connected in self.connects if connected.port == port), None)


class ClientView(msgspec.Struct, frozen=True, kw_only=True):
    """What the client host sees of every VIP; `at` in seconds since the epoch."""

    vips: tuple[ClientVip, ...] = ()
    at: float = 0.0

    def of(self, vip: Vip) -> ClientVip | None:
        return next((seen for seen in self.vips if canonical(seen.vip) == canonical(vip.address)), None)
