"""The last answers from the wire: probes per (VIP, service, server), answers for each VIP, unasked claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from dsrwizard.core.live.readings import RowPlace
from dsrwizard.core.model.answers import Owners, Probed
from dsrwizard.core.model.deployment import Vip
from dsrwizard.core.model.snapshot import Latency

CLAIM_SECONDS = 60.0
"""A claim that nobody asked for counts this long, unless newer facts say that its cause is gone: a real server with
its guard off asks for a neighbour about once a minute (gc_stale_time of arp(7)) and is silent in between."""
STRANGERS_CLAIM_SECONDS = 5.0
"""A stranger that has the VIP answers when it is asked for, and it is asked for all the time."""


MOST_CLAIMS = 2000
"""Claims kept for a VIP: a sender of invented MACs cannot fill the memory."""

MOST_MACS = 1000
"""MACs remembered beyond those that probes have just shown: a server that answers by another one each time cannot fill
the memory either."""
Spoken = tuple[str, str]
"""The MAC that a VIP was said to be at, and the MAC that said so: the same, where a machine speaks for itself."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds since the epoch. `macs`: MAC → server name, as learnt by probing and from facts."""

    probes: Mapping[RowPlace, tuple[float, Probed]] = {}
    missed: Mapping[RowPlace, tuple[float, Probed]] = {}
    """Looks that failed, or failed otherwise than before, and stand alone so far: the one after decides."""
    owners: Mapping[str, tuple[float, Owners]] = {}
    claims: Mapping[str, Mapping[str, float]] = {}
    """VIP → MAC → when it last named the VIP as its own without being asked."""
    told: Mapping[str, Mapping[Spoken, float]] = {}
    """VIP → what other MACs than the one named said of it without being asked → when last."""
    macs: Mapping[str, str] = {}
    gone: Mapping[str, float] = {}
    """RIP → since when nobody answers for it; a RIP that answers is not in it."""
    latency: Mapping[str, Latency] = {}
    """Server name → what its probes took."""
    unheard: frozenset[tuple[str, str]] = frozenset()
    """(VIP, MAC) of a real server that the last question did not hear, and the one before did."""

    def with_probes(self, at: float, answers: Mapping[RowPlace, Probed], latency: Mapping[str, Latency]) -> Heard:
        """With these answers, all of them made `at`. A look that is worse than, or bad in another way than, what is
        known of a place changes nothing until the next one at it is no better; a good one counts at once."""
        probes, macs, gone = dict(self.probes), dict(self.macs), dict(self.gone)
        missed = {place: look for place, look in self.missed.items() if place not in answers}
        for place, answer in answers.items():
            if place not in self.missed and _worse(self.probes.get(place), answer):
                missed[place] = (at, answer)
                continue
            probes[place] = (at, answer)
            if answer.signature == "no-mac":
                gone.setdefault(answer.rip, at)
            elif answer.signature != "unknown":
                gone.pop(answer.rip, None)
            if answer.mac:
                macs[answer.mac] = place[2]
        if len(macs) > MOST_MACS + len(probes):
            shown = {answer.mac: place[2] for place, (_, answer) in probes.items() if answer.mac}
            macs = dict(list(macs.items())[-MOST_MACS // 2 :]) | shown
        return msgspec.structs.replace(
            self, probes=probes, missed=missed, macs=macs, gone=gone, latency=latency
        )  # fmt: skip

    def with_owners(self, at: float, owners: Mapping[str, Owners]) -> Heard:
        """With these answers to who-has. The claims beside them are left to the listener, which knows their kind: a
        server that leaks answers others as well, and that is no second fault. A real server that answered counts until
        two questions in a row do not hear it."""
        timed, unheard = dict(self.owners), {one for one in self.unheard if one[0] not in owners}
        for vip, found in owners.items():
            before = timed[vip][1].macs if vip in timed and not found.problem else ()
            silent = [
                mac for mac in before if mac not in found.macs and mac in self.macs and (vip, mac) not in self.unheard
            ]
            unheard |= {(vip, mac) for mac in silent}
            kept = msgspec.structs.replace(found, macs=(*found.macs, *silent)) if silent else found
            timed[vip] = (at, kept)
        return msgspec.structs.replace(self, owners=timed, unheard=frozenset(unheard))

    def with_claims(self, vip: str, at: float, macs: Iterable[str]) -> Heard:
        """With claims of a VIP by these MACs. Where there are too many, the oldest by strangers go."""
        mine = {**self.claims.get(vip, {}), **dict.fromkeys(macs, at)}
        if len(mine) > MOST_CLAIMS:
            ranked = sorted(mine, key=lambda one: (one in self.macs, mine[one]))
            mine = {one: mine[one] for one in ranked[-MOST_CLAIMS // 2 :]}
        return msgspec.structs.replace(self, claims={**self.claims, vip: mine})

    def with_told(self, vip: str, at: float, mac: str, by: str) -> Heard:
        """With what one MAC said of another, or of one of its own."""
        mine = {**self.told.get(vip, {}), (mac, by): at}
        if len(mine) > MOST_CLAIMS:
            ranked = sorted(mine, key=lambda one: (bool(self.macs.keys() & set(one)), mine[one]))
            mine = {one: mine[one] for one in ranked[-MOST_CLAIMS // 2 :]}
        return msgspec.structs.replace(self, told={**self.told, vip: mine})

    def with_macs(self, macs: Mapping[str, str]) -> Heard:
        """With these MACs, which servers say are theirs. What a probe has shown goes before: a clone, or a server that
        lies, must not take another's answers on itself."""
        shown = {answer.mac: place[2] for place, (_, answer) in self.probes.items() if answer.mac}
        return msgspec.structs.replace(self, macs={**self.macs, **macs, **shown})


def _worse(known: tuple[float, Probed] | None, answer: Probed) -> bool:
    """Whether an answer is bad and says something else than what is known of its place. Where nothing is known, it is
    no worse."""
    if known is None or answer.good or known[1].signature == "unknown":
        return False
    return known[1].good or known[1].signature != answer.signature


class Owning(msgspec.Struct, frozen=True, kw_only=True):
    """Who shows up for one VIP on the wire. `asked`: who-has could be sent and its answers heard."""

    asked: bool = False
    leaks: Mapping[str, str] = {}
    """Servers that answer ARP for the VIP: name → MAC."""
    claims: Mapping[str, tuple[str, float]] = {}
    """Servers that claim it unasked: name → (MAC, when last)."""
    strangers: tuple[str, ...] = ()
    """MACs of hosts outside the deployment that answer for it or claim it; those that answer come first."""
    mismatches: Mapping[str, Spoken] = {}
    """Servers that say it is at a MAC that is not theirs: name → what they said; with the empty name, a host outside
    the deployment that says it is at a server's."""
    directors: tuple[str, ...] = ()
    """Other directors that answer for it."""
    first: str = ""
    """The MAC that answered first."""


def owning(vip: Vip, heard: Heard, at: float, peers: Mapping[str, str] | None = None) -> Owning:
    """One VIP as of `at`. `peers`: MAC → another director, which may hold a VIP."""
    others = peers or {}
    entry = heard.owners.get(vip.address)
    asked = entry is not None and not entry[1].problem
    owners = entry[1] if entry is not None and asked else Owners(address=vip.address)
    answers = dict.fromkeys(
        [(mac, mac) for mac in owners.macs] + [(one.mac, one.by) for one in owners.told if one.answer]
    )
    unasked = {(mac, mac): when for mac, when in heard.claims.get(vip.address, {}).items()}
    unasked.update(heard.told.get(vip.address, {}))
    fresh = {said: when for said, when in unasked.items() if at - when <= CLAIM_SECONDS}
    leaks: dict[str, str] = {}
    claims: dict[str, tuple[str, float]] = {}
    strangers: dict[str, None] = {}
    mismatches: dict[str, Spoken] = {}
    for said in (*answers, *fresh):
        mac, by = said
        if mac in others:
            continue
        owner, sender = heard.macs.get(mac), heard.macs.get(by)
        if owner is None and sender is None:
            if said in answers or at - fresh[said] <= STRANGERS_CLAIM_SECONDS:
                strangers[mac] = None
        elif owner != sender:  # who is named did not say it
            if mac not in owners.macs or owner is not None:
                mismatches.setdefault(sender or "", said)
        elif owner is not None and said in answers:
            leaks[owner] = mac
        elif owner is not None:
            claims[owner] = (mac, fresh[said])
    return Owning(
        asked=asked, leaks=leaks, claims=claims, strangers=tuple(strangers), mismatches=mismatches,
        first=next(iter(owners.where), ""),
        directors=tuple(dict.fromkeys(others[mac] for mac in owners.macs if mac in others)),
    )  # fmt: skip
