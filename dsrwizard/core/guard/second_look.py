"""A second look within a round at destinations that kept silent, and a third: who is to be asked, and what the looks
say. Pure.

Silence takes a probe's whole deadline, so two looks one after the other span twice that, and nothing is won by waiting
for the next round. Who refuses aloud does so at once: a service that starts again would be caught between two looks, so
it is asked in the next round. Some that answered the first look are asked again, too. Where none of these witnesses
answers any more, or all of them late, the second look says nothing: the director may have been cut off in between, or
have too much to do.

A server that answers for its other services is there, and busy perhaps: a service of it that kept silent twice is asked
a third time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from dsrwizard.core.guard.policy import Limits, Said, Ward
from dsrwizard.core.model.guarding import DestinationPlace

WITNESSES = 4
"""Servers that are asked again beside the silent ones; one that answers is enough."""


def asked_again(
    wards: Mapping[DestinationPlace, Ward], said: Mapping[DestinationPlace, Said], limits: Limits
) -> tuple[list[DestinationPlace], list[DestinationPlace]]:
    """The silent ones that a second look may prove dead, and the witnesses. Both empty: there is none."""
    silent = [
        place
        for place, one in said.items()
        if one.word == "dead" and one.silent and _open(wards.get(place, Ward()), limits)
    ]
    suspects = {place.server for place in silent}
    well = {place.server: place for place, one in said.items() if one.word == "well" and place.server not in suspects}
    witnesses = list(well.values())[:WITNESSES]
    return (silent, witnesses) if silent and witnesses else ([], [])


def both(
    said: Mapping[DestinationPlace, Said],
    second: Mapping[DestinationPlace, Said],
    witnesses: Iterable[DestinationPlace],
) -> dict[DestinationPlace, Said]:
    """What two looks say. `second`: the silent ones and the witnesses, as the second look found them."""
    found = dict(said)
    asked = set(witnesses)
    if not _count(second, asked):
        return found
    for place, now in second.items():
        if place not in asked:
            found[place] = msgspec.structs.replace(now, times=said[place].times + 1) if now.word == "dead" else now
    return found


def alone(said: Mapping[DestinationPlace, Said]) -> list[DestinationPlace]:
    """Those found silent twice whose servers answer for something else."""
    there = {place.server for place, one in said.items() if one.word == "well"}
    return [place for place, one in said.items() if one.silent and one.times > 1 and place.server in there]


def settled(
    said: Mapping[DestinationPlace, Said],
    third: Mapping[DestinationPlace, Said],
    witnesses: Iterable[DestinationPlace],
) -> dict[DestinationPlace, Said]:
    """What all looks say. `third`: those of `alone` and the witnesses. Where it says nothing, the second did not
    either."""
    found = dict(said)
    asked = set(witnesses)
    counts = _count(third, asked)
    for place, now in third.items():
        if place in asked or (counts and now.word == "dead"):
            continue
        found[place] = msgspec.structs.replace(found[place], times=1) if now.word == "dead" else now
    return found


def _count(look: Mapping[DestinationPlace, Said], witnesses: Iterable[DestinationPlace]) -> bool:
    """Whether a look says anything: one of the witnesses answered, and in time."""
    return any(look[place].word == "well" and not look[place].slow for place in witnesses)


def _open(ward: Ward, limits: Limits) -> bool:
    """Whether it is in, and one more look may decide."""
    return ward.held is None and not ward.forced and ward.bad < limits.dead_after
