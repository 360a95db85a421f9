"""Whether a director announces the VIPs by BGP: as long as its guard finds it fit to take clients.

A director that announces and cannot serve is a black hole for its share of the clients; one that withdraws costs
nothing, as long as others announce. But whatever makes all directors withdraw at once takes the VIPs off the net. So a
director withdraws for what is wrong with itself, and for nothing that is wrong with the real servers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from dsrwizard.core.guard.policy import Said
from dsrwizard.core.model.changes import ServiceKey
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.facts import VirtualService
from dsrwizard.core.model.guarding import DestinationPlace
from dsrwizard.core.plan.director import key_of

FIT_ROUNDS = 4
UNFIT_ROUNDS = 3
"""Rounds in a row. With a round every 0.5 s a director that is cut off from the servers withdraws after 1.5 s, and
announces again once it has been fit for 2 s."""


class Fitness(msgspec.Struct, frozen=True):
    """How it was in the last rounds. `announces`: the VIPs are to be announced; `fit` and `unfit` count rounds in a
    row; `why`: what makes it unfit, as a sentence, empty: nothing does."""

    announces: bool = False
    fit: int = 0
    unfit: int = 0
    why: str = ""


def after_round(before: Fitness, why: str) -> Fitness:
    """Fitness after one more round. `why`: see `unfit`."""
    if why:
        unfit = before.unfit + 1
        return Fitness(announces=before.announces and unfit < UNFIT_ROUNDS, unfit=unfit, why=why)
    fit = before.fit + 1
    return Fitness(announces=before.announces or fit >= FIT_ROUNDS, fit=fit)


def unfit(
    deployment: Deployment,
    said: Mapping[DestinationPlace, Said],
    table: Mapping[ServiceKey, VirtualService],
    here: Collection[str] | None,
) -> str:
    """Why this director should get no clients; empty: it may. `here`: the VIPs that this machine has, None: not known.

    Servers that are dead or held out are no reason: they are so for every director, and the guard leaves some in. A
    table without any weight is one that is being set up, or that an operator has drained.
    """
    if said and all(one.word == "unknown" or one.mute for one in said.values()):
        return "No real server can be reached from here, not even by ARP."
    weights = 0
    for vip in deployment.vips:
        if here is not None and vip.address not in here:
            return f"The VIP {vip.address} is not on this machine."
        for service in vip.services:
            found = table.get(key_of(vip, service))
            if found is None or not found.destinations:
                return f"Nothing is behind {vip.address} {service.label} in the IPVS table of this machine."
            weights += sum(one.state.weight for one in found.destinations)
    return "" if weights else "Every real server has weight 0 in the IPVS table of this machine."
