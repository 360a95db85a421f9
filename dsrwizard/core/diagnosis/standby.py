"""The check `director.keepalived` of every director with keepalived: could it take the VIPs over, would it balance as
this file says, and does anybody look after what it holds.

A keepalived that was killed with all its processes leaves the VIPs and the table (kernel state goes with no process),
and the other director rightly takes the VIPs, too: an orphan.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

import msgspec

from dsrwizard.core.diagnosis.directors import holding
from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Deployment, Vip, Vrrp
from dsrwizard.core.model.facts import VirtualService
from dsrwizard.core.model.keepalived import (
    ENABLED_LINK,
    KEEPALIVED_UNIT,
    KeepalivedFacts,
    SyncDaemon,
    TableEntry,
    TableService,
    services_of,
    synchronised,
)
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical
from dsrwizard.core.plan.keepalived import keepalived_settings

_GLOBALS = "dsrwizard plan FILE names the line of its keepalived.conf that says so: change it, then apply."
_APPLY = "dsrwizard apply puts it right on both directors."
_ENABLE = "systemctl enable --now keepalived; journalctl -u keepalived -n 30"


class _Side(msgspec.Struct, frozen=True, kw_only=True):
    """One director as it was looked at. `name`: its host in checks; `called`: in sentences."""

    name: str
    called: str
    interface: str
    seen: KeepalivedFacts
    table: tuple[TableService, ...] | None
    """None: it was not looked at."""


def standby(evidence: Evidence, faults: Found) -> list[Check]:
    """`director.keepalived` of every director. Comes before `director.role`, which an orphan explains."""
    director = evidence.deployment.director
    if director.engine != "keepalived":
        return []
    checks: list[Check] = []
    sides = list(_sides(evidence))
    looked = [one for one in sides if isinstance(one, _Side)]
    for side in sides:
        checks += [side] if isinstance(side, Check) else _judged(evidence, faults, side, looked)
    return checks


def _sides(evidence: Evidence) -> Iterator[_Side | Check]:
    """Every director that was looked at; a check for each that was not."""
    director, observed = evidence.deployment.director, evidence.observed
    if observed.director is not None and observed.director.keepalived is not None:
        table = None if observed.director.services is None else tuple(map(_row, observed.director.services))
        yield _Side(
            name=DIRECTOR, called="This director", interface=director.interface, seen=observed.director.keepalived,
            table=table,
        )  # fmt: skip
    for peer in director.peers:
        facts = observed.servers.get(peer.name)
        if facts is not None and facts.keepalived is not None:
            seen = facts.keepalived
            interface = director.interface_of(peer)
            yield _Side(name=peer.name, called=peer.name, interface=interface, seen=seen, table=seen.table or ())
            continue
        failure = observed.failed.get(peer.name)
        yield Where(check="director.keepalived", host=peer.name).unknown(
            f"Could not check whether {peer.name} could take the VIPs over.",
            failure.what if failure is not None else "It was not looked at.",
            (failure.next if failure is not None else "") or f"Try: ssh {peer.user or 'root'}@{peer.address}",
        )


def _row(service: VirtualService) -> TableService:
    key, state = service.key, service.state
    entries = tuple(
        TableEntry(address=one.address, port=one.port, method=one.state.method, weight=one.state.weight,
                   active=one.active)
        for one in service.destinations
    )  # fmt: skip
    return TableService(
        protocol=key.protocol, address=key.address, port=key.port, scheduler=state.scheduler,
        persistence=state.persistence, entries=entries,
    )  # fmt: skip


def _holds(evidence: Evidence, side: _Side, vip: Vip) -> bool:
    return side.name in holding(evidence, vip).names


def _had(evidence: Evidence, side: _Side, vip: Vip) -> bool | None:
    """Whether the director had the VIP when it was looked at; None: its addresses are not known."""
    here, there = evidence.observed.director, evidence.observed.servers.get(side.name)
    links = here.interfaces if side.name == DIRECTOR and here else there.interfaces if there else ()
    known = [link for link in links if link.name == side.interface]
    return any(link.has(vip.address) for link in known) if known else None


def _judged(evidence: Evidence, faults: Found, side: _Side, looked: Sequence[_Side]) -> list[Check]:
    where = Where(check="director.keepalived", host=side.name)
    deployment = evidence.deployment
    on = "On the director" if side.name == DIRECTOR else f"On {side.name}"
    held = [vip for vip in deployment.vips if _holds(evidence, side, vip)]
    if not side.seen.running and held:
        taken = "; ".join(f"ip addr del {vip.ip}/{vip.prefix} dev {shlex.quote(side.interface)}" for vip in held)
        alone = not any(len(holding(evidence, vip).names) > 1 for vip in held)
        words = "clients are served, and nobody notices when it dies" if alone else "another director has taken it too"
        names = ", ".join(vip.address for vip in held)
        return [
            faults.fail(
                where, Fault(host=side.name, cause="orphan-vip"),
                f"{side.called} holds {names} and keepalived does not run there: {words}.",
                "no process keepalived in its network namespace",
                f"{on}: {_start(side.seen)}" if alone else f"{on}: {taken}; {_start(side.seen)}",
            )
        ]  # fmt: skip
    if not side.seen.running and not deployment.director.peers:
        return [where.skipped("keepalived does not run, so nobody holds the VIPs: see director.vip.")]
    serves = {_holds(evidence, side, vip) for vip in deployment.vips if not holding(evidence, vip).problem}
    if any(_had(evidence, side, vip) not in (None, _holds(evidence, side, vip)) for vip in deployment.vips):
        serves = set()  # they have changed over since it was looked at, and its daemons with them
    amiss = list(_amiss(deployment, side, serves.pop() if len(serves) == 1 else None))
    if amiss:
        first, fix = amiss[0]
        here = (_start(side.seen), _anew(side.seen), _ENABLE, f"systemctl unmask {KEEPALIVED_UNIT}; {_ENABLE}")
        return [
            faults.fail(
                where, Fault(host=side.name, cause="no-standby", aside=True),
                f"{side.called} could not take the VIPs over as it should: {first}.",
                "; ".join(words for words, _ in amiss), f"{on}: {fix}" if fix in here else fix,
            )
        ]  # fmt: skip
    return [where.passed(f"{side.called} is ready to hold the VIPs.", _figures(evidence, side, looked))]


def _anew(seen: KeepalivedFacts) -> str:
    """Starts keepalived anew: the other director takes over meanwhile, or serves already."""
    if seen.by == "unit":
        return "systemctl restart keepalived"
    pid = "/run/keepalived.pid"
    return f"kill $(cat {pid}); while [ -e {pid} ]; do sleep 0.1; done; keepalived"


def _start(seen: KeepalivedFacts) -> str:
    return "systemctl start keepalived" if seen.systemd else "keepalived"


def _amiss(deployment: Deployment, side: _Side, serves: bool | None) -> Iterator[tuple[str, str]]:
    """What is wrong, in half a sentence, and what to do; the worst first. `serves`: it has the VIPs; None: not known,
    or some of them."""
    seen = side.seen
    if not seen.version:
        yield "keepalived is not installed there", "Install keepalived there, then: dsrwizard apply FILE"
        return
    if not seen.running:
        yield "keepalived does not run there", _ENABLE if seen.systemd else _start(seen)
    if seen.masked:
        yield "its unit is masked", f"systemctl unmask {KEEPALIVED_UNIT}; {_ENABLE}"
    elif seen.systemd and seen.files.get(ENABLED_LINK) is None:
        yield "its unit is not enabled, so the next boot does not start it", _ENABLE
    if seen.other_config:
        yield f"it reads {seen.other_config} and not the files of this deployment", _APPLY
    for name, value in keepalived_settings(deployment, side.interface).items():
        now = seen.sysctls.get(name)
        if now is not None and now != value[0]:
            yield f"{name} is {now} there, not {value[0]}", _APPLY
    if seen.running and synchronised(deployment) and seen.sync is not None:
        yield from _unsynchronised(deployment, side, seen.sync, serves)
    if seen.running and side.table is not None:
        yield from _table(deployment, side.table)


def _unsynchronised(
    deployment: Deployment, side: _Side, daemons: tuple[SyncDaemon, ...], serves: bool | None
) -> Iterator[tuple[str, str]]:
    """What keeps the directors from telling each other of connections. keepalived has the one that serves send and the
    other one listen; both have to use one network and one id."""
    told = "; ".join(map(str, daemons))
    number = (deployment.director.vrrp or Vrrp()).router_id
    line = f"lvs_sync_daemon {side.interface} "
    if not daemons:
        yield "no synchronisation daemon runs there, and its scheduler needs one", _anew(side.seen)
    elif any(one.interface != side.interface or one.id != number for one in daemons):
        yield (
            f"its synchronisation daemon is {told}, not on {side.interface} with id {number}",
            (_anew(side.seen) if any(line in text for text in side.seen.texts.values()) else _GLOBALS),
        )
    elif serves is not None and (wanted := "master" if serves else "backup") not in {one.state for one in daemons}:
        what = "it serves" if serves else "it stands by"
        yield f"its synchronisation daemon is {told}, and {what}, so it has to be {wanted}", _anew(side.seen)
    elif serves is False and any(one.state == "master" for one in daemons):
        yield f"its synchronisation daemon is {told}: it sends though it stands by", _anew(side.seen)


def _table(deployment: Deployment, table: tuple[TableService, ...]) -> Iterator[tuple[str, str]]:
    """Weights are left out: a guard or a check of keepalived sets them, and the two may see a server a round apart."""
    found = {(one.protocol, canonical(one.address), one.port): one for one in table}
    for vip, service in services_of(deployment):
        name = f"{vip.address} {service.label}"
        there = found.get((service.protocol, canonical(vip.address), service.port))
        if there is None:
            yield f"its IPVS has no service {name}", _APPLY
            continue
        if there.scheduler != service.scheduler:
            yield f"its IPVS has {name} with the scheduler {there.scheduler}, not {service.scheduler}", _APPLY
        entries = {canonical(one.address): one for one in there.entries}
        for server in deployment.servers_of(vip):
            rip = server.rip_for(vip)
            entry = entries.get(canonical(rip)) if rip is not None else None
            if rip is not None and entry is None:
                yield f"its IPVS has no {server.name} in {name}", _APPLY
            elif entry is not None and entry.method not in ("dr", "local"):
                yield f"its IPVS sends to {server.name} in {name} by {entry.method}, not directly", _APPLY


def _open(side: _Side) -> int:
    return sum(entry.active for one in side.table or () for entry in one.entries)


def _figures(evidence: Evidence, side: _Side, looked: Sequence[_Side]) -> str:
    """What a takeover would find there: connections beside those of the others, and whether directors tell each other
    of them."""
    beside = "".join(
        f" ({'this director' if one.name == DIRECTOR else one.name}: {_open(one)})" for one in looked
        if one is not side and one.table is not None
    )  # fmt: skip
    said = [f"keepalived {side.seen.version}", f"{_open(side)} open connections{beside}"]
    look = evidence.director_look
    if side.seen.sync is not None:
        if side.seen.sync or synchronised(evidence.deployment):
            said.append(f"synchronisation: {'; '.join(map(str, side.seen.sync)) or 'off'}")
    elif side.name == DIRECTOR and look is not None and look.sync is not None:
        said.append(f"synchronisation: {', '.join(look.sync) or 'off'}")
        if synchronised(evidence.deployment) and not look.sync:
            said.append("its scheduler needs it")
    if side.seen.systemd:
        said.append("enabled")
    return ", ".join(said)
