"""Where each machine of the journal is by now: under which name and address of the deployment. Pure.

What is owed belongs to a machine, and a deployment file has names and addresses. A machine is found by its id
(`ServerFacts.machine`); where that is unknown, or several hosts have it as copies of one image do, by its address. A
host that could not be looked at is nobody in particular: nothing is concluded from its name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from dsrwizard.core.model.changes import AddressChange, DestinationChange, FileChange, ServiceChange
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.facts import DirectorFacts, Failure, Observed, ServerFacts
from dsrwizard.core.model.keepalived import hosts_of
from dsrwizard.core.model.steps import DIRECTOR, Plan
from dsrwizard.core.model.values import canonical
from dsrwizard.core.plan.same_machine import one_machine, other_system
from dsrwizard.core.plan.standing import as_left
from dsrwizard.core.record.owed import Owed

_MANY = 4
"""Names in a sentence at most."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where a machine is now. `seen`: it was looked at."""

    host: str
    address: str
    machine: str
    seen: bool = True


@dataclass(frozen=True, slots=True)
class Traced:
    """What became of a machine of the journal.

    `here`: it is `home`. `gone`: another installation has its address, and no other host of the deployment is it.
    `lost`: it is none of the hosts that were looked at, and may be one that was not. `elsewhere`: it never was one of
    this deployment's hosts, or it is the director of before and this machine is another.
    """

    state: Literal["here", "gone", "lost", "elsewhere"]
    home: Home | None = None
    note: str = ""


Key = tuple[bool, str, str]
"""Of a machine in the journal: whether it is the director, its id and its address."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the journal knows: ids of machines, addresses of machines, and those of which it has the id. `silent`: hosts
    that did not tell which machine they are."""

    machines: frozenset[str]
    places: frozenset[str]
    with_id: frozenset[str]
    silent: tuple[str, ...]


@dataclass(slots=True)
class Whereabouts:
    """The hosts that were looked at, and which machine each is.

    `leaving`: servers that may have left; `former`: addresses of the servers as last applied. `machines`:
    host → its id, where it is its alone. `refused`: host → why nothing can be planned for it. `notes`: host → what the
    operator should know.
    """

    deployment: Deployment
    leaving: Sequence[RealServer]
    observed: Observed
    former: Collection[str] = ()
    machines: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    _same: dict[str, str] = field(default_factory=dict)
    """A host that may leave → the deployment's own host that is the same machine."""
    _by_address: dict[str, RealServer] = field(default_factory=dict)
    _by_machine: dict[str, RealServer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._by_address = {canonical(server.address): server for server in self._servers}
        self._find_same()
        self._find_copies()
        director = self.observed.director
        if director is not None:
            self.machines[DIRECTOR] = director.machine

    @property
    def _servers(self) -> Sequence[RealServer]:
        return (*hosts_of(self.deployment), *self.leaving)

    def _facts(self, name: str) -> ServerFacts | None:
        return self.observed.servers.get(name)

    def _find_same(self) -> None:
        """Hosts that are one machine: each has the other's address."""
        own = {server.name for server in hosts_of(self.deployment)}
        for server in self._servers:
            facts = self._facts(server.name)
            held = facts.interfaces if facts else ()
            for address in {canonical(entry.address) for link in held for entry in link.addresses}:
                other = self._by_address.get(address)
                if facts is None or other is None or other.name <= server.name:
                    continue  # each pair once
                there = self._facts(other.name)
                if there is None or not one_machine(server.address, facts, other.address, there):
                    continue
                if server.name in own and other.name in own:
                    self._twice(server, other)
                elif server.name in own or other.name in own:
                    stays, leaves = (server, other) if server.name in own else (other, server)
                    self._same[leaves.name] = stays.name

    def _twice(self, one: RealServer, other: RealServer) -> None:
        sentence = (
            f"{one.name} ({one.address}) and {other.name} ({other.address}) are the same machine. It would get two "
            "servers' share of clients, and removing one would take the VIP from both. Keep one of them in the "
            "deployment."
        )
        for name in (one.name, other.name):
            self.refused[name] = sentence

    def _find_copies(self) -> None:
        holders: dict[str, list[RealServer]] = {}
        for server in self._servers:
            facts = self._facts(server.name)
            if facts is not None and facts.machine and server.name not in self._same:
                holders.setdefault(facts.machine, []).append(server)
        for machine, servers in holders.items():
            if len(servers) == 1 or all(server.name in self.refused for server in servers):
                self.machines[servers[0].name] = machine
                self._by_machine[machine] = servers[0]
                continue
            facts = self._facts(servers[0].name)
            mend = (
                "Give each copy its own with sysprep /generalize."
                if facts is not None and facts.windows is not None
                else "Give each copy its own: rm /etc/machine-id && systemd-machine-id-setup, then reboot it."
            )
            for server in servers:
                self._note(
                    server.name,
                    f"{_names(one.name for one in servers)} have the same machine-id, as copies of one image do. "
                    f"dsrwizard tells them apart by address. {mend}",
                )

    def _note(self, host: str, text: str) -> None:
        known = self.notes.setdefault(host, [])
        if text not in known:
            known.append(text)

    # --- one machine of the journal

    @staticmethod
    def key(item: Owed) -> Key:
        """Which machine it is owed on."""
        return item.host == DIRECTOR, item.machine, item.address

    def of(self, owed: Iterable[Owed]) -> dict[Key, Traced]:
        """What became of each machine that something is owed on."""
        items: dict[Key, list[Owed]] = {}
        for item in owed:
            items.setdefault(self.key(item), []).append(item)
        known = self._known([(machine, canonical(address)) for director, machine, address in items if not director])
        return {key: self._director(mine) if key[0] else self._server(key, mine, known) for key, mine in items.items()}

    def _known(self, places: Sequence[tuple[str, str]]) -> _Known:
        at: dict[str, list[str]] = {}
        for machine, address in places:
            at.setdefault(address, []).append(machine)
        own = {server.name for server in hosts_of(self.deployment)}
        silent = [
            server.name
            for server in self._servers
            if server.connect != "manual"
            and not getattr(self._facts(server.name), "machine", "")
            # An address that the deployment no longer has, and whose machine answers elsewhere, hides nobody.
            and (
                server.name in own
                or not all(one in self._by_machine for one in at.get(canonical(server.address), [""]))
            )
        ]
        with_id = {address: machines for address, machines in at.items() if any(machines)}
        machines = frozenset(machine for machine, _ in places if machine)
        return _Known(machines, frozenset(at), frozenset(with_id), tuple(silent))

    def _director(self, items: Sequence[Owed]) -> Traced:
        facts = self.observed.director
        was = items[0].machine
        home = Home(DIRECTOR, items[0].address, (facts.machine if facts else "") or was, facts is not None)
        if facts is None or not was or not facts.machine or was == facts.machine or _still(items, facts):
            return Traced("here", home)
        vips = [item.change.address for item in items if isinstance(item.change, AddressChange)]
        services = sum(isinstance(item.change, ServiceChange) for item in items)
        what = ", ".join(
            part
            for part in (
                f"the VIP{'s' if len(vips) > 1 else ''} {_names(vips)}" if vips else "",
                f"{services} IPVS service{'s' if services > 1 else ''}" if services else "",
                "and its kernel settings",
            )
            if part
        )
        return Traced(
            "elsewhere",
            note="The journal was written on another director: its machine-id differs. What dsrwizard set up there "
            f"({what}) is not on this machine. If that director still runs, run the teardown there first, or two "
            "directors answer for one VIP. If it was reinstalled, nothing of it is left.",
        )

    def _server(self, key: Key, items: Sequence[Owed], known: _Known) -> Traced:
        _, machine, address = key
        by_id = self._by_machine.get(machine)
        at = self._by_address.get(canonical(address))
        facts = self._facts(at.name) if at is not None else None
        if by_id is not None and (at is by_id or at is None or not self._another(by_id, facts, known)):
            return Traced("here", self._home(by_id))
        if at is None:
            return Traced("elsewhere")
        if facts is None:
            return Traced("here", self._home(at))
        if other_system(items, facts):
            return Traced("gone", self._home(at), _reinstalled(items[0], "it runs another system"))
        id_here = facts.machine
        if not machine or not id_here or machine == id_here:
            return Traced("here", self._home(at))
        if id_here not in known.machines and _still(items, facts):
            note = "Its machine-id has changed. What dsrwizard set up is still there, so it is the same machine."
            return Traced("here", self._home(at), note)
        if known.silent:
            return Traced(
                "lost",
                self._home(at),
                f"{address} was {items[0].host}, and this is a different machine: its machine-id differs. It is not "
                f"known where {items[0].host} is now, because {_names(known.silent)} could not be asked. The changes "
                "made on it stay in the journal.",
            )
        return Traced("gone", self._home(at), _reinstalled(items[0], "its machine-id differs"))

    def _another(self, holder: RealServer, facts: ServerFacts | None, known: _Known) -> bool:
        """Whether the one host with the id of a machine is another all the same. `facts` are those of the host at the
        machine's address."""
        address = canonical(holder.address)
        if facts is None:
            # The machine itself may be there and cannot be asked: a known server that names its id proves nothing.
            return address in known.places
        # It was a copy of the machine beside it, told by its address alone, and the machine itself has had another id
        # since or was installed anew.
        return (
            address in self.former
            and address not in known.with_id
            and bool(facts.machine)
            and facts.machine not in known.machines
        )

    def _home(self, server: RealServer) -> Home:
        name = self._same.get(server.name, server.name)
        address = (
            server.address
            if name == server.name
            else next(one.address for one in hosts_of(self.deployment) if one.name == name)
        )
        return Home(name, address, self.machines.get(name, ""), self._facts(name) is not None)

    # --- what follows from it

    def seen(self) -> Observed:
        """What was observed, without hosts that are refused."""
        if not self.refused:
            return self.observed
        failed = {name: Failure(kind="plan", what=why) for name, why in self.refused.items()}
        return msgspec.structs.replace(
            self.observed,
            servers={name: facts for name, facts in self.observed.servers.items() if name not in failed},
            failed={**self.observed.failed, **failed},
        )

    def rehomed(self, owed: Sequence[Owed]) -> list[Owed]:
        """What is owed on hosts of the deployment, under their present names and addresses."""
        found = self.of(owed)
        return [
            msgspec.structs.replace(item, host=home.host, address=home.address)
            for item in owed
            if found[self.key(item)].state == "here" and (home := found[self.key(item)].home) is not None
        ]

    def gone(self, owed: Sequence[Owed]) -> list[Owed]:
        """What is owed on an installation that is no more."""
        found = self.of(owed)
        return [item for item in owed if found[self.key(item)].state == "gone"]

    def renamed(self, owed: Sequence[Owed]) -> list[tuple[Owed, Home]]:
        """One owed change of each machine that has another name, address or id than the journal has, and its home."""
        own = {server.name for server in hosts_of(self.deployment)} | {DIRECTOR}
        moved: list[tuple[Owed, Home]] = []
        first = {self.key(item): item for item in reversed(owed)}
        for key, found in self.of(owed).items():
            item, home = first[key], found.home
            if found.state != "here" or home is None or not home.seen or home.host not in own:
                continue
            if (item.host, item.address) != (home.host, home.address) or (home.machine not in ("", item.machine)):
                moved.append((item, home))
        return moved

    def addresses(self, owed: Iterable[Owed]) -> dict[str, str]:
        """Address of the journal → the machine's address now, where it is another."""
        return {
            key[2]: found.home.address
            for key, found in self.of(owed).items()
            if found.state == "here" and found.home is not None and found.home.address != key[2]
        }

    def noted(self, plan: Plan, owed: Sequence[Owed]) -> Plan:
        """The plan with notes about hosts that are not what the journal calls them."""
        notes = {host: list(texts) for host, texts in self.notes.items()}
        own = {server.name for server in hosts_of(self.deployment)}
        first = {self.key(item): item for item in reversed(owed)}
        for key, found in self.of(owed).items():
            home = found.home
            host = home.host if home is not None else DIRECTOR
            texts = [found.note] if found.note else []
            if found.state == "here" and home is not None and home.seen and host in own:
                texts += _moved(first[key], home)
            for text in texts:
                if text not in notes.setdefault(host, []):
                    notes[host].append(text)
        hosts = tuple(
            msgspec.structs.replace(host, notes=(*notes.get(host.host, ()), *host.notes))
            if host.host in notes
            else host
            for host in plan.hosts
        )
        return msgspec.structs.replace(plan, hosts=hosts)


def _moved(item: Owed, home: Home) -> list[str]:
    if item.address != home.address:
        return [f"This machine was {item.host} ({item.address}), by its machine-id. What dsrwizard set up on it stays."]
    if item.host != home.host:
        return [f"This machine was called {item.host} before. What dsrwizard set up on it stays."]
    return []


def _reinstalled(item: Owed, how: str) -> str:
    return (
        f"This is not the installation that dsrwizard set up at {item.address} as {item.host}: {how}. It was "
        "reinstalled, or another machine has the address. The earlier changes are gone with it and leave the journal. "
        "If that machine still runs elsewhere, remove the VIP there."
    )


def _still(items: Sequence[Owed], facts: ServerFacts | DirectorFacts) -> bool:
    """Whether what dsrwizard left is there: a file of ours on a server; else an address, a service, a destination."""
    files = [item for item in items if isinstance(item.change, FileChange) and item.change.new is not None]
    telling = files or [
        item for item in items if isinstance(item.change, AddressChange | ServiceChange | DestinationChange)
    ]
    return any(as_left(item, facts) for item in telling)


def _names(names: Iterable[str]) -> str:
    every = list(dict.fromkeys(names))
    if len(every) > _MANY:
        return f"{', '.join(every[: _MANY - 1])} and {len(every) - _MANY + 1} more"
    return " and ".join(filter(None, (", ".join(every[:-1]), every[-1]))) if every else ""
