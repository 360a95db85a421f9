"""The Prometheus metrics of a snapshot (text exposition format 0.0.4). Pure.

Names follow node_exporter's collector for IPVS (`node_ipvs_connections_total`, `node_ipvs_incoming_bytes_total`,
`node_ipvs_backend_weight`), base units, `_total` for counters. A counter that goes back, because IPVS was loaded anew,
is what Prometheus calls a counter reset. What is not known has no sample.

The text is put together here and not by prometheus_client: with 10,000 real servers that is a tenth of a second instead
of more than one, every scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import get_args

from dsrwizard import __version__
from dsrwizard.core.model.guarding import GuardState
from dsrwizard.core.model.snapshot import DestinationRow, ServiceRow, Snapshot, State

STALE_SECONDS = 30.0
"""A picture older than this is not shown any more."""
_STATES: tuple[str, ...] = get_args(State)

_SERVICE: tuple[tuple[str, str, str, Callable[[ServiceRow], float]], ...] = (
    ("ipvs_connections_total", "counter", "Connections to the service, counted by IPVS.",
     lambda row: row.totals.connections),
    ("ipvs_incoming_packets_total", "counter", "Packets to the service.", lambda row: row.totals.in_packets),
    ("ipvs_incoming_bytes_total", "counter", "Bytes to the service.", lambda row: row.totals.in_bytes),
    ("ipvs_outgoing_packets_total", "counter", "Replies seen by the director; 0 while they bypass it.",
     lambda row: row.totals.out_packets),
    ("ipvs_outgoing_bytes_total", "counter", "Bytes of replies seen by the director; 0 while they bypass it.",
     lambda row: row.totals.out_bytes),
)  # fmt: skip
_BACKEND: tuple[tuple[str, str, str, Callable[[DestinationRow], float]], ...] = (
    ("ipvs_backend_connections_total", "counter", "Connections given to the real server.",
     lambda row: row.totals.connections),
    ("ipvs_backend_incoming_packets_total", "counter", "Packets given to the real server.",
     lambda row: row.totals.in_packets),
    ("ipvs_backend_incoming_bytes_total", "counter", "Bytes given to the real server.",
     lambda row: row.totals.in_bytes),
    ("ipvs_backend_connections_active", "gauge", "Active connections of the real server (estimated by IPVS).",
     lambda row: row.active),
    ("ipvs_backend_connections_inactive", "gauge", "Inactive connections of the real server (estimated by IPVS).",
     lambda row: row.inactive),
    ("ipvs_backend_weight", "gauge", "Weight of the real server in IPVS.", lambda row: row.weight or 0),
)  # fmt: skip


def exposition(snapshot: Snapshot | None, now: float) -> str:
    """The whole text. `now` in seconds since the epoch; `snapshot` None: there was no look yet."""
    return "".join(_lines(snapshot, now))


def _lines(snapshot: Snapshot | None, now: float) -> Iterator[str]:
    yield from _family("build_info", "gauge", "The version of dsrwizard.", [f'{{version="{escaped(__version__)}"}} 1'])
    fresh = snapshot is not None and now - snapshot.at <= STALE_SECONDS
    good = fresh and snapshot is not None and not snapshot.problem
    yield from _family("up", "gauge", "1: the last look succeeded in every part.", [f" {int(good)}"])
    if snapshot is None:
        return
    if snapshot.read_at is not None:
        about = "When IPVS was last read."
        yield from _family("last_read_timestamp_seconds", "gauge", about, [f" {snapshot.read_at!r}"])
    reads = bool(snapshot.read_problem) or any(service.present is not None for service in snapshot.services)
    readable = fresh and not snapshot.read_problem
    if reads:  # else another product balances
        yield from _family("ipvs_up", "gauge", "1: IPVS was read at the last look.", [f" {int(readable)}"])
    if not fresh:
        return
    if reads and readable:
        yield from _ipvs(snapshot)
    yield from _servers(snapshot)
    yield from _vips(snapshot)
    yield from _proof(snapshot)
    yield from _looks(snapshot)
    if snapshot.guard is not None:
        yield from _guard(snapshot.guard, snapshot.at)


def _guard(guard: GuardState, at: float) -> Iterator[str]:
    """What the deployment's guard says of itself."""
    yield from _family("guard_up", "gauge", "1: the guard is at work.", [f" {int(guard.alive(at))}"])
    yield from _family("guard_last_round_timestamp_seconds", "gauge", "When its last round ended.", [f" {guard.at!r}"])
    yield from _family(
        "guard_round_duration_seconds", "gauge", "How long that round took.", [f" {guard.round_seconds!r}"]
    )
    yield from _family(
        "guard_blind", "gauge", "1: it sees nothing, and changes nothing.", [f" {int(bool(guard.blind))}"]
    )
    if guard.announces is not None:
        yield from _family("guard_announces", "gauge", "1: BIRD announces the VIPs.", [f" {int(guard.announces)}"])
    yield from _family("guard_alarms", "gauge", "What an operator should know of.", [f" {len(guard.alarms)}"])
    yield from _family(
        "guard_held_out", "gauge", "1: the guard holds this destination out at weight 0.",
        [
            f'{{vip="{escaped(one.place.vip)}",port="{escaped(port)}",protocol="{escaped(protocol)}",'
            f'server="{escaped(one.place.server)}"}} 1'
            for one in guard.held
            for protocol, _, port in [one.place.service.partition("/")]
        ],
    )  # fmt: skip


def _family(name: str, kind: str, about: str, samples: Iterable[str]) -> Iterator[str]:
    """One metric; each sample is its labels, a space and the value."""
    lines = [f"dsrwizard_{name}{sample}\n" for sample in samples]
    if lines:
        yield f"# HELP dsrwizard_{name} {about}\n# TYPE dsrwizard_{name} {kind}\n"
        yield "".join(lines)


def escaped(value: str) -> str:
    """A label's value as it stands between quotation marks."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _service_labels(service: ServiceRow) -> str:
    protocol, _, port = service.service.partition("/")
    return f'vip="{escaped(service.vip)}",port="{escaped(port)}",protocol="{escaped(protocol)}"'


def _ipvs(snapshot: Snapshot) -> Iterator[str]:
    if snapshot.read_milliseconds is not None:
        took = snapshot.read_milliseconds / 1000
        yield from _family("ipvs_read_duration_seconds", "gauge", "How long reading IPVS took.", [f" {took!r}"])
    labelled = [(f"{{{_service_labels(service)}}} ", service) for service in snapshot.services]
    about = "1: the service is in IPVS."
    yield from _family(
        "ipvs_service_present", "gauge", about, [f"{at}{int(bool(row.present))}" for at, row in labelled]
    )
    present = [(labels, service) for labels, service in labelled if service.present]
    for name, kind, about, value in _SERVICE:
        yield from _family(name, kind, about, [f"{labels}{value(service)}" for labels, service in present])
    rows = [(f"{labels} ", row) for labels, row in _rows(snapshot) if row.weight is not None]
    for name, kind, about, number in _BACKEND:
        yield from _family(name, kind, about, [f"{labels}{number(row)}" for labels, row in rows])


def _rows(snapshot: Snapshot) -> list[tuple[str, DestinationRow]]:
    """Every real server behind every service, with its labels."""
    found = []
    for service in snapshot.services:
        labels = _service_labels(service)
        found += [(f'{{{labels},server="{escaped(row.server)}"}}', row) for row in service.rows]
    return found


def _servers(snapshot: Snapshot) -> Iterator[str]:
    rows = _rows(snapshot)
    yield from _family(
        "real_server_state", "gauge", "1: the real server is in this state for this service.",
        [
            f'{labels[:-1]},state="{state}"}} {int(row.state == state)}'
            for labels, row in rows
            for state in _STATES
        ],
    )  # fmt: skip
    yield from _family(
        "real_server_state_since_timestamp_seconds", "gauge", "When that state began.",
        [f"{labels} {row.since!r}" for labels, row in rows if row.since],
    )  # fmt: skip
    yield from _family(
        "real_server_cause", "gauge", "1: this is why the real server is not up.",
        [f'{labels[:-1]},cause="{escaped(row.cause)}"}} 1' for labels, row in rows if row.cause],
    )  # fmt: skip
    probed = [(labels, row, row.probe) for labels, row in rows if row.probe and row.probe.signature != "unknown"]
    yield from _family(
        "probe_success", "gauge", "1: the VIP answered through the real server at the last probe.",
        [f"{labels} {int(probe.good)}" for labels, _, probe in probed],
    )  # fmt: skip
    yield from _family(
        "probe_duration_seconds", "gauge", "How long the answer to the last probe took.",
        [f"{labels} {probe.milliseconds / 1000!r}" for labels, _, probe in probed if probe.milliseconds is not None],
    )  # fmt: skip
    yield from _family(
        "probe_timestamp_seconds", "gauge", "When the real server was last probed through the VIP.",
        [f"{labels} {snapshot.at - row.probe_age!r}" for labels, row, _ in probed if row.probe_age is not None],
    )  # fmt: skip


def _vips(snapshot: Snapshot) -> Iterator[str]:
    owners = {service.vip: service.owner for service in snapshot.services if service.owner}
    yield from _family(
        "vip_owner_director", "gauge", "1: nobody but the director answers ARP for the VIP.",
        [f'{{vip="{escaped(vip)}"}} {int(owner == "director")}' for vip, owner in owners.items()],
    )  # fmt: skip
    yield from _family(
        "director_holds_vip", "gauge", "1: this one of several directors has the VIP.",
        [
            f'{{director="{escaped(row.name)}",vip="{escaped(vip)}"}} {int(vip in row.holds)}'
            for row in snapshot.directors
            if row.seen
            for vip in dict.fromkeys(service.vip for service in snapshot.services)
        ],
    )  # fmt: skip
    leaks = {
        (row.vip, row.server): row.arp == "leaks"
        for service in snapshot.services
        for row in service.rows
        if row.arp != "unknown"
    }
    yield from _family(
        "arp_leak", "gauge", "1: the real server answers ARP for the VIP.",
        [f'{{vip="{escaped(vip)}",server="{escaped(server)}"}} {int(on)}' for (vip, server), on in leaks.items()],
    )  # fmt: skip


def _proof(snapshot: Snapshot) -> Iterator[str]:
    """What the last verification came to."""
    if snapshot.verdict:
        yield from _family(
            "verify_verdict", "gauge", "1: what the last verification came to.",
            [f'{{verdict="{one}"}} {int(one == snapshot.verdict)}' for one in ("pass", "fail", "unknown")],
        )  # fmt: skip
    yield from _family(
        "fault", "gauge", "1: the last verification found this wrong with the director or the network.",
        [
            f'{{host="{escaped(one.host)}",vip="{escaped(one.vip)}",service="{escaped(one.service)}",'
            f'cause="{escaped(one.cause)}"}} 1'
            for one in snapshot.faults
        ],
    )  # fmt: skip


def _looks(snapshot: Snapshot) -> Iterator[str]:
    ages = (("arp_audit", "who answers for the VIPs was last asked", snapshot.audit_age),
            ("drift", "the real servers were last compared with the deployment", snapshot.drift_age),
            ("verify", "the last verification began", snapshot.proof_age))  # fmt: skip
    for name, about, age in ages:
        if age is not None:
            yield from _family(f"{name}_timestamp_seconds", "gauge", f"When {about}.", [f" {snapshot.at - age!r}"])
    if snapshot.round.seconds is not None:
        about = "How long the last round of probes over every real server, VIP and port took."
        yield from _family("probe_round_duration_seconds", "gauge", about, [f" {snapshot.round.seconds!r}"])
