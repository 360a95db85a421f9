"""The runbook of a load balancer: what is done on the box before, for each server, and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.intake.expressible import product_problems
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.products import ALOHA, BARRACUDA, LOADBALANCER_ORG, NETSCALER, PRODUCTS
from dsrwizard.core.model.words import capital
from dsrwizard.core.tell.runbook.balancer import aloha, barracuda, common, loadbalancer_org, netscaler, other
from dsrwizard.core.tell.runbook.book import HandBook
from dsrwizard.core.tell.runbook.step import RunbookStep

OTHER = "other"


class BalancerBook(HandBook, frozen=True, kw_only=True):
    """The manual steps on a load balancer. `product`: its word in `[director] engine`, or `other`."""

    product: str


@dataclass(frozen=True)
class _Way:
    """How one product is set up by hand."""

    before: tuple[str, ...]
    setup: Callable[[Deployment], list[RunbookStep]]
    admit: Callable[[Deployment, RealServer], RunbookStep]
    finish: Callable[[Deployment], list[RunbookStep]]


_WAYS = {
    NETSCALER.engine: _Way(netscaler.BEFORE, netscaler.setup, netscaler.admit, netscaler.finish),
    LOADBALANCER_ORG.engine: _Way(
        loadbalancer_org.BEFORE, loadbalancer_org.setup, loadbalancer_org.admit, loadbalancer_org.finish
    ),
    ALOHA.engine: _Way(aloha.BEFORE, aloha.setup, aloha.admit, aloha.finish),
    BARRACUDA.engine: _Way(barracuda.BEFORE, barracuda.setup, barracuda.admit, barracuda.finish),
    OTHER: _Way(other.BEFORE, other.setup, other.admit, other.finish),
}


def box_of(product: str) -> str:
    """How the load balancer is called in a sentence: `NetScaler`, `load balancer`."""
    return PRODUCTS[product].name if product in PRODUCTS else common.ANY_BOX


def balancer_book(deployment: Deployment, product: str) -> BalancerBook:
    """The runbook for the load balancer. Raises UsageError where the product cannot express the deployment."""
    _expressed(deployment, product)
    way, box = _WAYS[product], box_of(product)
    steps = way.setup(deployment)
    for server in deployment.servers:
        steps += [common.prove(deployment, server, box), way.admit(deployment, server)]
    steps += way.finish(deployment)
    steps += [common.owner(vip, box) for vip in deployment.vips]
    vips = ", ".join(vip.address for vip in deployment.vips)
    met = f"dsrwizard has never met a real {box}: " if product != OTHER else "It is not written for your product: "
    return BalancerBook(
        title=f"{capital(box)} as the load balancer of {deployment.name}",
        product=product,
        before=(
            f"VIP{'s' if len(deployment.vips) > 1 else ''}: {vips}. The real servers are set up first: dsrwizard "
            "apply, "
            "or their own runbooks.",
            f"{met}where it and this text differ, the box is right. Please tell us what it said.",
            *way.before,
        ),
        steps=tuple(steps),
        outside=(
            "The box proves the servers' own addresses. dsrwizard verify proves the VIP: who has it (arp.audit), "
            "whether each server answers it at its own MAC (vip.probe), and, with a client host in the file, that "
            "replies do not come back through the box (client.bypass).",
            f"Where the {box} shows a server as up and the probe of the VIP through it fails, the probe is right: "
            "clients that it sends there get no answer.",
        ),
    )


def _expressed(deployment: Deployment, product: str) -> None:
    draft = msgspec.structs.replace(Draft.from_deployment(deployment), engine=product)
    problem = next(product_problems(draft), None)
    if problem is not None:
        raise UsageError(f"{problem.key}: {problem.message}", "", problem.hint)
