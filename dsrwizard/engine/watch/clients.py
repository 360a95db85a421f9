"""The director's connection table, for one place, whenever somebody asks."""

from __future__ import annotations

from dsrwizard.core.model.connection_table import ConnectionTable, table_of
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.ports import DirectorPort
from dsrwizard.engine.defects import failure_of

ELSEWHERE = "The connection table is the load balancer's own, and not on this machine. Look there."


def clients_of(
    deployment: Deployment, director: DirectorPort, vip: str, service: str, server: str, at: float
) -> ConnectionTable:
    """The connections of a service, of one real server or of all. Raises nothing."""
    if not deployment.director.in_kernel:
        return ConnectionTable(at=at, problem=ELSEWHERE)
    place = next(one for one in deployment.vips if one.address == vip)
    rips = [one.rip_for(place) for one in deployment.servers_of(place) if server in ("", one.name)]
    try:
        return table_of(director.connections(), vip, service, [rip for rip in rips if rip is not None], at)
    except Exception as problem:  # noqa: BLE001 - told on the screen that asks
        return ConnectionTable(at=at, problem=failure_of(problem).text)
