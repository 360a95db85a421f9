"""What probes and conversations of one round say of each destination. Pure.

Only what was proved counts as dead. A leak does not: weight 0 does not silence it, and clients of that server are still
served. Neither does a UDP service that keeps silent where it may.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from dsrwizard.core.diagnosis.probe_verdict import judge
from dsrwizard.core.guard.policy import Said
from dsrwizard.core.model.answers import Owners, Probed, Talked
from dsrwizard.core.model.deployment import Deployment, same_in
from dsrwizard.core.model.guarding import DestinationPlace
from dsrwizard.core.model.words import capital
from dsrwizard.core.ports import ProbeTarget

_ENDED = {
    "hung": "it takes connections and says nothing",
    "closed": "it takes connections and closes them at once",
    "reset": "it takes connections and resets them at once",
}
_ENOUGH = {"hung": 3, "closed": 2, "reset": 2}
"""So many conversations in a row have to end so: a busy application may be late twice, and does not refuse."""
MOST_TALKS = max(_ENOUGH.values())
_WELL = Said(word="well")
_SLOW = Said(word="well", slow=True)
LATE_MILLISECONDS = 250.0
"""An application whose first byte comes later says nothing of others that have not spoken yet."""
SLOW_MILLISECONDS = 80.0
"""Beyond it the machines or the network are busy: silence for a moment says less then."""


def destinations(deployment: Deployment) -> dict[DestinationPlace, ProbeTarget]:
    """Every destination that gets clients by the deployment, and how it is probed."""
    return {
        DestinationPlace(vip.address, service.label, server.name): ProbeTarget.of(rip, vip.address, service)
        for server in deployment.servers
        for vip in deployment.vips_of(server)
        if server.weight and (rip := server.rip_for(vip)) is not None
        for service in vip.services
    }


def said(answer: Probed) -> Said:
    """What one probe says."""
    if answer.good:
        return _SLOW if (answer.milliseconds or 0.0) > SLOW_MILLISECONDS else _WELL
    if answer.signature == "unknown":
        return Said(word="unknown", why=answer.problem)
    why = judge(answer)
    if answer.signature == "silence" and answer.protocol == "udp":
        return Said(word="unknown", why="It does not answer the UDP probe, which some services rightly do.")
    return Said(
        word="dead", why=capital(why),
        mute=answer.signature == "no-mac", silent=answer.signature in ("no-mac", "silence"),
    )  # fmt: skip


def with_talks(
    heard: Mapping[DestinationPlace, Said], talks: Mapping[DestinationPlace, Talked]
) -> dict[DestinationPlace, Said]:
    """The same, where the application was asked too. One that takes connections and says nothing, while another server
    of the service answers the same question, serves nobody. Where this round's probe of either came late, the machines
    or the network are busy, and silence proves nothing."""
    answered = {
        (place.vip, place.service)
        for place, one in talks.items()
        if one.result == "answered" and (one.milliseconds or 0.0) <= LATE_MILLISECONDS and not heard[place].slow
    }
    found = dict(heard)
    for place, talked in talks.items():
        ended = _ENDED.get(talked.result)
        if ended is None or talked.tries < _ENOUGH[talked.result] or found[place].word != "well":
            continue
        if talked.result == "hung" and heard[place].slow:
            continue
        if (place.vip, place.service) in answered:
            found[place] = Said(word="dead", why=f"The application does not answer: {ended}, and others do answer.")
    return found


def burdened(heard: Mapping[DestinationPlace, Said]) -> bool:
    """Whether half of the answers of a look or more came late: not one server is busy, but the network, or this
    machine."""
    answered = [one.slow for one in heard.values() if one.word == "well"]
    return any(answered) and 2 * sum(answered) >= len(answered)


def again(before: Talked | None, now: Talked, *, burdened: bool = False) -> Talked:
    """A conversation with the tries of the same end before it, so that one slow answer convicts nobody. Silence in a
    conversation of which a moment was `burdened` counts for nothing."""
    same = before is not None and before.result == now.result
    tries = before.tries if same and before is not None else 0
    return msgspec.structs.replace(now, tries=tries + (0 if burdened and now.result == "hung" else now.tries))


def in_doubt(talked: Talked) -> bool:
    """Whether one more conversation decides about an application."""
    return talked.tries < _ENOUGH.get(talked.result, 0)


def asked_for(deployment: Deployment) -> list[str]:
    """Addresses whose owners are asked for: the VIPs', and the other directors', which may hold a VIP."""
    return [*(vip.address for vip in deployment.vips), *(peer.address for peer in deployment.director.peers)]


def leaks(deployment: Deployment, owners: Mapping[str, Owners], macs: Mapping[str, str]) -> list[str]:
    """Who answers ARP for a VIP that is the directors'. `macs`: server → MAC, as far as it is known."""
    names = {mac: name for name, mac in macs.items()}
    peers = {
        mac
        for peer in deployment.director.peers
        for address, seen in owners.items()
        if same_in(peer.address, (address,))
        for mac in seen.macs
    }
    said: list[str] = []
    for vip in deployment.vips:
        found = next((seen for address, seen in owners.items() if same_in(vip.address, (address,))), None)
        heard = dict.fromkeys((*found.macs, *found.claims)) if found is not None and not found.problem else ()
        for mac in (one for one in heard if one not in peers):
            who = f"{names[mac]} ({mac})" if mac in names else mac
            said.append(
                f"{who} answers ARP for {vip.address}. Clients may pass the director by; weight 0 mends no leak."
            )
    return said


def macs_of(targets: Mapping[DestinationPlace, ProbeTarget], answers: Iterable[Probed]) -> dict[str, str]:
    """Server → MAC, of those whose MAC was found."""
    by_rip = {target.rip: place.server for place, target in targets.items()}
    return {by_rip[one.rip]: one.mac for one in answers if one.mac and one.rip in by_rip}
