"""The checks of a Linux real server's own settings: ARP guard, reverse-path filter, state after a reboot."""

from __future__ import annotations

import shlex

from dsrwizard.core.diagnosis.evidence import mac
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.gateway import setting_unseen, way_shown
from dsrwizard.core.diagnosis.linux.boot import After, guard_after, vip_after
from dsrwizard.core.diagnosis.linux.way_back import judged, shown
from dsrwizard.core.diagnosis.reach import settings
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.dialects.linux.plan import GUARD, files_of, key, plan_server
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Vip

# -- the guard


def leak_reason(view: ServerView, vip: Vip) -> tuple[str, str]:
    """Why this server answers ARP for the VIP, by its facts, and the command that silences it; empty: unexplained."""
    nic = view.on_nic(vip)
    if nic is not None:
        here = [entry.prefix for link, entry in view.entries(vip) if link == nic]
        right = [link for link, entry in view.entries(vip) if link != nic and link.up and entry.prefix == vip.prefix]
        commands = [view.advice.take_vip(vip, nic.name, prefix) for prefix in here]
        if not any(link.name == "lo" or link.kind == "dummy" for link in right):
            commands.append(view.advice.put_vip(vip))
        return (
            f"the VIP is on {nic.name}, which answers for its own addresses whatever the guard",
            view.advice.in_turn(*commands),
        )
    if vip.ip.version == 6 or view.facts is None:
        return "", ""
    answering = _answering(view, vip)
    value = view.setting("arp_ignore", answering)
    if value is None or not _leaky(view, vip, value):
        return "", ""
    everywhere = view.facts.sysctls.get(key("all", "arp_ignore"), "0")
    own = view.facts.sysctls.get(key(answering, "arp_ignore"), "0")
    writes = []
    if everywhere not in ("1", "2"):
        writes.append(f"{key('all', 'arp_ignore')}=1")
    if own not in ("0", "1", "2"):
        writes.append(f"{shlex.quote(key(answering, 'arp_ignore'))}=1")
    return (
        f"arp_ignore acts as {value} on {answering} (all={everywhere}, {answering}={own}; 1 or 2 is needed)",
        "sysctl -w " + " ".join(writes),
    )


def leak_fault(view: ServerView, vip: Vip) -> Fault:
    """One for the guard, which is of all IPv4 VIPs, and one for each VIP on an interface that no guard silences."""
    if view.on_nic(vip) or vip.ip.version == 6:
        return Fault(host=view.name, cause="arp-leak", vip=vip.address)
    return Fault(host=view.name, cause="arp-leak", family=4)


def _answering(view: ServerView, vip: Vip) -> str:
    """The interface whose MAC answered for the VIP, otherwise the one the director's frames come in by; that one, too,
    where several have the MAC, as a VLAN interface and the one below it."""
    leak, nic = view.leaks(vip), view.nic.name if view.nic else ""
    having = [link.name for link in (view.facts.interfaces if view.facts else ()) if leak and mac(link.mac) == leak]
    return nic if nic in having or not having else having[0]


def _leaky(view: ServerView, vip: Vip, value: int) -> bool:
    """Whether an effective arp_ignore answers for a VIP on lo or a dummy interface (ip-sysctl: 3 mutes only addresses
    of scope host; 8 mutes all; other numbers mean nothing and so answer)."""
    if value == 3:
        return not any(entry.scope == "host" for _, entry in view.entries(vip))
    return value not in (1, 2, 8)


def guard(view: ServerView, faults: Found) -> Check:
    where, name = Where(check="server.guard", host=view.name), view.name
    needing = [vip for vip in view.vips if vip.ip.version == 4 or view.on_nic(vip)]
    if not needing:
        return where.skipped("IPv6 VIPs need no guard: Linux answers only for addresses of the asked interface.")
    known = faults.find(name, "arp-leak")
    audited = all(not view.evidence.owner(vip.address).problem for vip in needing)
    reasons = [(vip, *leak_reason(view, vip)) for vip in needing]
    reason = next((entry for entry in reasons if entry[1]), None)
    if known:
        return where.follows(known, reason[1] + "." if reason else "")
    mute = faults.find(name, "unreachable") if view.facts is not None and view.mute() else None
    if mute:
        return where.follows(mute, settings(view, "arp_ignore"))
    if reason:
        vip, words, command = reason
        if audited and all(view.proven(other) for other in needing) and not view.on_nic(vip):
            return where.passed(f"{name} does not answer ARP for the VIP; another guard than arp_ignore acts.", words)
        return faults.fail(
            where, leak_fault(view, vip),
            f"{name} would answer ARP for {vip.address} and take the director's traffic.", words,
            f"On {name}: {command}",
        )  # fmt: skip
    if view.facts is None or view.setting("arp_ignore") is None:
        if audited and all(view.proven(vip) for vip in needing):
            return where.passed(f"{name} has the VIP and does not answer ARP for it.", "no answer to who-has")
        return setting_unseen(where, view, faults, "the guard", f"sysctl net.ipv4.conf.{_nic(view)}.arp_ignore")
    return where.passed(f"{name} is guarded: it does not answer ARP for the VIP.", settings(view, "arp_ignore"))


def announce(view: ServerView, faults: Found) -> Check:
    where, name = Where(check="server.announce", host=view.name), view.name
    if not any(vip.ip.version == 4 for vip in view.vips):
        return where.skipped("IPv6 does not use ARP.")
    value = view.setting("arp_announce")
    if value is None:
        return setting_unseen(where, view, faults, "arp_announce", f"sysctl net.ipv4.conf.{_nic(view)}.arp_announce")
    if value < 2:
        return faults.fail(
            where, Fault(host=name, cause="arp-announce", family=4),
            f"{name} may use the VIP as sender in its ARP requests; neighbours would then send to it.",
            f"{settings(view, 'arp_announce')}; 2 is needed",
            f"On {name}: sysctl -w net.ipv4.conf.all.arp_announce={GUARD['arp_announce']}",
        )  # fmt: skip
    return where.passed(f"{name} never uses the VIP as sender in ARP.", settings(view, "arp_announce"))


# -- the way back of clients' packets


def rp_filter(view: ServerView, faults: Found) -> Check:
    """What settings and routes say; the counter that a client-like SYN moved has spoken before (`clientlike`)."""
    where, name = Where(check="server.rp_filter", host=view.name), view.name
    vip = next((vip for vip in view.vips if vip.ip.version == 4), None)
    if vip is None:
        return where.skipped("Reverse-path filtering by sysctl is for IPv4 only.")
    known = faults.find(name, "rp-filter")
    if known:
        return where.follows(known, evidence=settings(view, "rp_filter"))
    value = view.setting("rp_filter")
    if value is None or view.nic is None:
        return setting_unseen(where, view, faults, "rp_filter", f"sysctl net.ipv4.conf.{_nic(view)}.rp_filter")
    seen = settings(view, "rp_filter")
    route = view.way(4, vip)
    if value != 1:
        return where.passed(f"{name} does not drop clients' packets by reverse-path filtering.", seen)
    other = next((way for way in judged(view, 4) if way.real and way.interface not in ("", view.nic.name)), None)
    if other is not None:
        return filtered(view, faults, where, vip, f"from {other.vip} to {other.client}: {shown(other)}")
    if view.accepts(4):
        return where.passed(f"{name} uses reverse-path filtering, which lets clients' packets in.", seen)
    if route is None:
        fault = faults.find(name, "gateway")
        return where.follows(fault) if fault else where.unknown(f"{name} has no default route.", seen)
    if route.interface == view.nic.name:
        return where.passed(f"{name} replies to clients on the interface that receives their packets.", seen)
    return filtered(view, faults, where, vip, "")


def filtered(view: ServerView, faults: Found, where: Where, vip: Vip, seen: str) -> Check:
    """The fault rp-filter, with the settings and the way back behind it; `seen`: what was measured."""
    name, nic = view.name, view.nic.name if view.nic else "<interface>"
    route = view.way(4, vip)
    elsewhere = f"the route back to them uses {route.interface}" if route and route.interface != nic else (
        "the route back to them uses another"
    )  # fmt: skip
    told = [seen, settings(view, "rp_filter"), way_shown(view, vip.address, route) if route else "no default route"]
    return faults.fail(
        where, Fault(host=name, cause="rp-filter", family=4),
        f"{name} drops clients' packets: they arrive on {nic}, {elsewhere}, and rp_filter is strict.",
        "; ".join(filter(None, told)), f"On {name}: sysctl -w {_setting(view, 'rp_filter')}=2",
        shared=True,
    )  # fmt: skip


# -- after a reboot


def persistent(view: ServerView, faults: Found) -> Check:
    where, name = Where(check="server.persistent", host=view.name), view.name
    facts = view.facts
    boot = facts.linux.boot if facts is not None and facts.linux is not None else None
    if facts is None or boot is None:
        return setting_unseen(
            where, view, faults, "the state after a reboot", "reboot it in a maintenance window, then verify"
        )
    guard = guard_after(view, boot) if any(vip.ip.version == 4 for vip in view.vips) else After(state="kept")
    vips = {vip.address: vip_after(view, boot, vip) for vip in view.vips}
    every = [guard, *vips.values()]
    if all(one.state == "kept" for one in every):
        seen = dict.fromkeys(path for one in every for path in one.seen.split(", ") if path)
        return where.passed(f"{name} keeps its settings over a reboot.", ", ".join(seen))
    # Before a set-up, what a server lacks now it need not keep.
    applied = bool(_written(view))
    guarded = applied or not faults.find(name, "arp-leak", "arp-announce")
    held = {vip for vip in vips if applied or not faults.find(name, "vip-missing", "vip-prefix", vip=vip)}
    lost_guard = guard.state == "lost" and guarded
    lost_vips = [vip for vip, one in vips.items() if one.state == "lost" and vip in held]
    problem = plan_server(view.evidence.deployment, view.server, facts).problem
    leak = faults.find(name, "arp-leak")
    if problem and leak:  # an address on the NIC, which no plan touches
        return where.follows(leak, evidence=problem)
    if lost_guard or lost_vips:
        return _lost(view, faults, where, [guard] if lost_guard else [], {vip: vips[vip] for vip in lost_vips}, problem)
    fault = faults.find(name, "vip-missing", "vip-prefix", "arp-leak", "arp-announce")
    if fault:
        return where.follows(fault, evidence=problem)
    doubts = dict.fromkeys(one.seen for one in every if one.state == "unknown")
    if not doubts:
        return where.unknown(f"{name} is not set up yet.")
    what = "the guard" if all(one.state != "unknown" for one in vips.values()) else "the VIP"
    if guard.state == "unknown" and what == "the VIP":
        what = "the guard and the VIP"
    return where.unknown(
        f"Could not check whether {what} comes back on {name} after a reboot.", "; ".join(doubts),
        problem or f"Reboot {name} in a maintenance window, then verify.",
    )  # fmt: skip


def _lost(
    view: ServerView, faults: Found, where: Where, guard: list[After], vips: dict[str, After], problem: str
) -> Check:
    name = view.name
    what = " and ".join(filter(None, ("the guard" if guard else "", "the VIP" if vips else "")))
    every = [*guard, *vips.values()]
    reason = next((one.reason for one in every if one.reason), "")
    fixes = [*dict.fromkeys(f"On {name}: {one.fix}" for one in every if one.fix)]
    if any(not one.fix for one in every):
        fixes.append(problem or "dsrwizard apply writes what is missing.")
    return faults.fail(
        where, Fault(host=name, cause="not-persistent"),
        f"{name} loses {what} at its next reboot{f': {reason}' if reason else ''}.",
        "; ".join(dict.fromkeys(one.seen for one in every if one.seen)),
        ". Then: ".join(fixes) if len(fixes) > 1 else fixes[0],
    )  # fmt: skip


def _written(view: ServerView) -> set[str]:
    """The files of this deployment that are there, in whatever state."""
    files = view.facts.files if view.facts else {}
    return {path for path in files_of(view.evidence.deployment.name) if files.get(path) is not None}


def _nic(view: ServerView) -> str:
    return shlex.quote(view.nic.name.replace(".", "/")) if view.nic else "<interface>"


def _setting(view: ServerView, name: str) -> str:
    """A kernel setting of the interface the director's frames arrive on, as a word of a command."""
    return f"net.ipv4.conf.{_nic(view)}.{name}"
