"""One moment of the live pane: what IPVS counts, what probes and the ARP audit said last, and how old each is."""

from __future__ import annotations

from typing import Literal

import msgspec

from dsrwizard.core.wire import Probed

State = Literal["up", "draining", "vip-dead", "leaking", "drifted", "unreachable", "unknown"]


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Per second, over the last interval. `None` before there are two readings."""

    connections: float | None = None
    in_packets: float | None = None
    in_bytes: float | None = None


class DestinationRow(msgspec.Struct, frozen=True, kw_only=True):
    """One real server behind one service. `weight` None: it is not in IPVS."""

    server: str
    address: str
    vip: str
    service: str
    """Label of the service, `tcp/80`."""
    wanted_weight: int
    weight: int | None = None
    active: int = 0
    inactive: int = 0
    rates: Rates = Rates()
    trend: tuple[float, ...] = ()
    """New connections per second, oldest first."""
    state: State = "unknown"
    since: float = 0.0
    """Seconds since the epoch at which `state` began."""
    message: str = ""
    probe: Probed | None = None
    probe_age: float | None = None
    arp: Literal["silent", "leaks", "unknown"] = "unknown"


class ServiceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One service with its totals. `present` None: IPVS could not be read."""

    vip: str
    service: str
    scheduler: str
    persistence: int = 0
    present: bool | None = None
    active: int = 0
    inactive: int = 0
    rates: Rates = Rates()
    trend: tuple[float, ...] = ()
    out_packets: int = 0
    """Replies the director saw: 0 while they bypass it."""
    owner: str = ""
    """`director`, a server's name, or a stranger's MAC; empty while unknown."""
    rows: tuple[DestinationRow, ...] = ()


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the event log."""

    at: float
    host: str
    message: str
    state: State | Literal["info"] = "info"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Everything at once. `read_at` is when IPVS was last read, seconds since the epoch; `problem` says why the
    numbers are old or missing."""

    deployment: str
    at: float
    read_at: float | None = None
    read_milliseconds: float | None = None
    services: tuple[ServiceRow, ...] = ()
    happenings: tuple[Happening, ...] = ()
    problem: str = ""
    audit_age: float | None = None
