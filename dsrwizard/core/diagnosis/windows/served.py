"""The checks of what a Windows server serves: firewall, IIS, http.sys, and the state after a reboot.

http.sys takes connections on all its addresses whatever the sites are bound to and refuses requests afterwards, so a
VIP probe that is answered does not clear the sites (field guide C7, C8).
"""

from __future__ import annotations

import msgspec

from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.diagnosis.windows.view import advice_of, facts_of
from dsrwizard.core.dialects.windows import advice, sites
from dsrwizard.core.dialects.windows.firewall import (
    EVERY_PROFILE,
    admitting,
    covers,
    filters,
    limits,
    perhaps,
)
from dsrwizard.core.model.causes import Cause
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.values import endpoint
from dsrwizard.core.model.windows_facts import FirewallRule, SiteBinding, WindowsFacts


def served(view: ServerView, faults: Found) -> list[Check]:
    """`server.firewall` for every VIP and service, `server.sites` where IIS serves one."""
    checks: list[Check] = []
    for vip in view.vips:
        for service in vip.services:
            checks.append(_firewall(view, faults, vip, service))
            checks += _sites(view, faults, vip, service)
    return checks


# -- the firewall


def firewall_fault(
    view: ServerView, faults: Found, vip: Vip, service: Service, where: Where, seen: str
) -> Check | None:  # fmt: skip
    """The fault firewall, as far as the firewall's own state shows it; None: by that state clients get in."""
    facts = facts_of(view)
    if facts is None or facts.firewall is None or not filters(facts):
        return None
    name = view.name
    fault = Fault(host=name, cause="firewall", vip=vip.address, service=service.label)
    if facts.firewall.block_all:
        return faults.fail(
            where, Fault(host=name, cause="firewall"),
            f"The firewall of {name} blocks all incoming traffic, regardless of its rules.",
            _told(facts, seen, "block all inbound connections is on"), f"On {name}: {advice.LET_RULES_COUNT}",
        )  # fmt: skip
    if facts.firewall.local_rules is False:
        return faults.fail(
            where, Fault(host=name, cause="firewall"),
            f"A group policy lets no firewall rule of {name} itself count, and lets in no clients of {vip.address}.",
            _told(facts, seen, "group policy overrides the local rules"),
            f"In the group policy of {name}: apply local firewall rules, or let {service.label} to {vip.address} in.",
        )  # fmt: skip
    if facts.rules is None:
        return None  # some of them may be known; another may let it in
    blocking = next((rule for rule in facts.rules if not rule.allow and _about(rule, vip, service)), None)
    if blocking is not None:
        return faults.fail(
            where, fault, f"A rule of the firewall of {name} blocks {service.label} to {vip.address}.",
            _told(facts, seen, f"block rule “{blocking.name}”"), f"On {name}: {advice.disable_rule(blocking.name)}",
        )  # fmt: skip
    if admitting(facts, vip, service) is not None:
        return None
    some = perhaps(facts, vip, service)
    if some is not None and not seen:
        return None  # nobody has tried, and it may be for the program that serves
    lacking = f"no rule lets {service.label} to {vip.address} in for every client on every profile"
    if some is not None:
        lacking += f"; rule “{some.name}” does for {limits(some)}"
    known = next((one for one in faults.of(name) if one.cause == "firewall" and one.vip == vip.address), None)
    return faults.fail(
        where, fault, f"The firewall of {name} lets in no clients of {vip.address} {service.label}.",
        _told(facts, seen, lacking), f"On {name}: {advice.admit(vip, service)}", shared=known is not None,
    )  # fmt: skip


def _told(facts: WindowsFacts, *parts: str) -> str:
    firewall = facts.firewall
    on = ", ".join(name for name, state in sorted(firewall.profiles.items()) if state) if firewall else ""
    return "; ".join(filter(None, (*parts, f"firewall on for: {on}")))


def _about(rule: FirewallRule, vip: Vip, service: Service) -> bool:
    """Whether a block rule is meant for this VIP or port on some profile, for every client. One for any address and
    port, for some clients, or for a program or service says nothing."""
    anywhere = msgspec.structs.replace(rule, profiles=EVERY_PROFILE)
    if limits(rule):
        return False
    named = rule.ports.strip() not in ("*", "") or rule.addresses.strip() not in ("*", "")
    return named and bool(rule.profiles & EVERY_PROFILE) and covers(anywhere, vip, service)


def _firewall(view: ServerView, faults: Found, vip: Vip, service: Service) -> Check:
    where = Where(check="server.firewall", host=view.name, vip=vip.address, service=service.label)
    name, facts, target = view.name, facts_of(view), f"{vip.address} {service.label}"
    if view.good(vip, service):
        return where.passed(f"The firewall of {name} lets {target} in.", "the VIP probe came through")
    unknown = where.unknown(
        f"Could not check whether the firewall of {name} lets {target} in.",
        facts.firewall_problem if facts is not None else "",
        f"On {name}: {advice.SHOW_RULES}",
    )
    silent = (probe := view.probe(vip, service)) is not None and probe.signature == "silence"
    if facts is None or facts.firewall is None:
        known = faults.find(name, *BEFORE, "firewall", vip=vip.address, service=service.label)
        return where.follows(known) if known else unknown
    if facts.firewall.local_rules is False and not facts.firewall.block_all and not silent:
        return unknown  # the policy's own rules are not among those of the host, and may let it in
    failed = firewall_fault(view, faults, vip, service, where, "")
    if failed is not None:
        return failed
    known = faults.find(name, "firewall", vip=vip.address, service=service.label)
    if known:
        return where.follows(known, "its own rules would let it in.")
    if not any(facts.firewall.profiles.values()):
        return where.passed(f"The firewall of {name} is off.", "off on every profile")
    rule = admitting(facts, vip, service)
    if rule is not None and facts.rules is not None:
        return where.passed(f"The firewall of {name} lets {target} in.", f"rule “{rule.name}”")
    if rule is not None:
        own = f"rule “{rule.name}” lets it in; whether another blocks it could not be read"
        return msgspec.structs.replace(unknown, evidence=f"{own}: {facts.firewall_problem}")
    some = perhaps(facts, vip, service)
    if some is not None:
        return msgspec.structs.replace(unknown, evidence=f"rule “{some.name}” lets it in for {limits(some)} only")
    return unknown


BEFORE: tuple[Cause, ...] = ("unreachable", "not-on-link", "vip-missing")
"""Causes under which a firewall cannot be told from outside."""


def rules_seen(view: ServerView, vip: Vip, service: Service) -> str:
    """The rule that lets the VIP's clients in, for a firewall that drops them all the same; empty: none is known."""
    facts = facts_of(view)
    rule = admitting(facts, vip, service) if facts is not None else None
    return f"rule “{rule.name}” would let it in" if rule else ""


def opening(view: ServerView, vip: Vip, service: Service) -> str:
    """What to do so that the VIP's clients get in, where packets are dropped."""
    if rules_seen(view, vip, service):
        return f"On {view.name}: {advice.SHOW_DROPPED}; look at other filters there, too (antivirus, IPsec)."
    return f"On {view.name}: {advice.admit(vip, service)}"


# -- IIS and http.sys


def site_fault(view: ServerView, faults: Found, vip: Vip, service: Service, where: Where, seen: str) -> Check | None:
    """The fault site-binding: bound to other addresses, not listening on the VIP, or without its certificate."""
    facts = facts_of(view)
    if facts is None:
        return None
    name, good = view.name, view.good(vip, service)
    fault = Fault(host=name, cause="site-binding", vip=vip.address, service=service.label, aside=good)
    left_out = [] if _by_another(view, facts, vip, service) else sites.left_out(facts, vip, service)
    if left_out:
        bound = ", ".join(f"{site.name}: {binding.protocol} {binding.information}" for site, binding in left_out)
        fix = advice_of(view).serve(facts, vip, service)
        return faults.fail(
            where, fault, f"The sites for {service.label} on {name} are bound to other addresses than {vip.address}.",
            "; ".join(filter(None, (seen, bound))), f"On {name}: {fix}",
        )  # fmt: skip
    if not good and _unlisted(facts, vip, service):
        listed = ", ".join(facts.listen_list or ())
        return faults.fail(
            where, msgspec.structs.replace(fault, service=""),
            f"http.sys on {name} listens on single addresses, {vip.address} not among them.",
            "; ".join(filter(None, (seen, f"listen list: {listed}"))),
            f"On {name}: {advice_of(view).serve(facts, vip, service)}",
        )  # fmt: skip
    bare = _bare(facts, vip, service)
    if bare is not None:
        return faults.fail(
            where, fault, f"http.sys on {name} has no certificate for {endpoint(str(vip.ip), service.port)}.",
            "; ".join(filter(None, (seen, f"certificates: {', '.join(sorted(facts.certificates or {})) or 'none'}"))),
            f"On {name}: {advice.certify(facts, vip, service.port, bare)}",
        )  # fmt: skip
    return None


def _by_another(view: ServerView, facts: WindowsFacts, vip: Vip, service: Service) -> bool:
    """Whether a program that is not http.sys has the VIP's port: a socket of its own, not of the listen list."""
    exact = any(one.address not in ("*", "0.0.0.0", "::") and one.covers(vip.address)
                for one in view.listeners(service))  # fmt: skip
    return exact and not _listed(facts, vip)


def _listed(facts: WindowsFacts, vip: Vip) -> bool:
    return bool(facts.listen_list) and sites.listed(facts, vip)


def _unlisted(facts: WindowsFacts, vip: Vip, service: Service) -> bool:
    return bool(sites.serving(facts, service)) and not sites.listed(facts, vip)


def _bare(facts: WindowsFacts, vip: Vip, service: Service) -> SiteBinding | None:
    """The https binding of the VIP that has no certificate in http.sys."""
    known = facts.certificates
    if known is None:
        return None
    for _, binding in sites.serving(facts, service):
        at = sites.binding_endpoint(binding)[0]
        covering = at == str(vip.ip) or sites.on_every_address(at, vip)
        by_name = binding.ssl_flags & (sites.SNI | sites.CENTRAL_STORE)
        if binding.protocol == "https" and covering and not by_name and not sites.covering(facts, vip, service.port):
            return binding
    return None


def _sites(view: ServerView, faults: Found, vip: Vip, service: Service) -> list[Check]:
    where = Where(check="server.sites", host=view.name, vip=vip.address, service=service.label)
    name, facts = view.name, facts_of(view)
    if facts is None or service.protocol != "tcp":
        return []
    if facts.sites is None:
        return [
            where.unknown(
                f"The bindings of the sites on {name} could not be read.",
                facts.blind("sites") or "appcmd gave no list of them",
                f"On {name}: {advice.SHOW_SITES}",
            )
        ]  # fmt: skip
    found = sites.serving(facts, service)
    if not found:
        return []
    failed = site_fault(view, faults, vip, service, where, "")
    if failed is not None:
        return [failed]
    bound = ", ".join(f"{site.name}: {binding.protocol} {binding.information}" for site, binding in found)
    return [where.passed(f"The sites for {service.label} on {name} serve {vip.address}.", bound)]


# -- after a reboot


def persistent(view: ServerView, faults: Found) -> Check:
    """`server.persistent`: the VIP is also in what Windows sets again at its next start."""
    where, name, facts = Where(check="server.persistent", host=view.name), view.name, facts_of(view)
    if facts is None:
        return where.unknown(
            f"Could not check the state of {name} after a reboot.", "no login there",
            f"Reboot {name} in a maintenance window, then verify.",
        )  # fmt: skip
    entries = [
        (vip, adapter, entry)
        for vip in view.vips
        for adapter in facts.carrying(str(vip.ip))
        for entry in adapter.addresses
        if entry.address == str(vip.ip)
    ]
    fading = [(vip, adapter) for vip, adapter, entry in entries if entry.persistent is False]
    if fading:
        return faults.fail(
            where, Fault(host=name, cause="not-persistent"), f"{name} loses the VIP at its next reboot.",
            f"not in the persistent store: {', '.join(f'{vip.address} on {one.name}' for vip, one in fading)}",
            f"On {name}: {'; '.join(advice_of(view).keep_vip(vip, one.name) for vip, one in fading)}",
        )  # fmt: skip
    blind = [vip for vip, _, entry in entries if entry.persistent is None]
    if blind:
        return where.unknown(
            "Could not check whether "
            f"{', '.join(dict.fromkeys(vip.address for vip in blind))} comes back on {name} after a reboot.",
            facts.blind("kept-addresses"),
            f"On {name}: {advice_of(view).show_kept(blind[0])}",
        )  # fmt: skip
    if {vip.address for vip, _, _ in entries} < {vip.address for vip in view.vips}:
        fault = faults.find(name, "vip-missing", "windows-adapter", "address-conflict")
        if fault is None and facts.addresses_unknown:
            return where.unknown(
                f"Could not check the state of {name} after a reboot.", facts.addresses_unknown,
                f"On {name}: {advice_of(view).show_kept(view.vips[0])}",
            )  # fmt: skip
        return where.follows(fault) if fault else where.skipped(f"The VIP is not on {name}.")
    return where.passed(f"{name} keeps the VIP over a reboot.", "in the persistent store")
