"""Verification: everything is looked at side by side, then diagnosed.

Pings, connects, the ARP audit, the probes and the client host are asked at the same time, so that a verification takes
as long as the slowest of them and not their sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import msgspec

from dsrwizard.core.diagnosis import Evidence, diagnose
from dsrwizard.core.diagnosis.directors import in_doubt
from dsrwizard.core.diagnosis.handshakes import ClientLike
from dsrwizard.core.model.answers import Claim, Connected, Owners, Ping, Probed, Sized, Talked
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.client_view import ClientView
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Failure, Observed
from dsrwizard.core.model.steps import CLIENT
from dsrwizard.core.model.values import canonical
from dsrwizard.core.ports import ProbeTarget, WirePort
from dsrwizard.engine import director_looks
from dsrwizard.engine.defects import apart
from dsrwizard.engine.handshakes import Inside, try_client_like, watch_traffic

AUDIT_SECONDS = 2.0
"""How long answers to who-has are collected: a second, slower owner must be heard (field guide, probe C)."""
AGAIN = 2
"""So often is asked again who holds the VIPs, where nobody does or two do: a handover takes up to 4 s."""
CONNECT_SECONDS = 2.0
TALK_SECONDS = 1.0
"""What an application may take for its first byte until it is asked again, with more patience."""
PATIENT_SECONDS = 4.0
PING_SECONDS = 1.0
PROBE_SECONDS = 1.0

ClientSource = ClientView | Failure | Callable[[], ClientView | Failure] | None
"""What the client host sees, or how to find out (called in a thread of its own; may raise DsrError)."""


def verify(
    deployment: Deployment,
    observed: Observed,
    wire: WirePort,
    client: ClientSource = None,
    seen: Callable[[Check], None] | None = None,
    inside: Inside | None = None,
    deployed: Mapping[str, float] | None = None,
) -> Report:
    """Gathers what is missing, diagnoses, and hands every check to `seen` in order. Failures of hosts are in the
    report; raises what `seen` raises."""
    evidence = looked_again(gather(deployment, observed, wire, client, inside, deployed), wire, inside)
    also = [CLIENT] if isinstance(evidence.client, ClientView) else []
    report = apart(evidence.observed, lambda seen: diagnose(among(evidence, seen)), "diagnosed", *also)
    if seen is not None:
        for check in report.checks:
            seen(check)
    return report


def among(evidence: Evidence, seen: Observed) -> Evidence:
    """The evidence with what these hosts answered alone: no more of one that has failed than that it did."""
    left_out = seen.failed.keys() - evidence.observed.failed.keys()
    return msgspec.structs.replace(
        evidence,
        observed=seen,
        client=seen.failed.get(CLIENT, evidence.client),
        # A host whose facts could not be read may have been looked at all the same, and that look counts.
        client_like={name: look for name, look in evidence.client_like.items() if name not in left_out},
    )


def gather(
    deployment: Deployment,
    observed: Observed,
    wire: WirePort,
    client: ClientSource = None,
    inside: Inside | None = None,
    deployed: Mapping[str, float] | None = None,
) -> Evidence:
    """Everything one verification needs to see, in one wait. `inside`: where it may look on the hosts themselves;
    `deployed`: since when each server has its VIPs, in seconds since the epoch."""
    interface = deployment.director.interface
    observed, held = apart(observed, lambda seen: (seen, _held(seen)), "looked at")
    rips = _rips(deployment)
    peers = [peer.address for peer in deployment.director.peers]
    asked = list(dict.fromkeys([*(vip.address for vip in deployment.vips), *peers, *rips, *_gateways(observed)]))
    vips = [vip.address for vip in deployment.vips]
    own = deployment.director.in_kernel
    arriving = wire.arrivals(interface, vips) if own else None
    claims: list[Claim] = []
    hearing = wire.hear(interface, vips, claims.append)
    with closing(hearing), ThreadPoolExecutor(max_workers=12, thread_name_prefix="verify") as pool:
        look = pool.submit(director_looks.before, inside if own else None)
        pings = pool.submit(wire.ping, rips, PING_SECONDS)
        connects = pool.submit(wire.connect, connect_targets(deployment), CONNECT_SECONDS)
        owners = pool.submit(wire.owners, interface, asked, AUDIT_SECONDS)
        probes = pool.submit(wire.probe, interface, probe_targets(deployment), PROBE_SECONDS)
        view = _client(pool, client)
        talks = pool.submit(_talks, deployment, observed, wire, probes)
        sized = pool.submit(_sized, wire, pings, talks)
        twins = pool.submit(_twins, deployment, wire, owners)
        boxed = pool.submit(_boxed, deployment, wire, owners)
        within = pool.submit(_client_like, deployment, held, wire, inside, probes, view) if inside else None
        traffic = pool.submit(watch_traffic, _rips_by_name(deployment), inside) if inside else None
        found: tuple[list[Connected], list[Probed]] = ([*connects.result()], [*probes.result()])
        seen = view.result() if isinstance(view, Future) else view
        waited = owners.result()
        arrivals = arriving.close() if arriving is not None else None
        first = look.result()
        entered, after = director_looks.after(
            inside if own else None, arrivals, deployment, unreached=isinstance(seen, Failure)
        )
        return Evidence.gathered(
            deployment,
            observed,
            pings=pings.result(),
            connects=found[0],
            owners=waited,
            probes=found[1],
            client=seen,
            arrivals=arrivals,
            director_look=first,
            director_after=after,
            entered=entered,
            kept=inside.kept if inside else (),
            client_like=within.result() if within else None,
            traffic=traffic.result()[0] if traffic else None,
            traffic_problem=traffic.result()[1] if traffic else "",
            talks=talks.result(),
            sized=sized.result(),
            twins=twins.result(),
            boxed=boxed.result(),
            deployed=deployed,
            # Last: what is above waits for the rest of the look.
            claims=_taken(claims),
            hearing_problem=hearing.problem,
        )


def looked_again(evidence: Evidence, wire: WirePort, inside: Inside | None) -> Evidence:
    """The evidence with a later look at who holds the VIPs, where the first found none or two."""
    deployment = evidence.deployment
    asked = [*(vip.address for vip in deployment.vips), *(peer.address for peer in deployment.director.peers)]
    for _ in range(AGAIN):
        if inside is None or inside.holdings is None or not in_doubt(evidence):
            break
        answers = wire.owners(deployment.director.interface, asked, AUDIT_SECONDS)
        try:
            held = inside.holdings().vips
        except DsrError:
            break
        later = {canonical(address): found for address, found in answers.items()}
        evidence = msgspec.structs.replace(evidence, owners={**evidence.owners, **later}, held=held)
    return evidence


def _sized(wire: WirePort, pings: Future[Mapping[str, Ping]], talks: Future[Sequence[Talked]]) -> list[Sized]:
    """Echoes as large as the packets that a server takes, to those that answer small ones; twice where one is lost."""
    there = {canonical(address) for address, one in pings.result().items() if one.milliseconds is not None}
    sizes: dict[str, int] = {}
    for one in talks.result():
        if one.size and canonical(one.rip) in there:
            sizes[one.rip] = min(one.size, sizes.get(one.rip, one.size))
    found: dict[str, Sized] = {}
    for _ in range(2):
        for size in sorted(set(sizes.values())):
            rips = [rip for rip, wanted in sizes.items() if wanted == size and (rip not in found or found[rip].lost)]
            for rip, echo in (wire.ping(rips, PING_SECONDS, size) if rips else {}).items():
                lost = found[rip].lost if rip in found else 0
                if not echo.problem:
                    answered = echo.milliseconds is not None
                    found[rip] = Sized(rip=rip, size=size, answered=answered, lost=0 if answered else lost + 1)
    return [*found.values()]


def _twins(deployment: Deployment, wire: WirePort, owners: Future[Mapping[str, Owners]]) -> Sequence[Probed]:
    """The VIPs of a server whose address several MACs answer for, through each of them: two machines differ."""
    several = {address: one.macs for address, one in owners.result().items() if len(one.macs) > 1}
    asked = [
        msgspec.structs.replace(target, mac=mac)
        for target in probe_targets(deployment)
        for mac in several.get(target.rip, ())
        if target.protocol == "tcp"
    ]
    return wire.probe(deployment.director.interface, asked, PROBE_SECONDS) if asked else ()


def _boxed(deployment: Deployment, wire: WirePort, owners: Future[Mapping[str, Owners]]) -> Sequence[Probed]:
    """The VIPs of a load balancer that is another machine through each MAC that has them and is no real server's; once
    more where nothing came back, as a frame may get lost."""
    if deployment.director.in_kernel:
        return ()
    seen = owners.result()
    servers = {mac for rip in _rips(deployment) if rip in seen for mac in seen[rip].macs}
    asked = [
        msgspec.structs.replace(ProbeTarget.of(vip.address, vip.address, service), mac=mac)
        for vip in deployment.vips if vip.address in seen
        for mac in seen[vip.address].macs if mac not in servers
        for service in vip.services
    ]  # fmt: skip
    found = [*wire.probe(deployment.director.interface, asked, PROBE_SECONDS)] if asked else []
    silent = [number for number, one in enumerate(found) if one.signature == "silence"]
    if silent:
        again = wire.probe(deployment.director.interface, [asked[number] for number in silent], PROBE_SECONDS)
        for number, one in zip(silent, again, strict=True):
            found[number] = one
    return found


def _taken(claims: list[Claim]) -> list[Claim]:
    """What has been heard until now, by whoever calls from another thread."""
    return list(claims)


def _talks(
    deployment: Deployment, observed: Observed, wire: WirePort, probes: Future[Sequence[Probed]]
) -> Sequence[Talked]:
    """A conversation with every TCP service whose probe was answered, and once more with those who were silent or got
    no large packet while others answered: an application may be slow, and a frame may get lost."""
    holding = {canonical(address) for address in _held(Observed(director=observed.director))}
    good = [
        ProbeTarget(rip=one.rip, vip=one.vip, port=one.port, mac=one.mac)
        for one in probes.result()
        if one.protocol == "tcp" and one.good and canonical(one.vip) in holding
    ]
    if not deployment.director.in_kernel or not good:
        return []
    interface = deployment.director.interface
    found = [*wire.talk(interface, good, TALK_SECONDS)]
    answered = {(one.vip, one.port) for one in found if one.result == "answered"}
    large = {(one.vip, one.port) for one in found if one.large}
    again = {
        number: target
        for number, (target, one) in enumerate(zip(good, found, strict=True))
        if (one.result in ("hung", "closed", "reset") and (one.asked or (one.vip, one.port) in answered))
        or ((one.vip, one.port) in large and one.large is False)
    }
    for number, one in (
        zip(again, wire.talk(interface, [*again.values()], PATIENT_SECONDS), strict=True) if again else ()
    ):
        same = (one.result, one.large) == (found[number].result, found[number].large)
        found[number] = msgspec.structs.replace(one, tries=2 if same else 1)
    return found


def _client_like(
    deployment: Deployment,
    held: Sequence[str],
    wire: WirePort,
    inside: Inside,
    probes: Future[Sequence[Probed]],
    view: ClientView | Failure | Future[ClientView | Failure] | None,
) -> dict[str, ClientLike]:
    targets = {server.name: targets_of(deployment, server) for server in deployment.servers}

    def good(target: ProbeTarget) -> bool:
        wanted = (target.rip, target.vip, target.port, target.protocol)
        return any(one.good for one in probes.result() if (one.rip, one.vip, one.port, one.protocol) == wanted)

    def client() -> Mapping[int, str]:
        seen = view.result() if isinstance(view, Future) else view
        return _addresses(seen) if isinstance(seen, ClientView) else {}

    return try_client_like(deployment.director.interface, targets, held, wire, inside, good, client)


def _addresses(view: ClientView) -> dict[int, str]:
    """The address per family (4, 6) that the client host's connections come from, where it reaches the VIP from
    another network."""
    tries = [one for seen in view.vips if seen.on_link is not True for one in seen.tries if one.client]
    return {6 if ":" in one.client else 4: one.client for one in tries}


def _gateways(observed: Observed) -> list[str]:
    """Gateways whose MAC a server has told, and those on the ways back: who-has shows whether they are there."""
    windows = [facts.windows for facts in observed.servers.values() if facts.windows is not None]
    found = [one for facts in windows for adapter in facts.adapters for one in adapter.neighbours]
    ways = [way for facts in observed.servers.values() if facts.linux is not None for way in facts.linux.ways]
    routes = [route for facts in observed.servers.values() if facts.linux is not None for route in facts.default_routes]
    routes += observed.director.default_routes if observed.director is not None and ways else ()
    found += [way.gateway for way in ways if way.gateway]
    return [*found, *(route.gateway for route in routes if route.gateway)]


def _held(observed: Observed) -> list[str]:
    """Every address that a host here has."""
    links = [link for facts in observed.servers.values() for link in facts.interfaces]
    links += observed.director.interfaces if observed.director else ()
    return [entry.address for link in links for entry in link.addresses]


def probe_targets(deployment: Deployment) -> list[ProbeTarget]:
    """Each (real server, VIP, service) once."""
    return list(dict.fromkeys(one for server in deployment.servers for one in targets_of(deployment, server)))


def targets_of(deployment: Deployment, server: RealServer) -> list[ProbeTarget]:
    """Each VIP and service of one real server, at its RIP of the VIP's family."""
    return [
        ProbeTarget.of(rip, vip.address, service)
        for vip in deployment.vips_of(server)
        if (rip := server.rip_for(vip)) is not None
        for service in vip.services
    ]


def connect_targets(deployment: Deployment) -> list[tuple[str, int]]:
    """Each (RIP, TCP port) once."""
    return list(dict.fromkeys((t.rip, t.port) for t in probe_targets(deployment) if t.protocol == "tcp"))


def _rips(deployment: Deployment) -> list[str]:
    return list(dict.fromkeys(rip for rips in _rips_by_name(deployment).values() for rip in rips))


def _rips_by_name(deployment: Deployment) -> dict[str, list[str]]:
    """The RIPs that each server's VIPs need; its address where it has no VIP."""
    found = {}
    for server in deployment.servers:
        rips = [rip for vip in deployment.vips_of(server) if (rip := server.rip_for(vip)) is not None]
        found[server.name] = list(dict.fromkeys(rips or [server.address]))
    return found


def _client(
    pool: ThreadPoolExecutor, client: ClientSource
) -> ClientView | Failure | Future[ClientView | Failure] | None:
    if client is None or isinstance(client, ClientView | Failure):
        return client
    return pool.submit(_look, client)


def _look(client: Callable[[], ClientView | Failure]) -> ClientView | Failure:
    try:
        return client()
    except DsrError as error:
        return Failure(kind=error.kind, what=error.what, why=error.why, next=error.next)
