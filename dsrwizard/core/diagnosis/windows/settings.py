"""The checks of a Windows real server's own settings (field guide C1 to C9).

Each question is asked of the facts on its own, so that no fault hides another; what the wire proved goes before them.
`explained` gives a probe that failed the fault the facts show. The interface metric is no guard and is never looked at
(C11).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.server_faults import NO_VIP
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.diagnosis.windows.placed import (
    claimed,
    conflict_fault,
    events,
    leak_reason,
    on_real,
    real,
    stuck,
    stuck_fault,
)
from dsrwizard.core.diagnosis.windows.served import firewall_fault, served, site_fault
from dsrwizard.core.diagnosis.windows.view import advice_of, facts_of
from dsrwizard.core.dialects.windows import advice
from dsrwizard.core.dialects.windows.commands import UNBINDABLE
from dsrwizard.core.dialects.windows.plan import NETBIOS_OFF, nic_of, target
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.values import parsed
from dsrwizard.core.model.windows_facts import WindowsAdapter, WindowsFacts

IP = {4: "ms_tcpip", 6: "ms_tcpip6"}
"""The component that an adapter needs for a family."""


def settings(view: ServerView, faults: Found) -> list[Check]:
    """`server.guard`, `server.adapter`, `server.bindings`, `server.weak_host`, `server.announce`, `server.conflict`,
    `server.firewall`, `server.sites`."""
    families = sorted({vip.ip.version for vip in view.vips})
    return [
        _guard(view, faults),
        _adapter(view, faults),
        _bindings(view, faults),
        *(_weak_host(view, faults, family) for family in families),
        _speaks(view, faults),
        *_conflicts(view, faults),
        *served(view, faults),
    ]


def explained(
    view: ServerView, faults: Found, vip: Vip, service: Service, where: Where, seen: str
) -> Check | None:  # fmt: skip
    """The fault behind a VIP that is there and does not answer, by the facts; None: they show none."""
    if facts_of(view) is None:
        return None
    strict = _strict(view, vip.ip.version)
    if strict and not _came_in(view, vip):
        return _weak_host_fault(view, faults, where, vip.ip.version, strict, seen)
    unbound = site_fault(view, faults, vip, service, where, seen)
    if unbound is not None or view.listening(vip, service) in ("nowhere", "elsewhere"):
        return unbound
    return firewall_fault(view, faults, vip, service, where, seen)


# -- the adapter that carries the VIPs


def _carriers(view: ServerView, facts: WindowsFacts, family: int = 0) -> list[WindowsAdapter]:
    """The loopback adapters that carry VIPs (of a family), and the one that is to."""
    vips = [vip for vip in view.vips if family in (0, vip.ip.version)]
    found = {one.name: one for vip in vips for one in facts.carrying(str(vip.ip)) if not real(one)}
    ours = facts.adapter(target(view.server))
    missing = any(not any(not real(one) for one in facts.carrying(str(vip.ip))) for vip in vips)
    if ours is not None and not real(ours) and (missing or not found):
        found[ours.name] = ours
    return list(found.values())


def _unusable(view: ServerView) -> tuple[str, str, str]:
    """Why the adapter can carry no VIP: what is wrong, what was seen, what mends it. Empty: it can."""
    facts = facts_of(view)
    if facts is None or not view.vips:
        return "", "", ""
    name = target(view.server)
    carriers = _carriers(view, facts)
    if not carriers and facts.adapters_unknown:
        return "", "", ""
    if not carriers:
        others = ", ".join(adapter.name for adapter in facts.loopbacks)
        seen = f"no adapter there is called {name}" + (f"; loopback adapters of others: {others}" if others else "")
        return f"The loopback adapter {name} is not on {view.name}, so nothing can carry the VIP.", seen, (
            advice_of(view).install()
        )  # fmt: skip
    for adapter in carriers:
        if not adapter.up:
            return (
                f"The loopback adapter {adapter.name} of {view.name} is disabled, and the VIP with it.",
                f"{adapter.name} is down", advice_of(view).enable(adapter.name),
            )  # fmt: skip
        for family in sorted({vip.ip.version for vip in view.vips}):
            if (adapter.bindings or {}).get(IP[family]) is False:
                return (
                    f"IPv{family} is not bound to the loopback adapter {adapter.name} of {view.name}, which so "
                    "carries no VIP.",
                    f"{IP[family]} is off", advice.bind(adapter, IP[family], on=True),
                )  # fmt: skip
    return "", "", ""


def _adapter_fault(view: ServerView, faults: Found, where: Where, seen: str = "") -> Check | None:
    """The fault windows-adapter of an adapter that can carry no VIP."""
    message, evidence, fix = _unusable(view)
    if not message:
        return None
    return faults.fail(
        where, Fault(host=view.name, cause="windows-adapter"), message,
        "; ".join(filter(None, (seen, evidence))), f"On {view.name}: {fix}",
    )  # fmt: skip


def vip_gone(view: ServerView, faults: Found, vip: Vip, where: Where, seen: str) -> Check | None:
    """What lies behind a VIP that is not on the server: its adapter, another host that has it, or an adapter of the
    network on which it is of no use; None: none of them."""
    if stuck(view, vip) is None:
        check = _adapter_fault(view, faults, where, seen)
        if check is not None:
            return check
    if claimed(view, vip):
        return conflict_fault(view, faults, vip, where, seen)
    return stuck_fault(view, faults, vip, where, seen)


def _adapter(view: ServerView, faults: Found) -> Check:
    """`server.adapter`: it is there, and says nothing of the VIP to anybody."""
    where, name, facts = Where(check="server.adapter", host=view.name), view.name, facts_of(view)
    if facts is None:
        return _unseen(where, view, faults, "the loopback adapter", advice_of(view).show_adapters())
    broken = _adapter_fault(view, faults, where)
    if broken is not None:
        return broken
    carriers = _carriers(view, facts)
    if not carriers and facts.adapters_unknown:
        return _unseen(where, view, faults, "the loopback adapter", advice_of(view).show_adapters())
    if all(adapter.pseudo for adapter in carriers):
        return where.skipped("The built-in pseudo-interface registers nowhere and has no settings of this kind.")
    loud = [entry for adapter in carriers if adapter.loopback for entry in _talks(view, adapter)]
    known = all(
        None not in (adapter.dns_registration, adapter.netbios) for adapter in carriers if adapter.loopback
    )  # fmt: skip
    names = ", ".join(adapter.name for adapter in carriers)
    if loud:
        what, evidence, fixes = zip(*loud, strict=True)
        aside = "it has a default gateway" not in what  # that one may take the replies
        return faults.fail(
            where, Fault(host=name, cause="windows-adapter", aside=aside),
            f"The loopback adapter {names} of {name} exposes the VIP: {', '.join(what)}.",
            "; ".join(evidence), f"On {name}: {'; '.join(fixes)}",
        )  # fmt: skip
    if not known:
        return where.unknown(
            f"Could not check whether {names} of {name} registers the VIP in DNS or NetBIOS.",
            _said(carriers, "dns", "netbios"),
            f"On {name}: ipconfig /all (in the adapter's IPv4 settings, DNS registration and NetBIOS must be off)",
        )  # fmt: skip
    return where.passed(f"{names} of {name} does not expose the VIP.", "no gateway, DHCP, DNS registration or NetBIOS")


def _talks(view: ServerView, adapter: WindowsAdapter) -> list[tuple[str, str, str]]:
    """By which settings the adapter makes the VIP known, or takes what is not its: what, seen, the command."""
    found = []
    if adapter.dns_registration or adapter.dns_suffix_registration:
        found.append(
            (
                "its addresses are registered in DNS",
                f"DNS registration {'on' if adapter.dns_registration else 'of the suffix on'}",
                advice_of(view).unregister(adapter),
            )
        )
    if adapter.netbios not in (None, NETBIOS_OFF):
        found.append(
            ("NetBIOS is on", f"TcpipNetbiosOptions {adapter.netbios}, 2 is off", advice.no_netbios(adapter))
        )  # fmt: skip
    settings = adapter.of(4)
    first = next((vip for vip in view.vips if vip.ip.version == 4), None)
    static = advice_of(view).static(adapter.name, first)
    if settings is not None and settings.dhcp and static:
        found.append(("DHCP is on", "DHCP on", static))
    for gateway in adapter.gateways:
        family = parsed(gateway).version
        found.append(
            (
                "it has a default gateway",
                f"default gateway {gateway}",
                advice_of(view).drop_gateway(family, adapter.name, gateway),
            )
        )
    bound = [one for one, on in sorted((adapter.bindings or {}).items()) if on and one in UNBINDABLE and one != IP[6]]
    if bound:
        commands = "; ".join(advice.bind(adapter, one, on=False) for one in bound)
        found.append(("more than IP is bound to it", f"bound: {', '.join(bound)}", commands))
    return found


def _bindings(view: ServerView, faults: Found) -> Check:
    """`server.bindings`: on generations that cannot tell, the operator has to look."""
    where, name, facts = Where(check="server.bindings", host=view.name), view.name, facts_of(view)
    if facts is None:
        command = advice_of(view).show_bindings(target(view.server))
        return _unseen(where, view, faults, "what is bound to the loopback adapter", command)
    carriers = [adapter for adapter in _carriers(view, facts) if adapter.loopback]
    if not carriers and facts.adapters_unknown:
        command = advice_of(view).show_bindings(target(view.server))
        return _unseen(where, view, faults, "what is bound to the loopback adapter", command)
    if not carriers:
        fault = faults.find(name, "windows-adapter")
        return where.follows(fault) if fault else where.skipped("The built-in pseudo-interface has no bindings.")
    blind = [adapter.name for adapter in carriers if adapter.bindings is None]
    if blind:
        said = _said(carriers, "bindings")
        how = "could not be read" if said else "cannot be read by script on this Windows"
        return where.unknown(
            f"Which protocols are bound to {', '.join(blind)} of {name} {how}.", said,
            f"On {name}: {advice_of(view).show_bindings(blind[0])}",
        )  # fmt: skip
    known = faults.find(name, "windows-adapter")
    loud = [one for adapter in carriers for one, on in (adapter.bindings or {}).items() if on and one in UNBINDABLE]
    if known and set(loud) - {IP[6]}:
        return where.follows(known, evidence=f"bound: {', '.join(sorted(loud))}")
    return where.passed(f"Only IP is bound to the adapter that carries the VIP on {name}.")


# -- the weak-host model


def _came_in(view: ServerView, vip: Vip) -> bool:
    """Whether a packet to the VIP was seen to be taken, on an adapter that needs the weak-host model for it."""
    return on_real(view, vip) is None and not view.leaks(vip) and view.proven(vip)


def _flags(view: ServerView, family: int) -> list[tuple[str, str, bool | None]]:
    """Every flag that must be on, as (adapter, flag, value)."""
    facts = facts_of(view)
    nic = nic_of(view.server, facts) if facts else None
    if facts is None or nic is None:
        return []
    found: list[tuple[str, str, bool | None]] = []
    settings = nic.of(family)
    found.append((nic.name, "weak-receive", settings.weak_host_receive if settings else None))
    for adapter in _carriers(view, facts, family):
        settings = adapter.of(family)
        found.append((adapter.name, "weak-receive", settings.weak_host_receive if settings else None))
        found.append((adapter.name, "weak-send", settings.weak_host_send if settings else None))
    return found


def _strict(view: ServerView, family: int) -> list[tuple[str, str]]:
    """The flags that are off, as (adapter, flag)."""
    return [(adapter, flag) for adapter, flag, on in _flags(view, family) if on is False]


def _told(flags: Sequence[tuple[str, str]]) -> str:
    verbs = {"weak-receive": "receive", "weak-send": "send"}
    return ", ".join(f"{verbs[flag]} on {adapter}" for adapter, flag in flags)


def _weak_host_fault(
    view: ServerView, faults: Found, where: Where, family: int, strict: list[tuple[str, str]], seen: str
) -> Check:
    commands = (
        advice_of(view).set_family(
            "weak-receive" if flag == "weak-receive" else "weak-send", adapter, family, "Enabled"
        )
        for adapter, flag in strict
    )
    return faults.fail(
        where, Fault(host=view.name, cause="weak-host", family=family),
        f"{view.name} drops clients' packets: they arrive on a different adapter from the one with the VIP, and "
        f"weak-host {_told(strict)} is off for IPv{family}.",
        "; ".join(filter(None, (seen, f"weak-host off: {_told(strict)}"))),
        f"On {view.name}: {'; '.join(commands)}",
    )  # fmt: skip


def _weak_host(view: ServerView, faults: Found, family: int) -> Check:
    """`server.weak_host` for one address family: the flags are kept for each."""
    where, name = Where(check="server.weak_host", host=view.name), view.name
    if view.server.system == "windows-2003":
        return where.skipped("Windows Server 2003 takes packets for all its addresses by any adapter.")
    flags = _flags(view, family)
    off = _strict(view, family)
    vips = [vip for vip in view.vips if vip.ip.version == family]
    came_in = next((vip for vip in vips if _came_in(view, vip)), None)
    if came_in is not None:
        more = f"though weak-host {_told(off)} is off" if off else ""
        return where.passed(f"{name} takes packets to {came_in.address} that come in by the network.", more)
    if off:
        return _weak_host_fault(view, faults, where, family, off, "")
    blind = [(adapter, flag) for adapter, flag, on in flags if on is None]
    command = advice_of(view).show_family(family)
    if not flags:
        return _unseen(where, view, faults, f"the weak-host model for IPv{family}", command)
    if blind:
        return where.unknown(
            f"Could not check whether weak-host {_told(blind)} of {name} is on for IPv{family}.",
            _said_of_settings(view, [adapter for adapter, _ in blind]),
            f"On {name}: {command}",
        )  # fmt: skip
    return where.passed(
        f"The weak-host model is on where IPv{family} clients' packets pass on {name}.",
        _told([(adapter, flag) for adapter, flag, _ in flags]),
    )


# -- ARP: what Linux has a guard for


def _guard(view: ServerView, faults: Found) -> Check:
    """`server.guard`: Windows answers ARP for the addresses of the adapter that was asked, so a VIP on a loopback
    adapter is silent whatever else is set."""
    where, name = Where(check="server.guard", host=view.name), view.name
    for vip in view.vips:
        reason, command = leak_reason(view, vip)
        if reason:
            return faults.fail(
                where, Fault(host=name, cause="arp-leak", vip=vip.address),
                f"{name} answers ARP for {vip.address} and takes the director's traffic.", f"{reason}.",
                f"On {name}: {command}",
            )  # fmt: skip
    known = faults.find(name, "arp-leak")
    if known:
        return where.follows(known)
    given_up = next((vip for vip in view.vips if claimed(view, vip)), None)
    if given_up is not None:
        fault = faults.find(name, "address-conflict", vip=given_up.address)
        return where.follows(fault) if fault else where.skipped(f"No adapter of {name} uses {given_up.address}.")
    facts = facts_of(view)
    if facts is None:
        audited = all(not view.evidence.owner(vip.address).problem for vip in view.vips)
        if audited and all(view.proven(vip) for vip in view.vips):
            return where.passed(f"{name} has the VIP and does not answer ARP for it.", "no answer to who-has")
        return _unseen(where, view, faults, "which adapter holds the VIP", advice_of(view).show_address(vip))
    held = [adapter.name for vip in view.vips for adapter in facts.carrying(str(vip.ip))]
    if not held and facts.addresses_unknown:
        return _unseen(where, view, faults, "which adapter holds the VIP", advice_of(view).show_address(view.vips[0]))
    if not held:
        fault = faults.find(name, *NO_VIP)
        return where.follows(fault) if fault else where.skipped(f"No adapter of {name} holds a VIP.")
    return where.passed(
        f"{name} does not answer ARP for the VIP: no network adapter has it.",
        f"on {', '.join(dict.fromkeys(held))} only",
    )


def _speaks(view: ServerView, faults: Found) -> Check:
    """`server.announce`: what it begins itself must not carry the VIP as source (C4)."""
    where, name, facts = Where(check="server.announce", host=view.name), view.name, facts_of(view)
    if facts is None:
        return where.skipped("arp_announce is a Linux setting; the ARP audit shows who uses the VIP as sender.")
    entries = [
        (vip, entry)
        for vip in view.vips
        for adapter in facts.carrying(str(vip.ip))
        for entry in adapter.addresses
        if entry.address == str(vip.ip) and not real(adapter)  # on a network's adapter, that is what is wrong
    ]
    loud = [vip for vip, entry in entries if entry.skip_as_source is False]
    if loud:
        fixes = "; ".join(advice.never_source(vip) for vip in dict.fromkeys(loud))
        return faults.fail(
            where, Fault(host=name, cause="windows-adapter", vip=loud[0].address, aside=True),
            f"{name} may use {loud[0].address} as source for its own connections; the answers to those are lost.",
            f"SkipAsSource is off for {', '.join(vip.address for vip in loud)}", f"On {name}: {fixes}",
        )  # fmt: skip
    if not entries or any(entry.skip_as_source is None for _, entry in entries):
        return where.skipped(
            "arp_announce is a Linux setting; whether Windows uses the VIP for its own connections is not shown here."
        )
    return where.passed(f"{name} never uses the VIP as source for its own connections.", "SkipAsSource is on")


# -- conflicts


def _conflicts(view: ServerView, faults: Found) -> list[Check]:
    """`server.conflict`: one for each VIP with a conflict, otherwise one for all."""
    where, name, facts = Where(check="server.conflict", host=view.name), view.name, facts_of(view)
    if facts is None or facts.conflicts is None:
        return [_unseen(where, view, faults, "address conflicts", advice.SHOW_CONFLICTS)]
    found = [vip for vip in view.vips if events(view, vip) or claimed(view, vip)]
    if not found:
        return [where.passed(f"The system log of {name} shows no other host with the VIP.", "no event 4198, 4199")]
    return [conflict_fault(view, faults, vip, msgspec.structs.replace(where, vip=vip.address), "") for vip in found]


# -- parts


def _said(carriers: Sequence[WindowsAdapter], *sections: str) -> str:
    """What Windows said of these parts of the adapters that could not be read."""
    return "; ".join(
        f"{adapter.name}: {adapter.unknown[one]}" for adapter in carriers for one in sections if one in adapter.unknown
    )


def _said_of_settings(view: ServerView, names: Sequence[str]) -> str:
    facts = facts_of(view)
    if facts is None:
        return ""
    adapters = [adapter for adapter in facts.adapters if adapter.name in names]
    return facts.blind("interfaces") or _said(adapters, "interfaces", "adapter")


def _unseen(where: Where, view: ServerView, faults: Found, what: str, command: str) -> Check:
    fault = faults.out_of_reach(view.name)
    if fault and view.facts is None:
        return where.follows(fault)
    facts = facts_of(view)
    why = "no login there"
    if facts is not None:
        holds = nic_of(view.server, facts) is not None
        why = facts.addresses_unknown or f"no adapter there holds {view.server.address}"
        if holds:
            why = facts.blind("events", "interfaces") or "the script did not report it"
    return where.unknown(f"Could not check {what} on {view.name}.", why, f"On {view.name}: {command}")
