"""The steps by which a destination gets clients or none, whoever wants it: a weight, or a word to keepalived."""

from __future__ import annotations

import msgspec

from dsrwizard.core.model.changes import DestinationChange
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.facts import Destination
from dsrwizard.core.model.steps import DIRECTOR, Step
from dsrwizard.core.plan.director import key_of


def weight_step(server: str, vip: Vip, service: Service, destination: Destination, wanted: int, why: str) -> Step:
    """From the weight that the destination has now. `why` in a sentence."""
    return Step(
        id=f"weight {vip.address} {service.label} {server}",
        host=DIRECTOR,
        phase="weight",
        title=f"Weight {destination.state.weight} → {wanted} for {server} in {vip.address} {service.label}",
        why=why,
        changes=(
            DestinationChange(
                service=key_of(vip, service),
                address=destination.address,
                port=destination.port,
                old=destination.state,
                new=msgspec.structs.replace(destination.state, weight=wanted),
            ),
        ),
        server=server,
    )


def health_step(server: str, vip: Vip, service: Service, *, dead: bool, why: str) -> Step:
    """What a guard tells keepalived of a destination. There is nothing to take back: the next guard says it anew. `why`
    in a sentence."""
    return Step(
        id=f"weight {vip.address} {service.label} {server}",
        host=DIRECTOR,
        phase="weight",
        title=f"{server} in {vip.address} {service.label} is {'dead' if dead else 'well'} for keepalived",
        why=why,
        changes=(),
        server=server,
    )
