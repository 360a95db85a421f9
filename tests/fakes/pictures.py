"""Snapshots of the live view with every value given, for pictures that are the same each time."""

from __future__ import annotations

from array import array

import msgspec

from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.history import METRICS, History
from dsrwizard.core.model.snapshot import (
    Bypass,
    DestinationRow,
    Happening,
    Latency,
    Rates,
    Round,
    ServiceRow,
    Snapshot,
    State,
    Totals,
)

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
    cause: str = "",
    fix: str = "",
    address: str = "10.0.0.101",
) -> DestinationRow:
    """One real server; its probe and ARP state follow from `state`."""
    signature = _PROBES.get(state, "syn-ack")
    mac = "02:00:0a:00:00:65"
    return DestinationRow(
        server=server,
        address=address,
        vip=vip,
        service="tcp/80",
        wanted_weight=1,
        weight=weight,
        active=active,
        inactive=inactive,
        rates=Rates(connections=4.5, in_packets=27.0, in_bytes=2160.0),
        totals=Totals(connections=27_000, in_packets=162_000, in_bytes=12_960_000),
        state=state,
        since=AT - (60 if state == "up" else 240),
        cause=cause,
        message=message,
        fix=fix,
        probe=Probed(
            vip=vip,
            port=80,
            protocol="tcp",
            rip=address,
            mac=mac,
            signature=signature,  # type: ignore[arg-type]
            answered_by=mac if signature == "syn-ack" else "",
            milliseconds=0.8 if signature == "syn-ack" else None,
        ),
        probe_age=1.2,
        latency=Latency(minimum=0.5, median=0.8, maximum=2.1, sent=60, lost=1)
        if signature == "syn-ack"
        else Latency(sent=60, lost=60),
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


def picture(services: tuple[ServiceRow, ...] | None = None, *, problem: str = "", read_at: float = AT) -> Snapshot:
    """A whole snapshot; by default one service with three servers in different states."""
    if services is None:
        rows = (
            destination("web1"),
            destination(
                "web2", state="draining", weight=0, address="10.0.0.102", message="Weight 0: no new clients.",
                cause="drained", fix="Press u, or run apply: it gives the weight back.",
            ),
            destination(
                "web3", state="vip-dead", address="10.0.0.103", cause="vip-missing",
                message="Probe through web3: no answer. The VIP is missing there.",
                fix="Press m to mend it, or run: ip address add 10.0.0.10/32 dev lo",
            ),
        )  # fmt: skip
        services = (service("10.0.0.10", rows),)
    return Snapshot(
        deployment="shop",
        at=AT,
        read_at=read_at,
        read_milliseconds=0.4,
        services=services,
        happenings=(
            Happening(at=AT - 90, host="web2", message="Weight 1 → 0 for web2 in 10.0.0.10 tcp/80"),
            Happening(
                at=AT - 60, host="web3", message="10.0.0.10 tcp/80: up → VIP dead.", state="vip-dead", before="up",
                vip="10.0.0.10", service="tcp/80", cause="vip-missing",
            ),
        ),
        problem=problem,
        audit_age=3.0,
        drift_age=12.0,
        proof_age=34.0,
        verdict="fail",
        history=lines(services),
    )  # fmt: skip


def healthy() -> Snapshot:
    """Three servers that are up, and a client host that has counted."""
    rows = tuple(destination(f"web{number}", address=f"10.0.0.10{number}") for number in (1, 2, 3))
    return msgspec.structs.replace(
        picture((service("10.0.0.10", rows),)),
        happenings=(),
        verdict="pass",
        bypass=Bypass(request_bytes=1000, reply_bytes=412_000, at=AT - 600),
        round=Round(pairs=3, done=3, seconds=0.1, budget=500),
    )


def unproved() -> Snapshot:
    """The healthy farm in the first seconds of a watch: no verification has ended."""
    return msgspec.structs.replace(healthy(), proof_age=None, verdict="")


def two_faults() -> Snapshot:
    """One server that leaks and one whose service is down, and one host that could not be looked at."""
    rows = (
        destination("web1", address="10.0.0.101"),
        destination(
            "web2", state="leaking", address="10.0.0.102", cause="arp-leak",
            message="It answers ARP for the VIP: clients may go straight to it.",
            fix="Press m to mend it, or run: sysctl -w net.ipv4.conf.all.arp_ignore=1",
        ),
        destination(
            "web3", state="vip-dead", address="10.0.0.103", cause="service-down",
            message="Nothing listens on tcp/80 there.", fix="Start the service on web3.",
        ),
    )  # fmt: skip
    return msgspec.structs.replace(
        picture((service("10.0.0.10", rows),)),
        unseen=("web1: its settings are not seen, because nobody has logged in yet. Press v to log in once.",),
    )


def ten_thousand() -> Snapshot:
    """100 VIPs over 100 real servers each; in every tenth VIP one server is not up."""
    states: tuple[State, ...] = ("vip-dead", "leaking", "drifted", "unreachable", "unknown")
    causes = ("vip-missing", "arp-leak", "not-persistent", "unreachable", "")
    services = []
    for number in range(1, 101):
        vip = f"10.1.{number}.1"
        bad, kind = (number % 100 if number % 10 == 0 else -1), number // 10 % 5
        rows = tuple(
            destination(
                f"web{k}", vip=vip, address=f"10.2.{k // 250}.{k % 250 + 1}",
                state=states[kind] if k == bad else "up", cause=causes[kind] if k == bad else "",
                message="What is wrong, in words." if k == bad else "",
            )
            for k in range(100)
        )  # fmt: skip
        services.append(service(vip, rows))
    return msgspec.structs.replace(
        picture(tuple(services)), round=Round(pairs=10_000, done=3_100, seconds=20.0, budget=500)
    )
