"""The checks of the director: who answers for the VIP, whether the director has it, and the IPVS configuration."""

from __future__ import annotations

import shlex
from ipaddress import ip_address

import msgspec

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.diagnosis.director_table import caught, extra, limited, oddities, ours
from dsrwizard.core.diagnosis.directors import holding
from dsrwizard.core.diagnosis.evidence import Evidence, director_macs, mac
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.mismatch import of_rips, of_vip, spoken
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.model.causes import UNPROVED, Cause
from dsrwizard.core.model.changes import DestinationChange, DestinationState, ServiceChange, ServiceState, flag_words
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import RealServer, Service, Vip, same_in
from dsrwizard.core.model.facts import Destination, VirtualService
from dsrwizard.core.model.nlb import balanced_macs
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical, endpoint
from dsrwizard.core.plan.director import by_client, key_of, wanted_state

_SHOWN = 8
"""MACs in one line of evidence."""
_TYPED = 8
"""Real servers that a command typed by hand may name; more are for apply."""


def strangers(evidence: Evidence, vip: Vip, views: list[ServerView]) -> tuple[str, ...]:
    """MACs that answered for the VIP, or were named in an answer, and belong to no host of the deployment.

    A balancer of another product may answer with a virtual MAC that its frames do not come from.
    """
    known = director_macs(evidence).union(*(view.voices for view in views))
    owners = evidence.owner(vip.address)
    if owners.problem:
        return ()
    named = [told.mac for told in owners.told if told.answer and mac(told.by) not in known]
    return tuple(found for found in dict.fromkeys(map(mac, (*owners.macs, *named))) if found not in known)


def audit(evidence: Evidence, faults: Found, views: list[ServerView]) -> list[Check]:
    """`arp.audit` for every VIP: every answer to who-has, told apart as director, real server or stranger."""
    checks: list[Check] = []
    for vip in evidence.deployment.vips:
        checks += _audit(evidence, faults, views, vip)
    return [*checks, *of_rips(evidence, faults, views)]


def _audit(evidence: Evidence, faults: Found, views: list[ServerView], vip: Vip) -> list[Check]:
    where = Where(check="arp.audit", host=DIRECTOR, vip=vip.address)
    owners = evidence.owner(vip.address)
    if owners.problem:
        return [
            where.unknown(
                f"Who answers for {vip.address} on the wire could not be checked.", owners.problem,
                "Run dsrwizard as root or with CAP_NET_RAW on the interface named in the deployment.",
            )
        ]  # fmt: skip
    checks = [_leak(faults, view, vip) for view in views if view.leaks(vip)]
    checks += of_vip(evidence, faults, views, vip)
    foreign = strangers(evidence, vip, views)
    external = not evidence.deployment.director.in_kernel
    if external and not foreign:
        message, fix = sentences.no_owner(evidence.deployment.director.engine, vip.address)
        fault = Fault(host=DIRECTOR, cause="director-vip", vip=vip.address)
        seen = f"who-has {vip.address}: {', '.join(owners.macs) or 'nobody'}"
        checks.append(faults.fail(where, fault, message, seen, fix))
    elif len(foreign) > (1 if external else 0):
        checks.append(
            faults.fail(
                where, Fault(host=DIRECTOR, cause="duplicate-vip", vip=vip.address),
                f"A host outside the deployment also has {vip.address}, too."
                if not external
                else f"{len(foreign)} hosts outside the deployment have {vip.address}; only the load balancer may.",
                f"who-has {vip.address} is answered by {'; '.join(spoken(owners, one) for one in foreign[:_SHOWN])}"
                + (f"; and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""),
                f"Find the host with that MAC (switch table, DHCP leases) and remove {vip.address} from it."
                + (" The MAC is one of Windows' Network Load Balancing, which still runs there."
                   if balanced_macs(vip.address) & set(foreign) else ""),
            )
        )  # fmt: skip
    if not checks:
        seen = "no answer to who-has" if not owners.macs else f"answered by {', '.join(owners.macs)}"
        director = "a director" if evidence.deployment.director.by_turns else "the director"
        owner = "the load balancer" if external else director
        checks.append(where.passed(f"Nobody but {owner} owns {vip.address}.", seen))
    return checks


def _leak(faults: Found, view: ServerView, vip: Vip) -> Check:
    where = Where(check="arp.audit", host=view.name, vip=vip.address)
    words, command = view.platform.leak_reason(view, vip)
    seen = f"who-has {vip.address} answered by {spoken(view.evidence.owner(vip.address), view.leaks(vip))}"
    if not command and view.facts is not None:
        words = (
            "its settings look right: look at other interfaces in the same network, at proxy ARP, and for another "
            "machine that uses its MAC"
        )
        frames = view.advice.show_frames(vip.ip.version, view.leaks(vip))
        command = f"{frames} shows whether it sends the answers" if frames else ""
    fix = f"On {view.name}: {command or view.advice.silence(vip)}"
    return faults.fail(
        where, view.platform.leak_fault(view, vip),
        sentences.arp_leak(view.name, vip.address),
        f"{seen}; {words}" if words else seen, fix,
    )  # fmt: skip


def holds(evidence: Evidence, faults: Found) -> list[Check]:
    """`director.vip` for every VIP."""
    return [_holds(evidence, faults, vip) for vip in evidence.deployment.vips]


def _holds(evidence: Evidence, faults: Found, vip: Vip) -> Check:
    where = Where(check="director.vip", host=DIRECTOR, vip=vip.address)
    if not evidence.deployment.director.in_kernel:
        return where.skipped("Another product is the load balancer; the ARP audit shows whether it has the VIP.")
    facts = evidence.observed.director
    if facts is None:
        return _director_unseen(where, evidence, f"ip addr show to {vip.address}")
    interface = evidence.deployment.director.vip_interface
    found = [
        (link, entry) for link in facts.interfaces for entry in link.addresses if ip_address(entry.address) == vip.ip
    ]
    usable = next(((link, entry) for link, entry in found if link.up and not entry.tentative), None)
    if usable:
        link, entry = usable
        return where.passed(f"The director holds {vip.address}.", f"{entry.address}/{entry.prefix} on {link.name}")
    if evidence.held is not None and same_in(vip.address, evidence.held):
        return where.passed(f"The director holds {vip.address}.", "It has come here while this was looked at.")
    if evidence.deployment.director.by_turns and not found:
        known = faults.find(DIRECTOR, "director-vip", vip=vip.address)
        if known is not None:
            return where.follows(known)
        others = holding(evidence, vip).others
        if others:
            return where.skipped(f"{others[0]} holds {vip.address}: this director is its backup.")
        return where.unknown(
            f"This director does not hold {vip.address}, and whether another does could not be seen.",
            holding(evidence, vip).problem, "Run dsrwizard as root.",
        )  # fmt: skip
    nodad = " nodad" if vip.ip.version == 6 else ""
    fix = f"On the director: ip addr add {vip.address}/{vip.prefix} dev {interface}{nodad}"
    if evidence.deployment.director.engine == "keepalived":
        fix = "On the director: systemctl status keepalived; journalctl -u keepalived -n 30"
    seen = f"no interface has {vip.address}"
    message = f"The director does not hold {vip.address} so no client can reach it."
    if found:
        link, entry = found[0]
        seen = f"{entry.address}/{entry.prefix} on {link.name}, " + (
            "tentative" if entry.tentative else "which is down"
        )
        fix = f"On the director: ip link set {shlex.quote(link.name)} up"
        if entry.tentative:
            message = f"The director cannot use {vip.address}: another host on the network already has it."
            fix = (
                f"On the director: ip addr del {entry.address}/{entry.prefix} dev {shlex.quote(link.name)} && "
                f"ip addr add {vip.address}/{vip.prefix} dev {interface}{nodad}"
            )
    return faults.fail(where, Fault(host=DIRECTOR, cause="director-vip", vip=vip.address), message, seen, fix)


def ipvs(evidence: Evidence, faults: Found, views: list[ServerView]) -> list[Check]:
    """`director.ipvs` for every service and `director.destination` for every real server behind it."""
    checks: list[Check] = []
    facts = evidence.observed.director
    table = {
        (canonical(found.key.address), found.key.protocol, found.key.port): found
        for found in (facts.services if facts else None) or ()
    }
    for vip in evidence.deployment.vips:
        for service in vip.services:
            present = table.get((canonical(vip.address), service.protocol, service.port))
            checks.append(_service(evidence, faults, vip, service, present))
            checks += caught(evidence, faults, vip, service)
            if present is not None:
                checks += extra(evidence, faults, vip, service, present)
            at: dict[str, list[Destination]] = {}
            for one in present.destinations if present else ():
                at.setdefault(canonical(one.address), []).append(one)
            for view in views:
                rip = view.rip_for(vip)
                if rip is not None:
                    there = at.get(canonical(rip), []) if present else None
                    checks.append(_destination(evidence, faults, vip, service, view.server, rip, there))
    return checks


def _service(evidence: Evidence, faults: Found, vip: Vip, service: Service, present: VirtualService | None) -> Check:
    where = Where(check="director.ipvs", host=DIRECTOR, vip=vip.address, service=service.label)
    blind = _blind(where, evidence, faults)
    if blind:
        return blind
    name = f"{vip.address} {service.label}"
    own = by_client(evidence.deployment, service)
    wanted = wanted_state(service, present, own)
    stopped = faults.find(DIRECTOR, "no-standby", "orphan-vip") if _stopped(evidence) else None
    if present is None and stopped is not None:
        return where.follows(stopped, f"keepalived makes {name} when it starts.", "not in the kernel's table")
    if present is None:
        return faults.fail(
            where, Fault(host=DIRECTOR, cause="ipvs-missing", vip=vip.address, service=service.label),
            f"IPVS on the director has no service {name}.", "not in the kernel's table",
            _made(evidence, faults, vip, service, wanted),
        )  # fmt: skip
    differing = []
    if present.state.scheduler != wanted.scheduler:
        differing.append(f"scheduler {present.state.scheduler} instead of {wanted.scheduler}")
    if present.state.persistence != wanted.persistence:
        differing.append(f"persistence {present.state.persistence} s instead of {wanted.persistence} s")
    elif lacking := flag_words(own & ~present.state.flags, service.scheduler):
        differing.append(f"the scheduler {service.scheduler} without {' and '.join(lacking)}")
    if differing:
        return faults.fail(
            where, Fault(host=DIRECTOR, cause="ipvs-differs", vip=vip.address, service=service.label),
            f"IPVS has {name} with {' and '.join(differing)}.", ", ".join(differing),
            _command(ServiceChange(service=key_of(vip, service), old=present.state, new=wanted)),
        )  # fmt: skip
    odd = oddities(msgspec.structs.replace(present.state, flags=present.state.flags & ~own))
    if odd and ours(evidence):
        plain = ServiceState(scheduler=wanted.scheduler, persistence=wanted.persistence, flags=own)
        return faults.fail(
            where, Fault(host=DIRECTOR, cause="ipvs-differs", vip=vip.address, service=service.label),
            f"IPVS has {name} with {' and '.join(odd)}, which the deployment does not name.", ", ".join(odd),
            _command(ServiceChange(service=key_of(vip, service), old=present.state, new=plain)),
        )  # fmt: skip
    told = f"; {', '.join(odd)}" if odd else ""
    return where.passed(f"IPVS balances {name}.", f"scheduler {present.state.scheduler}{told}")


def _stopped(evidence: Evidence) -> bool:
    """Whether keepalived is to have the table and does not run: it takes its table with it."""
    facts = evidence.observed.director
    return facts is not None and facts.keepalived is not None and not facts.keepalived.running


def _destination(
    evidence: Evidence,
    faults: Found,
    vip: Vip,
    service: Service,
    server: RealServer,
    rip: str,
    there: list[Destination] | None,
) -> Check:
    """`there`: the service's destinations at this RIP on any port; None where IPVS has no such service."""
    where = Where(
        check="director.destination", host=DIRECTOR, vip=vip.address, service=service.label, server=server.name
    )
    blind = _blind(where, evidence, faults)
    if blind:
        return blind
    name = f"{vip.address} {service.label}"
    if there is None:
        fault = Fault(host=DIRECTOR, cause="ipvs-missing", vip=vip.address, service=service.label)
        fault = (faults.find(DIRECTOR, "no-standby", "orphan-vip") if _stopped(evidence) else None) or fault
        return where.follows(fault, f"{server.name} is not behind {name}.")
    found = next((one for one in there if one.port == service.port), None)
    wanted = DestinationState(weight=server.weight)
    held = faults.find(server.name, *UNPROVED, vip=vip.address, service=service.label)
    if found is None:
        change = DestinationChange(service=key_of(vip, service), address=rip, port=service.port, old=None, new=wanted)
        if there:
            return faults.fail(
                where, _about(server, vip, service, "ipvs-differs"),
                f"IPVS sends {name} to port {there[0].port} of {server.name}; direct routing cannot change ports.",
                f"destination {rip} port {there[0].port}", _command(change),
            )  # fmt: skip
        if held:
            return where.follows(held, f"{server.name} is kept out of {name} while it cannot serve.")
        return faults.fail(
            where, _about(server, vip, service, "ipvs-missing"),
            f"IPVS does not send {name} to {server.name}.", f"no destination {rip}",
            _command(change),
        )  # fmt: skip
    state = found.state
    change = DestinationChange(service=key_of(vip, service), address=rip, port=service.port, old=state, new=wanted)
    if state.method != "dr":
        return faults.fail(
            where, _about(server, vip, service, "ipvs-differs"),
            f"IPVS forwards {name} to {server.name} by {state.method} instead of direct routing (dr).",
            f"forwarding method {state.method}", _command(change),
        )  # fmt: skip
    if state.weight == 0 and server.weight > 0 and held:
        return where.follows(held, f"{server.name} stays at weight 0 in {name} while it cannot serve.")
    facts = evidence.observed.director
    guard = facts.guard.holds(vip.address, service.label, server.name) if facts and facts.guard else None
    if state.weight == 0 and server.weight > 0 and guard is not None and facts is not None and facts.guarded:
        return where.skipped(
            f"A guard holds {server.name} out of {name}. It answers now, and the guard lets it in when it goes on so.",
            f"weight 0; held out because: {guard.why}",
        )
    if state.weight == 0 and server.weight > 0 and _dead_at_its_address(evidence, service, rip):
        return faults.fail(
            where, _about(server, vip, service, "drained"),
            f"{server.name} gets no new clients of {name}: keepalived asks it at {endpoint(rip, service.port)}, where "
            "it takes no connection, though it answers through the VIP.",
            f"weight 0; TCP to {endpoint(rip, service.port)} from here: "
            f"{evidence.connect(rip, service.port).result}",
            f"On {server.name}: have the application listen on {rip} port {service.port}, too, and not on the VIP "
            "alone. keepalived lets it in by itself then.",
        )  # fmt: skip
    if state.weight == 0 and server.weight > 0:
        by = " A guard held it out and is not running any more." if guard is not None else ""
        return faults.fail(
            where, _about(server, vip, service, "drained"),
            f"{server.name} gets no new clients of {name}: its weight is 0, the deployment says {server.weight}.{by}",
            f"weight 0; {found.active} active connections", _command(change),
        )  # fmt: skip
    if state.weight > 0 and server.weight == 0:
        return faults.fail(
            where, _about(server, vip, service, "ipvs-differs"),
            f"{server.name} gets clients of {name}, but the deployment drains it.",
            f"weight {state.weight}", _command(change),
        )  # fmt: skip
    limit = limited(evidence, found)
    if limit:
        plain = DestinationState(weight=state.weight)
        change = DestinationChange(service=key_of(vip, service), address=rip, port=service.port, old=state, new=plain)
        return faults.fail(
            where, _about(server, vip, service, "ipvs-differs"),
            f"IPVS sends {name} to {server.name} only up to {limit}, which the deployment does not name.",
            f"{limit}; {found.active} active and {found.inactive} inactive connections", _command(change),
        )  # fmt: skip
    if state.weight == 0:
        return where.passed(f"{server.name} is drained from {name}, as the deployment says.", "weight 0")
    if state.weight != server.weight and ours(evidence):
        return faults.fail(
            where, _about(server, vip, service, "ipvs-differs"),
            f"IPVS gives {server.name} the weight {state.weight} in {name}, the deployment says {server.weight}.",
            f"weight {state.weight}", _command(change),
        )  # fmt: skip
    note = "" if state.weight == server.weight else f", the deployment says {server.weight}"
    note += f", threshold {state.upper}" if state.upper else ""
    return where.passed(f"IPVS sends {name} to {server.name}.", f"direct routing, weight {state.weight}{note}")


def _dead_at_its_address(evidence: Evidence, service: Service, rip: str) -> bool:
    """Whether keepalived's TCP_CHECK, which asks the server's own address, finds nothing there."""
    if evidence.deployment.director.engine != "keepalived" or service.protocol != "tcp":
        return False
    return evidence.connect(rip, service.port).result in ("refused", "silent")


def _about(server: RealServer, vip: Vip, service: Service, cause: Cause) -> Fault:
    return Fault(host=DIRECTOR, cause=cause, vip=vip.address, service=service.label, server=server.name)


def _blind(where: Where, evidence: Evidence, faults: Found) -> Check | None:
    """Why the kernel's table says nothing, None where it can be read."""
    if not evidence.deployment.director.in_kernel:
        return where.skipped("Another product is the load balancer.")
    facts = evidence.observed.director
    if facts is None:
        return _director_unseen(where, evidence, "ipvsadm -Sn")
    if facts.services is not None:
        return None
    if facts.module_loaded is False:
        return faults.fail(
            where, Fault(host=DIRECTOR, cause="ipvs-missing"),
            "IPVS is not loaded on the director, so it forwards no connections.", facts.ipvs_problem,
            facts.ipvs_next or "On the director: modprobe ip_vs",
        )  # fmt: skip
    return where.unknown("The IPVS configuration could not be read.", facts.ipvs_problem, facts.ipvs_next)


def _director_unseen(where: Where, evidence: Evidence, command: str) -> Check:
    failure = evidence.observed.failed.get(DIRECTOR)
    what = failure.text if failure else "It was not checked."
    return where.unknown("The director could not be checked.", what, f"On the director: {command}")


def _command(change: ServiceChange | DestinationChange) -> str:
    return "On the director: " + "; ".join(commands(change))


def _made(evidence: Evidence, faults: Found, vip: Vip, service: Service, wanted: ServiceState) -> str:
    """What makes a service with the real servers that can serve; of many, apply does."""
    servers = [
        (rip, server)
        for server in evidence.deployment.servers_of(vip)
        if (rip := server.rip_for(vip)) is not None
        and not faults.find(server.name, *UNPROVED, vip=vip.address, service=service.label)
    ]
    if len(servers) > _TYPED:
        return "On the director: dsrwizard apply FILE makes it with its real servers."
    key = key_of(vip, service)
    lines = [*commands(ServiceChange(service=key, old=None, new=wanted))]
    for rip, server in servers:
        state = DestinationState(weight=server.weight)
        lines += commands(DestinationChange(service=key, address=rip, port=service.port, old=None, new=state))
    return "On the director: " + "; ".join(lines)
