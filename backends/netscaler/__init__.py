"""NetScaler over NITRO: `open_netscaler` gives the port; nothing is sent before it is used."""

from __future__ import annotations

from collections.abc import Callable

from dsrwizard.core.model.balancer_facts import ApplianceAnswer, Box
from dsrwizard.core.model.deployment import Balancer, Deployment, Director
from dsrwizard.core.ports import Asker, BalancerPort


def open_netscaler(deployment: Deployment, asker: Asker) -> BalancerPort:
    """Logs in with the first use, to the primary of a pair. Safe from many threads. The password is kept in memory for
    as long as the asker lives (or until `backends.memory.forget`)."""
    from backends.netscaler.port import NetScaler

    return NetScaler(deployment, asker)


def read_netscaler(deployment: Deployment, asker: Asker, heard: Callable[[ApplianceAnswer], None]) -> None:
    """Makes every read of a run, and nothing else but its login and logout. Raises DsrError; `heard` has then been told
    what was answered until then."""
    from backends.netscaler.port import NetScaler

    port = NetScaler(deployment, asker, heard=heard)
    try:
        port.read_all(deployment)
    finally:
        port.close()


def farm_of(balancer: Balancer, asker: Asker) -> Box:
    """The virtual servers in MAC mode of a NetScaler, with what is behind them; changes nothing. Raises DsrError."""
    from backends.netscaler.port import NetScaler

    way = Deployment(name="adopted", director=Director(interface="lo"), vips=(), servers=(), balancer=balancer)
    port = NetScaler(way, asker)
    try:
        return port.farm()
    finally:
        port.close()
