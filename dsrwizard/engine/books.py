"""The journals of all deployments as they stand when a run looks at them: each is read once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import msgspec

from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.facts import Observed
from dsrwizard.core.model.steps import Plan
from dsrwizard.core.model.values import canonical
from dsrwizard.core.plan.leftovers import Needed, taken_back, with_leftovers
from dsrwizard.core.plan.whereabouts import Whereabouts
from dsrwizard.core.record.accounts import Account, needed_by, orphans
from dsrwizard.core.record.owed import Owed
from dsrwizard.engine.journal import Journals


class Books:
    """The accounts of one deployment and of all others beside it. Made anew for every run: what is written to a journal
    afterwards is not in it. Raises LookError where a journal cannot be read."""

    def __init__(self, journals: Journals, deployment: Deployment) -> None:
        self._journals, self.deployment = journals, deployment

    @cached_property
    def mine(self) -> Account:
        """The deployment's own account."""
        return Account(self._journals.of(self.deployment.name).entries())

    @cached_property
    def others(self) -> list[Account]:
        """Those of all other journals."""
        own = self._journals.of(self.deployment.name).path
        return [Account(journal.entries()) for journal in self._journals.all() if journal.path != own]

    @property
    def owed(self) -> list[Owed]:
        return self.mine.owed

    @cached_property
    def leaving(self) -> list[RealServer]:
        """Servers at addresses that the deployment no longer has, with something still owed there."""
        return self.mine.leaving(self.deployment)

    @property
    def left_behind(self) -> list[Deployment]:
        """Deployments that are gone but for what they left for the sake of others."""
        return [one.deployment for one in self.others if one.deployment is not None and one.left_behind]

    # --- with what was observed

    def whereabouts(self, observed: Observed) -> Whereabouts:
        """Which host is which machine."""
        last = self.mine.deployment
        former = frozenset(canonical(server.address) for server in (last.servers if last is not None else ()))
        return Whereabouts(self.deployment, self.leaving, observed, former)

    def plan(self, observed: Observed) -> Plan:
        """What brings the hosts to the deployment, and takes back what it no longer has."""
        where = self.whereabouts(observed)
        return with_leftovers(self.deployment, where, self.owed, self._needed(where), self.leaving)

    def back(self, observed: Observed, owed: Sequence[Owed] | None = None) -> Plan:
        """What takes back everything: first what others left on the deployment's hosts, then its own; or only this."""
        where = self.whereabouts(observed)
        mine = where.rehomed(self.owed if owed is None else owed)
        back = mine if owed is not None else [*self._orphans(where, mine), *mine]
        return taken_back(self.deployment, where, self.owed, back, self._needed(where), self.leaving)

    def _orphans(self, where: Whereabouts, mine: Sequence[Owed]) -> list[Owed]:
        """What deployments that are gone left on the hosts of this one, as long as it has something to take back."""
        if not mine:
            return []
        hosts = {server.name for server in self.deployment.servers if server.connect != "manual"}
        hosts |= {item.host for item in mine}
        return [item for item in where.rehomed(orphans(self.others)) if item.host in hosts]

    def _needed(self, where: Whereabouts) -> Needed:
        """What other deployments still need, by the present addresses of the machines."""
        owed, in_use = needed_by(self.others)
        found = where.of(owed)
        here = where.rehomed(owed)
        away = [item for item in owed if found[where.key(item)].state != "here"]
        moved = where.addresses(owed)
        return [*here, *away], [_moved(one, moved) for one in in_use]


def _moved(deployment: Deployment, addresses: dict[str, str]) -> Deployment:
    """Another deployment with its servers at the addresses where their machines are now."""
    servers = tuple(
        msgspec.structs.replace(server, address=addresses.get(server.address, server.address))
        for server in deployment.servers
    )
    return msgspec.structs.replace(deployment, servers=servers)
