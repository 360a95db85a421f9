"""From what was seen to what is wrong: `diagnose(evidence)` gives every check in the order a packet travels.

Pure. One fault gives one failing check with one cause on the host where it is; whatever else shows it is `skipped`
with `consequence_of`. What could not be looked at is `unknown` and says what would make it visible; only what was seen
passes. Causes and how each is told from the others: field guide, sections 2 and 3.
"""

from __future__ import annotations

from dsrwizard.core.checks import Check, Report, Verdict
from dsrwizard.core.diagnosis import balancing
from dsrwizard.core.diagnosis.client import client
from dsrwizard.core.diagnosis.clientlike import client_like, emits, half_open
from dsrwizard.core.diagnosis.evidence import ClientView, ClientVip, Evidence
from dsrwizard.core.diagnosis.ledger import Ledger
from dsrwizard.core.diagnosis.reach import ports, reach
from dsrwizard.core.diagnosis.reading import Reading
from dsrwizard.core.diagnosis.through import inside, probes
from dsrwizard.core.diagnosis.within import afterwards, within

__all__ = ["ClientView", "ClientVip", "Evidence", "diagnose", "verdict"]

ASIDE = frozenset({"client.ping", "server.access", "server.persistent", "probe.client_like", "server.half_open"})
"""Checks that traffic does not depend on right now: unknown there does not spoil the verdict."""


def diagnose(evidence: Evidence) -> Report:
    """All checks with their outcomes, and the verdict."""
    ledger = Ledger()
    readings = [Reading(evidence, server) for server in evidence.deployment.servers]
    director = [*balancing.audit(evidence, ledger, readings), *balancing.holds(evidence, ledger)]
    before = {reading.name: reach(reading, ledger) for reading in readings}
    letting = emits(readings)
    servers: list[Check] = []
    for reading in readings:
        proof = probes(reading, ledger, readings)  # before the ports: what a probe found explains a refusal
        servers += [*before[reading.name], *ports(reading, ledger), *proof]
        servers += [*inside(reading, ledger), *within(reading, ledger)]
        servers += [*client_like(reading, ledger, letting), *afterwards(reading, ledger)]
    # After the servers: one that cannot serve is kept out of IPVS, or at weight 0, on purpose.
    director += balancing.ipvs(evidence, ledger, readings)
    live = [check for reading in readings for check in half_open(reading, ledger)]
    others = [*director, *servers, *live]
    checks = (*client(evidence, ledger, readings, verdict(others) == "pass"), *others)
    return Report(deployment=evidence.deployment.name, verdict=verdict(checks), checks=checks)


def verdict(checks: list[Check] | tuple[Check, ...]) -> Verdict:
    """`fail` when one failed, `pass` when every check that matters for traffic was seen, otherwise `unknown`."""
    if any(check.outcome == "fail" for check in checks):
        return "fail"
    if any(check.outcome == "unknown" and check.check not in ASIDE for check in checks):
        return "unknown"
    return "pass"
