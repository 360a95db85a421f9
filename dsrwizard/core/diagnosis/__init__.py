"""The diagnosis: `diagnose(evidence)` returns every check, in the order a packet travels.

Pure. One fault gives one failing check with one cause on the host where it is; other checks that show it are `skipped`
with `consequence_of`. What could not be checked is `unknown` and says how to make it visible; only what was seen
passes. For the causes and how to tell them apart, see the field guide, sections 2 and 3.

Several faults at once are each named, on one host and on several. What a fault hides, until it is mended:

- unreachable, not-on-link: everything else on that server
- duplicate-rip: everything else on that server, for nobody knows which of the two machines was seen
- vip-missing: a firewall there that drops packets to the same VIP
- vip-prefix: a firewall there, where the prefix takes in the director's own address
- windows-adapter by an adapter that is gone or disabled: what is wrong with the VIPs and weak-host on it
- service-down by UDP: a firewall for that port, because both are silent; and a datagram that no server answers is
  unknown on all, because the application may rightly ignore it
- arp-leak by a VIP on the interface to the director: not-persistent and vip-prefix there, because no plan touches such
  an address, and one cure takes it off
- gateway of a server whose replies cannot arrive: a firewall or spoof-filter there, because a probe shows the same
  silence
- second-director: whatever is wrong behind it on that server, for its packets go elsewhere
- unreachable, vip-missing, service-down, rip-only-listener, firewall: ipvs-missing and drained of that server for the
  VIP and service, because one that cannot serve is kept out on purpose
- ipvs-missing of a whole service: everything about its destinations
- vip-as-source: everything about servers that do not answer the director's own packets
- firewall or director-setting on the director: connections that came in and made no entry in IPVS
- any fault a client feels: stale-arp at a router, where the director's connections do not tell what never came there

What convicts nobody: a SYN from a documentation address that got lost (many drop those on purpose), silence without a
rule of a packet filter behind it, connections without an entry in the director's table where nobody listened for them.
Such a check is unknown; where clients may well fail behind it, it is a doubt (`Found.doubt`), and no verdict is a pass.

Faults of one cause on one host are one where one thing mends them: the guard of all IPv4 VIPs, a service that is down
on all VIPs, what is not persistent, a packet filter of one address family.
"""

from __future__ import annotations

from dsrwizard.core.diagnosis import balancing
from dsrwizard.core.diagnosis.answering import answering, sizes
from dsrwizard.core.diagnosis.appliance import told
from dsrwizard.core.diagnosis.bypass import carried
from dsrwizard.core.diagnosis.client import client
from dsrwizard.core.diagnosis.clientlike import client_like, emits, half_open
from dsrwizard.core.diagnosis.director_boot import persistent
from dsrwizard.core.diagnosis.director_entry import entries
from dsrwizard.core.diagnosis.director_filter import filters
from dsrwizard.core.diagnosis.director_guard import guarding
from dsrwizard.core.diagnosis.director_path import settings
from dsrwizard.core.diagnosis.director_ways import sources, ways
from dsrwizard.core.diagnosis.directors import roles
from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.found import Found
from dsrwizard.core.diagnosis.gateway import gateways
from dsrwizard.core.diagnosis.heard import heard
from dsrwizard.core.diagnosis.probed import inside, probes
from dsrwizard.core.diagnosis.reach import access, ports, reach
from dsrwizard.core.diagnosis.spread import beside
from dsrwizard.core.diagnosis.standby import standby
from dsrwizard.core.diagnosis.systems import server_views
from dsrwizard.core.diagnosis.through_box import through
from dsrwizard.core.diagnosis.unseen import not_seen
from dsrwizard.core.model.checks import Check, Report, Verdict

__all__ = ["Evidence", "diagnose", "verdict"]

ASIDE = frozenset(
    {
        "client.ping", "client.servers", "client.bypass", "client.size", "server.access", "server.persistent",
        "probe.client_like",
        "server.half_open", "server.bindings", "server.conflict", "server.adapter", "server.health_check",
        "server.look", "vip.answer", "vip.size", "server.size", "director.filter", "director.settings", "director.way",
        "server.balancer", "director.persistent", "director.guard", "director.role",
        "director.keepalived", "director.balancer", "director.beside",
    }
)  # fmt: skip
"""Checks that traffic does not depend on right now: if they are unknown, the verdict can still be pass."""


def diagnose(evidence: Evidence) -> Report:
    """All checks with their outcomes, and the verdict."""
    faults = Found()
    views = server_views(evidence)
    director = [*standby(evidence, faults), *roles(evidence, faults), *balancing.audit(evidence, faults, views)]
    director += balancing.holds(evidence, faults)
    director += [*filters(evidence, faults), *settings(evidence, faults), *sources(evidence, faults)]
    director += [*entries(evidence, faults), *ways(evidence, faults, views), *persistent(evidence, faults)]
    before = {view.name: reach(view, faults) for view in views}
    letting = emits(views)
    servers: list[Check] = []
    for view in views:
        proof = probes(view, faults, views)  # before the ports: what a probe found explains a refusal
        talk = [*answering(view, faults, views), *sizes(view, faults, views)]
        servers += [*before[view.name], access(view, faults), *ports(view, faults), *proof, *talk]
        servers += [*inside(view, faults), *view.platform.settings(view, faults), *gateways(view, faults)]
        servers += [*client_like(view, faults, letting), *view.platform.after_clients(view, faults)]
    # After the servers' settings, which explain what one announces.
    director += heard(evidence, faults, views)
    # After the servers: one that cannot serve is kept out of IPVS, or at weight 0, on purpose.
    director += balancing.ipvs(evidence, faults, views)
    director += beside(evidence, faults)
    director += told(evidence, faults, views)  # after the servers, too: what it says is held against them
    director += through(evidence, faults, views)
    director += guarding(evidence, faults)  # after all that may leave it blind
    live = half_open(views, faults, letting)
    others = [*director, *servers, *live]
    checks = (*client(evidence, faults, views, verdict(others) == "pass" and not faults.doubts), *others)
    checks = tuple(map(faults.retold, checks))
    said = verdict(checks)
    proved = {(one.vip, one.service) for one in checks if one.check == "client.bypass" and one.outcome == "pass"}
    return Report(
        deployment=evidence.deployment.name,
        verdict="unknown" if said == "pass" and faults.doubts else said,
        checks=checks,
        bypass=carried(evidence, proved),
        not_seen=not_seen(evidence, views),
    )


def verdict(checks: list[Check] | tuple[Check, ...]) -> Verdict:
    """`fail` when one failed, `pass` when every check that matters for traffic was seen, otherwise `unknown`."""
    if any(check.outcome == "fail" for check in checks):
        return "fail"
    if any(check.outcome == "unknown" and check.check not in ASIDE for check in checks):
        return "unknown"
    return "pass"
