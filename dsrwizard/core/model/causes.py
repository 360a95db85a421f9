"""The causes: every thing that can be wrong with a deployment, one row each (docs/causes.md).

A cause is added here: its id in `Cause`, its row in `CAUSES`. Every list of causes in the product is derived from the
rows. The rule that finds it belongs in `core.diagnosis`, the fault that makes it in `backends.lab.faults`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

Cause = Literal[
    "director-vip", "duplicate-vip", "stale-arp", "ipvs-missing", "arp-leak", "arp-announce", "arp-mismatch",
    "ipvs-differs", "unreachable", "not-on-link", "vip-missing", "vip-prefix", "weak-host", "windows-adapter",
    "address-conflict", "service-down", "rip-only-listener", "site-binding", "firewall", "gateway", "rp-filter",
    "spoof-filter", "drained", "not-persistent",
]  # fmt: skip
"""The stable ids, as they stand in JSON, metrics and the timeline."""


class CauseInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of one cause wherever it is found."""

    id: Cause
    words: str
    """What is wrong, as half a sentence."""
    place: Literal["network", "director", "server", "application"]
    """Where it has to be mended. `application`: the VIP itself answers, what listens on it is wrong."""
    probe: Literal["answered", "silent", "either"]
    """Whether a probe of the VIP through the server it is on is answered as it should be."""
    stops: bool = False
    """On a real server it keeps a client's connection with that server from being made."""
    felt: bool = True
    """Clients can feel it."""
    on_wire: bool = False
    """The wire (probe, ARP) shows its coming and going before facts of the host do."""
    by_hand: str = ""
    """Who has to do what no step does; `{host}` is the host it is on. Empty: a step cures it on every system."""
    sometimes: bool = False
    """With `by_hand`: on some systems, or in some of its forms, a step cures it all the same."""
    windows: bool = False
    """Only Windows has it."""


_ROWS = (
    # What hits every client comes first: trouble that a client sees is put down to the first that is there.
    CauseInfo(
        id="director-vip", words="the director does not hold the VIP", place="director", probe="answered",
    ),
    CauseInfo(
        id="duplicate-vip", words="a host outside the deployment owns the VIP", place="network", probe="answered",
        by_hand="That host is not in the deployment: whoever runs the network has to take the VIP off it.",
    ),
    CauseInfo(
        id="stale-arp", words="a neighbour still has another MAC for the VIP", place="network", probe="answered",
    ),
    CauseInfo(
        id="ipvs-missing", words="the director lacks the service or the destination", place="director",
        probe="answered",
    ),
    CauseInfo(
        id="arp-leak", words="the real server answers ARP for the VIP", place="server", probe="answered", on_wire=True,
    ),
    CauseInfo(
        id="arp-announce", words="the real server sends ARP with the VIP as sender", place="server", probe="answered",
        on_wire=True,
    ),
    CauseInfo(
        id="arp-mismatch", words="a machine says by ARP that the VIP is at another machine's MAC", place="network",
        probe="answered", on_wire=True,
        by_hand="No step stops it: whoever runs that machine, or the network, has to find out why it says so.",
    ),
    CauseInfo(
        id="ipvs-differs",
        words="the director has it with another forwarding method, scheduler, port or persistence",
        place="director", probe="answered",
    ),
    CauseInfo(
        id="unreachable", words="the real server does not answer at its RIP", place="server", probe="silent",
        stops=True, on_wire=True, sometimes=True,
        by_hand="No step reaches {host}: somebody has to bring it back at its console or its cable.",
    ),
    CauseInfo(
        id="not-on-link", words="the real server is not in the director's layer-2 network", place="network",
        probe="silent", stops=True, on_wire=True,
        by_hand="No step moves {host}: whoever runs the network has to put it into the director's network.",
    ),
    CauseInfo(
        id="vip-missing", words="the VIP is not on the real server", place="server", probe="silent", stops=True,
        on_wire=True,
    ),
    CauseInfo(
        id="vip-prefix", words="the VIP is there with another prefix than /32 (/128)", place="server", probe="either",
        stops=True,
    ),
    CauseInfo(
        id="weak-host", words="weak-host send or receive is off", place="server", probe="silent", stops=True,
        on_wire=True, windows=True,
    ),
    CauseInfo(
        id="windows-adapter",
        words="the loopback adapter is missing, or lets the VIP register in DNS or NetBIOS", place="server",
        probe="silent", stops=True, on_wire=True, windows=True,
    ),
    CauseInfo(
        id="address-conflict", words="the system log reports an address conflict for the VIP", place="network",
        probe="silent", stops=True, on_wire=True, windows=True,
        by_hand="Whoever runs the network has to find the host that claims the VIP, and take it off there.",
    ),
    CauseInfo(
        id="service-down", words="nothing listens on the service port", place="application", probe="silent",
        stops=True, on_wire=True,
        by_hand="dsrwizard starts no services: whoever runs the service on {host} has to.",
    ),
    CauseInfo(
        id="rip-only-listener", words="the application listens on the RIP but not on the VIP", place="application",
        probe="silent", stops=True, on_wire=True,
        by_hand="dsrwizard sets up no application: whoever runs it on {host} has to make it use the VIP.",
    ),
    CauseInfo(
        id="site-binding", words="IIS or http.sys is bound to addresses that leave the VIP out", place="application",
        probe="silent", stops=True, on_wire=True, windows=True, sometimes=True,
        by_hand="dsrwizard sets up no web server: whoever runs the one on {host} has to bind it to the VIP.",
    ),
    CauseInfo(
        id="firewall", words="a host firewall drops packets to the VIP", place="server", probe="silent", stops=True,
        on_wire=True, sometimes=True,
        by_hand="dsrwizard changes no firewall: whoever runs the one of {host} has to let the packets in.",
    ),
    CauseInfo(
        id="gateway", words="the real server's replies would go back through the director, or nowhere",
        place="server", probe="answered", stops=True,
        by_hand="dsrwizard changes no routes: whoever runs {host} has to set its default gateway.",
    ),
    CauseInfo(
        id="rp-filter", words="reverse-path filtering drops clients' packets on the real server", place="server",
        probe="answered", stops=True,
    ),
    CauseInfo(
        id="spoof-filter", words="the network drops frames with a client's source address or with the VIP as source",
        place="network", probe="either", stops=True, on_wire=True,
        by_hand="No step changes that filter: whoever runs the network or the hypervisor of {host} has to.",
    ),
    CauseInfo(
        id="drained", words="the destination has weight 0 though the deployment says otherwise", place="director",
        probe="answered",
    ),
    CauseInfo(
        id="not-persistent", words="right now, wrong after the next reboot", place="server", probe="answered",
        felt=False,
    ),
)  # fmt: skip

CAUSES: dict[str, CauseInfo] = {row.id: row for row in _ROWS}


def causes(where: Callable[[CauseInfo], bool]) -> tuple[Cause, ...]:
    """The ids of the causes of which this is true, in the order of the rows."""
    return tuple(row.id for row in _ROWS if where(row))


FELT = causes(lambda row: row.felt)
"""Causes that a client can feel, the ones that hit every client first."""
STOPS = causes(lambda row: row.stops)
"""Causes on a real server for which a client that it is sent gets no connection."""
UNPROVED = causes(lambda row: row.probe == "silent")
"""Faults of a server through which the VIP does not answer: apply gives it no clients, and neither should anybody."""
DEADLY = causes(lambda row: row.probe != "answered")
"""Causes that may be behind a VIP that does not answer through a server."""
ON_THE_WIRE = causes(lambda row: row.on_wire)
"""Causes of which older facts say nothing once the wire has changed."""
CURABLE = causes(lambda row: not row.by_hand)
"""Causes that a step cures on every system."""
HELD_BACK = causes(lambda row: row.probe != "answered" and (not row.by_hand or row.sometimes))
"""Causes that a step may cure and for which apply held the server back: cured, it comes to its weight."""
APPLICATION = causes(lambda row: row.place == "application")
"""Causes by which the VIP itself was heard to answer: nobody listens on it as it should be."""


def by_hand(cause: str, host: str) -> str:
    """Who has to do something about a cause that no step cures."""
    row = CAUSES.get(cause)
    return row.by_hand.format(host=host) if row and row.by_hand else "No cause of its own is known for this."


def with_words(cause: str) -> str:
    """`vip-missing: the VIP is not on the real server`; an id of another version stays as it is."""
    return f"{cause}: {CAUSES[cause].words}" if cause in CAUSES else cause
