"""The live picture, worked out from readings: rates from two dumps, a state per real server, transitions. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Literal

import msgspec

from dsrwizard.core.director import key_of
from dsrwizard.core.facts import Destination, Stats, VirtualService
from dsrwizard.core.history import METRICS, NOTHING, History, Metric
from dsrwizard.core.model import Deployment, RealServer, Service, Vip
from dsrwizard.core.proof import judge
from dsrwizard.core.snapshot import DestinationRow, Happening, Rates, ServiceRow, State, Totals
from dsrwizard.core.wire import Owners, Probed

KERNEL_SECONDS = 2.0
"""The kernel brings the counters up to date this often (net/netfilter/ipvs/ip_vs_est.c): between two readings that are
closer, they stand still or jump."""

Place = tuple[str, str, str]
"""(VIP, service label, server name)."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One dump of IPVS; `at` in seconds since the epoch. `services` None: another product balances, or no look."""

    at: float
    services: Sequence[VirtualService] | None = None


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """What the wire said last: one probe per (VIP, service, server), and who answers for each VIP."""

    probes: Mapping[Place, tuple[float, Probed]] = {}
    owners: Mapping[str, tuple[float, Owners]] = {}
    macs: Mapping[str, str] = {}
    """MAC → server name, as learnt by probing."""


def compared(readings: Sequence[Reading], at: float) -> Reading | None:
    """The reading to compare one made `at` with: two of the kernel's updates earlier where there is one, else one."""
    for distance in (2 * KERNEL_SECONDS, KERNEL_SECONDS):
        old = [reading for reading in readings if at - reading.at >= distance - 0.05]
        if old:
            return old[-1]
    return None


def rates(before: Stats | None, now: Stats, seconds: float) -> Rates:
    """Per second between two readings; a counter that went back (the entry was made anew) gives no rate."""
    if before is None or seconds <= 0:
        return Rates()
    differences = (
        now.connections - before.connections,
        now.in_packets - before.in_packets,
        now.in_bytes - before.in_bytes,
    )
    if min(differences) < 0:
        return Rates()
    connections, packets, size = (difference / seconds for difference in differences)
    return Rates(connections=connections, in_packets=packets, in_bytes=size)


def leaking(vip: str, heard: Heard) -> dict[str, str]:
    """Servers that answer ARP for this VIP, by name → MAC."""
    entry = heard.owners.get(vip)
    return {heard.macs[mac]: mac for mac in (entry[1].macs if entry else ()) if mac in heard.macs}


def state_of(
    server: RealServer, destination: Destination | None, seen: bool, probe: Probed | None, leak: str
) -> tuple[State, str]:
    """One server in one service, and the reason in words. `seen`: IPVS could be read."""
    if probe is not None and probe.signature == "no-mac":
        return "unreachable", f"{probe.rip} does not answer on the director's network."
    if leak:
        return "leaking", f"It answers ARP for the VIP ({leak}): clients may go straight to it. Its guard is off."
    mute = probe is not None and probe.protocol == "udp" and probe.signature == "silence"
    if probe is not None and probe.signature != "unknown" and not mute and (reason := judge(probe)):
        return "vip-dead", f"Through this server {reason}"
    if seen and destination is None:
        return "drifted", "It is not in IPVS: apply puts it back."
    if destination is not None and destination.state.method != "dr":
        return "drifted", f"IPVS forwards to it by {destination.state.method}, not by direct routing."
    if destination is not None and destination.state.weight == 0:
        return "draining", "Weight 0: no new clients." if server.weight else "Weight 0, as the deployment says."
    if probe is None:
        return "unknown", "Not probed yet."
    if probe.signature == "unknown":
        return "unknown", f"Cannot probe: {probe.problem}"
    if mute:
        return "unknown", "The UDP service does not answer the probe, so it is not proved."
    return "up", ""


def service_rows(
    deployment: Deployment,
    now: Reading,
    before: Reading | None,
    heard: Heard,
    since: Mapping[Place, tuple[State, float]],
) -> tuple[ServiceRow, ...]:
    """Every service of the deployment with its servers."""
    present = {service.key: service for service in now.services or ()}
    earlier = {service.key: service for service in (before.services or ())} if before else {}
    seconds = now.at - before.at if before else 0.0
    rows = []
    for vip in deployment.vips:
        leaks = leaking(vip.address, heard)
        for service in vip.services:
            key = key_of(vip, service)
            found, old = present.get(key), earlier.get(key)
            then = _by_endpoint(old)
            here = _by_endpoint(found)
            children = []
            for server in deployment.servers_of(vip):
                rip = server.rip_for(vip)
                if rip is None:
                    continue
                endpoint = (str(ip_address(rip)), service.port)
                where = (vip.address, service.label, server.name)
                timed = heard.probes.get(where)
                destination, previous = here.get(endpoint), then.get(endpoint)
                state, message = state_of(
                    server,
                    destination,
                    now.services is not None,
                    timed[1] if timed else None,
                    leaks.get(server.name, ""),
                )
                remembered = since.get(where)
                children.append(
                    DestinationRow(
                        server=server.name,
                        address=rip,
                        vip=vip.address,
                        service=service.label,
                        wanted_weight=server.weight,
                        weight=destination.state.weight if destination else None,
                        active=destination.active if destination else 0,
                        inactive=destination.inactive if destination else 0,
                        rates=rates(previous.stats if previous else None, destination.stats, seconds)
                        if destination
                        else Rates(),
                        totals=_totals(destination.stats) if destination else Totals(),
                        state=state,
                        since=remembered[1] if remembered and remembered[0] == state else now.at,
                        message=message,
                        probe=timed[1] if timed else None,
                        probe_age=now.at - timed[0] if timed else None,
                        arp=_arp(vip, server, heard, leaks),
                    )
                )
            rows.append(
                ServiceRow(
                    vip=vip.address,
                    service=service.label,
                    scheduler=found.state.scheduler if found else service.scheduler,
                    persistence=found.state.persistence if found else service.persistence,
                    present=None if now.services is None else found is not None,
                    active=sum(row.active for row in children),
                    inactive=sum(row.inactive for row in children),
                    rates=rates(old.stats if old else None, found.stats, seconds) if found else Rates(),
                    totals=_totals(found.stats) if found else Totals(),
                    owner=_owner(vip, heard, now.services is not None),
                    rows=tuple(children),
                )
            )
    return tuple(rows)


def _by_endpoint(service: VirtualService | None) -> dict[tuple[str, int], Destination]:
    return {(entry.address, entry.port): entry for entry in (service.destinations if service else ())}


def _arp(vip: Vip, server: RealServer, heard: Heard, leaks: Mapping[str, str]) -> Literal["silent", "leaks", "unknown"]:
    entry = heard.owners.get(vip.address)
    if entry is None or entry[1].problem:
        return "unknown"
    if server.name in leaks:
        return "leaks"
    return "silent" if server.name in heard.macs.values() else "unknown"  # or an answer could be its own


def _owner(vip: Vip, heard: Heard, director_here: bool) -> str:
    """Nobody else answers, and the director is this machine, which does not hear itself: it is the owner."""
    entry = heard.owners.get(vip.address)
    if entry is None or entry[1].problem:
        return ""
    if not entry[1].macs:
        return "director" if director_here else ""
    mac = entry[1].macs[0]
    return heard.macs.get(mac, mac)


def next_history(history: History, rows: Sequence[ServiceRow]) -> History:
    """The history with this reading's rates added."""
    everything: list[tuple[Place, Rates]] = []
    for row in rows:
        everything.append(((row.vip, row.service, ""), row.rates))
        everything += [((child.vip, child.service, child.server), child.rates) for child in row.rows]
    places = {place: number for number, (place, _) in enumerate(everything)}
    columns: dict[Metric, array[float]] = {metric: array("f") for metric in METRICS}
    for _, rate in everything:
        columns["connections"].append(NOTHING if rate.connections is None else rate.connections)
        columns["packets"].append(NOTHING if rate.in_packets is None else rate.in_packets)
        columns["bytes"].append(NOTHING if rate.in_bytes is None else rate.in_bytes)
    return history.with_column(places, columns)


def _totals(stats: Stats) -> Totals:
    return Totals(
        connections=stats.connections,
        in_packets=stats.in_packets,
        in_bytes=stats.in_bytes,
        out_packets=stats.out_packets,
        out_bytes=stats.out_bytes,
    )


def happenings(
    since: Mapping[Place, tuple[State, float]], rows: Sequence[ServiceRow], at: float
) -> tuple[dict[Place, tuple[State, float]], list[Happening]]:
    """The states as of now, and a line for each that changed. Coming to life from unknown is no news."""
    states: dict[Place, tuple[State, float]] = {}
    lines = []
    for row in rows:
        for child in row.rows:
            place = (child.vip, child.service, child.server)
            before = since.get(place)
            states[place] = before if before and before[0] == child.state else (child.state, at)
            if before and before[0] != child.state and not (before[0] == "unknown" and child.state == "up"):
                text = f"{child.vip} {child.service}: {before[0]} → {child.state}. {child.message}".strip()
                lines.append(Happening(at=at, host=child.server, message=text, state=child.state))
            elif before is None and child.state not in ("up", "unknown"):
                text = f"{child.vip} {child.service}: {child.state}. {child.message}"
                lines.append(Happening(at=at, host=child.server, message=text, state=child.state))
    return states, lines


def service_of(deployment: Deployment, server: str) -> list[tuple[Vip, Service]]:
    """Every service the server is behind."""
    found = deployment.server(server)
    return [(vip, service) for vip in deployment.vips_of(found) for service in vip.services]
