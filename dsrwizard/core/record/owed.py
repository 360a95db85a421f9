"""The changes that dsrwizard made and has not undone ("owed"), computed from the journal's entries. Pure.

Changes of the same thing on the same host add up: from the value before the first to the value after the last. Where
the two are equal nothing is owed, so draining and restoring a server, or a teardown, leave no trace in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from ipaddress import ip_address
from typing import ClassVar, Literal

import msgspec

from dsrwizard.core.model.changes import (
    FORMER_GUARD_FILE,
    GUARD_FILE,
    AddressChange,
    AnnounceChange,
    Change,
    DestinationChange,
    FileChange,
    FolderChange,
    LinkChange,
    ModuleChange,
    SavedTableChange,
    ServiceChange,
    SysctlChange,
    UnitChange,
    WindowsChange,
    is_aside,
    torn,
)
from dsrwizard.core.model.deployment import Deployment, RealServer, same_in
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.model.steps import DIRECTOR, Phase, Step

Verb = Literal["apply", "teardown", "roll-back", "weight", "mend"]


class _Entry(Shown, frozen=True, tag=True):
    pass


class RunBegan(_Entry, frozen=True, kw_only=True):
    """A run begins; `at` in seconds since the epoch, `verb` is what the operator asked for."""

    run: str
    at: float
    verb: Verb
    deployment: Deployment
    version: str


class Intent(_Entry, frozen=True, kw_only=True):
    """Written before a step runs, with the prior values in its changes. `address` is how the host is reached."""

    run: str
    at: float
    address: str
    step: Step


class Result(_Entry, frozen=True, kw_only=True):
    """Written when the step's end is known."""

    SEVERAL_LINES: ClassVar = frozenset({"detail"})

    run: str
    at: float
    host: str
    step: str
    outcome: Outcome
    detail: str = ""


class DeviceMade(_Entry, frozen=True, kw_only=True):
    """Written as soon as a host says that it made a device for the adapter `name`, before the device is one: whatever
    ends the run, it is known that the device is ours. `device` is its instance id, `guid` empty until it has one."""

    run: str
    at: float
    host: str
    address: str
    step: str
    name: str
    device: str
    guid: str = ""


class RunEnded(_Entry, frozen=True, kw_only=True):
    run: str
    at: float
    ok: bool


Entry = RunBegan | Intent | Result | DeviceMade | RunEnded


class Owed(Shown, frozen=True, kw_only=True):
    """One change that stands: from what was there before dsrwizard came (`old`) to what it left (`new`).

    `certain` is false where the end of a step about it is not known: then what is there may also be the `new` of one of
    `perhaps`, the other values it may have been left at.
    """

    host: str
    address: str
    server: str
    phase: Phase
    step: str
    title: str
    change: Change
    order: int
    certain: bool = True
    perhaps: tuple[Change, ...] = ()
    owner: str = ""
    """The deployment that left it, where that is not the one whose journal is looked at."""


def identity(change: Change) -> str:
    """What a change is about, whatever its values."""
    match change:
        case SysctlChange(key=key):
            return f"sysctl {key}"
        case FileChange(path=path):
            return f"file {path}"
        case FolderChange(path=path):
            return f"folder {path}"
        case AddressChange(interface=interface, address=address, prefix=prefix):
            return f"address {address}/{prefix} {interface}"
        case LinkChange(interface=interface):
            return f"link {interface}"
        case ServiceChange(service=key):
            return f"service {key.address} {key.protocol} {key.port}"
        case DestinationChange(service=key, address=address, port=port):
            return f"destination {key.address} {key.protocol} {key.port} {address} {port}"
        case ModuleChange(module=module):
            return f"module {module}"
        case AnnounceChange(address=address):
            return f"announce {address}"
        case UnitChange():
            return "units"
        case SavedTableChange(deployment=name):
            return f"saved {name}"
        case WindowsChange(item=item, key=key):
            return f"windows {item} {key}"


_STATELESS = (AnnounceChange, UnitChange, ModuleChange)
_SETS_UP: tuple[Verb, ...] = ("apply", "mend")
"""What brings hosts to the deployment: after it the deployment is wanted."""
_STANDS = (Outcome.CHANGED, Outcome.UNCHANGED, Outcome.UNKNOWN)


def owed(entries: Iterable[Entry], run: str | None = None) -> list[Owed]:
    """What stands, in the order in which it was made; of one run only when `run` is given.

    A step without a result was cut off in the middle: what it was about to change is owed, uncertainly. A result
    `unchanged` says that what the step is to bring about was seen to be so already.
    """
    standing: dict[tuple[str, str], Owed] = {}
    open_: dict[tuple[str, str, str], Intent] = {}
    count = 0

    def book(intent: Intent, certain: bool) -> None:
        nonlocal count
        for change in intent.step.changes:
            if isinstance(change, _STATELESS) or _left_over(change):
                continue
            count += 1
            place = (intent.step.host, identity(change))
            if place not in standing and _drifted(change, intent.step.host, standing):
                continue
            before = standing.get(place)
            total = change if before is None else msgspec.structs.replace(change, old=before.change.old)
            if isinstance(total, FileChange) and torn(total.old, total.new):
                total = msgspec.structs.replace(total, old=None)  # half of our own file was nobody's
            perhaps: tuple[Change, ...] = ()
            if not certain:
                # the value from before this step, and whatever was uncertain already
                earlier = msgspec.structs.replace(total, new=change.old)
                perhaps = (earlier, *((before.change, *before.perhaps) if before else ()))
            if total.old == total.new and certain:
                standing.pop(place, None)
                continue
            step = intent.step
            standing[place] = Owed(
                host=step.host,
                address=intent.address,
                server=step.server,
                phase=before.phase if before else step.phase,
                step=before.step if before else step.id,
                title=before.title if before else step.title,
                change=total,
                order=before.order if before else count,
                certain=certain,
                perhaps=perhaps,
            )

    def cut_off() -> None:
        for intent in open_.values():
            book(intent, certain=False)
        open_.clear()

    for entry in entries:
        if run is not None and getattr(entry, "run", None) != run:
            continue
        match entry:
            case Intent():
                open_[entry.run, entry.step.host, entry.step.id] = entry
            case Result():
                intent = open_.pop((entry.run, entry.host, entry.step), None)
                if intent is not None and entry.outcome in _STANDS:
                    book(intent, certain=entry.outcome is not Outcome.UNKNOWN)
            case RunBegan():
                cut_off()  # before what the new run does about the same things
            case _:
                pass
    cut_off()
    return sorted(standing.values(), key=lambda item: item.order)


def _left_over(change: Change) -> bool:
    """Whether it clears away what a host that was cut off left beside a file of ours: nobody is owed that."""
    return isinstance(change, FileChange) and change.new is None and is_aside(change.path)


def _drifted(change: Change, host: str, standing: Mapping[tuple[str, str], Owed]) -> bool:
    """Whether what goes is a VIP with a wrong prefix that came after our own: it was not there before dsrwizard, or our
    own address would have taken its place in one step."""
    if not isinstance(change, AddressChange) or change.new:
        return False
    return any(
        where == host
        and isinstance(item.change, AddressChange)
        and item.change.new
        and not item.change.old
        and same_in(change.address, (item.change.address,))
        for (where, _), item in standing.items()
    )


def place_of(change: DestinationChange) -> str:
    """Which destination a change is about, however its address is written."""
    return identity(msgspec.structs.replace(change, address=str(ip_address(change.address))))


def drained_on_purpose(entries: Iterable[Entry]) -> frozenset[str]:
    """Places of the destinations that the operator drained and that no run has given a weight since."""
    verbs: dict[str, Verb] = {}
    intents: dict[tuple[str, str, str], Intent] = {}
    found: set[str] = set()
    for entry in entries:
        match entry:
            case RunBegan():
                verbs[entry.run] = entry.verb
            case Intent():
                intents[entry.run, entry.step.host, entry.step.id] = entry
            case Result() if entry.outcome in _STANDS:
                intent = intents.pop((entry.run, entry.host, entry.step), None)
                for change in intent.step.changes if intent else ():
                    if not isinstance(change, DestinationChange):
                        continue
                    zero = change.new is not None and change.new.weight == 0
                    if verbs.get(entry.run) == "weight" and zero:
                        found.add(place_of(change))
                    else:
                        found.discard(place_of(change))
            case _:
                pass
    return frozenset(found)


def last_deployment(entries: Iterable[Entry]) -> Deployment | None:
    """The deployment as it was last applied."""
    found = None
    for entry in entries:
        if isinstance(entry, RunBegan) and entry.verb in _SETS_UP:
            found = entry.deployment
    return found


def given_up(entries: Iterable[Entry]) -> bool:
    """Whether it was last torn down, and that ended well: what still stands was left on purpose, for somebody else."""
    teardowns: set[str] = set()
    torn_down = False
    for entry in entries:
        match entry:
            case RunBegan(verb=verb) if verb in _SETS_UP:
                torn_down = False
            case RunBegan(verb="teardown"):
                teardowns.add(entry.run)
            case RunEnded(ok=True) if entry.run in teardowns:
                torn_down = True
            case _:
                pass
    return torn_down


def deployed_since(entries: Iterable[Entry]) -> dict[str, float]:
    """When a VIP was last put on each host, in seconds since the epoch; hosts where that never ended well are left
    out."""
    found: dict[str, float] = {}
    putting: set[tuple[str, str, str]] = set()
    for entry in entries:
        if isinstance(entry, Intent):
            if any(isinstance(change, AddressChange) and change.new for change in entry.step.changes):
                putting.add((entry.run, entry.step.host, entry.step.id))
        elif isinstance(entry, Result) and (entry.run, entry.host, entry.step) in putting:
            found |= {entry.host: entry.at} if entry.outcome is Outcome.CHANGED else {}
    return found


def in_force(entries: Iterable[Entry]) -> bool:
    """Whether a VIP, a service or a destination of it stands, and nobody has given it up."""
    entries = list(entries)
    return not given_up(entries) and any(
        isinstance(item.change, AddressChange | ServiceChange | DestinationChange) for item in owed(entries)
    )


def guard_only(owed: Iterable[Owed]) -> bool:
    """Whether nothing but the guard is left: the VIPs are gone, it was kept for somebody else."""
    return all(isinstance(item.change, SysctlChange) or _is_guard_file(item.change) for item in owed)


def _is_guard_file(change: Change) -> bool:
    folder = isinstance(change, FolderChange) and GUARD_FILE.startswith(f"{change.path}/")
    return folder or (isinstance(change, FileChange) and change.path in (GUARD_FILE, FORMER_GUARD_FILE))


def adapters_made(entries: Iterable[Entry], address: str) -> dict[str, tuple[str, ...]]:
    """Adapters that were ever made on the host at this address: name in lower case → GUIDs in lower case. An instance
    id is used again by Windows when its device is gone, a GUID never."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        if isinstance(entry, DeviceMade) and entry.address == address and entry.guid:
            name = entry.name.lower()
            found[name] = tuple(dict.fromkeys((*found.get(name, ()), entry.guid.lower())))
    return found


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
        """Servers that an earlier deployment of this name had and that still owe something."""
        names = {item.host for item in self.owed} - {server.name for server in deployment.servers} - {DIRECTOR}
        known = {
            server.name: server
            for entry in self.entries
            if isinstance(entry, RunBegan)
            for server in entry.deployment.servers
        }
        return [known[name] for name in sorted(names) if name in known]


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


def orphans(deployment: Deployment, mine: Account, others: Iterable[Account]) -> list[Owed]:
    """What deployments that are gone left on the hosts of this one, under this one's names for the hosts."""
    if not mine.owed:
        return []
    names = {server.address: server.name for server in deployment.servers if server.connect != "manual"}
    names |= {item.address: item.host for item in mine.owed}
    return [
        msgspec.structs.replace(item, host=names[item.address], owner=account.deployment.name)
        for account in others
        if account.deployment is not None and account.left_behind
        for item in account.owed
        if item.address in names
    ]
