"""The checks that a real server is there: ping, its MAC on the director's link, the login, and TCP to RIP:port."""

from __future__ import annotations

import shlex
from ipaddress import ip_interface

import msgspec

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.diagnosis.evidence import mac
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.mismatch import spoken
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.diagnosis.twins import twin
from dsrwizard.core.dialects.linux.plan import key
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical, endpoint


def reach(view: ServerView, faults: Found) -> list[Check]:
    """`server.ping` and `server.link` for every RIP."""
    checks = []
    for rip in view.rips:
        source = faults.find(DIRECTOR, "vip-as-source")
        if source is not None and source.family == (6 if ":" in rip else 4) and not view.answers(rip):
            faults.imply(Fault(host=view.name, cause="unreachable"), source)
            checks += [
                Where(check=check, host=view.name).follows(source, f"{rip} does not answer what comes from the VIP.")
                for check in ("server.ping", "server.link")
            ]
            continue
        other = twin(view, faults, rip)  # it explains whatever is wrong at this address
        checks += [_ping(view, faults, rip), other or _link(view, faults, rip)]
    return checks


def _ping(view: ServerView, faults: Found, rip: str) -> Check:
    where, name = Where(check="server.ping", host=view.name), view.name
    ping = view.evidence.ping(rip)
    if ping.milliseconds is not None:
        return where.passed(f"{name} answers ping at {rip}.", f"{ping.milliseconds:.1f} ms")
    shown = view.answers(rip)
    if shown:
        return where.passed(f"{name} does not answer ping at {rip}, but it is there.", shown)
    if not view.looked(rip):
        return where.unknown(f"{name} could not be pinged.", ping.problem, "Run dsrwizard as root or with CAP_NET_RAW.")
    owners = view.evidence.owner(rip)
    if view.facts is not None:
        if view.mute():
            return _muted(view, faults, where, rip)
        wide = swallowed(view)
        if wide:
            return where.follows(wide, f"{name} does not answer at {rip}.", "no answer to ping and TCP")
        if owners.problem or owners.where:
            return where.passed(f"{name} does not answer ping at {rip}, but a login there worked.", "facts read")
    seen = "no answer to ping and TCP"
    if not owners.problem and owners.macs:
        vips = ", ".join(f"{vip.address}/{vip.prefix}" for vip in view.vips)
        return faults.fail(
            where, Fault(host=name, cause="unreachable"),
            f"{name} answers ARP for {rip} but nothing else: a firewall, or a VIP there with too short a prefix.",
            f"{seen}, ARP answered by {', '.join(owners.macs)}",
            f"On the console of {name}: its firewall must let it answer, and {view.advice.show_addresses()} must show "
            f"{vips}.",
        )  # fmt: skip
    if not owners.problem:
        others = "; ".join(spoken(owners, mac(one)) for one in owners.where)
        seen += f", ARP answered for it with {others}" if others else ", no answer to ARP"
    message, fix = sentences.unreachable(name, rip)
    return faults.fail(where, Fault(host=name, cause="unreachable"), message, seen, fix)


def _muted(view: ServerView, faults: Found, where: Where, rip: str) -> Check:
    nic = f" {shlex.quote(key(view.nic.name, 'arp_ignore'))}=0" if view.nic else ""
    return faults.fail(
        where, Fault(host=view.name, cause="unreachable"),
        f"{view.name} answers ARP for none of its addresses, {rip} included: arp_ignore is 8 or more.",
        settings(view, "arp_ignore"),
        f"On {view.name}: sysctl -w net.ipv4.conf.all.arp_ignore=1{nic}",
    )  # fmt: skip


def swallowed(view: ServerView) -> Fault | None:
    """The fault of a VIP whose prefix takes in the director, whom the server then takes for itself (guide B2)."""
    director = view.evidence.observed.director
    shared = {canonical(vip.address) for vip in view.evidence.deployment.vips}  # it speaks from its own address
    neighbours = [
        entry.address
        for link in (director.interfaces if director else ())
        for entry in link.addresses
        if canonical(entry.address) not in shared
    ]
    for vip in view.vips:
        for _, entry in view.entries(vip):
            if entry.prefix == vip.prefix:
                continue
            network = ip_interface(f"{entry.address}/{entry.prefix}").network
            if not neighbours or any(ip_interface(address).ip in network for address in neighbours):
                return Fault(host=view.name, cause="vip-prefix", vip=vip.address)
    return None


def _link(view: ServerView, faults: Found, rip: str) -> Check:
    where, name = Where(check="server.link", host=view.name), view.name
    owners = view.evidence.owner(rip)
    interface = view.evidence.deployment.director.interface
    fault = faults.find(name, "unreachable")
    if owners.problem:
        if fault:
            return where.follows(fault)
        return where.unknown(
            f"Could not check whether {name} is on the director's link.", owners.problem,
            "Run dsrwizard as root or with CAP_NET_RAW on the interface named in the deployment.",
        )  # fmt: skip
    if fault and not owners.macs and owners.where:
        return where.follows(fault)
    if not owners.where:
        if fault:
            return where.follows(fault, f"nobody answers ARP for {rip}.")
        director = view.evidence.observed.director
        if director is not None and any(link.has(rip) for link in director.interfaces):
            return where.unknown(
                f"{name} is the director itself, so it cannot be probed.",
                f"{rip} is an address of this machine",
                f"Give {name} the address of another machine: packets to the director itself never reach the wire.",
            )  # fmt: skip
        if view.mute() and ":" not in rip:
            return _muted(view, faults, where, rip)
        wide = swallowed(view)
        if wide:
            return where.follows(wide, f"nobody answers ARP for {rip}.")
        if view.facts is None and not view.answers(rip):
            message, fix = sentences.unreachable(name, rip)
            return faults.fail(where, Fault(host=name, cause="unreachable"), message, "no answer to ARP", fix)
        return faults.fail(
            where, Fault(host=name, cause="not-on-link"),
            f"{name} is not in the director's layer-2 network: {rip} answers, but only through a router.",
            f"no answer to ARP for {rip} on {interface}; {view.answers(rip) or 'a login worked'}",
            f"Put {name} into the same VLAN as the director's {interface}.",
        )  # fmt: skip
    if len(owners.where) > 1 and not {mac(found) for found in owners.where} <= view.macs:
        return where.unknown(
            f"Several hosts answer for {rip}; it is not clear which one is {name}.", ", ".join(owners.where),
            f"Find the other host with this address and give it another, or name the right address of {name}.",
        )  # fmt: skip
    at = "; ".join(spoken(owners, mac(one)) for one in owners.where)
    return where.passed(f"{name} is on the director's link.", f"{rip} is at {at}")


def access(view: ServerView, faults: Found) -> Check:
    """`server.access`, after all that may keep a login from working."""
    where, name = Where(check="server.access", host=view.name), view.name
    if view.facts is not None:
        return where.passed(f"{name} was checked by login.", view.facts.os)
    if view.server.connect == "manual":
        return where.skipped(f"{name} is managed by hand, so it is checked only from outside.")
    # A login needs large packets, too: it begins and never ends.
    fault = faults.cut_off(view.name) or faults.find(name, "path-mtu")
    failure = view.failure or Failure(kind="host", what="It was not checked.")
    if fault:
        return where.follows(fault, failure.what)
    return where.unknown(
        f"{name} could not be checked by login: {failure.what}", failure.why,
        failure.next or "Fix the login, then verify again.",
    )  # fmt: skip


def ports(view: ServerView, faults: Found) -> list[Check]:
    """`server.port` for every RIP and TCP port; run after the probes, because what they found explains this."""
    checks: list[Check] = []
    seen: set[tuple[str | None, str]] = set()
    for vip in view.vips:
        for service in vip.services:
            key = (view.rip_for(vip), service.label)
            if key not in seen:
                seen.add(key)
                checks.append(_port(view, faults, vip, service))
    return checks


def _port(view: ServerView, faults: Found, vip: Vip, service: Service) -> Check:
    where, name = Where(check="server.port", host=view.name, service=service.label), view.name
    connected = view.connect(vip, service)
    if connected is None:
        return where.skipped("UDP has no connection to test; see the VIP probe.")
    target = endpoint(connected.address, connected.port)
    if connected.result == "open":
        return where.passed(f"{name} accepts TCP at {target}.", _time(connected.milliseconds))
    fault = faults.find(name, "unreachable") or _swallowed_known(view, faults)
    if fault:
        return where.follows(fault, f"no connection to {target}.", connected.result)
    if connected.result == "unknown":
        cut_off = faults.cut_off(view.name)
        if cut_off:
            return where.follows(cut_off, f"no connection to {target}.", connected.problem)
        return where.unknown(f"TCP to {target} could not be tested.", connected.problem)
    users = [other for other in view.vips if service.label in {one.label for one in other.services}]
    if users and all(view.good(other, service) for other in users):
        return where.skipped(
            f"{name} serves {service.label} on the VIP only; {target} need not answer.", connected.result
        )
    if connected.result == "refused":
        fault = faults.find(name, "service-down", "firewall", service=service.label)
        if fault:
            return where.follows(fault, f"{target} refuses.", "connection refused")
        if view.listening(vip, service) in ("vip", "elsewhere"):
            return where.skipped(f"{service.label} does not listen on {target}; only the VIP matters.", "refused")
        return faults.fail(
            where, Fault(host=name, cause="service-down", service=service.label),
            f"Nothing listens on {service.label} of {name}.", f"{target} refuses the connection",
            f"Start the service on {name}, listening on port {service.port} on all addresses.",
        )  # fmt: skip
    fault = faults.find(name, "firewall", "service-hung", service=service.label) or faults.find(name, "not-on-link")
    # What answers the VIP's port with a reset lets packets in: that the RIP's is silent adds nothing to it.
    fault = fault or faults.find(name, "service-down", service=service.label)
    if not view.platform.opens_rip:
        fault = fault or faults.find(name, "rip-only-listener", "site-binding", service=service.label)
    if fault:
        return where.follows(fault, f"no connection to {target}.", connected.result)
    if not view.platform.opens_rip:
        return where.skipped(
            f"TCP to {target} gets no answer, and needs none: the firewall only has to allow clients of the VIP.",
            connected.result,
        )
    if view.forged:
        return where.unknown(
            f"Could not check whether {name} accepts TCP at {target}: somebody else uses its MAC.", view.forged,
            sentences.find_forger(name),
        )  # fmt: skip
    seen = f"{connected.result}; {view.answers(connected.address) or 'a login worked'}"
    own = msgspec.structs.replace(vip, address=connected.address)
    source = view.evidence.beside(connected.address)
    stops = view.platform.stopping(view, own, service, source)
    rules = view.platform.rules_seen(view, own, service, source)
    if stops != "stops":
        told = f"{seen}; {rules}" if stops in ("narrow", "undecided") else seen
        return where.unknown(
            f"{name} is up, but TCP to {target} gets no answer, and it is not known why: a filter there or on the way, "
            "or an application that takes no more connections.",
            told, f"On {name}: {view.advice.show_listeners(service)}",
        )  # fmt: skip
    both = view.platform.stopping(view, vip, service, source) == "stops"
    return faults.fail(
        where, Fault(host=name, cause="firewall", service=service.label),
        f"{name} is up, but TCP to {target} gets no answer: a firewall drops it.",
        "; ".join(filter(None, (seen, rules))),
        f"{view.platform.opening(view, own, service, source)}{f' The same for {vip.address}.' if both else ''}",
        shared=True,
    )  # fmt: skip


def _swallowed_known(view: ServerView, faults: Found) -> Fault | None:
    fault = swallowed(view)
    return faults.find(view.name, "vip-prefix", vip=fault.vip) if fault else None


def _time(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.1f} ms"


def settings(view: ServerView, name: str) -> str:
    """The values behind an effective setting, as an operator would look them up."""
    if view.facts is None or view.nic is None:
        return ""
    nic = view.nic.name
    values = {scope: view.facts.sysctls.get(key(scope, name)) for scope in ("all", nic)}
    return f"{name}: " + ", ".join(f"{scope}={value or 'unknown'}" for scope, value in values.items())
