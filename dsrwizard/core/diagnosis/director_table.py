"""What of the IPVS table decides who gets what, beside what the deployment names: destinations that it does not have,
services that take a VIP's packets first, thresholds and flags."""

from __future__ import annotations

from ipaddress import IPv4Address

from dsrwizard.core.diagnosis.director_filter import follow, packet_of
from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.model.changes import ONE_PACKET, SCHEDULER_FLAGS, DestinationChange, ServiceState, flag_words
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.facts import Destination, VirtualService
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical, endpoint
from dsrwizard.core.plan.director import key_of

_SHOWN = 8


def ours(evidence: Evidence) -> bool:
    """Whether the journal says that this deployment was applied: then what else the table holds was changed since."""
    return bool(evidence.deployed)


def oddities(state: ServiceState) -> list[str]:
    """What a service is set to that no deployment can name, as ipvsadm calls it."""
    found = []
    if state.flags & ONE_PACKET:
        found.append("one-packet scheduling (-o)")
    rest = state.flags & ~ONE_PACKET
    found += [f"the flag {word} (-b)" for word in flag_words(rest, state.scheduler)]
    rest &= ~sum(SCHEDULER_FLAGS.get(state.scheduler, {}))
    if rest:
        found.append(f"the flags 0x{rest:x}")
    if state.netmask is not None and state.persistence:
        found.append(f"the persistence mask {_mask(state.netmask)} (-M)")
    if state.persistence_engine:
        found.append(f"the persistence engine {state.persistence_engine}")
    return found


def _mask(value: int) -> str:
    return str(value) if value <= 128 else str(IPv4Address(value))


def limited(evidence: Evidence, found: Destination) -> str:
    """The threshold that keeps a destination from its clients; empty where there is none, or somebody else set one that
    is not reached."""
    state = found.state
    if not state.upper and not state.lower:
        return ""
    reached = bool(state.upper) and found.active + found.inactive >= state.upper
    if not reached and not ours(evidence):
        return ""
    lower = f", and again below {state.lower}" if state.lower else ""
    return f"{state.upper} connection{'' if state.upper == 1 else 's'}{lower} (threshold)"


def extra(evidence: Evidence, faults: Found, vip: Vip, service: Service, present: VirtualService) -> list[Check]:
    """`director.destination` for what IPVS sends to beside the deployment's servers, once for a service."""
    rips = {
        canonical(rip) for server in evidence.deployment.servers_of(vip) if (rip := server.rip_for(vip)) is not None
    }
    found = []
    for one in present.destinations:
        address = canonical(one.address)
        alone = sum(canonical(other.address) == address for other in present.destinations) == 1
        if address not in rips or (one.port != service.port and not alone):
            found.append(one)
    taking = [one for one in found if one.state.weight > 0]
    if not taking:
        return []
    name = f"{vip.address} {service.label}"
    places = ", ".join(endpoint(one.address, one.port) for one in taking[:_SHOWN])
    places += f" and {len(taking) - _SHOWN} more" if len(taking) > _SHOWN else ""
    where = Where(check="director.destination", host=DIRECTOR, vip=vip.address, service=service.label)
    removing = [
        line for one in taking
        for line in commands(
            DestinationChange(
                service=key_of(vip, service), address=one.address, port=one.port, old=one.state, new=None
            )
        )
    ]  # fmt: skip
    return [
        faults.fail(
            where,
            Fault(
                host=DIRECTOR, cause="ipvs-differs", vip=vip.address, service=service.label,
                server=canonical(taking[0].address),
            ),
            f"IPVS also sends {name} to {places}, which the deployment does not have.",
            ", ".join(
                f"destination {one.address} port {one.port}, weight {one.state.weight}" for one in taking[:_SHOWN]
            ),
            f"On the director: {' && '.join(removing)}",
        )
    ]  # fmt: skip


def caught(evidence: Evidence, faults: Found, vip: Vip, service: Service) -> list[Check]:
    """`director.ipvs` for a service by firewall mark that takes the packets first: IPVS looks for the mark before the
    address (ip_vs_service_find in the kernel's ip_vs_ctl.c)."""
    look = evidence.director_look
    family = vip.ip.version
    marked = [one for one in (look.others if look else ()) if one.mark and one.family == family]
    if not marked:
        return []
    where = Where(check="director.ipvs", host=DIRECTOR, vip=vip.address, service=service.label)
    name = f"{vip.address} {service.label}"
    if look is not None and look.chains is None:
        listed = ", ".join(one.label for one in marked)
        return [
            where.unknown(
                f"It is not known whether a service by firewall mark takes packets for {name} first.",
                f"{listed}; {look.chains_problem}", "On the director: iptables-save -t mangle; nft list ruleset",
            )
        ]  # fmt: skip
    marks = follow(evidence, packet_of(evidence, vip, service)).marks
    if not marks:
        return []
    mark, rule, sure = marks[-1]
    by = next((one for one in marked if one.mark == mark), None)
    if by is None:
        return []
    to = ", ".join(endpoint(address, port) for address, port, _ in by.destinations[:_SHOWN]) or "nobody"
    seen = f"{rule}; IPVS sends {by.label} to {to}"
    message = f"Firewall mark {mark} takes packets for {name} first, and IPVS sends them by another service."
    if not sure:
        return [where.unknown(message.replace(" takes ", " may take "), seen, "On the director: ipvsadm -Ln")]
    six = " -6" if family == 6 else ""
    return [
        faults.fail(
            where,
            Fault(
                host=DIRECTOR, cause="ipvs-differs", vip=vip.address, service=service.label, server=f"mark {mark}"
            ),
            message, seen, f"On the director: ipvsadm -D -f {mark}{six}",
        )
    ]  # fmt: skip
