"""Which of several directors holds which VIP, as the live view knows it: this machine by its last look at itself, the
others by the wire, where the MAC of a director's own address answers for the VIP. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from dsrwizard.core.live.findings import Findings
from dsrwizard.core.live.last_seen import Heard
from dsrwizard.core.model.deployment import Deployment, PeerDirector, same_in
from dsrwizard.core.model.snapshot import DirectorRow
from dsrwizard.core.model.steps import DIRECTOR


def peers_heard(directors: Iterable[PeerDirector], heard: Heard) -> dict[str, str]:
    """MAC → the other director whose own address it answers for. A real server's MAC is none of them."""
    found: dict[str, str] = {}
    for peer in directors:
        for address, (_, owners) in heard.owners.items():
            if same_in(peer.address, (address,)):
                found |= {one: peer.name for one in owners.macs if one not in heard.macs and one not in found}
    return found


def director_rows(
    deployment: Deployment, heard: Heard, findings: Findings, now: float = 0.0
) -> tuple[DirectorRow, ...]:
    """A row for each director; none where there is one alone, or BGP has all of them hold the VIPs."""
    if not deployment.director.by_turns:
        return ()
    peers = peers_heard(deployment.director.peers, heard)
    here = tuple(vip.address for vip in deployment.vips if vip.address in findings.held)
    rows = [DirectorRow(name=DIRECTOR, seen=findings.held_known, holds=here)]
    left = findings.preempts_at - now
    for peer in deployment.director.peers:
        holds = tuple(vip.address for vip in deployment.vips if peer.name in _answering(vip.address, peers, heard))
        rows.append(DirectorRow(name=peer.name, seen=peer.name in peers.values(), holds=holds))
    if not here and left > 0 and any(row.holds for row in rows):
        rows[0] = msgspec.structs.replace(rows[0], preempts_in=round(left))
    return tuple(rows)


def _answering(vip: str, peers: Mapping[str, str], heard: Heard) -> set[str]:
    entry = heard.owners.get(vip)
    return {peers[one] for one in entry[1].macs if one in peers} if entry is not None else set()
