"""Servers that have left the deployment and answer no more: what is still on them, and what to do about it. Pure.

A machine that is dead stands in nobody's way: the deployment is as its file says without it. What is owed there stays
in the journal until the machine answers again, or until its operator says that it is gone for good.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dsrwizard.core.model.changes import AddressChange
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.facts import Failure, Observed
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Plan
from dsrwizard.core.plan.waves import names
from dsrwizard.core.record.owed import Owed

DEPARTED = "departed"
"""The kind of such a failure."""
_SILENT = ("timeout", "name-unknown")
"""Kinds of failures after which nobody is there to ask. A machine that refuses a login is there, and has the VIP."""


class Departed(Shown, frozen=True, kw_only=True):
    """A former server with what is still owed on it."""

    server: str
    address: str
    owed: tuple[Owed, ...]

    @property
    def vips(self) -> tuple[str, ...]:
        """The VIPs that it holds once it is back."""
        found = (one.change for one in self.owed)
        return tuple(dict.fromkeys(one.address for one in found if isinstance(one, AddressChange) and one.new))

    @property
    def standing(self) -> str:
        """What is still on it, as the end of a sentence: `the VIP 10.0.0.10 and 3 more changes`."""
        parts = [f"the VIP{'s' if len(self.vips) > 1 else ''} {names(self.vips)}"] if self.vips else []
        more = len(self.owed) - len(self.vips)
        if more:
            parts.append(f"{more} {'more ' if parts else ''}change{'' if more == 1 else 's'}")
        return " and ".join(parts)


def silent(failure: Failure | None) -> bool:
    """Whether nobody was there to be asked."""
    return failure is not None and failure.kind in _SILENT


def departed(leaving: Sequence[RealServer], owed: Sequence[Owed]) -> list[Departed]:
    """The former servers that something is owed on. `owed` has them under these names."""
    mine = {server.name: tuple(item for item in owed if item.host == server.name) for server in leaving}
    return [
        Departed(server=server.name, address=server.address, owed=mine[server.name])
        for server in leaving
        if mine[server.name]
    ]


def without_the_dead(plan: Plan, gone: Sequence[Departed], observed: Observed, deployment: Deployment) -> Plan:
    """The plan in which former servers that do not answer are told of, and are no problem."""
    balances = deployment.director.driven
    left = {one.server: _left(one, balances=balances) for one in gone if silent(observed.failed.get(one.server))}
    hosts = [
        HostPlan(host=host.host, failure=left[host.host], notes=(left[host.host].text, *host.notes))
        if host.host in left and host.host != DIRECTOR
        else host
        for host in plan.hosts
    ]
    return msgspec.structs.replace(plan, hosts=tuple(hosts))


def _left(one: Departed, *, balances: bool) -> Failure:
    sends = "The director does not send to it." if balances else "Make sure that the load balancer does not send to it."
    back = f"If it starts again, it holds {names(one.vips)} again. " if one.vips else ""
    return Failure(
        kind=DEPARTED,
        what=f"{one.server} ({one.address}) is no longer in the file, and does not answer.",
        why=f"Still on it: {one.standing}. {back}{sends}",
        next=f"Once it answers, the next apply undoes all of it. If it is gone for good: dsrwizard forget FILE "
        f"{one.server}",
    )
