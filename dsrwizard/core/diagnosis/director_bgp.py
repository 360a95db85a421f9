"""Whether a router is told of the VIPs: BIRD runs, its session stands, and the guard lets it announce."""

from __future__ import annotations

from collections.abc import Iterable

from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.dialects.bird.writer import symbol
from dsrwizard.core.model.bird import BIRD_UNIT, sign_of
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.steps import DIRECTOR

_STANDS = "Established"


def announced(evidence: Evidence, faults: Found, where: Where, facts: DirectorFacts | None) -> Iterable[Check]:
    """What keeps a director's share of the clients away, where the deployment has BGP and is in force."""
    bgp = evidence.deployment.director.bgp
    here = where.host == DIRECTOR
    this, on = ("this director", "On the director") if here else (where.host, f"On {where.host}")
    there = "" if here else f" on {where.host}"
    if bgp is None or facts is None or facts.bird is None or not evidence.deployed:
        return
    name, bird = evidence.deployment.name, facts.bird
    fault = Fault(host=where.host, cause="director-setting", server="bgp")
    if bird.problem or not facts.privileged:
        yield where.unknown("Could not check whether a router is told of the VIPs.", bird.problem, "Run it as root.")
    elif not bird.running:
        yield faults.fail(
            where, fault, f"BIRD does not run on {this}, so no router is told of the VIPs.",
            "birdc gets no answer", f"{on}: systemctl start {BIRD_UNIT}",
        )  # fmt: skip
    elif bird.state != _STANDS:
        yield faults.fail(
            where, fault, f"BIRD{there} has no session with {bgp.neighbour}, so that router is not told of the VIPs.",
            f"BGP state: {bird.state or 'there is no such session'}",
            f"{on}: birdc show protocols all {symbol(name)}_bgp says why. The router needs a session with "
            f"{this} from AS {bgp.neighbour_as} to AS {bgp.local_as}.",
        )  # fmt: skip
    elif facts.guard is not None and facts.guarded and facts.guard.announces is False:
        why = "; ".join(facts.guard.alarms) or "It has not been fit for long enough."
        yield faults.fail(
            where, fault,
            f"{this[0].upper()}{this[1:]} does not announce the VIPs, because its guard finds it unfit.", why,
            f"Mend that. The guard then makes the interface {sign_of(name)}, and BIRD announces them.",
        )  # fmt: skip
