"""Whether a router is told of the VIPs: BIRD runs, its session stands, and the guard lets it announce."""

from __future__ import annotations

from collections.abc import Iterable

from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.dialects.bird.writer import symbol
from dsrwizard.core.model.bird import BIRD_UNIT, sign_of
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.steps import DIRECTOR

_STANDS = "Established"


def announced(evidence: Evidence, faults: Found, where: Where) -> Iterable[Check]:
    """What keeps this director's share of the clients away, where the deployment has BGP and is in force."""
    bgp, facts = evidence.deployment.director.bgp, evidence.observed.director
    if bgp is None or facts is None or facts.bird is None or not evidence.deployed:
        return
    name, bird = evidence.deployment.name, facts.bird
    fault = Fault(host=DIRECTOR, cause="director-setting", server="bgp")
    if bird.problem or not facts.privileged:
        yield where.unknown("Could not check whether a router is told of the VIPs.", bird.problem, "Run it as root.")
    elif not bird.running:
        yield faults.fail(
            where, fault, "BIRD does not run on this director, so no router is told of the VIPs.",
            "birdc gets no answer", f"On the director: systemctl start {BIRD_UNIT}",
        )  # fmt: skip
    elif bird.state != _STANDS:
        yield faults.fail(
            where, fault, f"BIRD has no session with {bgp.neighbour}, so that router is not told of the VIPs.",
            f"BGP state: {bird.state or 'there is no such session'}",
            f"On the director: birdc show protocols all {symbol(name)}_bgp says why. The router needs a session with "
            f"this director from AS {bgp.neighbour_as} to AS {bgp.local_as}.",
        )  # fmt: skip
    elif facts.guard is not None and facts.guarded and facts.guard.announces is False:
        why = "; ".join(facts.guard.alarms) or "It has not been fit for long enough."
        yield faults.fail(
            where, fault, "This director does not announce the VIPs, because its guard finds it unfit.", why,
            f"Mend that. The guard then makes the interface {sign_of(name)}, and BIRD announces them.",
        )  # fmt: skip
