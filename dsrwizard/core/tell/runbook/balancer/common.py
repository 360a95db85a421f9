"""What the runbooks of all load balancers share: the proof of each server before it gets clients, and of the whole."""

from __future__ import annotations

from collections.abc import Iterator

from dsrwizard.core.model.deployment import Deployment, RealServer, Service, Vip
from dsrwizard.core.model.products import Product
from dsrwizard.core.plan.waves import names
from dsrwizard.core.tell.runbook.step import RunbookStep

ANY_BOX = "load balancer"
"""How a box is called whose product is not known."""
BYPASSES = "With a client host in the file, dsrwizard verify sees its replies bypass the box."
"""How it is seen that direct server return is in force for a server."""


def each(deployment: Deployment) -> Iterator[tuple[Vip, Service]]:
    """Every service with its VIP."""
    for vip in deployment.vips:
        for service in vip.services:
            yield vip, service


def rips(deployment: Deployment, vip: Vip) -> Iterator[tuple[RealServer, str]]:
    """The real servers of a VIP with their own address of its family."""
    for server in deployment.servers_of(vip):
        rip = server.rip_for(vip)
        if rip is not None:
            yield server, rip


def weight_of(product: Product, service: Service, server: RealServer) -> int:
    """The weight on the box: all the same where its scheduler does not heed them."""
    return 1 if service.scheduler in product.unweighted else server.weight


def prove(deployment: Deployment, server: RealServer, box: str) -> RunbookStep:
    """The step before a server gets clients."""
    vips = names([vip.address for vip in deployment.vips_of(server)])
    asks = f"The {box} checks" if box != ANY_BOX else f"A {box} usually checks"
    own = server.rip_for(deployment.vips_of(server)[0]) or server.address
    return RunbookStep(
        title=f"Prove {server.name} through the VIP, before it gets clients",
        why=f"{asks} {own}, the server's own address, and not the VIP. It may show {server.name} as up while the VIP "
        "is dead through it.",
        hand=(f"Run dsrwizard verify with this deployment's file. It sends to {vips} at the MAC of {server.name}.",),
        see=(
            f"The check vip.probe of {server.name} passes for every service. If it fails, stop: do not go on with it.",
        ),
        proves="vip.probe",
        server=server.name,
    )


def owner(vip: Vip, box: str) -> RunbookStep:
    """The step after which the VIP has one owner in the network."""
    family = "ARP" if vip.ip.version == 4 else "neighbour discovery"
    return RunbookStep(
        title=f"{vip.address} has one owner: the {box}",
        why=f"In {family} the {box} alone may answer for {vip.address}. A real server that answers, or a second load "
        "balancer, takes clients away.",
        hand=("Run dsrwizard verify with this deployment's file.",),
        see=(f"The check arp.audit passes for {vip.address}: one foreign MAC answers, and it is that of the {box}.",),
        proves="arp.audit",
        vip=vip.address,
    )


def passes_with(deployment: Deployment, mac_of: str) -> str:
    """How it is seen that a failover to another box has taken place."""
    return f"dsrwizard verify passes with {mac_of} for {', '.join(vip.address for vip in deployment.vips)}."
