"""The text of ALOHA's LB Layer4 tab for a deployment. Pure.

Syntax: "LB Layer4 reference" of the ALOHA documentation 13.5. What is written is what every version takes: `mode` and
`balance` always, because the defaults of the text and of the box's API differ, and a check without arguments, because
they stand on the option line up to 12 and on a line of their own from 13.5 on.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.model.deployment import Deployment, RealServer, Service, Vip
from dsrwizard.core.model.products import ALOHA


def aloha_text(deployment: Deployment) -> str:
    """A director for each service. Needs a deployment that ALOHA can express (`core.intake.expressible`)."""
    return "\n".join(
        section(deployment, vip, service, deployment.servers_of(vip))
        for vip in deployment.vips
        for service in vip.services
    )


def director_name(deployment: Deployment, vip: Vip, service: Service) -> str:
    """`dsr_shop_80`: a VIP that is not the first is in the name, and so is UDP. Names of others never change when a VIP
    or a service is added at the end."""
    address = "" if vip is deployment.vips[0] else f"_{vip.address}"
    return f"dsr_{deployment.name}{address}_{service.port}{'' if service.protocol == 'tcp' else '_udp'}"


def section(deployment: Deployment, vip: Vip, service: Service, servers: Sequence[RealServer] = ()) -> str:
    """The director of one service, with the lines of these servers."""
    lines = [
        head_line(deployment, vip, service),
        f"   balance {ALOHA.methods[service.scheduler]}",
        "   mode gateway",
    ]
    if service.persistence:
        lines.append(f"   option persistence timeout {service.persistence}s")
    lines.append(f"   option {check_of(service)}")
    for server in servers:
        if server.weight:  # that a weight of 0 holds a server is documented for layer 7 alone: its line is left out
            lines.append(server_line(vip, service, server))
    return "\n".join(lines) + "\n"


def head_line(deployment: Deployment, vip: Vip, service: Service) -> str:
    """The line with which a section begins."""
    return f"director {director_name(deployment, vip, service)} {vip.ip}:{service.port} {service.protocol.upper()}"


def server_line(vip: Vip, service: Service, server: RealServer) -> str:
    """A server's line in the section of a service."""
    weight = 1 if service.scheduler in ALOHA.unweighted else server.weight
    return f"   server {server.name} {server.rip_for(vip)}:{service.port} weight {weight} check"


def check_of(service: Service) -> str:
    """The check: a TCP handshake with the server's own address; for UDP only whether it answers ARP."""
    return "tcpcheck" if service.protocol == "tcp" else "arpcheck"


def quicker(service: Service) -> tuple[tuple[str, str], ...]:
    """Which version → the line that makes the check quicker than the box's own 10 seconds."""
    return (
        ("Up to 12", f"   option {check_of(service)} interval 5s timeout 2s"),
        ("From 13.5 on, a line more", "   check interval 5s timeout 2s"),
    )
