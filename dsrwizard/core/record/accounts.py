"""What the journal of one deployment adds up to, and what deployments on the same hosts need of each other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import chain, count

import msgspec

from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.keepalived import hosts_of
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical
from dsrwizard.core.record.owed import Entry, Owed, RunBegan, given_up, guard_only, in_force, last_deployment, owed


class Account:
    """The summary of one deployment's journal. Each value is computed once, on first use."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self.entries = tuple(entries)

    @cached_property
    def owed(self) -> list[Owed]:
        return owed(self.entries)

    @cached_property
    def deployment(self) -> Deployment | None:
        """As it was last applied."""
        return last_deployment(self.entries)

    @cached_property
    def in_force(self) -> bool:
        return in_force(self.entries)

    @cached_property
    def left_behind(self) -> bool:
        """Whether nothing stands of it but what was left for the sake of others."""
        return bool(self.owed) and (guard_only(self.owed) or given_up(self.entries))

    def last_apply(self) -> list[Owed]:
        """What stands of the last apply alone."""
        runs = [entry.run for entry in self.entries if isinstance(entry, RunBegan) and entry.verb == "apply"]
        return owed(self.entries, run=runs[-1] if runs else "")

    def leaving(self, deployment: Deployment) -> list[RealServer]:
        """Servers at addresses where an earlier deployment of this name had some, with something still owed there.

        Whether a machine leaves is told by looking there: it may be one of the deployment's under another name or
        address by now. A name that the deployment has given to another server is not used for a former one: that is
        called by its address.
        """
        stay = {canonical(server.address) for server in hosts_of(deployment)}
        former = {
            item.address: item.host
            for item in self.owed
            if item.host != DIRECTOR and canonical(item.address) not in stay
        }
        known = {
            server.address: server
            for entry in self.entries
            if isinstance(entry, RunBegan)
            for server in hosts_of(entry.deployment)
            if server.connect != "manual"
        }
        names = {server.name for server in hosts_of(deployment)}
        found: list[RealServer] = []
        for address, name in sorted(former.items(), key=lambda pair: (pair[1], pair[0])):
            if address in known:
                free = next(word for word in chain((name, address), _spare(address)) if word not in names)
                names.add(free)
                found.append(msgspec.structs.replace(known[address], name=free))
        return found


def _spare(address: str) -> Iterator[str]:
    """More names for a former server at this address, without end."""
    yield f"{address}-former"
    yield from (f"{address}-former-{number}" for number in count(2))


def needed_by(others: Iterable[Account]) -> tuple[list[Owed], list[Deployment]]:
    """What other deployments still need: what they owe, and themselves as far as they are in force."""
    needed: list[Owed] = []
    in_use: list[Deployment] = []
    for account in others:
        if not account.left_behind:
            needed += account.owed
        if account.deployment is not None and account.in_force:
            in_use.append(account.deployment)
    return needed, in_use


def orphans(others: Iterable[Account]) -> list[Owed]:
    """What deployments that are gone left, with them as its owners."""
    return [
        msgspec.structs.replace(item, owner=account.deployment.name)
        for account in others
        if account.deployment is not None and account.left_behind
        for item in account.owed
    ]
