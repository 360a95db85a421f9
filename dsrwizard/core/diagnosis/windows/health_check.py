"""`server.health_check`: what a load balancer's check of the server's own address meets, and clients without a name.

Balancers check the address of the server, not the VIP, mostly by address and without a host name. Windows has its own
ways to fail that: a firewall rule for another profile than the network's, sites with host names only, certificates by
name (SNI) only. The VIP is served meanwhile.
"""

from __future__ import annotations

from dsrwizard.core.diagnosis.found import Where
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.diagnosis.windows.view import facts_of
from dsrwizard.core.dialects.windows import advice, profiles, sites
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.values import endpoint
from dsrwizard.core.model.windows_facts import WindowsFacts


def health_checks(view: ServerView) -> list[Check]:
    """One for each VIP and TCP service that has something to say."""
    facts = facts_of(view)
    if facts is None:
        return []
    found = []
    for vip in view.vips:
        for service in vip.services:
            if service.protocol == "tcp":
                where = Where(check="server.health_check", host=view.name, vip=vip.address, service=service.label)
                found.append(_nameless(view, facts, where, vip, service) or _at_rip(view, facts, where, vip, service))
    return [check for check in found if check is not None]


# -- without a name


def _nameless(view: ServerView, facts: WindowsFacts, where: Where, vip: Vip, service: Service) -> Check | None:
    """Requests and TLS handshakes that name no host are refused after the connection is open."""
    bindings = [
        (binding, sites.binding_endpoint(binding)[2])
        for _, binding in sites.serving(facts, service)
        if sites.binding_endpoint(binding)[0] not in ("127.0.0.1", "::1")
    ]
    if not bindings:
        return None
    names = ", ".join(sorted({host for _, host in bindings if host}))
    by_name = all(binding.ssl_flags & (sites.SNI | sites.CENTRAL_STORE) for binding, _ in bindings)
    if by_name and all(binding.protocol == "https" for binding, _ in bindings):
        if sites.covering(facts, vip, service.port) or facts.certificates is None:
            return None
        return where.unknown(
            f"{view.name} has certificates for {service.label} by host name only (SNI): a health check or a client "
            "that names no host is reset after the connection is open.",
            f"bindings with SNI: {names or 'without a name'}; no certificate for all addresses",
            f"Let the health check name the host ({names or 'SNI'}), or add a certificate for all addresses: "
            "in IIS Manager, an https binding without a host name.",
        )  # fmt: skip
    if all(host for _, host in bindings):
        return where.unknown(
            f"The sites for {service.label} on {view.name} answer to host names only: a health check or a client that "
            "asks by address gets an error (404).",
            f"host names: {names}",
            f"Let the health check send a Host header: {names}.",
        )  # fmt: skip
    return None


# -- at the server's own address


def _at_rip(view: ServerView, facts: WindowsFacts, where: Where, vip: Vip, service: Service) -> Check | None:
    """Another product balances, and its check of the RIP gets no answer though the VIP is served."""
    connected = view.connect(vip, service)
    if view.evidence.deployment.director.in_kernel or connected is None:
        return None
    own, target = Vip(address=connected.address, services=()), endpoint(connected.address, connected.port)
    if connected.result == "open":
        return where.passed(f"A health check of {target} is answered.", "TCP connection open")
    if connected.result != "silent" or not view.good(vip, service):
        return None  # not tried, or the same fault as the VIP's
    current = facts.firewall.current if facts.firewall else None
    rules = profiles.letting_in(facts, connected.address, connected.port)
    told = [f"rule “{rule.name}” is for {profiles.worded(rule.profiles)}" for rule in rules]
    if current is not None:
        told.append(f"in force: {profiles.worded(current)}")
    return where.unknown(
        f"A health check of {target} gets no answer, though the VIP is served: a load balancer that checks this "
        f"address takes {view.name} out.",
        "; ".join(told) or "no rule of the firewall lets it in",
        f"Let the balancer check the VIP, or on {view.name}: {advice.admit(own, service)}",
    )  # fmt: skip
