"""What the wire said last: a probe per (VIP, service, server), who answers for each VIP, and who claims it unasked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from dsrwizard.core.model import Vip
from dsrwizard.core.snapshot import Latency
from dsrwizard.core.watching.readings import Place
from dsrwizard.core.wire import Owners, Probed

CLAIM_SECONDS = 60.0
"""A claim that nobody asked for counts this long, unless newer facts say that its cause is gone: a real server with
its guard off asks for a neighbour about once a minute (gc_stale_time of arp(7)) and is silent in between."""
STRANGERS_CLAIM_SECONDS = 5.0
"""A stranger that has the VIP answers when it is asked for, and it is asked for all the time."""


class Heard(msgspec.Struct, frozen=True, kw_only=True):
    """Times are seconds since the epoch. `macs`: MAC → server name, as learnt by probing and from facts."""

    probes: Mapping[Place, tuple[float, Probed]] = {}
    owners: Mapping[str, tuple[float, Owners]] = {}
    claims: Mapping[str, Mapping[str, float]] = {}
    """VIP → MAC → when it last named the VIP as its own without being asked."""
    macs: Mapping[str, str] = {}
    gone: Mapping[str, float] = {}
    """RIP → since when nobody answers for it; a RIP that answers is not in it."""
    latency: Mapping[str, Latency] = {}
    """Server name → what its probes took."""

    def with_probes(self, at: float, answers: Mapping[Place, Probed], latency: Mapping[str, Latency]) -> Heard:
        """With these answers, all of them made `at`."""
        probes, macs, gone = dict(self.probes), dict(self.macs), dict(self.gone)
        for place, answer in answers.items():
            probes[place] = (at, answer)
            if answer.signature == "no-mac":
                gone.setdefault(answer.rip, at)
            elif answer.signature != "unknown":
                gone.pop(answer.rip, None)
            if answer.mac:
                macs[answer.mac] = place[2]
        return msgspec.structs.replace(self, probes=probes, macs=macs, gone=gone, latency=latency)

    def with_owners(self, at: float, owners: Mapping[str, Owners]) -> Heard:
        """With these answers to who-has. The claims beside them are left to the listener, which knows their kind: a
        server that leaks answers others as well, and that is no second fault."""
        timed = {**self.owners, **{vip: (at, found) for vip, found in owners.items()}}
        return msgspec.structs.replace(self, owners=timed)

    def with_claims(self, vip: str, at: float, macs: Iterable[str]) -> Heard:
        """With claims of a VIP by these MACs."""
        mine = {**self.claims.get(vip, {}), **dict.fromkeys(macs, at)}
        return msgspec.structs.replace(self, claims={**self.claims, vip: mine})

    def with_macs(self, macs: Mapping[str, str]) -> Heard:
        """With these MACs known to be servers'."""
        return msgspec.structs.replace(self, macs={**self.macs, **macs})


class Owning(msgspec.Struct, frozen=True, kw_only=True):
    """Who shows up for one VIP on the wire. `asked`: who-has could be sent and its answers heard."""

    asked: bool = False
    leaks: Mapping[str, str] = {}
    """Servers that answer ARP for the VIP: name → MAC."""
    claims: Mapping[str, tuple[str, float]] = {}
    """Servers that claim it unasked: name → (MAC, when last)."""
    strangers: tuple[str, ...] = ()
    """MACs of hosts outside the deployment that answer for it or claim it; those that answer come first."""
    first: str = ""
    """The MAC that answered first."""


def owning(vip: Vip, heard: Heard, at: float) -> Owning:
    """One VIP as of `at`."""
    entry = heard.owners.get(vip.address)
    asked = entry is not None and not entry[1].problem
    answers = entry[1].macs if entry is not None and asked else ()
    fresh = {mac: when for mac, when in heard.claims.get(vip.address, {}).items() if at - when <= CLAIM_SECONDS}
    return Owning(
        asked=asked,
        leaks={heard.macs[mac]: mac for mac in answers if mac in heard.macs},
        claims={heard.macs[mac]: (mac, when) for mac, when in fresh.items() if mac in heard.macs},
        strangers=tuple(
            mac
            for mac in dict.fromkeys((*answers, *fresh))
            if mac not in heard.macs and (mac in answers or at - fresh[mac] <= STRANGERS_CLAIM_SECONDS)
        ),
        first=answers[0] if answers else "",
    )
