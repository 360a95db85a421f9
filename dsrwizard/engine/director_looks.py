"""The director's own path during a verification: what came in from clients, what became of it, and the looks at what
may stop it, one before and one after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from dsrwizard.core.model.answers import Arrival, Arrivals
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.director_facts import DirectorLook, Entered
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Connection
from dsrwizard.core.model.values import canonical
from dsrwizard.engine.handshakes import Inside

MANY = 100_000
"""Connections after which the table may have been left before its end."""
T = TypeVar("T")


def before(inside: Inside | None) -> DirectorLook | None:
    """The look before the client rounds; None where there is no door, or it could not be made."""
    look = inside.director if inside else None
    return _tried(lambda: look(())) if look is not None else None


def after(
    inside: Inside | None, arrivals: Arrivals | None, deployment: Deployment, *, unreached: bool = False
) -> tuple[Entered | None, DirectorLook | None]:
    """What made no entry of that which came in, and, where there is any, the look at the same path for it; also where
    the client host was `unreached`, for what it answered may have been dropped here."""
    look = inside.director if inside else None
    again = _tried(lambda: look(())) if unreached and look is not None else None
    if inside is None or inside.connections is None or arrivals is None or arrivals.problem:
        return None, again
    served = {
        (canonical(vip.address), service.port)
        for vip in deployment.vips
        for service in vip.services
        if service.protocol == "tcp"
    }
    came = [one for one in arrivals.seen if (canonical(one.vip), one.port) in served]
    if not came:
        return Entered(), again
    try:
        table = inside.connections()
    except DsrError as error:
        return Entered(problem=f"{error.what} {error.why}".strip()), None
    if len(table) >= MANY:
        return Entered(problem="IPVS has more connections than are read."), None
    entered = Entered(lost=_lost(came, table))
    return entered, _tried(lambda: look(entered.lost)) if entered.lost and look is not None else again


def _lost(came: Sequence[Arrival], table: Sequence[Connection]) -> tuple[Arrival, ...]:
    there = {(canonical(one.client), one.client_port, canonical(one.vip), one.port) for one in table}
    return tuple(
        one for one in came if (canonical(one.client), one.client_port, canonical(one.vip), one.port) not in there
    )


def _tried(look: Callable[[], T]) -> T | None:
    try:
        return look()
    except DsrError:
        return None
