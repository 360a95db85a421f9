"""The order of the live rows, and which of them is the worst. Pure."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec

from dsrwizard.core.model.snapshot import DestinationRow, ServiceRow, Snapshot

RANKS = {"leaking": 0, "vip-dead": 1, "unreachable": 2, "drifted": 3, "unknown": 4, "draining": 5, "up": 6}
"""State → how soon somebody has to look at it. A server that leaks takes the clients of all others, too."""
OUT = 4.5
"""The same, of a server that is dead and gets no clients."""
BALANCERS = 0.5
"""The same, of a fault of the whole service."""


def rank(row: DestinationRow) -> float:
    """The lower, the sooner somebody has to look."""
    number = RANKS[row.state]
    if row.state == "draining" and row.wanted_weight == 0:
        return RANKS["up"]
    return OUT if row.weight == 0 and row.state in ("vip-dead", "unreachable") else number


_KEYS: dict[str, Callable[[DestinationRow], Any]] = {
    "state": rank,
    "server": lambda row: row.server,
    "weight": lambda row: -(row.weight or 0),
    "active": lambda row: -row.active,
    "new/s": lambda row: -(row.rates.connections or 0),
    "pkt/s": lambda row: -(row.rates.in_packets or 0),
    "B/s": lambda row: -(row.rates.in_bytes or 0),
    "answer": lambda row: (row.probe is None or not row.probe.good, -_took(row)),
}
ORDERS = (*_KEYS, "file")
"""By what the rows of a service are sorted; `file`: as the deployment file has them."""


def service_rank(service: ServiceRow) -> float:
    """The same, of a service with all its servers."""
    own = float(RANKS["up"])
    if service.present is False or service.owner not in ("", "director") or service.cause == "split-brain":
        own = -1.0
    elif service.cause or service.totals.out_packets:
        own = BALANCERS + RANKS["unreachable"]
    return min([own, *(rank(row) for row in service.rows)])


def arranged(snapshot: Snapshot, order: str) -> Snapshot:
    """The snapshot with its rows in this order; with `state`, services with the worst first, too."""
    if order == "file":
        return snapshot
    key = _KEYS[order]
    services = []
    for service in snapshot.services:
        keys = [key(row) for row in service.rows]
        fine = all(one <= other for one, other in pairwise(keys))
        services.append(
            service if fine else msgspec.structs.replace(service, rows=tuple(sorted(service.rows, key=key)))
        )
    if order == "state":
        services.sort(key=service_rank)
    return msgspec.structs.replace(snapshot, services=tuple(services))


def worst(snapshot: Snapshot) -> tuple[ServiceRow, DestinationRow | None] | None:
    """What has to be looked at first; None: nothing. Of equals, the one that began first."""
    best: tuple[float, float] | None = None
    found: tuple[ServiceRow, DestinationRow | None] | None = None
    for service in snapshot.services:
        level = service_rank(service)
        if level >= RANKS["up"] or (best is not None and level > best[0]):
            continue
        row = _taker(service) or min(service.rows, key=lambda one: (rank(one), one.since), default=None)
        if row is not None and rank(row) > level and row.server != service.owner:
            row = None
        at = (level, row.since if row is not None else 0.0)
        if best is None or at < best:
            best, found = at, (service, row)
    return found


def _taker(service: ServiceRow) -> DestinationRow | None:
    """The server that answers for the VIP: its row has the cause, the fix and the key that mends it."""
    return next((row for row in service.rows if row.server == service.owner and row.state == "leaking"), None)


def _took(row: DestinationRow) -> float:
    return row.probe.milliseconds or 0.0 if row.probe is not None else 0.0
