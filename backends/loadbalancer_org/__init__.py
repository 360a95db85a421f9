"""Loadbalancer.org over its API v2: `open_loadbalancer_org` gives the port; nothing is sent before it is used."""

from __future__ import annotations

from collections.abc import Callable

from dsrwizard.core.model.balancer_facts import ApplianceAnswer, Ldirectord
from dsrwizard.core.model.deployment import Balancer, Deployment, Director
from dsrwizard.core.ports import Asker, BalancerPort


def open_loadbalancer_org(deployment: Deployment, asker: Asker) -> BalancerPort:
    """Asks with the first use. Safe from many threads. Password and key are kept in memory for as long as the asker
    lives (or until `backends.memory.forget`)."""
    from backends.loadbalancer_org.port import LoadbalancerOrg

    return LoadbalancerOrg(deployment, asker)


def read_loadbalancer_org(deployment: Deployment, asker: Asker, heard: Callable[[ApplianceAnswer], None]) -> None:
    """Makes every read of a run, and nothing else. Raises DsrError; `heard` has then been told what was answered until
    then."""
    from backends.loadbalancer_org.port import LoadbalancerOrg

    port = LoadbalancerOrg(deployment, asker, heard=heard)
    try:
        port.observe(deployment)
    finally:
        port.close()


def farm_of(balancer: Balancer, asker: Asker) -> Ldirectord:
    """Every virtual service of a Loadbalancer.org with what is behind it; changes nothing. Raises DsrError."""
    from backends.loadbalancer_org.port import LoadbalancerOrg

    way = Deployment(name="adopted", director=Director(interface="lo"), vips=(), servers=(), balancer=balancer)
    port = LoadbalancerOrg(way, asker)
    try:
        return port.farm()
    finally:
        port.close()
