"""Changes and plans as text: a symbol, the subject, old → new, in order of execution. Pure.

The same words for the review, the apply confirmation and the change ticket.
"""

from __future__ import annotations

import difflib
from typing import Literal

from dsrwizard.core.model.changes import (
    AddressChange,
    AnnounceChange,
    Change,
    DestinationChange,
    DestinationState,
    FileChange,
    FileState,
    FolderChange,
    KeepalivedChange,
    LinkChange,
    ModeChange,
    ModuleChange,
    SaveChange,
    SavedTableChange,
    ServiceChange,
    ServiceState,
    SysctlChange,
    UnitChange,
    WindowsChange,
)
from dsrwizard.core.model.restoring import saved_path
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Plan, Step
from dsrwizard.core.plan.waves import names, wave_of
from dsrwizard.core.record.owed import identity

Symbol = Literal["+", "~", "-", ">"]
LEGEND: dict[str, str] = {"+": "new", "~": "changed", "-": "removed", ">": "done once", "=": "unchanged"}
"""What each symbol means, in the order of a legend."""


class Difference(Shown, frozen=True, kw_only=True):
    """A change as one line. `old` is empty for what is new, `new` for what is removed; both for what is done once."""

    symbol: Symbol
    what: str
    old: str = ""
    new: str = ""

    def text(self, arrow: str = "→") -> str:
        """`arp_ignore 0 → 1`, without the symbol."""
        if self.old and self.new:
            return f"{self.what}  {self.old} {arrow} {self.new}"
        return f"{self.what}  {self.new or self.old}".rstrip()


def difference(change: Change) -> Difference:
    """This change as one line."""
    match change:
        case SysctlChange(key=key, old=old, new=new):
            return Difference(symbol="~", what=key, old=old, new=new)
        case AddressChange(address=address, prefix=prefix, interface=interface):
            return Difference(symbol=_symbol(change.old, change.new), what=f"address {address}/{prefix} on {interface}")
        case LinkChange(interface=interface):
            return Difference(symbol=_symbol(change.old, change.new), what=f"dummy interface {interface}")
        case FileChange(path=path):
            symbol = _symbol(change.old, change.new)
            return Difference(symbol=symbol, what=f"file {path}", old=_file(change.old), new=_file(change.new))
        case FolderChange(path=path):
            return Difference(symbol=_symbol(change.old, change.new), what=f"folder {path}")
        case ServiceChange(service=key):
            symbol = _symbol(change.old, change.new)
            what = f"service {key.address} {key.protocol}/{key.port}"
            return Difference(symbol=symbol, what=what, old=_service(change.old), new=_service(change.new))
        case DestinationChange(service=key, address=address):
            symbol = _symbol(change.old, change.new)
            what = f"destination {address} of {key.address} {key.protocol}/{key.port}"
            old, new = _destination(change.old, change.new), _destination(change.new, change.old)
            return Difference(symbol=symbol, what=what, old=old, new=new)
        case WindowsChange(item=item, key=key, old=old, new=new):
            return Difference(symbol=_symbol(old, new), what=f"{item} {key}", old=old or "", new=new or "")
        case KeepalivedChange(of="daemon", new=new):
            return Difference(symbol=">", what=f"keepalived {'starts' if new == 'running' else 'stops'}")
        case KeepalivedChange(new=new):
            does = "reads its files again" if new == "read" else "checks the new files"
            return Difference(symbol=">", what=f"keepalived {does}")
        case UnitChange(of="networkd"):
            return Difference(symbol=">", what="networkd reads its files again")
        case UnitChange(of="bird"):
            return Difference(symbol=">", what="BIRD checks its files and reads them")
        case UnitChange(of="service", unit=unit, new=new):
            return Difference(symbol=">", what=f"{unit} {'starts' if new == 'running' else 'stops'}")
        case UnitChange():
            return Difference(symbol=">", what="systemd reloads its units")
        case ModeChange(of=of, name=name):
            return Difference(symbol=_symbol(change.old, change.new), what=f"{of} {name} of the load balancer")
        case SaveChange():
            return Difference(symbol=">", what="the load balancer saves its configuration")
        case SavedTableChange(deployment=name):
            symbol = _symbol(change.old, change.new)
            return Difference(symbol=symbol, what=f"file {saved_path(name)}", new="table, VIPs, settings")
        case ModuleChange(module=module):
            return Difference(symbol=">" if change.old else "+", what=f"kernel module {module}")
        case AnnounceChange(address=address, interface=interface):
            return Difference(symbol=">", what=f"announce {address} on {interface}")


def _symbol(old: object, new: object) -> Symbol:
    if not old:
        return "+"
    return "~" if new else "-"


def _file(state: FileState | None) -> str:
    if state is None:
        return ""
    if state.target is not None:
        return f"link to {state.target}"
    count = len(state.content.splitlines())
    return f"{count} line{'' if count == 1 else 's'}"


def _service(state: ServiceState | None) -> str:
    if state is None:
        return ""
    return state.scheduler + (f", persistence {state.persistence} s" if state.persistence else "")


def _destination(state: DestinationState | None, other: DestinationState | None) -> str:
    if state is None:
        return ""
    if other is not None and other.method == state.method:
        return f"weight {state.weight}"
    return f"{state.method}, weight {state.weight}"


def file_difference(change: FileChange) -> str:
    """The file's old and new text as a unified diff; empty for links and for equal texts."""
    old = change.old.content if change.old and change.old.target is None else ""
    new = change.new.content if change.new and change.new.target is None else ""
    lines = difflib.unified_diff(
        old.splitlines(),
        new.splitlines(),
        change.path if change.old else "/dev/null",
        change.path if change.new else "/dev/null",
        lineterm="",
    )
    return "\n".join(lines)


class StepGroup(Shown, frozen=True, kw_only=True):
    """Steps of one host that run one after the other. The director has two: before the servers, and after them."""

    host: str
    heading: str
    steps: tuple[Step, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()

    @property
    def unchanged(self) -> bool:
        return not (self.steps or self.problem)


_LATE = ("destination", "weight")


def groups(plan: Plan) -> tuple[StepGroup, ...]:
    """The plan in order of execution: the director's own part, the real servers by wave, then what of the director
    waits for each server (weight 0, probe, weight), at last what is no longer in the deployment."""
    first: list[StepGroup] = []
    servers: list[StepGroup] = []
    late: list[StepGroup] = []
    leaving: list[StepGroup] = []
    for host in sorted(plan.hosts, key=lambda host: wave_of(plan, host.host)):
        gone = tuple(step for step in host.steps if step.phase == "withdraw")
        stays = tuple(step for step in host.steps if step.phase != "withdraw")
        early = tuple(step for step in stays if host.host != DIRECTOR or not _waits(step))
        waiting = tuple(step for step in stays if step not in early)
        notes = host.notes
        if early or host.problem or not (waiting or gone):
            (first if host.host == DIRECTOR else servers).append(_group(host, host.host, early))
            notes = ()
        if waiting:
            heading = f"{DIRECTOR}, as each server is ready"
            late.append(StepGroup(host=DIRECTOR, heading=heading, steps=waiting, notes=notes))
            notes = ()
        if gone:
            heading = f"{host.host}, no longer in the deployment"
            group = StepGroup(host=host.host, heading=heading, steps=gone, notes=notes)
            leaving.insert(0 if host.host == DIRECTOR else len(leaving), group)
    return (*first, *servers, *late, *leaving)


def _waits(step: Step) -> bool:
    """What keeps the director over a reboot is written last: where it cannot be, clients are served all the same."""
    late = step.phase in _LATE or step.purpose == "persistence"
    return bool(step.server) or step.proof is not None or step.awaits or late


def _group(host: HostPlan, heading: str, steps: tuple[Step, ...]) -> StepGroup:
    return StepGroup(host=host.host, heading=heading, steps=steps, problem=host.problem, notes=host.notes)


def symbols(plan: Plan) -> tuple[str, ...]:
    """The symbols this plan uses, in the legend's order."""
    used: set[str] = {difference(change).symbol for step in plan.steps for change in step.changes}
    if any(group.unchanged for group in groups(plan)):
        used.add("=")
    return tuple(symbol for symbol in LEGEND if symbol in used)


def count_line(plan: Plan) -> str:
    """`9 steps on 4 hosts, 1 host unchanged, 1 host cannot be planned: web4`."""
    busy = [host for host in plan.hosts if host.steps]
    same = [host for host in plan.hosts if not host.steps and not host.problem]
    broken = [host for host in plan.hosts if host.problem]
    parts = [f"{_count(len(plan.steps), 'step')} on {_count(len(busy), 'host')}"] if busy else ["nothing to do"]
    if same:
        parts.append(f"{_count(len(same), 'host')} unchanged")
    if broken:
        named = [host.host for host in broken]
        parts.append(f"{_count(len(broken), 'host')} cannot be planned: {names(named)}")
    return ", ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def replaced_or_removed(plan: Plan) -> tuple[str, ...]:
    """What of what exists now is replaced or removed, as lines: the reason to ask twice. Kernel settings do not count
    (their old value is kept), nor does what an earlier step of the same plan makes."""
    made: set[tuple[str, str]] = set()
    lines: list[str] = []
    for host in plan.hosts:
        for step in host.steps:
            for change in step.changes:
                what = (host.host, identity(change))
                existing = bool(getattr(change, "old", None)) and what not in made
                made.add(what)
                if existing and isinstance(
                    change, FileChange | AddressChange | LinkChange | ServiceChange | DestinationChange
                ):
                    found = difference(change)
                    lines.append(f"{host.host}: {found.symbol} {found.text()}")
    return tuple(lines)


def interruptions(plan: Plan) -> tuple[str, ...]:
    """What could interrupt traffic, each once, with its host."""
    return tuple(dict.fromkeys(f"{step.host}: {step.interrupts}" for step in plan.steps if step.interrupts))
