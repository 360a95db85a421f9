"""The check `director.balancer` of a VIP as a whole: a packet to the MAC of the load balancer that is another machine.

Whatever it says of itself: in direct server return it sends that packet on as it came, and a real server answers from
the VIP with its own MAC. No answer means that it sends nothing, or writes another address in it; its own MAC, that it
answers itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsrwizard.core.diagnosis.balancing import strangers
from dsrwizard.core.diagnosis.evidence import Evidence, mac
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.probed import WORDS
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.client_view import ClientView
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.products import PRODUCTS
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical

_FIX = {
    "netscaler": "On the NetScaler, show lb vserver: mode MAC, it and its services UP; show ns mode: MBF on.",
    "loadbalancer.org": "On the Loadbalancer.org: that virtual service forwards by Direct Routing (gate). Reload it.",
    "aloha": "On the ALOHA: that director has mode gateway, and its servers are there.",
    "barracuda": "On the Barracuda: that service is of type Layer 4; Direct Server Return is on for each real server.",
}
_FIX_ANY = "On the load balancer: direct server return is on for that service and each real server."


def through(evidence: Evidence, faults: Found, views: Sequence[ServerView]) -> Iterator[Check]:
    """For every VIP and service that was asked at the balancer's MAC. Run after the servers."""
    for vip in evidence.deployment.vips:
        owners = strangers(evidence, vip, list(views))
        for service in vip.services:
            asked = [
                one for one in evidence.boxed
                if canonical(one.vip) == canonical(vip.address) and mac(one.mac) in owners
                and (one.protocol, one.port) == (service.protocol, service.port)
                and one.signature not in ("unknown", "no-mac")
            ]  # fmt: skip
            behind = [view for view in views if vip in evidence.deployment.vips_of(view.server) and view.server.weight]
            if len(owners) == 1 and asked and behind:
                yield _judged(evidence, faults, vip, service, asked[0], behind)


def _judged(
    evidence: Evidence, faults: Found, vip: Vip, service: Service, probe: Probed, behind: Sequence[ServerView]
) -> Check:
    where = Where(check="director.balancer", host=DIRECTOR, vip=vip.address, service=service.label)
    product = PRODUCTS.get(evidence.deployment.director.engine)
    name, target = product.name if product else "load balancer", f"{vip.address} {service.label}"
    seen = f"a packet to {probe.mac}: {WORDS[probe.signature]}" + (
        f", by {probe.answered_by}" if probe.answered_by else ""
    )
    fault = Fault(host=DIRECTOR, cause="ipvs-differs", vip=vip.address, service=service.label)
    fix = _FIX.get(evidence.deployment.director.engine, _FIX_ANY)
    if probe.answered_by and mac(probe.answered_by) == mac(probe.mac):
        return faults.fail(
            where, fault, f"The {name} answers {target} itself: that is no direct server return.", seen, fix
        )
    if probe.signature in ("syn-ack", "reply"):
        by = next((view.name for view in behind if mac(probe.answered_by) in view.voices), "a real server")
        return where.passed(f"{target} answers through the {name}, and {by} replies past it.", seen)
    known = faults.find(DIRECTOR, vip=vip.address, service=service.label)
    for view in behind:
        known = known or faults.find(view.name, vip=vip.address, service=service.label)
    if known is not None:
        return where.follows(known, f"{target} does not answer through the {name}.", seen)
    if not all(view.good(vip, service) for view in behind) or _served(evidence, vip, service):
        return where.unknown(
            f"{target} did not answer this machine through the {name}.", seen,
            f"Open {target} from a machine in this network, and look on the {name} whether it lets that in.",
        )  # fmt: skip
    return faults.fail(
        where, fault,
        f"{target} is dead through the {name}, and alive on every real server: the {name} sends clients' packets to "
        "none, or writes another address in them.",
        f"{seen}; {', '.join(view.name for view in behind[:8])} answer {target} at their own MACs", fix,
    )  # fmt: skip


def _served(evidence: Evidence, vip: Vip, service: Service) -> bool:
    """Whether the client host gets in all the same."""
    client = evidence.client.of(vip) if isinstance(evidence.client, ClientView) else None
    connected = client.connect(service.port) if client is not None and service.protocol == "tcp" else None
    return connected is not None and connected.result == "open"
