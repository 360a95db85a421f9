"""Is the real server there: ping, its MAC on the director's link, the login, and the TCP connect to RIP:port."""

from __future__ import annotations

import shlex
from ipaddress import ip_interface

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.diagnosis.evidence import mac
from dsrwizard.core.diagnosis.filters import opening
from dsrwizard.core.diagnosis.found import Fault, Ledger, Where
from dsrwizard.core.diagnosis.mismatch import spoken
from dsrwizard.core.diagnosis.server_view import Reading
from dsrwizard.core.diagnosis.windows_words import on_windows
from dsrwizard.core.dialects.linux.plan import key
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.values import canonical, endpoint


def gone(ledger: Ledger, reading: Reading) -> Fault | None:
    """The fault that keeps everything on this server from being looked at."""
    return ledger.find(reading.name, "unreachable", "not-on-link")


def reach(reading: Reading, ledger: Ledger) -> list[Check]:
    """`server.ping` and `server.link` for every RIP, `server.access` once."""
    checks = []
    for rip in reading.rips:
        checks += [_ping(reading, ledger, rip), _link(reading, ledger, rip)]
    return [*checks, _access(reading, ledger)]


def _ping(reading: Reading, ledger: Ledger, rip: str) -> Check:
    where, name = Where(check="server.ping", host=reading.name), reading.name
    ping = reading.evidence.ping(rip)
    if ping.milliseconds is not None:
        return where.passed(f"{name} answers ping at {rip}.", f"{ping.milliseconds:.1f} ms")
    shown = reading.answers(rip)
    if shown:
        return where.passed(f"{name} does not answer ping at {rip}, but it is there.", shown)
    if not reading.looked(rip):
        return where.unknown(f"{name} could not be pinged.", ping.problem, "Run dsrwizard as root or with CAP_NET_RAW.")
    owners = reading.evidence.owner(rip)
    if reading.facts is not None:
        if reading.mute():
            return _muted(reading, ledger, where, rip)
        wide = swallowed(reading)
        if wide:
            return where.follows(wide, f"{name} does not answer at {rip}.", "no answer to ping and TCP")
        if owners.problem or owners.where:
            return where.passed(f"{name} does not answer ping at {rip}, but a login there worked.", "facts read")
    seen = "no answer to ping and TCP"
    if not owners.problem and owners.macs:
        vips = ", ".join(f"{vip.address}/{vip.prefix}" for vip in reading.vips)
        show = "ipconfig" if on_windows(reading) else "ip addr"
        return ledger.fail(
            where, Fault(host=name, cause="unreachable"),
            f"{name} answers ARP for {rip} but nothing else: a firewall, or a VIP there with too wide a prefix.",
            f"{seen}, ARP answered by {', '.join(owners.macs)}",
            f"On the console of {name}: its firewall must let it answer, and {show} must show {vips}.",
        )  # fmt: skip
    if not owners.problem:
        others = "; ".join(spoken(owners, mac(one)) for one in owners.where)
        seen += f", ARP answered for it with {others}" if others else ", no answer to ARP"
    message, fix = sentences.unreachable(name, rip)
    return ledger.fail(where, Fault(host=name, cause="unreachable"), message, seen, fix)


def _muted(reading: Reading, ledger: Ledger, where: Where, rip: str) -> Check:
    nic = f" {shlex.quote(key(reading.nic.name, 'arp_ignore'))}=0" if reading.nic else ""
    return ledger.fail(
        where, Fault(host=reading.name, cause="unreachable"),
        f"{reading.name} answers ARP for none of its addresses, {rip} included: arp_ignore is 8 or more.",
        settings(reading, "arp_ignore"),
        f"On {reading.name}: sysctl -w net.ipv4.conf.all.arp_ignore=1{nic}",
    )  # fmt: skip


def swallowed(reading: Reading) -> Fault | None:
    """The fault of a VIP whose prefix takes in the director, whom the server then takes for itself (guide B2)."""
    director = reading.evidence.observed.director
    shared = {canonical(vip.address) for vip in reading.evidence.deployment.vips}  # it speaks from its own address
    neighbours = [
        entry.address
        for link in (director.interfaces if director else ())
        for entry in link.addresses
        if canonical(entry.address) not in shared
    ]
    for vip in reading.vips:
        for _, entry in reading.entries(vip):
            if entry.prefix == vip.prefix:
                continue
            network = ip_interface(f"{entry.address}/{entry.prefix}").network
            if not neighbours or any(ip_interface(address).ip in network for address in neighbours):
                return Fault(host=reading.name, cause="vip-prefix", vip=vip.address)
    return None


def _link(reading: Reading, ledger: Ledger, rip: str) -> Check:
    where, name = Where(check="server.link", host=reading.name), reading.name
    owners = reading.evidence.owner(rip)
    interface = reading.evidence.deployment.director.interface
    fault = ledger.find(name, "unreachable")
    if owners.problem:
        if fault:
            return where.follows(fault)
        return where.unknown(
            f"Whether {name} is on the director's link could not be seen.", owners.problem,
            "Run dsrwizard as root or with CAP_NET_RAW on the interface named in the deployment.",
        )  # fmt: skip
    if fault and not owners.macs and owners.where:
        return where.follows(fault)
    if not owners.where:
        if fault:
            return where.follows(fault, f"nobody answers ARP for {rip}.")
        director = reading.evidence.observed.director
        if director is not None and any(link.has(rip) for link in director.interfaces):
            return where.unknown(
                f"{name} is the director itself, through which nothing can be probed.",
                f"{rip} is an address of this machine",
                f"Give {name} the address of another machine: what a director sends itself takes no way on the wire.",
            )  # fmt: skip
        if reading.mute() and ":" not in rip:
            return _muted(reading, ledger, where, rip)
        wide = swallowed(reading)
        if wide:
            return where.follows(wide, f"nobody answers ARP for {rip}.")
        if reading.facts is None and not reading.answers(rip):
            message, fix = sentences.unreachable(name, rip)
            return ledger.fail(where, Fault(host=name, cause="unreachable"), message, "no answer to ARP", fix)
        return ledger.fail(
            where, Fault(host=name, cause="not-on-link"),
            f"{name} is not in the director's layer-2 network: {rip} answers, but only through a router.",
            f"no answer to ARP for {rip} on {interface}; {reading.answers(rip) or 'a login worked'}",
            f"Put {name} into the same VLAN as the director's {interface}.",
        )  # fmt: skip
    if len(owners.where) > 1 and not {mac(found) for found in owners.where} <= reading.macs:
        return where.unknown(
            f"Several hosts answer for {rip}; which of them is {name} cannot be told.", ", ".join(owners.where),
            f"Find the other host with this address and give it another, or name the right address of {name}.",
        )  # fmt: skip
    at = "; ".join(spoken(owners, mac(one)) for one in owners.where)
    return where.passed(f"{name} is on the director's link.", f"{rip} is at {at}")


def _access(reading: Reading, ledger: Ledger) -> Check:
    where, name = Where(check="server.access", host=reading.name), reading.name
    if reading.facts is not None:
        return where.passed(f"{name} was looked at from within.", reading.facts.os)
    if reading.server.connect == "manual":
        return where.skipped(f"{name} is looked after by hand; it is checked from outside only.")
    fault = gone(ledger, reading)
    failure = reading.failure or Failure(kind="host", what="It was not looked at.")
    if fault:
        return where.follows(fault, failure.what)
    return where.unknown(
        f"{name} could not be looked at from within: {failure.what}", failure.why,
        failure.next or "Mend the login, then verify again.",
    )  # fmt: skip


def ports(reading: Reading, ledger: Ledger) -> list[Check]:
    """`server.port` for every RIP and TCP port; run after the probes, because what they found explains this."""
    checks: list[Check] = []
    seen: set[tuple[str | None, str]] = set()
    for vip in reading.vips:
        for service in vip.services:
            key = (reading.rip_for(vip), service.label)
            if key not in seen:
                seen.add(key)
                checks.append(_port(reading, ledger, vip, service))
    return checks


def _port(reading: Reading, ledger: Ledger, vip: Vip, service: Service) -> Check:
    where, name = Where(check="server.port", host=reading.name, service=service.label), reading.name
    connected = reading.connect(vip, service)
    if connected is None:
        return where.skipped("UDP has no connection to try; the VIP probe tells.")
    target = endpoint(connected.address, connected.port)
    if connected.result == "open":
        return where.passed(f"{name} accepts TCP at {target}.", _time(connected.milliseconds))
    fault = ledger.find(name, "unreachable") or _swallowed_known(reading, ledger)
    if fault:
        return where.follows(fault, f"no connection to {target}.", connected.result)
    if connected.result == "unknown":
        return where.unknown(f"TCP to {target} could not be tried.", connected.problem)
    users = [other for other in reading.vips if service.label in {one.label for one in other.services}]
    if users and all(reading.good(other, service) for other in users):
        return where.skipped(
            f"{name} serves {service.label} on the VIP only; {target} need not answer.", connected.result
        )
    if connected.result == "refused":
        fault = ledger.find(name, "service-down", "firewall", service=service.label)
        if fault:
            return where.follows(fault, f"{target} refuses.", "connection refused")
        if reading.listening(vip, service) in ("vip", "elsewhere"):
            return where.skipped(f"{service.label} does not listen on {target}; what counts is the VIP.", "refused")
        return ledger.fail(
            where, Fault(host=name, cause="service-down", service=service.label),
            f"Nothing listens on {service.label} of {name}.", f"{target} refuses the connection",
            f"Start the service on {name}, listening on port {service.port} of all addresses.",
        )  # fmt: skip
    fault = ledger.find(name, "firewall", service=service.label) or ledger.find(name, "not-on-link")
    # What answers the VIP's port with a reset lets packets in: that the RIP's is silent adds nothing to it.
    fault = fault or ledger.find(name, "service-down", service=service.label)
    if on_windows(reading):  # its firewall refuses nothing, and our rule lets in clients of the VIP alone
        fault = fault or ledger.find(name, "rip-only-listener", "site-binding", service=service.label)
    if fault:
        return where.follows(fault, f"no connection to {target}.", connected.result)
    if on_windows(reading):
        return where.skipped(
            f"TCP to {target} gets no answer, and need not: the firewall has to let in clients of the VIP alone.",
            connected.result,
        )
    if reading.forged:
        return where.unknown(
            f"Whether {name} accepts TCP at {target} could not be seen: somebody else uses its MAC.", reading.forged,
            sentences.find_forger(name),
        )  # fmt: skip
    return ledger.fail(
        where, Fault(host=name, cause="firewall", service=service.label),
        f"{name} lives, but TCP to {target} gets no answer: a firewall drops it.",
        f"{connected.result}; {reading.answers(connected.address) or 'a login worked'}",
        f"{opening(reading, vip, service)} The same for {connected.address}.",
        shared=True,
    )  # fmt: skip


def _swallowed_known(reading: Reading, ledger: Ledger) -> Fault | None:
    fault = swallowed(reading)
    return ledger.find(reading.name, "vip-prefix", vip=fault.vip) if fault else None


def _time(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.1f} ms"


def settings(reading: Reading, name: str) -> str:
    """The values behind an effective setting, as an operator would look them up."""
    if reading.facts is None or reading.nic is None:
        return ""
    nic = reading.nic.name
    values = {scope: reading.facts.sysctls.get(key(scope, name)) for scope in ("all", nic)}
    return f"{name}: " + ", ".join(f"{scope}={value or 'unknown'}" for scope, value in values.items())
