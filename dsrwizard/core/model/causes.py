"""The table of causes: everything that can be wrong with a deployment, one row each (docs/causes.md).

A cause is added here: its id in `Cause`, its row in `CAUSES`. Every list of causes in the product is derived from the
rows. The rule that finds it belongs in `core.diagnosis`, the fault that makes it in `backends.lab.faults`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

Cause = Literal[
    "director-vip", "split-brain", "orphan-vip", "vip-as-source", "director-setting", "duplicate-vip", "stale-arp",
    "ipvs-missing", "arp-leak", "arp-announce", "arp-mismatch", "ipvs-differs", "director-neighbour",
    "second-director", "duplicate-rip", "unreachable", "not-on-link", "vip-missing", "vip-prefix", "weak-host",
    "windows-adapter", "address-conflict", "service-down", "service-hung", "rip-only-listener", "site-binding",
    "firewall", "gateway", "rp-filter", "spoof-filter", "path-mtu", "drained", "no-standby", "guard-off",
    "not-persistent",
]  # fmt: skip
"""The stable ids, as they stand in JSON, metrics and the timeline."""


class CauseInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The properties of one cause."""

    id: Cause
    words: str
    """What is wrong, as half a sentence."""
    place: Literal["network", "director", "server", "application"]
    """Where it must be fixed. `application`: the VIP itself answers, but what listens on it is wrong."""
    probe: Literal["answered", "silent", "either"]
    """Whether a probe of the VIP through the affected server gets the right answer."""
    stops: bool = False
    """On a real server it prevents clients from connecting to that server."""
    felt: bool = True
    """Clients can notice it."""
    on_wire: bool = False
    """The wire (probe, ARP) shows that it came or went before the facts of the host do."""
    by_hand: str = ""
    """Who must do what no step does; `{host}` is the affected host. Empty: a step fixes it on every system."""
    sometimes: bool = False
    """With `by_hand`: a step still fixes it on some systems or in some of its forms."""
    windows: bool = False
    """It exists only on Windows."""


_ROWS = (
    # Causes that affect every client come first: the first one present explains what a client sees.
    CauseInfo(
        id="director-vip", words="the director does not hold the VIP", place="director", probe="answered",
    ),
    CauseInfo(
        id="split-brain", words="two directors hold the VIP at once", place="director", probe="answered",
        by_hand="The directors do not hear each other: their administrator must let VRRP through between them.",
    ),
    CauseInfo(
        id="orphan-vip", words="a director holds the VIP, and keepalived does not run there", place="director",
        probe="answered", by_hand="keepalived is started on {host}, once the VIP is off there if another has it.",
    ),
    CauseInfo(
        id="vip-as-source", words="the director uses the VIP as the source of its own packets", place="director",
        probe="answered",
        by_hand="dsrwizard does not change addresses it did not set: the administrator of the director must.",
    ),
    CauseInfo(
        id="director-setting", words="a setting of the director drops or misdirects clients' packets",
        place="director", probe="answered", sometimes=True,
        by_hand="dsrwizard does not change this setting: the administrator of the director must.",
    ),
    CauseInfo(
        id="duplicate-vip", words="a host outside the deployment has the VIP", place="network", probe="answered",
        by_hand="That host is not in the deployment: the network administrator must remove the VIP from it.",
    ),
    CauseInfo(
        id="stale-arp", words="a neighbour still has the wrong MAC for the VIP", place="network", probe="answered",
    ),
    CauseInfo(
        id="ipvs-missing", words="the service or the destination is missing on the director", place="director",
        probe="answered",
    ),
    CauseInfo(
        id="arp-leak", words="the real server answers ARP for the VIP", place="server", probe="answered", on_wire=True,
    ),
    CauseInfo(
        id="arp-announce", words="the real server sends ARP requests with the VIP as the sender address",
        place="server", probe="answered", on_wire=True,
    ),
    CauseInfo(
        id="arp-mismatch", words="a machine sends ARP frames that map the VIP to another machine's MAC",
        place="network", probe="answered", on_wire=True,
        by_hand="No step stops it: the administrator of that machine or the network must find out why it does so.",
    ),
    CauseInfo(
        id="ipvs-differs",
        words="the director has a different forwarding method, scheduler, port or persistence",
        place="director", probe="answered",
    ),
    CauseInfo(
        id="director-neighbour", words="the director sends the real server's packets to another MAC",
        place="director", probe="answered",
        by_hand="dsrwizard does not change neighbour entries: the administrator of the director must remove it.",
    ),
    CauseInfo(
        id="second-director", words="the real server's own IPVS passes the VIP's packets on", place="server",
        probe="either", stops=True,
        by_hand="dsrwizard does not change IPVS on real servers: remove the VIP's service from it on {host}.",
    ),
    CauseInfo(
        id="duplicate-rip", words="another machine has the real server's address", place="network", probe="either",
        stops=True, on_wire=True,
        by_hand="The network administrator must find the other machine with the address of {host}.",
    ),
    CauseInfo(
        id="unreachable", words="the real server does not answer at its RIP", place="server", probe="silent",
        stops=True, on_wire=True, sometimes=True,
        by_hand="No step can reach {host}: bring it back from its console, or check its cable.",
    ),
    CauseInfo(
        id="not-on-link", words="the real server is not in the director's layer-2 network", place="network",
        probe="silent", stops=True, on_wire=True,
        by_hand="No step can move {host}: the network administrator must put it into the director's network.",
    ),
    CauseInfo(
        id="vip-missing", words="the VIP is not on the real server", place="server", probe="silent", stops=True,
        on_wire=True,
    ),
    CauseInfo(
        id="vip-prefix", words="the VIP has a prefix length other than /32 (IPv6: /128)", place="server",
        probe="either", stops=True,
    ),
    CauseInfo(
        id="weak-host", words="weak-host send or receive is off", place="server", probe="silent", stops=True,
        on_wire=True, windows=True,
    ),
    CauseInfo(
        id="windows-adapter",
        words="the loopback adapter is missing, or registers the VIP in DNS or NetBIOS", place="server",
        probe="silent", stops=True, on_wire=True, windows=True,
    ),
    CauseInfo(
        id="address-conflict", words="the system log reports an address conflict for the VIP", place="network",
        probe="silent", stops=True, on_wire=True, windows=True,
        by_hand="The network administrator must find the host that claims the VIP and remove it there.",
    ),
    CauseInfo(
        id="service-down", words="nothing listens on the service port", place="application", probe="silent",
        stops=True, on_wire=True,
        by_hand="dsrwizard does not start services: start the service on {host}.",
    ),
    CauseInfo(
        id="service-hung", words="the application accepts connections but does not answer", place="application",
        probe="either", stops=True,
        by_hand="dsrwizard does not start services: restart the one on {host}.",
    ),
    CauseInfo(
        id="rip-only-listener", words="the application listens on the RIP but not on the VIP", place="application",
        probe="silent", stops=True, on_wire=True,
        by_hand="dsrwizard does not configure applications: make the one on {host} listen on the VIP.",
    ),
    CauseInfo(
        id="site-binding", words="IIS or http.sys is bound to addresses that do not include the VIP",
        place="application", probe="silent", stops=True, on_wire=True, windows=True, sometimes=True,
        by_hand="dsrwizard does not set up web servers: bind the one on {host} to the VIP.",
    ),
    CauseInfo(
        id="firewall", words="a host firewall drops packets to the VIP", place="server", probe="silent", stops=True,
        on_wire=True, sometimes=True,
        by_hand="dsrwizard does not change this firewall: allow packets to the VIP on {host}.",
    ),
    CauseInfo(
        id="gateway", words="the real server's replies would go back through the director, or nowhere",
        place="server", probe="answered", stops=True, on_wire=True,
        by_hand="dsrwizard does not change routes: set the default gateway of {host}.",
    ),
    CauseInfo(
        id="rp-filter", words="reverse-path filtering drops clients' packets on the real server", place="server",
        probe="answered", stops=True,
    ),
    CauseInfo(
        id="spoof-filter", words="the network drops frames whose source is a client's address or the VIP",
        place="network", probe="either", stops=True, on_wire=True,
        by_hand="No step changes that filter: the administrator of the network or the hypervisor of {host} must.",
    ),
    CauseInfo(
        id="path-mtu", words="large packets are lost on the way to the real server or back", place="network",
        probe="answered", stops=True,
        by_hand="No step changes it: the administrator of the network or of {host} must set the MTU.",
    ),
    CauseInfo(
        id="drained", words="the destination has weight 0, but the deployment says otherwise", place="director",
        probe="answered",
    ),
    CauseInfo(
        id="no-standby", words="a director could not take the VIPs over as it should", place="director",
        probe="answered", felt=False,
        by_hand="An apply of the deployment sets both directors up; what it cannot do is said for {host}.",
    ),
    CauseInfo(
        id="guard-off", words="the guard that the deployment asks for is not at work as it should be",
        place="director", probe="answered", felt=False, sometimes=True,
        by_hand="No service manager that dsrwizard knows runs it here: have it run all the time on {host}.",
    ),
    CauseInfo(
        id="not-persistent", words="correct now, but wrong after the next reboot", place="server", probe="answered",
        felt=False,
    ),
)  # fmt: skip

CAUSES: dict[str, CauseInfo] = {row.id: row for row in _ROWS}


def causes(where: Callable[[CauseInfo], bool]) -> tuple[Cause, ...]:
    """The ids of the causes that meet a condition, in the order of the rows."""
    return tuple(row.id for row in _ROWS if where(row))


FELT = causes(lambda row: row.felt)
"""Causes that clients can notice; those that affect every client come first."""
STOPS = causes(lambda row: row.stops)
"""Causes on a real server that prevent its clients from connecting."""
UNPROVED = causes(lambda row: row.probe == "silent")
"""Causes on a server that stop the VIP from answering through it: apply sends it no clients, nor should anyone else."""
DEADLY = causes(lambda row: row.probe != "answered")
"""Causes that can stop a VIP from answering through a server."""
ON_THE_WIRE = causes(lambda row: row.on_wire)
"""Causes for which older facts no longer count once the wire has changed."""
CURABLE = causes(lambda row: not row.by_hand)
"""Causes that a step fixes on every system."""
MUTE = causes(lambda row: row.place == "application" and row.probe != "silent")
"""Causes where the handshake through the VIP may succeed and no client is served all the same."""
HELD_BACK = causes(lambda row: row.probe != "answered" and (not row.by_hand or row.sometimes))
"""Causes that a step may fix and for which apply kept the server at weight 0; once fixed, it gets its weight."""
APPLICATION = causes(lambda row: row.place == "application")
"""Causes where the VIP itself answers, but no application listens on it as it should."""


def by_hand(cause: str, host: str) -> str:
    """Who must do what about a cause that no step fixes."""
    row = CAUSES.get(cause)
    return row.by_hand.format(host=host) if row and row.by_hand else "No known cause explains this."


def with_words(cause: str) -> str:
    """`vip-missing: the VIP is not on the real server`; an id from another version stays as it is."""
    return f"{cause}: {CAUSES[cause].words}" if cause in CAUSES else cause
