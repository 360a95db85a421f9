"""What the load balancers of the trade can say of a deployment: schedulers, weights, persistence, addresses.

A scheduler that is missing in `methods` is refused; nothing is ever replaced by something near it. Sources: NetScaler,
the NITRO reference of `lbvserver` and `lbvserver_service_binding`, and "assign weights to services"; ALOHA, its
reference of LB Layer4; Loadbalancer.org, `lbcli --help` (`wlc`, `wrr`, `dh` and no other); Barracuda, the
administrator's guide, "Default Scheduling Policy".
"""

from __future__ import annotations

import msgspec


class Product(msgspec.Struct, frozen=True, kw_only=True):
    """One product.

    `methods`: IPVS scheduler → the product's own words for it. `nearest`: scheduler that it lacks → what to write
    instead. `unweighted`: schedulers with which its weights do nothing, or must be equal to mean the same. `heaviest`:
    the largest weight, None where no limit is documented (0 holds a server on each of them). `persistence_step`:
    seconds in its unit of persistence, `persistence_most` the most seconds. `joins`: tcp and udp on one port of a VIP
    are one service. `remarks`: scheduler → what an operator has to know of it there.
    """

    engine: str
    name: str
    methods: dict[str, str]
    nearest: dict[str, str]
    unweighted: frozenset[str]
    heaviest: int | None = None
    persistence_step: int = 1
    persistence_most: int | None = None
    joins: bool = False
    ipv6: bool = True
    remarks: dict[str, str] = {}


KEEP = "persistence"
"""In `nearest`: persistence keeps a client at its server, as a hash of its address does."""

NETSCALER = Product(
    engine="netscaler",
    name="NetScaler",
    methods={
        "rr": "ROUNDROBIN",
        "wrr": "ROUNDROBIN",
        "lc": "LEASTCONNECTION",
        "wlc": "LEASTCONNECTION",
        "sh": "SOURCEIPHASH",
        "mh": "SOURCEIPHASH",
        "dh": "DESTINATIONIPHASH",
    },
    nearest={"lblc": "wlc", "lblcr": "wlc", "sed": "wlc", "nq": "wlc", "fo": "wlc", "ovf": "wlc", "twos": "wlc"},
    unweighted=frozenset({"rr", "lc", "sh", "mh", "dh"}),
    heaviest=100,
    persistence_step=60,
    persistence_most=1_440 * 60,
    joins=True,
    remarks={
        "mh": "SOURCEIPHASH is NetScaler's own hash of the client's address and not Maglev.",
        "dh": "DESTINATIONIPHASH gives every client of a VIP the same server: a VIP is one destination.",
        "lc": "The NetScaler sees no reply in DSR: a connection counts until it has been idle for the timeout.",
        "wlc": "The NetScaler sees no reply in DSR: a connection counts until it has been idle for the timeout.",
    },
)

LOADBALANCER_ORG = Product(
    engine="loadbalancer.org",
    name="Loadbalancer.org",
    methods={"rr": "wrr", "wrr": "wrr", "lc": "wlc", "wlc": "wlc", "dh": "dh"},
    nearest={
        "sh": KEEP, "mh": KEEP, "lblc": "wlc", "lblcr": "wlc", "sed": "wlc", "nq": "wlc", "fo": "wlc", "ovf": "wlc",
        "twos": "wlc",
    },
    unweighted=frozenset({"rr", "lc", "dh"}),
    heaviest=65_535,
)  # fmt: skip

ALOHA = Product(
    engine="aloha",
    name="ALOHA",
    methods={
        "rr": "roundrobin",
        "wrr": "roundrobin",
        "lc": "leastconn",
        "wlc": "leastconn",
        "sh": "source",
        "dh": "dest",
        "lblc": "leastconn localitybased",
        "lblcr": "leastconn localitybased replication",
        "sed": "shortestexpected",
        "nq": "neverqueue",
    },
    nearest={"mh": "sh", "fo": "wlc", "ovf": "wlc", "twos": "wlc"},
    unweighted=frozenset({"rr", "lc", "dh"}),
    heaviest=256,
    ipv6=False,
)

BARRACUDA = Product(
    engine="barracuda",
    name="Barracuda",
    methods={
        "rr": "Weighted Round-Robin",
        "wrr": "Weighted Round-Robin",
        "lc": "Weighted Least Connections",
        "wlc": "Weighted Least Connections",
    },
    nearest={
        "sh": KEEP, "mh": KEEP, "dh": KEEP, "lblc": "wlc", "lblcr": "wlc", "sed": "wlc", "nq": "wlc", "fo": "wlc",
        "ovf": "wlc", "twos": "wlc",
    },
    unweighted=frozenset({"rr", "lc"}),
)  # fmt: skip

PRODUCTS: dict[str, Product] = {product.engine: product for product in (NETSCALER, LOADBALANCER_ORG, ALOHA, BARRACUDA)}
"""By the word that a deployment has for it, `engine` under `[director]`."""
WEIGHTED = {"rr": "wrr", "lc": "wlc"}
"""Scheduler without weights → the same with weights."""
