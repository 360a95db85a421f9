"""The rules of a guard, a round at a time. Pure.

A destination is held out when it was proved dead in several looks one after the other, and let in when it was proved
well again; whoever goes out again soon waits longer, unless a dead server would have to stay in for it. Of every
service a share stays in whatever the probes say, and where nobody answers nothing is changed: weight 0 helps no client
then, and it may be the director that is cut off.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Literal

import msgspec

from dsrwizard.core.model.guarding import DestinationPlace, HeldOut

ProbeWord = Literal["well", "dead", "unknown"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """`floor`: per cent of a service's destinations that stay in. `dead_after`, `well_after`: so many looks in a row.
    Whoever goes out again within `calm` seconds waits `first` seconds, then twice as long each time, and `longest` at
    most."""

    floor: int = 50
    dead_after: int = 2
    well_after: int = 2
    calm: float = 120.0
    first: float = 5.0
    longest: float = 120.0


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What the probes of one round say of a destination. `why`: what is wrong, in a sentence. `mute`: nobody answered
    for its address at all. `silent`: no answer of any kind came until the deadline. `slow`: it answered,
    and late for a network without a router. `times`: looks of this round that said so, one after the other."""

    word: ProbeWord
    why: str = ""
    mute: bool = False
    silent: bool = False
    slow: bool = False
    times: int = 1


class Ward(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a destination. `bad`, `good`: looks one after the other; `good_at`: when the first of the
    good ones was; `outs`: how often it went out lately, the last time `out_at`. `forced`: somebody gave it a weight
    while it was dead, and that stands until it has been well once."""

    held: HeldOut | None = None
    bad: int = 0
    good: int = 0
    good_at: float = 0.0
    outs: int = 0
    out_at: float = -math.inf
    forced: bool = False


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """A weight to be set. `why` in a sentence."""

    place: DestinationPlace
    before: int
    weight: int
    why: str


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """What follows from a round. The acts are still to be carried out: `after` says what is so once they are."""

    wards: Mapping[DestinationPlace, Ward]
    acts: tuple[Act, ...] = ()
    blind: str = ""
    alarms: tuple[str, ...] = ()


def decide(
    wards: Mapping[DestinationPlace, Ward],
    said: Mapping[DestinationPlace, Said],
    weights: Mapping[DestinationPlace, int],
    now: float,
    *,
    limits: Limits,
    by_hand: Collection[DestinationPlace] = (),
) -> Decided:
    """One round. `weights` are those in the table, without what is not in it; `by_hand`: destinations that an operator
    drained, which stay out. `now` in seconds since the epoch."""
    known = {place: _met(wards.get(place, Ward()), place in by_hand, weights.get(place)) for place in said}
    blind = blindness(said)
    if blind:
        still = {place: msgspec.structs.replace(ward, bad=0, good=0) for place, ward in known.items()}
        return Decided(wards=_shown(still, now, limits), blind=blind, alarms=(blind,))
    known = {place: _counted(ward, said[place], now) for place, ward in known.items()}
    acts: list[Act] = []
    alarms: list[str] = []
    for vip, service in dict.fromkeys((place.vip, place.service) for place in said):
        mine = {place: ward for place, ward in known.items() if (place.vip, place.service) == (vip, service)}
        back = _in(mine, now, limits)
        back += _early(mine, weights, {act.place for act in back}, limits)
        # First in, then out: the service has its floor at every moment.
        then = {**weights, **{act.place: act.weight for act in back}}
        out, remarks = _out(f"{vip} {service}", mine, said, then, limits)
        acts += [*back, *out]
        alarms += remarks
    return Decided(wards=_shown(known, now, limits), acts=tuple(acts), alarms=tuple(alarms))


def carried_out(
    wards: Mapping[DestinationPlace, Ward], acts: Iterable[Act], now: float, limits: Limits
) -> dict[DestinationPlace, Ward]:
    """What is remembered once these acts have been carried out."""
    known = dict(wards)
    for act in acts:
        ward = known[act.place]
        if act.weight:
            known[act.place] = msgspec.structs.replace(ward, held=None)
            continue
        lately = ward.outs if now - ward.out_at <= limits.calm + waits(ward.outs, limits) else 0
        held = HeldOut(place=act.place, weight=act.before, why=act.why, since=now)
        known[act.place] = msgspec.structs.replace(ward, held=held, outs=lately + 1, out_at=now, good=0)
    return known


def waits(outs: int, limits: Limits) -> float:
    """How many seconds a destination that went out so often has to be well before it is let in."""
    return 0.0 if outs <= 1 else float(min(limits.longest, limits.first * 2 ** min(outs - 2, 30)))


def blindness(said: Mapping[DestinationPlace, Said]) -> str:
    """Why this round says nothing about the servers, in a sentence; empty: it does."""
    if not said:
        return ""
    words = {one.word for one in said.values()}
    if words == {"unknown"}:
        why = next((one.why for one in said.values() if one.why), "nothing could be sent")
        return f"No destination could be probed, so nothing is changed: {why}"
    servers = {place.server for place in said}
    dead = [one for one in said.values() if one.word == "dead"]
    if "well" in words or len(servers) < 2:
        return ""
    if all(one.mute for one in dead):
        return "No real server answers ARP. This director may be cut off from their network; nothing is changed."
    return "No destination answers. Nothing is changed: taking servers out would help no client."


def _met(ward: Ward, by_hand: bool, weight: int | None) -> Ward:
    """The ward beside the table as it is now: others change weights, too."""
    if ward.held is None:
        return ward
    if weight is None or by_hand:
        return msgspec.structs.replace(ward, held=None)
    if weight:
        return msgspec.structs.replace(ward, held=None, forced=not ward.good)
    return ward


def _counted(ward: Ward, said: Said, now: float) -> Ward:
    match said.word:
        case "well":
            return msgspec.structs.replace(
                ward, bad=0, good=ward.good + 1, good_at=ward.good_at if ward.good else now, forced=False
            )
        case "dead":
            return msgspec.structs.replace(ward, bad=ward.bad + said.times, good=0)
        case _:
            return ward


def _out(
    name: str,
    wards: Mapping[DestinationPlace, Ward],
    said: Mapping[DestinationPlace, Said],
    weights: Mapping[DestinationPlace, int],
    limits: Limits,
) -> tuple[list[Act], list[str]]:
    """Who of one service goes out, and what is to be told."""
    inside = [place for place in wards if weights.get(place, 0) > 0]
    dead = sorted(
        (place for place in inside if wards[place].bad >= limits.dead_after), key=lambda place: -wards[place].bad
    )
    told = [
        f"{place.server} does not serve {name} and gets clients all the same: somebody gave it weight "
        f"{weights[place]}. {said[place].why}"
        for place in dead
        if wards[place].forced
    ]
    dead = [place for place in dead if not wards[place].forced]
    if not dead:
        return [], told
    if all(said[place].word == "dead" for place in inside):
        return [], [*told, f"No server of {name} that gets clients answers; none is taken out."]
    free = _free(wards, inside, limits)
    of = _all(wards, inside)
    acts = [Act(place=place, before=weights[place], weight=0, why=said[place].why) for place in dead[:free]]
    if kept := [place.server for place in dead[free:]]:
        told.append(
            f"{', '.join(kept)} {'does' if len(kept) == 1 else 'do'} not serve {name} and still "
            f"{'gets' if len(kept) == 1 else 'get'} clients: {limits.floor} % of its {of} servers stay in."
        )
    return acts, told


def _all(wards: Mapping[DestinationPlace, Ward], inside: Collection[DestinationPlace]) -> int:
    return sum(place in inside or ward.held is not None for place, ward in wards.items())


def _free(wards: Mapping[DestinationPlace, Ward], inside: Collection[DestinationPlace], limits: Limits) -> int:
    """How many of those inside may go out."""
    return max(0, len(inside) - max(1, math.ceil(_all(wards, inside) * limits.floor / 100)))


def _early(
    wards: Mapping[DestinationPlace, Ward],
    weights: Mapping[DestinationPlace, int],
    coming: Collection[DestinationPlace],
    limits: Limits,
) -> list[Act]:
    """Who answers again and only waits for having flapped, while a dead server gets clients because so many have to
    stay in: each takes a dead one's place. A server that flapped serves more clients than one that is dead."""
    inside = [*(place for place in wards if weights.get(place, 0) > 0), *coming]
    dead = [place for place in inside if wards[place].bad >= limits.dead_after]
    forced = sum(wards[place].forced for place in dead)
    short = max(0, len(dead) - forced - _free(wards, inside, limits)) + forced
    waiting = sorted(
        (
            (place, ward.held, ward.good_at)
            for place, ward in wards.items()
            if ward.held is not None and ward.good >= limits.well_after and place not in coming
        ),
        key=lambda one: one[2],
    )
    names = list(dict.fromkeys(place.server for place in dead))
    why = f"It answers again, and {' and '.join(names)} {'does' if len(names) == 1 else 'do'} not."
    return [Act(place=place, before=0, weight=held.weight, why=why) for place, held, _ in waiting[:short]]


def _in(wards: Mapping[DestinationPlace, Ward], now: float, limits: Limits) -> list[Act]:
    return [
        Act(place=place, before=0, weight=ward.held.weight, why="It answers again.")
        for place, ward in wards.items()
        if ward.held is not None and ward.good >= limits.well_after and now - ward.good_at >= waits(ward.outs, limits)
    ]


def _shown(wards: Mapping[DestinationPlace, Ward], now: float, limits: Limits) -> dict[DestinationPlace, Ward]:
    """With what is told of those that are held out as of now."""
    return {
        place: ward
        if ward.held is None
        else msgspec.structs.replace(
            ward,
            held=msgspec.structs.replace(
                ward.held,
                well_since=ward.good_at if ward.good else 0.0,
                back_at=ward.good_at + waits(ward.outs, limits) if ward.good else 0.0,
            ),
        )
        for place, ward in wards.items()
    }
