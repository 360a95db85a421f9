"""Waves: which real servers are changed first, alone, and which follow once those are proved. Pure.

One server, then a tenth of them, then the rest. The first is the one with the least at stake: without a weight, or with
the smallest share of new clients; of several the first in the file. Counted are servers that have steps and that
dsrwizard can change. A server set up by hand is in the last wave: it stays at weight 0 until its operator is done, and
that stops nobody. A server that could not be looked at has no steps and is in no wave.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from ipaddress import ip_address
from typing import Literal

import msgspec

from dsrwizard.core.model.causes import CAUSES
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.facts import DirectorFacts, Observed, VirtualService
from dsrwizard.core.model.steps import CLIENT, DIRECTOR, HostPlan, Plan, Stake, Wave
from dsrwizard.core.plan.director import key_of
from dsrwizard.core.plan.order import leaves

WaveMode = Literal["auto", "on", "off"]
FROM = 4
"""Servers. Of fewer the first is a third of the farm or more, so a wave of it spares little and takes as long."""
_EVENLY = ("rr", "lc", "dh", "lblc", "lblcr")
"""Schedulers that look at no weight but 0 (ipvsadm(8); net/netfilter/ipvs)."""
_PLAIN = 12
"""The largest denominator that is read at a glance; other shares are told in percent."""


def staked(plan: Plan, deployment: Deployment, observed: Observed) -> Plan:
    """The plan with what is at stake on each real server, and its waves."""
    busy = _busy(plan)
    stakes = tuple(
        Stake(
            server=server.name,
            share=_share(deployment, server, observed.director),
            by_hand=server.connect == "manual",
        )
        for server in deployment.servers
        if server.name in busy
    )
    return waved(msgspec.structs.replace(plan, stakes=stakes), "auto")


def waved(plan: Plan, mode: WaveMode) -> Plan:
    """The plan in waves: always (`on`), never (`off`), or from four servers (`auto`)."""
    able = sorted((stake for stake in plan.stakes if not stake.by_hand), key=lambda stake: stake.share or 0.0)
    if mode == "off" or len(able) < (FROM if mode == "auto" else 2):
        return msgspec.structs.replace(plan, waves=())
    tenth = -(-len(able) // 10)
    by_hand = [stake for stake in plan.stakes if stake.by_hand]
    parts = (able[:1], able[1 : 1 + tenth], [*able[1 + tenth :], *by_hand])
    return msgspec.structs.replace(plan, waves=tuple(_wave(part) for part in parts if part))


def wave_lines(plan: Plan) -> tuple[str, ...]:
    """`wave 1 of 3: web1; it serves 1/4 of new clients now`, a line for each wave."""
    total = len(plan.waves)
    return tuple(
        f"wave {number} of {total}: {names(wave.servers)}; {_at_stake(wave)}"
        for number, wave in enumerate(plan.waves, 1)
    )


def wave_of(plan: Plan, server: str) -> int:
    """The number of the wave that the server is in, from 1; 0: of none."""
    return next((number for number, wave in enumerate(plan.waves, 1) if server in wave.servers), 0)


def stop_lines(plan: Plan) -> tuple[str, ...]:
    """Where to stop: a sentence for each wave but the last."""
    found = []
    for number, wave in enumerate(plan.waves[:-1], 1):
        later = [name for one in plan.waves[number:] for name in one.servers]
        found.append(
            f"Stop after wave {number} until the VIP answers through {names(wave.servers)} in every service. If it "
            f"does not, go no further: {names(later)} then {'stays' if len(later) == 1 else 'stay'} as before."
        )
    return tuple(found)


def nominal(deployment: Deployment) -> Plan:
    """The waves of a plan for all servers of the deployment, of which nobody has looked at any: without steps, in the
    order of the file."""
    stakes = [Stake(server=server.name, by_hand=server.connect == "manual") for server in deployment.servers]
    return waved(Plan(deployment=deployment.name, hosts=(), stakes=tuple(stakes)), "auto")


def names(servers: Sequence[str], most: int = 6) -> str:
    """`web1, web2 and 40 more`."""
    if len(servers) <= most:
        return ", ".join(servers)
    return f"{', '.join(servers[: most - 1])} and {len(servers) - most + 1} more"


ORDINALS = ("first", "second", "third")


def _at_stake(wave: Wave) -> str:
    one = len(wave.servers) == 1
    if wave.share is None:
        return "another product sends it clients" if one else "another product sends them clients"
    serves = "it serves" if one else "they serve"
    return f"{serves} {share_words(wave.share)} now"


def share_words(share: float) -> str:
    """`1/4 of new clients`, `23 % of new clients`, `no clients`, `all new clients`."""
    if share <= 0:
        return "no clients"
    if share >= 1:
        return "all new clients"
    plain = Fraction(share).limit_denominator(_PLAIN)
    if abs(float(plain) - share) < 1e-6:
        return f"{plain} of new clients"
    return f"{max(1, round(share * 100))} % of new clients"


def _wave(stakes: Sequence[Stake]) -> Wave:
    shares = [stake.share for stake in stakes]
    known = [share for share in shares if share is not None]
    return Wave(
        servers=tuple(stake.server for stake in stakes),
        share=min(1.0, sum(known)) if len(known) == len(shares) else None,
    )


def _busy(plan: Plan) -> set[str]:
    """Real servers with steps of their own, or of the director's about them, that do not only take something back."""
    found = set()
    for host in plan.hosts:
        for step in host.steps:
            if not leaves(step):
                found.add(step.server if host.host == DIRECTOR else host.host)
    return found - {""}


def _share(deployment: Deployment, server: RealServer, director: DirectorFacts | None) -> float | None:
    if not deployment.director.driven:
        return None
    shares = [0.0]
    for vip in deployment.vips_of(server):
        rip = server.rip_for(vip)
        for service in vip.services:
            found = director.service(key_of(vip, service)) if director is not None else None
            if rip is not None and found is not None:
                shares.append(_share_of(rip, found))
    return max(shares)


def _share_of(rip: str, service: VirtualService) -> float:
    evenly = service.state.scheduler in _EVENLY
    weights = [
        (ip_address(one.address), (1 if evenly else one.state.weight) if one.state.weight > 0 else 0)
        for one in service.destinations
    ]
    total = sum(weight for _, weight in weights)
    mine = sum(weight for address, weight in weights if address == ip_address(rip))
    return mine / total if total else 0.0


def of_host(plan: Plan, name: str) -> HostPlan | None:
    """The part of one host."""
    return next((host for host in plan.hosts if host.host == name), None)


def unproved(deployment: Deployment, wave: Collection[str], report: Report) -> dict[str, str]:
    """What a verification after a wave found that clients of its servers notice: real server, or the director for what
    is about all of them, → a sentence. What is wrong with servers of other waves does not count, and neither does what
    clients do not notice."""
    vips = {vip.address for server in deployment.servers if server.name in wave for vip in deployment.vips_of(server)}
    found: dict[str, str] = {}
    for check in report.failures:
        cause = CAUSES.get(check.cause)
        if check.consequence_of or cause is None or not cause.felt or check.vip not in ("", *vips):
            continue
        about = check.server or check.host
        if about in wave:
            found.setdefault(about, _sentence(check))
        elif about == CLIENT or (about == DIRECTOR and cause.place == "network"):
            found.setdefault(DIRECTOR, _sentence(check))
    return found


def _sentence(check: Check) -> str:
    return f"{check.cause}: {check.message}"
