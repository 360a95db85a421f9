"""The check `director.way`: where the director's kernel sends a real server's packets, against what the wire says.

IPVS asks the kernel for the route to a RIP and for the neighbour there, as anybody does. The probes frame their packets
themselves, so that they prove a way that IPVS may not take.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable

from dsrwizard.core.diagnosis.evidence import Evidence, mac
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Vip
from dsrwizard.core.model.director_facts import DirectorLook, KernelWay, NeighbourEntry
from dsrwizard.core.model.facts import Interface
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical

_LOOK_FAILED = "The director's routes and neighbours could not be read."


def sources(evidence: Evidence, faults: Found) -> list[Check]:
    """`director.source`: whether the director speaks to the real servers from one of the VIPs. Run before all that is
    said of servers: they take such a packet for their own and do not answer."""
    look = evidence.director_look
    if look is None or look.problem:
        return []
    vips = {canonical(vip.address): vip for vip in evidence.deployment.vips}
    checks: list[Check] = []
    for address, vip in vips.items():
        used = [way for way in look.ways.values() if way.source and canonical(way.source) == address]
        used = [way for way in used if canonical(way.address) not in vips]
        if used:
            checks.append(_as_source(evidence, faults, look, vip, used))
    return checks


def _as_source(evidence: Evidence, faults: Found, look: DirectorLook, vip: Vip, used: list[KernelWay]) -> Check:
    where = Where(check="director.source", host=DIRECTOR, vip=vip.address)
    seen = "; ".join(f"{way.address} from {way.source} on {way.interface}" for way in used[:3])
    return faults.fail(
        where, Fault(host=DIRECTOR, cause="vip-as-source", vip=vip.address, family=vip.ip.version),
        f"The director uses {vip.address} as the source of its own packets, and servers, which have it too, do not "
        "answer them.",
        seen, f"On the director: {_give_precedence(evidence, look, vip, used)}",
    )  # fmt: skip


def _give_precedence(evidence: Evidence, look: DirectorLook, vip: Vip, used: list[KernelWay]) -> str:
    """The command after which the kernel speaks from the director's own address again."""
    director = evidence.observed.director
    held = [
        (link, entry) for link in (director.interfaces if director else ())
        for entry in link.addresses if canonical(entry.address) == canonical(vip.address)
    ]  # fmt: skip
    wide = next(((link, entry) for link, entry in held if entry.prefix != vip.prefix), None)
    if wide is not None:
        link, entry = wide
        device = shlex.quote(link.name)
        add = f"ip addr add {vip.address}/{vip.prefix} dev {device}"
        if vip.ip.version == 6:
            return f"{add} nodad preferred_lft 0 && ip addr del {entry.address}/{entry.prefix} dev {device}"
        keep = _conf(link.name, "promote_secondaries")
        promoted = any(look.settings.get(key) == "1" for key in (keep, _conf("all", "promote_secondaries")))
        steps = [] if any(one[1].prefix == vip.prefix for one in held) else [add]
        if not promoted:  # else the director's own address goes with the VIP's, which is the first of its network
            steps.append(f"sysctl -qw {shlex.quote(keep)}=1")
        steps.append(f"ip addr del {entry.address}/{entry.prefix} dev {device}")
        if not promoted:
            steps.append(f"sysctl -qw {shlex.quote(keep)}=0")
        return " && ".join(steps)
    if vip.ip.version == 6 and held:
        link, entry = held[0]
        return f"ip addr change {entry.address}/{entry.prefix} dev {shlex.quote(link.name)} preferred_lft 0"
    own = _own_address(evidence, vip, used[0])
    way = look.entries.get(canonical(used[0].address))
    if way is None or not own:
        return f"let the routes to the real servers have the director's own address as src, not {vip.address}"
    by = f" via {way.gateway}" if way.gateway else ""
    table = "" if way.table == "main" else f" table {way.table}"
    kernel = "" if way.gateway else " proto kernel scope link"
    metric = f" metric {way.metric}" if way.metric else ""
    return f"ip route replace {way.entry}{by} dev {shlex.quote(way.interface)}{kernel} src {own}{metric}{table}"


def _own_address(evidence: Evidence, vip: Vip, way: KernelWay) -> str:
    director = evidence.observed.director
    link = director.interface(way.interface) if director else None
    vips = {canonical(one.address) for one in evidence.deployment.vips}
    for entry in link.addresses if link else ():
        if (":" in entry.address) == (vip.ip.version == 6) and canonical(entry.address) not in vips:
            return entry.address
    return ""


def _conf(interface: str, name: str) -> str:
    return f"net.ipv4.conf.{interface.replace('.', '/')}.{name}"


def ways(evidence: Evidence, faults: Found, views: list[ServerView]) -> list[Check]:
    """`director.way` for every RIP; nothing where nobody looked. Run before all that is said of servers: what the
    director cannot reach it cannot log in to."""
    look = evidence.director_look
    if look is None:
        return []
    if look.problem:
        where = Where(check="director.way", host=DIRECTOR)
        return [where.unknown(_LOOK_FAILED, look.problem, "Compare with: ip route get RIP; ip neigh show to RIP")]
    return [_way(evidence, faults, look, view, rip) for view in views for rip in view.rips]


def _way(evidence: Evidence, faults: Found, look: DirectorLook, view: ServerView, rip: str) -> Check:
    where = Where(check="director.way", host=DIRECTOR, server=view.name)
    address = canonical(rip)
    way, entry = look.ways.get(address), look.entries.get(address)
    if way is None or entry is None:
        return where.unknown(
            f"The director's route to {view.name} was not read.", "", f"On the director: ip route get {rip}"
        )
    source = faults.find(DIRECTOR, "vip-as-source")
    if source is not None and source.family in (0, 6 if ":" in rip else 4):
        return where.follows(source, f"the director reaches {view.name} from a VIP.", f"source {way.source}")
    owners = evidence.owner(rip)
    here = not owners.problem and bool(owners.where)
    interface = evidence.deployment.director.interface
    stop = next((one for one in look.stops if address in map(canonical, one.covers)), None)
    if (
        (entry.kind not in ("unicast", "local") and stop is not None and stop.what == "rule")
        or entry.kind in ("blackhole", "unreachable", "prohibit")
        or (entry.problem and stop is not None)
    ):
        text = stop.text if stop is not None else f"{entry.kind} {entry.entry}"
        what = stop.what if stop is not None else "route"
        return faults.fail(
            where, Fault(host=DIRECTOR, cause="not-on-link", server=view.name),
            f"The director throws away packets for {view.name}: a {what} of its kernel says so.",
            f"ip {what}: {text}; {entry.problem or entry.kind}",
            f"On the director: ip{_six(rip)} {what} del {text}",
        )  # fmt: skip
    if entry.problem:
        return where.unknown(f"The director's kernel names no route to {rip}.", entry.problem, f"ip route get {rip}")
    if entry.kind == "local":
        return where.skipped(f"{view.name} is the director itself.", f"{rip} is an address of this machine")
    if entry.gateway and canonical(entry.gateway) != address:
        return _by_gateway(faults, where, view, rip, entry, here)
    if entry.interface != interface and here:
        return _elsewhere(evidence, faults, look, where, view, rip, entry)
    return _neighbour(evidence, faults, look, where, view, rip, entry)


def _six(address: str) -> str:
    return " -6" if ":" in address else ""


def _by_gateway(faults: Found, where: Where, view: ServerView, rip: str, entry: KernelWay, here: bool) -> Check:
    message = f"The kernel of the director sends {rip} ({view.name}) via {entry.gateway}, not directly."
    seen = _told(entry)
    if not here:
        return where.skipped(message, f"{seen}; nobody answers for {rip} on the link, see server.link")
    return faults.fail(
        where, Fault(host=DIRECTOR, cause="not-on-link", server=view.name), message,
        f"{seen}; {rip} answers on the director's own link", _drop_route(rip, entry),
    )  # fmt: skip


def _told(entry: KernelWay, spelt: Callable[[str], str] = str) -> str:
    """The route in the words of `ip route`; `spelt`: how an interface's name, in which anything may stand, is put."""
    parts = [entry.entry, f"via {entry.gateway}" if entry.gateway else "", f"dev {spelt(entry.interface)}"]
    parts.append("" if entry.table == "main" else f"table {entry.table}")
    return " ".join(part for part in parts if part)


def _drop_route(rip: str, entry: KernelWay) -> str:
    """Takes away the route that leads astray; one for every address of all is not touched."""
    metric = f" metric {entry.metric}" if entry.metric else ""
    if entry.entry == "default":
        if entry.table != "main":
            return (
                f"On the director: ip{_six(rip)} rule shows what leads {rip} to table {entry.table}; remove that rule, "
                "or give that table the route of the main one."
            )
        return f"On the director: ip{_six(rip)} route add {rip} dev INTERFACE, the one in the real servers' network"
    return f"On the director: ip{_six(rip)} route del {_told(entry, shlex.quote)}{metric}"


def _elsewhere(
    evidence: Evidence, faults: Found, look: DirectorLook, where: Where, view: ServerView, rip: str, entry: KernelWay
) -> Check:
    """The route leaves by another interface than the deployment's. Two cards in one network are no fault as long as the
    same machine answers there."""
    interface = evidence.deployment.director.interface
    there = _entry(look, rip, entry.interface)
    known = view.macs | {mac(one) for one in evidence.owner(rip).where}
    seen = f"{_told(entry)}; the deployment names {interface}"
    if there is not None and there.mac and mac(there.mac) in known and there.state not in ("failed", "incomplete"):
        return where.passed(
            f"The director reaches {view.name} by {entry.interface}, in the same network.",
            f"{seen}; {_entry_told(there)}",
        )
    link = _link(evidence, entry.interface)
    if there is None and (link is None or (link.up and link.kind not in ("dummy", "ifb"))):
        return where.unknown(
            f"The kernel of the director sends {rip} ({view.name}) by {entry.interface}, not by {interface}.",
            seen,
            f"On the director: ip{_six(rip)} route get {rip} shows it; ping -I {entry.interface} {rip} shows whether "
            "it is there.",
        )
    return faults.fail(
        where, Fault(host=DIRECTOR, cause="not-on-link", server=view.name),
        f"The kernel of the director sends {rip} ({view.name}) by {entry.interface}, where it is not.",
        seen + (f"; {_entry_told(there)}" if there else ""), _drop_route(rip, entry),
    )  # fmt: skip


def _link(evidence: Evidence, name: str) -> Interface | None:
    director = evidence.observed.director
    return director.interface(name) if director else None


def _entry(look: DirectorLook, rip: str, interface: str) -> NeighbourEntry | None:
    address = canonical(rip)
    return next((one for one in look.neighbours if one.address == address and one.interface == interface), None)


def _entry_told(one: NeighbourEntry) -> str:
    return (
        f"ip neigh: {one.address} dev {one.interface}"
        + (f" lladdr {one.mac}" if one.mac else "")
        + f" {one.state.upper()}"
    )


def _neighbour(
    evidence: Evidence, faults: Found, look: DirectorLook, where: Where, view: ServerView, rip: str, entry: KernelWay
) -> Check:
    owners, name = evidence.owner(rip), view.name
    known = view.nics | {mac(one) for one in owners.where}
    found = _entry(look, rip, entry.interface)
    small = _small(evidence, look, entry)
    if found is None or not found.mac or found.state in ("failed", "incomplete", "none"):
        told = f"; {_entry_told(found)}" if found is not None and found.state in ("failed", "incomplete") else ""
        return where.passed(f"The director sends packets for {name} directly.", f"{_told(entry)}{told}{small}")
    seen = f"{_entry_told(found)}; {rip} answers with {', '.join(owners.where) or 'nothing'}"
    if owners.problem or mac(found.mac) in known:
        return where.passed(
            f"The director sends packets for {name} directly.", f"{_told(entry)}; {_entry_told(found)}{small}"
        )
    whose = next((one for one, names in evidence.nics.items() if one == mac(found.mac)), "")
    other = ", ".join(sorted(evidence.nics[whose])) if whose else ""
    fix = f"On the director: ip neigh del {rip} dev {shlex.quote(found.interface)}"
    if not owners.where and not view.nics:
        return where.unknown(f"It is not known whether the director has the right MAC of {name}.", seen, fix)
    if found.fixed or (found.state == "reachable" and owners.where):
        return faults.fail(
            where, Fault(host=DIRECTOR, cause="director-neighbour", server=name),
            f"The director sends packets for {name} to the MAC {found.mac}"
            + (f", which is {other}'s." if other else f", which is not {name}'s."),
            seen, fix,
        )  # fmt: skip
    return where.unknown(
        f"The director has the MAC {found.mac} for {name}, which does not answer for it; the kernel is asking again.",
        seen,
        f"Verify again; if it stays so: ip neigh del {rip} dev {shlex.quote(found.interface)}",
    )


def _small(evidence: Evidence, look: DirectorLook, entry: KernelWay) -> str:
    """What is told of a way that takes smaller packets than its interface or than clients send."""
    size = entry.mtu or look.mtus.get(entry.interface, 0)
    if not size or size >= 1500:
        return ""
    return f"; takes packets of {size} bytes at most, larger ones are answered with an ICMP error"
