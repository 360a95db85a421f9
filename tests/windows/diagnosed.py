"""A modelled Windows host that is set up, its facts by the real scripts, and what the network shows of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from dsrwizard.core.diagnosis import Evidence, diagnose
from dsrwizard.core.model.answers import Connected, Owners, Ping, Probed
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.facts import Failure, Observed, ServerFacts
from dsrwizard.core.plan.plan import host_plan
from dsrwizard.core.ports import Answer, Connector
from dsrwizard.engine.servers.windows import WindowsServer
from tests.fakes.step_watch import MustWork
from tests.windows.conftest import shop
from tests.windows.host import Address, WindowsHost

BALANCER = "02:00:00:00:00:01"
NOW = 1_800_000_000.0
UNTOLD = {"server.half_open", "probe.client_like", "server.access"}
SOME = ["2008 R2", "2025"]
"""One of each dialect."""


class Straight:
    """A connection straight to the model."""

    def __init__(self, host: WindowsHost) -> None:
        self.host = host

    def run(self, script: str, *, deadline: float, on_line: Callable[[str], None] | None = None) -> Answer:
        out: list[str] = []
        err: list[str] = []

        def said(line: str) -> None:
            out.append(line)
            if on_line is not None:
                on_line(line)

        status = self.host.execute(script, said, err.append)
        return Answer(status=status, stdout="\n".join(out), stderr="\n".join(err))

    def close(self) -> None:
        pass


def port(host: WindowsHost, deployment: Deployment) -> WindowsServer:
    connector: Connector = Straight(host)
    return WindowsServer(deployment.servers[0], lambda: connector, clock=lambda: NOW)


@cache
def _set_up(version: str, deployment: Deployment) -> WindowsHost:
    host = WindowsHost(version)
    host.wire.addresses.append(Address("fd00::101", 64))
    host.wire.gateways.append("fd00::1")
    host.listeners.append(("tcp", "::", 80))
    server = port(host, deployment)
    facts = server.observe(deployment)
    steps = host_plan(deployment, deployment.servers[0], facts).steps
    assert steps
    server.apply(steps, MustWork())
    return host


def set_up(version: str = "2025", deployment: Deployment | None = None) -> WindowsHost:
    """A host that dsrwizard has set up, with both address families."""
    return copy.deepcopy(_set_up(version, deployment or shop()))


def look(host: WindowsHost, deployment: Deployment | None = None) -> ServerFacts:
    wanted = deployment or shop()
    return port(host, wanted).observe(wanted)


def evidence(
    host: WindowsHost, facts: ServerFacts | None, deployment: Deployment | None = None, *, wire: bool = True
) -> Evidence:
    """What the network shows of the host. Without `wire` nobody may use raw sockets."""
    deployment = deployment or shop()
    server, mac = deployment.servers[0], host.wire.mac
    owners: dict[str, tuple[str, ...]] = {server.address: (mac,), "fd00::101": (mac,)}
    probes, connects = [], []
    for vip in deployment.vips:
        owners[vip.address] = (BALANCER, mac) if host.leaks(vip.address) else (BALANCER,)
        for service in vip.services:
            rip = server.rip_for(vip) or ""
            probes.append(_probe(host, rip, vip.address, service.port, wire=wire))
            reached = host.admits(rip, "tcp", service.port) and host.serves(rip, "tcp", service.port)
            connects.append(Connected(address=rip, port=service.port, result="open" if reached else "silent"))
    no = "" if wire else "Raw sockets need root or CAP_NET_RAW."
    return Evidence.gathered(
        deployment,
        Observed(
            servers={} if facts is None else {"win1": facts},
            failed={"win1": Failure(kind="refused", what="win1: the password was refused.")} if facts is None else {},
        ),
        pings={rip: Ping(address=rip, milliseconds=0.4, problem="") for rip in (server.address, "fd00::101")},
        connects=connects,
        owners={one: Owners(address=one, macs=() if no else macs, problem=no) for one, macs in owners.items()},
        probes=probes,
    )


def _probe(host: WindowsHost, rip: str, vip: str, port: int, *, wire: bool) -> Probed:
    mac = host.wire.mac
    if not wire:
        return Probed(vip=vip, port=port, protocol="tcp", rip=rip, signature="unknown", problem="no raw sockets")
    if not (host.accepts(vip) and host.admits(vip, "tcp", port)):
        return Probed(vip=vip, port=port, protocol="tcp", rip=rip, mac=mac, signature="silence")
    if host.serves(vip, "tcp", port):
        return Probed(vip=vip, port=port, protocol="tcp", rip=rip, mac=mac, signature="syn-ack", answered_by=mac)
    # A port that nobody listens on is not refused while the firewall is on ("stealth mode").
    if any(host.profiles.values()):
        return Probed(vip=vip, port=port, protocol="tcp", rip=rip, mac=mac, signature="silence")
    return Probed(vip=vip, port=port, protocol="tcp", rip=rip, mac=mac, signature="rst", answered_by=mac)


def verify(host: WindowsHost, deployment: Deployment | None = None, *, wire: bool = True) -> Report:
    return diagnose(evidence(host, look(host, deployment), deployment, wire=wire))


def unknown(report: Report) -> set[str]:
    return {check.check for check in report.checks if check.outcome == "unknown"} - UNTOLD


@cache
def healthy(version: str) -> tuple[WindowsHost, ServerFacts]:
    host = set_up(version)
    return host, look(host)


def altered(version: str = "2025", **fields: Any) -> ServerFacts:
    """A healthy server's facts with other values of WindowsFacts."""
    facts = healthy(version)[1]
    assert facts.windows is not None
    return msgspec.structs.replace(facts, windows=msgspec.structs.replace(facts.windows, **fields))


def on_loopback(version: str = "2025", **fields: Any) -> ServerFacts:
    """The same with other values of the adapter that carries the VIP."""
    windows = healthy(version)[1].windows
    assert windows is not None
    adapters = tuple(
        msgspec.structs.replace(one, **fields) if one.name == "dsrwizard" else one for one in windows.adapters
    )
    return altered(version, adapters=adapters)


def judged(
    facts: ServerFacts | None, *, wire: bool = True, change: Callable[[Evidence], Evidence] | None = None
) -> Report:
    seen = evidence(healthy("2025")[0], facts, wire=wire)
    return diagnose(change(seen) if change else seen)
