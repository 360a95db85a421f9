"""The changes that dsrwizard made and has not undone ("owed"), computed from the journal's entries. Pure.

Changes of the same thing on the same host add up: from the value before the first to the value after the last. Where
the two are equal nothing is owed, so draining and restoring a server, or a teardown, leave no trace in the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import ClassVar, Literal

import msgspec

from dsrwizard.core.model.changes import (
    FORMER_GUARD_FILE,
    GUARD_FILE,
    OPERATORS_FILES,
    AddressChange,
    AnnounceChange,
    Change,
    DestinationChange,
    FileChange,
    FolderChange,
    KeepalivedChange,
    LinkChange,
    ModeChange,
    ModuleChange,
    SaveChange,
    SavedTableChange,
    ServiceChange,
    SysctlChange,
    UnitChange,
    WindowsChange,
    is_aside,
    torn,
)
from dsrwizard.core.model.deployment import Deployment, same_in
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.model.steps import DIRECTOR, Phase, Step
from dsrwizard.core.record.places import KnownMachine, Places

Verb = Literal["apply", "teardown", "roll-back", "weight", "mend", "found", "forget", "guard"]
"""`found`: nothing was changed; what stood on the hosts without a record was taken into the books. `forget`: nothing
was changed; a machine is gone for good, as its operator says, and what was owed on it with it. `guard`: no operator but
a guard set a weight."""


class _Entry(Shown, frozen=True, tag=True):
    pass


class RunBegan(_Entry, frozen=True, kw_only=True):
    """A run begins; `at` in seconds since the epoch, `verb` is what the operator asked for.

    `format` is the number of the journal's format, 0 before there was one. `user`, `host` (its name) and `machine` (its
    id, machine-id(5)) say who wrote it and where. `durable`: so many lines before it are known to have been on the
    disk; None: it is not known.
    """

    run: str
    at: float
    verb: Verb
    deployment: Deployment
    version: str
    format: int = 0
    user: str = ""
    host: str = ""
    machine: str = ""
    durable: int | None = None


class Intent(_Entry, frozen=True, kw_only=True):
    """Written before a step runs, with the prior values in its changes. `address` is how the host is reached, `machine`
    which one it is (`ServerFacts.machine`): empty in journals of earlier versions, and where it is not known or not its
    alone. Then the address is the machine."""

    run: str
    at: float
    address: str
    step: Step
    machine: str = ""


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


class Recognised(_Entry, frozen=True, kw_only=True):
    """Written when a machine of the journal is found under another name, address or id: from here on it is `host` at
    `address`. It was at `was_address`, with the id `was_machine`."""

    run: str
    at: float
    host: str
    address: str
    machine: str
    was_address: str
    was_machine: str


class RunEnded(_Entry, frozen=True, kw_only=True):
    run: str
    at: float
    ok: bool


Entry = RunBegan | Intent | Result | DeviceMade | Recognised | RunEnded


class Owed(Shown, frozen=True, kw_only=True):
    """One change that stands: from what was there before dsrwizard came (`old`) to what it left (`new`).

    `certain` is false where the end of a step about it is not known: then what is there may also be the `new` of one of
    `perhaps`, the other values it may have been left at.
    """

    host: str
    """What the machine was called last; `address` where it was reached, `machine` its id, empty where unknown."""
    address: str
    machine: str = ""
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
        case KeepalivedChange(of=of):
            return f"keepalived {of}"
        case ModeChange(of=of, name=name):
            return f"{of} {name}"
        case SaveChange():
            return "save"
        case SavedTableChange(deployment=name):
            return f"saved {name}"
        case WindowsChange(item=item, key=key):
            return f"windows {item} {key}"


STATELESS = (AnnounceChange, UnitChange, ModuleChange, SaveChange)
"""Changes that leave nothing behind: they are not owed."""
_SETS_UP: tuple[Verb, ...] = ("apply", "mend", "found")
"""What brings hosts to the deployment: after it the deployment is wanted."""
_STANDS = (Outcome.CHANGED, Outcome.UNCHANGED, Outcome.UNKNOWN)


def owed(entries: Iterable[Entry], run: str | None = None) -> list[Owed]:
    """What stands, in the order in which it was made; of one run only when `run` is given.

    A step without a result was cut off in the middle: what it was about to change is owed, uncertainly. A result
    `unchanged` says that what the step is to bring about was seen to be so already.
    """
    standing: dict[tuple[KnownMachine, str], Owed] = {}
    places = Places()
    open_: dict[tuple[str, str, str], Intent] = {}
    count = 0

    def book(intent: Intent, certain: bool) -> None:
        nonlocal count
        host = place_of_intent(places, intent)
        for change in intent.step.changes:
            if _leaves_nothing(change) or _left_over(change):
                continue
            count += 1
            place = (host, identity(change))
            if place not in standing and _drifted(change, host, standing):
                continue
            before = standing.get(place)
            total = change if before is None else msgspec.structs.replace(change, old=before.change.old)
            if isinstance(total, FileChange) and total.path not in OPERATORS_FILES and torn(total.old, total.new):
                # Half of our own file was nobody's. An operator's gets a line at its end.
                total = msgspec.structs.replace(total, old=None)
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
            case Recognised():
                _recognised(entry, places, standing)
            case RunBegan():
                cut_off()  # before what the new run does about the same things
            case _:
                pass
    cut_off()
    found = [
        msgspec.structs.replace(item, host=place.host, address=place.address, machine=place.machine)
        for (place, _), item in standing.items()
    ]
    return sorted(found, key=lambda item: item.order)


def _leaves_nothing(change: Change) -> bool:
    return isinstance(change, STATELESS) or (isinstance(change, KeepalivedChange) and change.of == "files")


def _left_over(change: Change) -> bool:
    """Whether it clears away what a host that was cut off left beside a file of ours: nobody is owed that."""
    return isinstance(change, FileChange) and change.new is None and is_aside(change.path)


def place_of_intent(places: Places, intent: Intent) -> KnownMachine:
    """The machine that a step was meant for."""
    host = intent.step.host
    return places.of(host, intent.address, intent.machine, director=host == DIRECTOR)


def _recognised(entry: Recognised, places: Places, standing: dict[tuple[KnownMachine, str], Owed]) -> None:
    """The machine goes on under its new name, address and id, with all that is owed on it."""
    director = entry.host == DIRECTOR
    former = places.found(entry.was_address, entry.was_machine, director=director)
    if former is None:
        return
    place = places.renamed(former, entry.host, entry.address, entry.machine, director=director)
    for key in [key for key in standing if key[0] is former and place is not former]:
        item, later = standing.pop(key), standing.get((place, key[1]))
        if later is not None:
            item = msgspec.structs.replace(later, change=msgspec.structs.replace(later.change, old=item.change.old))
        standing[place, key[1]] = item


def _drifted(change: Change, host: KnownMachine, standing: Mapping[tuple[KnownMachine, str], Owed]) -> bool:
    """Whether what goes is a VIP with a wrong prefix that came after our own: it was not there before dsrwizard, or our
    own address would have taken its place in one step."""
    if not isinstance(change, AddressChange) or change.new:
        return False
    return any(
        where is host
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
                    if verbs.get(entry.run) == "guard":
                        continue
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
    """Whether it was last torn down, and that ended well: what still stands was left on purpose, for somebody else.

    A teardown beside a run that sets things up says nothing of what that one left: before runs were locked, there were
    two at once.
    """
    setting_up: set[str] = set()
    teardowns: set[str] = set()
    """Those that were alone so far."""
    torn_down = False
    for entry in entries:
        match entry:
            case RunBegan(verb="teardown"):
                teardowns.add(entry.run)
            case RunBegan(verb=verb) if verb in _SETS_UP:
                setting_up.add(entry.run)
                teardowns.clear()
                torn_down = False
            case _ if entry.run in setting_up:
                teardowns.clear()
                torn_down = False
            case RunEnded(ok=True) if entry.run in teardowns:
                torn_down = True
            case _:
                pass
    return torn_down


def deployed_since(entries: Iterable[Entry]) -> dict[str, float]:
    """When a VIP was last put on each host, in seconds since the epoch, by what the host was called last; hosts where
    that never ended well are left out."""
    found: dict[KnownMachine, float] = {}
    putting: dict[tuple[str, str, str], KnownMachine] = {}
    places = Places()
    for entry in entries:
        match entry:
            case Intent():
                place = place_of_intent(places, entry)
                if any(isinstance(change, AddressChange) and change.new for change in entry.step.changes):
                    putting[entry.run, entry.step.host, entry.step.id] = place
            case Result() if entry.outcome is Outcome.CHANGED and (entry.run, entry.host, entry.step) in putting:
                found[putting[entry.run, entry.host, entry.step]] = entry.at
            case Recognised():
                _recognised(entry, places, {})
            case _:
                pass
    return {place.host: at for place, at in sorted(found.items(), key=lambda item: item[1])}


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


def adapters_made(entries: Iterable[Entry]) -> dict[str, tuple[str, ...]]:
    """Adapters that were ever made on any host: name in lower case → GUIDs in lower case. An instance id is used again
    by Windows when its device is gone, a GUID never, on no host: whatever address a host has by now, its are its."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        if isinstance(entry, DeviceMade) and entry.guid:
            name = entry.name.lower()
            found[name] = tuple(dict.fromkeys((*found.get(name, ()), entry.guid.lower())))
    return found
