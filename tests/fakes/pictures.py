"""Snapshots of the live view with every value given, for pictures that are the same each time."""

from __future__ import annotations

from array import array

from dsrwizard.core.history import METRICS, History
from dsrwizard.core.snapshot import DestinationRow, Happening, Rates, ServiceRow, Snapshot, State, Totals
from dsrwizard.core.wire import Probed

AT = 1_000_000.0
TREND = (0.0, 1.0, 2.0, 4.0, 8.0, 6.0, 7.0, 3.0, 5.0, 9.0, 4.0, 2.0)
_PROBES = {"vip-dead": "silence", "unreachable": "no-mac", "unknown": "unknown"}


def destination(
    server: str,
    *,
    vip: str = "10.0.0.10",
    state: State = "up",
    weight: int | None = 1,
    active: int = 12,
    inactive: int = 340,
    message: str = "",
) -> DestinationRow:
    """One real server; its probe and ARP state follow from `state`."""
    signature = _PROBES.get(state, "syn-ack")
    mac = "02:00:0a:00:00:65"
    return DestinationRow(
        server=server,
        address="10.0.0.101",
        vip=vip,
        service="tcp/80",
        wanted_weight=1,
        weight=weight,
        active=active,
        inactive=inactive,
        rates=Rates(connections=4.5, in_packets=27.0, in_bytes=2160.0),
        state=state,
        since=AT - 60,
        message=message,
        probe=Probed(
            vip=vip,
            port=80,
            protocol="tcp",
            rip="10.0.0.101",
            mac=mac,
            signature=signature,  # type: ignore[arg-type]
            answered_by=mac if signature == "syn-ack" else "",
            milliseconds=0.8 if signature == "syn-ack" else None,
        ),
        probe_age=1.2,
        arp="leaks" if state == "leaking" else "silent",
    )


def service(vip: str, rows: tuple[DestinationRow, ...], *, out_packets: int = 0) -> ServiceRow:
    """One service over these servers."""
    return ServiceRow(
        vip=vip,
        service="tcp/80",
        scheduler="wlc",
        present=True,
        active=sum(row.active for row in rows),
        inactive=sum(row.inactive for row in rows),
        rates=Rates(connections=4.5 * len(rows), in_packets=27.0 * len(rows), in_bytes=2160.0 * len(rows)),
        totals=Totals(connections=81_000, in_packets=486_000, in_bytes=38_880_000, out_packets=out_packets),
        owner="director",
        rows=rows,
    )


def lines(services: tuple[ServiceRow, ...]) -> History:
    """The same trend for every row."""
    places = [(row.vip, row.service, server) for row in services for server in ("", *(one.server for one in row.rows))]
    index = {place: number for number, place in enumerate(places)}
    history = History()
    for value in TREND:
        history = history.with_column(index, {metric: array("f", [value] * len(places)) for metric in METRICS})
    return history


def picture(services: tuple[ServiceRow, ...] | None = None, *, problem: str = "") -> Snapshot:
    """A whole snapshot; by default one service with three servers in different states."""
    if services is None:
        rows = (
            destination("web1"),
            destination("web2", state="draining", weight=0, message="Weight 0: no new clients."),
            destination("web3", state="vip-dead", message="Through this server no answer: the VIP is missing there."),
        )
        services = (service("10.0.0.10", rows),)
    return Snapshot(
        deployment="shop",
        at=AT,
        read_at=AT,
        read_milliseconds=0.4,
        services=services,
        happenings=(
            Happening(at=AT - 90, host="web2", message="Weight 1 → 0 for web2 in 10.0.0.10 tcp/80"),
            Happening(at=AT - 60, host="web3", message="10.0.0.10 tcp/80: up → vip-dead.", state="vip-dead"),
        ),
        problem=problem,
        audit_age=3.0,
        history=lines(services),
    )
