"""What a guard says of the directors: two that hold a VIP, or one that holds it and nobody looks after. Pure.

A guard tells of it and does nothing about it: no server is the worse for it, and which director is to let go is for
keepalived or an operator to say. Directors that change over hold a VIP both for a moment, so what one look alone sees
is not told.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dsrwizard.core.model.answers import Owners
from dsrwizard.core.model.deployment import Deployment, same_in
from dsrwizard.core.model.guarding import Holdings

LOOKS = 2
"""So many looks in a row have to see it."""
NAME_IT = "`dsrwizard verify` names it and says what to do."


class Seen(msgspec.Struct, frozen=True):
    """What is wrong with the directors, sentence → in how many looks in a row."""

    looks: Mapping[str, int] = {}

    @property
    def alarms(self) -> tuple[str, ...]:
        return tuple(line for line, times in self.looks.items() if times >= LOOKS)


def after_look(before: Seen, wrong: list[str]) -> Seen:
    """With one more look."""
    return Seen({line: before.looks.get(line, 0) + 1 for line in wrong})


def amiss(deployment: Deployment, here: Holdings, owners: Mapping[str, Owners]) -> list[str]:
    """What is wrong by one look, in sentences. What could not be asked says nothing."""
    director = deployment.director
    if director.engine != "keepalived":
        return []
    mine = [vip.address for vip in deployment.vips if same_in(vip.address, here.vips)]
    theirs: dict[str, list[str]] = {}
    for peer in director.peers:
        own = set(_heard(peer.address, owners))
        theirs[peer.name] = [vip for vip in mine if own & set(_heard(vip, owners))]
    twice = {name: vips for name, vips in theirs.items() if vips}
    if mine and here.keepalived is False:
        # A sentence each: an answer that is missed once must not begin the count of the other anew.
        return [
            f"This director holds {', '.join(mine)} and keepalived does not run here: nobody takes them off when it "
            f"fails. {NAME_IT}",
            *(f"{name} has taken {', '.join(vips)} too: clients reach either." for name, vips in twice.items()),
        ]
    return [
        f"{name} answers for {', '.join(vips)}, which this director holds too: the two do not hear each other, or "
        f"keepalived died on one of them and its VIPs stayed. {NAME_IT}"
        for name, vips in twice.items()
    ]


def _heard(address: str, owners: Mapping[str, Owners]) -> tuple[str, ...]:
    """MACs that answer for an address."""
    found = next((seen for one, seen in owners.items() if same_in(address, (one,))), None)
    return found.macs if found is not None and not found.problem else ()
