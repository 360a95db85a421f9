"""What a real server's own settings mean for its VIPs: guard, way back, reverse-path filter, and after a reboot."""

from __future__ import annotations

import shlex

from dsrwizard.core.diagnosis import windows, windows_served
from dsrwizard.core.diagnosis import windows_words as words
from dsrwizard.core.diagnosis.evidence import mac
from dsrwizard.core.diagnosis.found import Fault, Ledger, Where
from dsrwizard.core.diagnosis.reach import gone, settings
from dsrwizard.core.diagnosis.server_view import Reading
from dsrwizard.core.dialects.linux.plan import GUARD, GUARD_FILE, files_of, key, plan_server
from dsrwizard.core.model.changes import FileChange
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Vip
from dsrwizard.core.model.facts import Route
from dsrwizard.core.model.values import canonical


def within(reading: Reading, ledger: Ledger) -> list[Check]:
    """`server.guard`, `server.announce`, `server.gateway`: what a client-like SYN may stumble over comes before it."""
    if words.on_windows(reading):
        return [*windows.within(reading, ledger), *_gateway(reading, ledger)]
    return [_guard(reading, ledger), _announce(reading, ledger), *_gateway(reading, ledger)]


def afterwards(reading: Reading, ledger: Ledger) -> list[Check]:
    """`server.rp_filter` and `server.persistent`: what a client-like SYN has shown comes before them."""
    if words.on_windows(reading):
        where = Where(check="server.rp_filter", host=reading.name)
        skipped = where.skipped("Windows does not filter by the way back; what it has is the weak-host model.")
        return [skipped, windows_served.persistent(reading, ledger)]
    return [_rp_filter(reading, ledger), _persistent(reading, ledger)]


# -- the guard


def leak_reason(reading: Reading, vip: Vip) -> tuple[str, str]:
    """Why this server answers ARP for the VIP, by its facts, and the command that silences it; empty: unexplained."""
    if words.on_windows(reading):
        return windows.leak_reason(reading, vip)
    nic = reading.on_nic(vip)
    if nic is not None:
        entry = nic.has(vip.address)
        prefix = entry.prefix if entry else vip.prefix
        target = reading.server.vip_interface
        nodad = " nodad" if vip.ip.version == 6 else ""
        return (
            f"the VIP is on {nic.name}, which answers for its own addresses whatever the guard",
            f"ip addr del {vip.address}/{prefix} dev {shlex.quote(nic.name)} && "
            f"ip addr add {vip.address}/{vip.prefix} dev {target}{nodad}",
        )
    if vip.ip.version == 6 or reading.facts is None:
        return "", ""
    answering = _answering(reading, vip)
    value = reading.setting("arp_ignore", answering)
    if value is None or not _leaky(reading, vip, value):
        return "", ""
    everywhere = reading.facts.sysctls.get(key("all", "arp_ignore"), "0")
    own = reading.facts.sysctls.get(key(answering, "arp_ignore"), "0")
    writes = []
    if everywhere not in ("1", "2"):
        writes.append(f"{key('all', 'arp_ignore')}=1")
    if own not in ("0", "1", "2"):
        writes.append(f"{shlex.quote(key(answering, 'arp_ignore'))}=1")
    return (
        f"arp_ignore acts as {value} on {answering} (all={everywhere}, {answering}={own}; 1 or 2 is needed)",
        "sysctl -w " + " ".join(writes),
    )


def leak_fault(reading: Reading, vip: Vip) -> Fault:
    """One for the guard, which is of all IPv4 VIPs, and one for each VIP on an interface that no guard silences."""
    if reading.on_nic(vip) or vip.ip.version == 6 or words.on_windows(reading):
        return Fault(host=reading.name, cause="arp-leak", vip=vip.address)
    return Fault(host=reading.name, cause="arp-leak", family=4)


def _answering(reading: Reading, vip: Vip) -> str:
    """The interface whose MAC answered for the VIP, otherwise the one the director's frames come in by."""
    leak = reading.leaks(vip)
    for link in reading.facts.interfaces if reading.facts else ():
        if leak and mac(link.mac) == leak:
            return link.name
    return reading.nic.name if reading.nic else ""


def _leaky(reading: Reading, vip: Vip, value: int) -> bool:
    """Whether an effective arp_ignore answers for a VIP on lo or a dummy interface (ip-sysctl: 3 mutes only addresses
    of scope host; 4 to 7 mean nothing and so answer; 8 mutes all)."""
    if value == 3:
        return not any(entry.scope == "host" for _, entry in reading.entries(vip))
    return value not in (1, 2) and value < 8


def _guard(reading: Reading, ledger: Ledger) -> Check:
    where, name = Where(check="server.guard", host=reading.name), reading.name
    needing = [vip for vip in reading.vips if vip.ip.version == 4 or reading.on_nic(vip)]
    if not needing:
        return where.skipped("IPv6 VIPs need no guard: Linux answers for addresses of the asked interface only.")
    known = ledger.find(name, "arp-leak")
    audited = all(not reading.evidence.owner(vip.address).problem for vip in needing)
    reasons = [(vip, *leak_reason(reading, vip)) for vip in needing]
    reason = next((entry for entry in reasons if entry[1]), None)
    if known:
        return where.follows(known, reason[1] + "." if reason else "")
    mute = ledger.find(name, "unreachable") if reading.facts is not None and reading.mute() else None
    if mute:
        return where.follows(mute, settings(reading, "arp_ignore"))
    if reason:
        vip, words, command = reason
        if audited and all(reading.proven(other) for other in needing) and not reading.on_nic(vip):
            return where.passed(f"{name} stays silent about the VIP; something else than arp_ignore guards it.", words)
        return ledger.fail(
            where, leak_fault(reading, vip),
            f"{name} would answer ARP for {vip.address} and take the director's traffic.", words,
            f"On {name}: {command}",
        )  # fmt: skip
    if reading.facts is None or reading.setting("arp_ignore") is None:
        if audited and all(reading.proven(vip) for vip in needing):
            return where.passed(f"{name} holds the VIP and stays silent about it.", "no answer to who-has")
        return _unseen(where, reading, ledger, "the guard", f"sysctl net.ipv4.conf.{_nic(reading)}.arp_ignore")
    return where.passed(f"{name} is guarded: it does not answer ARP for the VIP.", settings(reading, "arp_ignore"))


def _announce(reading: Reading, ledger: Ledger) -> Check:
    where, name = Where(check="server.announce", host=reading.name), reading.name
    if not any(vip.ip.version == 4 for vip in reading.vips):
        return where.skipped("IPv6 knows no ARP.")
    value = reading.setting("arp_announce")
    if value is None:
        return _unseen(where, reading, ledger, "arp_announce", f"sysctl net.ipv4.conf.{_nic(reading)}.arp_announce")
    if value < 2:
        return ledger.fail(
            where, Fault(host=name, cause="arp-announce", family=4),
            f"{name} may name the VIP as sender in its own ARP requests, and neighbours would then send to it.",
            f"{settings(reading, 'arp_announce')}; 2 is needed",
            f"On {name}: sysctl -w net.ipv4.conf.all.arp_announce={GUARD['arp_announce']}",
        )  # fmt: skip
    return where.passed(f"{name} never names the VIP as sender in ARP.", settings(reading, "arp_announce"))


# -- the way back


def _families(reading: Reading) -> list[int]:
    return sorted({vip.ip.version for vip in reading.vips})


def _gateway(reading: Reading, ledger: Ledger) -> list[Check]:
    return [_gateway_of(reading, ledger, family) for family in _families(reading)]


def _gateway_of(reading: Reading, ledger: Ledger, family: int) -> Check:
    """The worst way back of the VIPs of a family: a policy route may send one of them elsewhere than the rest."""
    where, name = Where(check="server.gateway", host=reading.name), reading.name
    command = "ip route show default" if family == 4 else "ip -6 route show default"
    if words.on_windows(reading):
        command = words.show_gateway(reading, family)
    if reading.facts is None:
        return _unseen(where, reading, ledger, "the default gateway", command)
    ways = {vip.address: reading.way(family, vip) for vip in reading.vips if vip.ip.version == family}
    fault, own = Fault(host=name, cause="gateway", family=family), _own(reading)
    change = "ip route replace default" if family == 4 else "ip -6 route replace default"
    via = f"via {_router(reading, family)} dev {shlex.quote(reading.nic.name) if reading.nic else '<interface>'}"
    for vip, route in ways.items():
        if route is None:
            return ledger.fail(
                where, fault,
                f"{name} has no default gateway for IPv{family}: its replies to clients elsewhere go nowhere.",
                f"{command}: none", f"On {name}: {_lead(reading, family, None) or f'{change} {via}'}",
            )  # fmt: skip
        if route.gateway and canonical(route.gateway) in own:
            policy = _policy(reading, route)
            text = (
                f"The default gateway of {name} is the director, which drops replies that carry its own VIP as source."
            )
            if policy:
                text = f"A policy route of {name} sends replies from {vip} to the director, which drops them."
            return ledger.fail(
                where, fault, text, _told(reading, vip, route),
                f"On {name}: ip {'-6 ' if family == 6 else ''}rule shows the rule for {vip}; take it off, or let its "
                f"table say default {via}" if policy
                else f"On {name}: {_lead(reading, family, route) or f'{change} {via}'}",
            )  # fmt: skip
    told = dict.fromkeys(_told(reading, vip, route) for vip, route in ways.items() if route)
    evidence = reading.evidence
    if evidence.deployment.director.engine == "netlink" and evidence.observed.director is None:
        return where.unknown(
            f"Whether {name} replies past the director could not be seen: which addresses are the director's is not "
            "known.", "; ".join(told), "On the director: ip addr show",
        )  # fmt: skip
    return where.passed(f"{name} replies to clients past the director.", "; ".join(told))


def _lead(reading: Reading, family: int, instead: Route | None) -> str:
    """On Windows, the commands for a default gateway past the director; empty on Linux, which has its own."""
    if not words.on_windows(reading):
        return ""
    nic = reading.nic.name if reading.nic else "<adapter>"
    add = words.add_gateway(reading, family, nic, _router(reading, family))
    if instead is None:
        return add
    return f"{words.drop_gateway(reading, family, instead.interface, instead.gateway)}; {add}"


def _own(reading: Reading) -> set[str]:
    """The addresses of the director, where it is this machine and was looked at."""
    director = reading.evidence.observed.director
    if reading.evidence.deployment.director.engine != "netlink" or director is None:
        return set()
    return {canonical(entry.address) for link in director.interfaces for entry in link.addresses}


def _policy(reading: Reading, route: Route) -> bool:
    """Whether another rule than the default route leads this way."""
    default = reading.way(route.family)
    return default is None or (default.gateway, default.interface) != (route.gateway, route.interface)


def _told(reading: Reading, vip: str, route: Route) -> str:
    """A way back as `ip route` shows it; with the VIP where it is another than the default route."""
    way = f"{f'via {route.gateway} ' if route.gateway else ''}dev {route.interface}"
    return f"from {vip} {way}" if _policy(reading, route) else f"default {way}"


def _router(reading: Reading, family: int) -> str:
    """The director's own gateway: it is in the same network, and what it uses to reach clients serves here as well."""
    director = reading.evidence.observed.director
    routes = director.default_routes if director else ()
    return next((route.gateway for route in routes if route.family == family and route.gateway), "<router>")


def _rp_filter(reading: Reading, ledger: Ledger) -> Check:
    """What settings and routes say; the counter that a client-like SYN moved has spoken before (`clientlike`)."""
    where, name = Where(check="server.rp_filter", host=reading.name), reading.name
    vip = next((vip for vip in reading.vips if vip.ip.version == 4), None)
    if vip is None:
        return where.skipped("Reverse-path filtering by sysctl is for IPv4 only.")
    known = ledger.find(name, "rp-filter")
    if known:
        return where.follows(known, evidence=settings(reading, "rp_filter"))
    value = reading.setting("rp_filter")
    if value is None or reading.nic is None:
        return _unseen(where, reading, ledger, "rp_filter", f"sysctl net.ipv4.conf.{_nic(reading)}.rp_filter")
    seen = settings(reading, "rp_filter")
    route = reading.way(4, vip)
    if value != 1:
        return where.passed(f"{name} does not filter clients by the way back to them.", seen)
    if reading.accepts(4):
        return where.passed(f"{name} filters by the way back, and lets clients' packets in.", seen)
    if route is None:
        fault = ledger.find(name, "gateway")
        return where.follows(fault) if fault else where.unknown(f"{name} has no default route.", seen)
    if route.interface == reading.nic.name:
        return where.passed(f"The way back to clients leaves {name} where their packets come in.", seen)
    return filtered(reading, ledger, where, vip, "")


def filtered(reading: Reading, ledger: Ledger, where: Where, vip: Vip, seen: str) -> Check:
    """The fault rp-filter, with the settings and the way back behind it; `seen`: what was measured."""
    name, nic = reading.name, reading.nic.name if reading.nic else "<interface>"
    route = reading.way(4, vip)
    elsewhere = f"the way back to them leaves by {route.interface}" if route and route.interface != nic else (
        "the way back to them is another"
    )  # fmt: skip
    told = [seen, settings(reading, "rp_filter"), _told(reading, vip.address, route) if route else "no default route"]
    return ledger.fail(
        where, Fault(host=name, cause="rp-filter", family=4),
        f"{name} drops clients' packets: they come in by {nic}, {elsewhere}, and rp_filter is strict.",
        "; ".join(filter(None, told)), f"On {name}: sysctl -w {_setting(reading, 'rp_filter')}=2",
        shared=True,
    )  # fmt: skip


# -- after a reboot


def _persistent(reading: Reading, ledger: Ledger) -> Check:
    where, name = Where(check="server.persistent", host=reading.name), reading.name
    facts = reading.facts
    if facts is None:
        return _unseen(where, reading, ledger, "what a reboot leaves", "reboot it when it may be missed, then verify")
    if facts.persistence == "none":
        return where.unknown(
            f"Whether the VIP comes back on {name} after a reboot could not be seen: neither systemd nor ifupdown sets "
            "addresses there.",
            "", f"Set the VIP at boot by what {name} uses, then reboot it when it may be missed, and verify.",
        )  # fmt: skip
    deployment = reading.evidence.deployment
    plan = plan_server(deployment, reading.server, facts)
    if plan.problem:
        fault = ledger.find(name, "arp-leak")  # an address on the NIC, which no plan touches
        if fault:
            return where.follows(fault, evidence=plan.problem)
        return where.unknown(
            f"Whether a reboot would undo {name} could not be seen.", plan.problem, "Mend that, then verify again."
        )
    missing = {change.path for step in plan.steps for change in step.changes if isinstance(change, FileChange)}
    if not missing:
        return where.passed(f"{name} comes back from a reboot as it is now.", ", ".join(sorted(_written(reading))))
    applied = bool(_written(reading))
    right = {
        GUARD_FILE: not ledger.find(name, "arp-leak", "arp-announce"),
        "": not ledger.find(name, "vip-missing", "vip-prefix"),
    }
    lost = {path for path in missing if applied or right.get(path, right[""])}
    if not lost:
        fault = ledger.find(name, "vip-missing", "vip-prefix", "arp-leak", "arp-announce")
        return where.follows(fault) if fault else where.unknown(f"{name} is not set up yet.")
    what = "the guard" if lost == {GUARD_FILE} else "the VIP" if GUARD_FILE not in lost else "the guard and the VIP"
    return ledger.fail(
        where, Fault(host=name, cause="not-persistent"),
        f"{name} loses {what} at its next reboot.",
        f"not as it should be: {', '.join(sorted(lost))}",
        "dsrwizard apply writes what is missing.",
    )  # fmt: skip


def _written(reading: Reading) -> set[str]:
    """The files of this deployment that are there, in whatever state."""
    files = reading.facts.files if reading.facts else {}
    return {path for path in files_of(reading.evidence.deployment.name) if files.get(path) is not None}


def _nic(reading: Reading) -> str:
    return shlex.quote(reading.nic.name.replace(".", "/")) if reading.nic else "<interface>"


def _setting(reading: Reading, name: str) -> str:
    """A kernel setting of the interface the director's frames arrive on, as a word of a command."""
    return f"net.ipv4.conf.{_nic(reading)}.{name}"


def _unseen(where: Where, reading: Reading, ledger: Ledger, what: str, command: str) -> Check:
    fault = gone(ledger, reading)
    if fault and reading.facts is None:
        return where.follows(fault)
    why = "no login there" if reading.facts is None else f"no interface there holds {reading.server.address}"
    return where.unknown(
        f"{what[0].upper()}{what[1:]} on {reading.name} could not be seen.", why, f"On {reading.name}: {command}"
    )
