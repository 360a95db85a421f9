"""Barracuda Load Balancer ADC by hand, in the words of its GUI ("administrator's guide", 2.3 to 4.x)."""

from __future__ import annotations

from dsrwizard.core.model.deployment import Deployment, RealServer, Service, Vip
from dsrwizard.core.model.products import BARRACUDA
from dsrwizard.core.tell.runbook.balancer import common
from dsrwizard.core.tell.runbook.step import RunbookStep

HEALTH = "BASIC > Server Health: {0}. Green is up, orange partly, red down. It speaks of {1}, never of the VIP."
BEFORE = (
    "Menus are those of the administrator's guide, 2.3 to 4.x, or similar: version 6 may word them differently.",
    "ADVANCED > Backup: make one before you begin, and one when all is proved. Restoring the first is the undo of "
    "everything here.",
)


def service_name(deployment: Deployment, vip: Vip, service: Service) -> str:
    """`shop-80`; a VIP that is not the first is in the name, and so is UDP."""
    address = "" if vip is deployment.vips[0] else f"-{vip.address}"
    return f"{deployment.name}{address}-{service.port}{'' if service.protocol == 'tcp' else '-udp'}"


def setup(deployment: Deployment) -> list[RunbookStep]:
    """Until servers get clients."""
    steps = [_network(deployment)]
    for vip, service in common.each(deployment):
        steps += [_service(deployment, vip, service), _settings(deployment, vip, service)]
    return steps


def _network(deployment: Deployment) -> RunbookStep:
    rips = ", ".join(dict.fromkeys(rip for vip in deployment.vips for _, rip in common.rips(deployment, vip)))
    vips = ", ".join(vip.address for vip in deployment.vips)
    return RunbookStep(
        title="The network: one subnet, one hop",
        why="Direct server return hands frames to the servers' MAC, so nothing may route between the box and them.",
        hand=(
            "The WAN port is on the same switch and VLAN as all real servers.",
            f"The WAN IP, the VIPs ({vips}) and the real servers ({rips}) are in one subnet.",
            "The box is in Route-Path mode. The servers' default gateway is the router, never the Barracuda.",
        ),
        see=("dsrwizard verify: ping, ARP and the probe reach every real server on the same link.",),
        back=("Nothing to undo if nothing was changed.",),
        proves="vip.probe",
    )


def _service(deployment: Deployment, vip: Vip, service: Service) -> RunbookStep:
    name, layer = service_name(deployment, vip, service), service.protocol.upper()
    rips = "; ".join(rip for _, rip in common.rips(deployment, vip))
    return RunbookStep(
        title=f"Service {name}: {service.label} of {vip.address}",
        why="Direct server return works with a Layer 4 service alone: not with TCP Proxy or Layer 7, not with SSL "
        "offloading, not with cookie persistence.",
        hand=(
            f"BASIC > Services > add. Service Name {name}, Type Layer 4 - {layer}, Virtual IP {vip.address}, Port "
            f"{service.port}.",
            f"Real Servers, one per line: {rips}. Their port is {service.port}: direct routing cannot change ports.",
            "Edit each real server at once: Direct Server Return Enable, Status Disable. Clients come in a later step.",
        ),
        see=(
            f"BASIC > Services lists {name} as Layer 4 - {layer} with {vip.address}:{service.port}.",
            f"dsrwizard verify: one foreign MAC answers for {vip.address}.",
        ),
        back=(f"BASIC > Services: delete {name}.",),
        proves="arp.audit",
        vip=vip.address,
    )


def _settings(deployment: Deployment, vip: Vip, service: Service) -> RunbookStep:
    name = service_name(deployment, vip, service)
    weights = ", ".join(
        f"{server.name} {common.weight_of(BARRACUDA, service, server)}"
        for server, _ in common.rips(deployment, vip)
        if server.weight
    )
    kept = (
        f"Service Persist Type Layer 4 (Client IP), Persist (Seconds) {service.persistence}."
        if service.persistence
        else "Persist (Seconds) 0: no persistence."
    )
    test = (
        f"Testing Method TCP Port Check on port {service.port}, Auto-Recover Yes. With port ALL it silently is a ping."
        if service.protocol == "tcp"
        else "Testing Method Ping, or similar, Auto-Recover Yes."
    )
    return RunbookStep(
        title=f"Settings of {name}",
        why="Adaptive Scheduling would overwrite the weights. An intrusion prevention that sees one direction only may "
        "drop what it does not understand.",
        hand=(
            f"Edit {name}: Default Scheduling Policy {BARRACUDA.methods[service.scheduler]}, Adaptive Scheduling off. "
            f"Weight of each real server: {weights or 'none serves yet'}.",
            kept,
            test,
            "Intrusion Prevention off for this service.",
        ),
        see=(
            f"Edit {name} again: all of these are as written here.",
            HEALTH.format(name, "the real servers' own addresses"),
        ),
        back=(f"Nothing by itself: it goes with {name}.",),
    )


def admit(deployment: Deployment, server: RealServer) -> RunbookStep:
    """A server gets clients."""
    mine = [
        (service_name(deployment, vip, service), server.rip_for(vip) or server.address)
        for vip in deployment.vips_of(server)
        for service in vip.services
    ]
    named = ", ".join(f"{rip} of {name}" for name, rip in mine)
    status = "Status Enable" if server.weight else "Status stays Disable: its weight is 0"
    return RunbookStep(
        title=f"Direct Server Return for {server.name}, then clients",
        why="Direct Server Return is set per real server. A server that is left out answers through the box, and "
        "nothing in the GUI says so.",
        hand=(
            f"Edit the real server {named}: Direct Server Return is Enable, Status Disable.",
            f"When the step above is proved: {status}.",
        ),
        see=(
            "Edit the real server again: Direct Server Return is still Enable.",
            HEALTH.format(server.name, f"{mine[0][1] if mine else server.address}"),
            "With a client host in the file, dsrwizard verify sees its replies bypass the box: the only proof that "
            "Direct Server Return is on for this server.",
        ),
        back=("Status Disable; its connections end by their idle timeout. Then Direct Server Return Disable.",),
        proves="client.bypass",
        server=server.name,
    )  # fmt: skip


def finish(deployment: Deployment) -> list[RunbookStep]:
    """After the last server."""
    return [
        RunbookStep(
            title="A pair",
            why="Both boxes share the configuration. At a failover the VIP moves to the MAC of the other box.",
            hand=("Fail over once, and run dsrwizard verify again.",),
            see=(common.passes_with(deployment, "another MAC"),),
            back=("Fail back.",),
        ),
        RunbookStep(
            title="A backup of what is proved",
            why="It is what to go back to.",
            hand=("ADVANCED > Backup: save it off the box.",),
            see=("The file is on your machine.",),
            back=("Nothing to undo.",),
        ),
    ]
