"""Verification: everything is looked at side by side, then diagnosed.

Pings, connects, the ARP audit, the probes and the client host are asked at the same time, so that a verification takes
as long as the slowest of them and not their sum.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from dsrwizard.core.checks import Check, Report
from dsrwizard.core.diagnosis import ClientView, Evidence, diagnose
from dsrwizard.core.errors import DsrError
from dsrwizard.core.facts import Failure, Observed
from dsrwizard.core.model import Deployment
from dsrwizard.core.ports import ProbeTarget, WirePort
from dsrwizard.core.wire import Connected, Probed

AUDIT_SECONDS = 2.0
"""How long answers to who-has are collected: a second, slower owner must be heard (field guide, probe C)."""
CONNECT_SECONDS = 2.0
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
) -> Report:
    """Gathers what is missing, diagnoses, and hands every check to `seen` in order. Failures of hosts are in the
    report; raises what `seen` raises."""
    report = diagnose(gather(deployment, observed, wire, client))
    if seen is not None:
        for check in report.checks:
            seen(check)
    return report


def gather(deployment: Deployment, observed: Observed, wire: WirePort, client: ClientSource = None) -> Evidence:
    """Everything one verification needs to see, in one wait."""
    interface = deployment.director.interface
    rips = _rips(deployment)
    asked = list(dict.fromkeys([*(vip.address for vip in deployment.vips), *rips]))
    with ThreadPoolExecutor(max_workers=5, thread_name_prefix="verify") as pool:
        pings = pool.submit(wire.ping, rips, PING_SECONDS)
        connects = pool.submit(wire.connect, connect_targets(deployment), CONNECT_SECONDS)
        owners = pool.submit(wire.owners, interface, asked, AUDIT_SECONDS)
        probes = pool.submit(wire.probe, interface, probe_targets(deployment), PROBE_SECONDS)
        view = _client(pool, client)
        found: tuple[list[Connected], list[Probed]] = ([*connects.result()], [*probes.result()])
        return Evidence.gathered(
            deployment,
            observed,
            pings=pings.result(),
            connects=found[0],
            owners=owners.result(),
            probes=found[1],
            client=view.result() if isinstance(view, Future) else view,
        )


def probe_targets(deployment: Deployment) -> list[ProbeTarget]:
    """Each (real server, VIP, service) once."""
    targets = {
        (rip, vip.address, service.protocol, service.port): ProbeTarget(
            rip=rip, vip=vip.address, port=service.port, protocol=service.protocol
        )
        for server in deployment.servers
        for vip in deployment.vips_of(server)
        for service in vip.services
        if (rip := server.rip_for(vip)) is not None
    }
    return list(targets.values())


def connect_targets(deployment: Deployment) -> list[tuple[str, int]]:
    """Each (RIP, TCP port) once."""
    return list(dict.fromkeys((t.rip, t.port) for t in probe_targets(deployment) if t.protocol == "tcp"))


def _rips(deployment: Deployment) -> list[str]:
    found: dict[str, None] = {}
    for server in deployment.servers:
        rips = [rip for vip in deployment.vips_of(server) if (rip := server.rip_for(vip)) is not None]
        found.update(dict.fromkeys(rips or [server.address]))
    return list(found)


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
