"""The journals of all deployments as they stand when a run looks at them: each is read once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property

import msgspec

from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.facts import Observed
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.steps import DIRECTOR, Plan
from dsrwizard.core.model.values import canonical
from dsrwizard.core.plan.appliance import spelled
from dsrwizard.core.plan.engines import refuse_other_balancer
from dsrwizard.core.plan.leftovers import Needed, taken_back, with_leftovers
from dsrwizard.core.plan.teardown import struck_out
from dsrwizard.core.plan.whereabouts import Whereabouts
from dsrwizard.core.record.accounts import Account, needed_by, orphans
from dsrwizard.core.record.owed import Owed, RunBegan, Verb
from dsrwizard.core.record.reading import began
from dsrwizard.engine.journal import Condition, Journals, JournalUnread, Run
from dsrwizard.engine.locks import machine_id


class Books:
    """The accounts of one deployment and of all others beside it. Made anew for every run: what is written to a journal
    afterwards is not in it. Raises JournalUnread where its own journal cannot be read. One of another deployment that
    cannot be read stands in nobody's way: what that deployment may need is left to it."""

    def __init__(self, journals: Journals, deployment: Deployment) -> None:
        self._journals, self.deployment = journals, deployment

    @cached_property
    def mine(self) -> Account:
        """The deployment's own account."""
        return Account(self._journals.of(self.deployment.name).entries())

    @cached_property
    def _all_others(self) -> list[tuple[str, Account, JournalUnread | None]]:
        own = self._journals.of(self.deployment.name).path
        found = []
        for journal in self._journals.all():
            if journal.path != own:
                entries, problem = journal.readable()
                found.append((journal.path.stem, Account(entries), problem))
        return found

    @cached_property
    def others(self) -> list[Account]:
        """Those of all other journals that can be read."""
        return [account for _, account, problem in self._all_others if problem is None]

    @property
    def unread(self) -> list[JournalUnread]:
        """What stands in the way of reading the rest."""
        return [problem for *_, problem in self._all_others if problem is not None]

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
        refuse_other_balancer(self.deployment, self.mine.deployment, self.owed)
        where = self.whereabouts(observed)
        made = with_leftovers(self.deployment, where, self.owed, self._needed(where), self.leaving)
        return spelled(made, self.deployment, observed)

    def back(self, observed: Observed, owed: Sequence[Owed] | None = None, extra: Sequence[Owed] = ()) -> Plan:
        """What takes back everything: first what others left on the deployment's hosts, then its own, and `extra` of
        which no journal tells; or only `owed`."""
        refuse_other_balancer(self.deployment, self.mine.deployment, self.owed)
        where = self.whereabouts(observed)
        mine = where.rehomed(self.owed if owed is None else owed)
        back = mine if owed is not None else [*self._orphans(where, mine), *mine, *extra]
        made = taken_back(self.deployment, where, self.owed, back, self._needed(where), self.leaving)
        return spelled(made, self.deployment, observed)

    def _orphans(self, where: Whereabouts, mine: Sequence[Owed]) -> list[Owed]:
        """What deployments that are gone left on the hosts of this one, as long as it has something to take back."""
        if not mine:
            return []
        hosts = {server.name for server in self.deployment.servers if server.connect != "manual"}
        hosts |= {item.host for item in mine}
        return [item for item in where.rehomed(orphans(self.others)) if item.host in hosts]

    def _needed(self, where: Whereabouts) -> Needed:
        """What other deployments still need, by the present addresses of the machines, and those whose journals cannot
        be read, with the addresses of their servers (None: not known). Of these, what can be read counts as needed."""
        owed, in_use = needed_by(self.others)
        blind: dict[str, Collection[str] | None] = {}
        for name, account, problem in self._all_others:
            if problem is None:
                continue
            runs = [entry for entry in account.entries if isinstance(entry, RunBegan)]
            blind[name] = {server.address for run in runs for server in run.deployment.servers} if runs else None
            owed += account.owed
            in_use += [account.deployment] if account.deployment is not None else []
        found = where.of(owed)
        here = where.rehomed(owed)
        away = [item for item in owed if found[where.key(item)].state != "here"]
        moved = where.addresses(owed)
        return [*here, *away], [_moved(one, moved) for one in in_use], blind

    # --- what is to be said of its own journal

    @cached_property
    def condition(self) -> Condition:
        return self._journals.of(self.deployment.name).condition()

    @cached_property
    def origin(self) -> RunBegan | None:
        """The last run in it."""
        return began(self.mine.entries)

    @property
    def elsewhere(self) -> bool:
        """Whether its last run was on another machine than this one, as far as both are known."""
        here = machine_id()
        return self.origin is not None and bool(self.origin.machine and here) and self.origin.machine != here

    @property
    def knows_all(self) -> bool:
        """Whether it tells everything that was ever done for the deployment: it is whole, and what is in it began with
        setting the deployment up."""
        return self.mine.deployment is not None and not self.condition.lost

    @property
    def director_owes(self) -> list[Owed]:
        return [item for item in self.owed if item.host == DIRECTOR]


def _moved(deployment: Deployment, addresses: dict[str, str]) -> Deployment:
    """Another deployment with its servers at the addresses where their machines are now."""
    servers = tuple(
        msgspec.structs.replace(server, address=addresses.get(server.address, server.address))
        for server in deployment.servers
    )
    return msgspec.structs.replace(deployment, servers=servers)


def close_account(run: Run, item: Owed) -> None:
    """Closes the account of what is owed and is no more."""
    step = struck_out(item)
    run.intend(item.address, step, machine=item.machine)
    run.result(item.host, step.id, Outcome.UNCHANGED)


def strike_out(
    journals: Journals, deployment: Deployment, verb: Verb, gone: Sequence[Owed], *, ok: bool = True
) -> None:
    """Closes the accounts of these in a run of their own, which says so; without any there is none."""
    if not gone:
        return
    run = journals.of(deployment.name).begin(verb, deployment)
    for item in gone:
        close_account(run, item)
    run.end(ok)
