"""What a load balancer says of its servers against what is so: it asks a server's own address, clients the VIP."""

from __future__ import annotations

from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.values import endpoint


def contradictions(deployment: Deployment, report: Report, box: str) -> tuple[str, ...]:
    """A line for each server and service where the check of a server's own address and the probe of the VIP through it
    differ, for TCP. Empty: nothing contradicts, or nothing was seen."""
    ports = {(check.host, check.service): check for check in report.checks if check.check == "server.port"}
    probes = {(check.host, check.vip, check.service): check for check in report.checks if check.check == "vip.probe"}
    found = []
    for vip in deployment.vips:
        for service in vip.services:
            for server in deployment.servers_of(vip):
                port = ports.get((server.name, service.label))
                probe = probes.get((server.name, vip.address, service.label))
                if port is None or probe is None or service.protocol != "tcp":
                    continue
                own = endpoint(server.rip_for(vip) or server.address, service.port)
                found += _said(port, probe, server.name, own, endpoint(vip.address, service.port), box)
    return tuple(found)


def _said(port: Check, probe: Check, server: str, own: str, vip: str, box: str) -> list[str]:
    if port.outcome == "pass" and probe.outcome == "fail":
        cause = f": {probe.cause}" if probe.cause else ""
        return [
            f"{own} accepts connections, so the {box} says that {server} is up. {vip} is dead through {server}{cause}. "
            f"{probe.fix}".strip()
        ]
    if port.outcome in ("fail", "skipped") and probe.outcome == "pass":
        return [
            f"{own} does not accept connections, so the {box} says that {server} is down. {vip} works through "
            f"{server}: "
            "let the box check something that answers, such as ping."
        ]
    return []
