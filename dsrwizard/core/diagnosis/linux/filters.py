"""The packet filter of a Linux real server: what becomes of packets to a VIP and of the replies, by its own rules."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address, ip_interface
from typing import Literal

import msgspec

from dsrwizard.core.diagnosis.filter_fix import admitting, undo
from dsrwizard.core.diagnosis.filter_match import ClientPacket
from dsrwizard.core.diagnosis.filter_walk import OUT, FilterWay, Followed, Hit
from dsrwizard.core.diagnosis.server_view import ServerView, Stopping
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.packet_filter import FilterChain
from dsrwizard.core.model.values import canonical

_SHOWN = 2
_FIRST = {("tcp", 4): (40, 80), ("tcp", 6): (60, 100), ("udp", 4): (28, 1500), ("udp", 6): (48, 1500)}
"""How long a first packet is: a SYN without and with all options (RFC 9293), a datagram."""
_TO = re.compile(
    r"(?:--to-destination|\bdnat(?: ip6?)? to) "
    r"(?:(\d+\.\d+\.\d+\.\d+)(?::(\d+))?|\[([0-9a-fA-F:]+)\](?::(\d+))?|([0-9a-fA-F:]+))(?:\s|$)"
)
_TO_PORT = re.compile(r"(?:--to-ports|\bredirect to :?) ?(\d+)")
_REDIRECTS = re.compile(r"-j REDIRECT\b|\bredirect\b")
_IN_PLACE = re.compile(r"-j TPROXY\b|\btproxy\b")


class Sieve(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules make of one packet. `packet`: as it is in the end; `away`: the rule that surely gave it another
    destination; `hits`: what surely drops it; `perhaps`: what may, for the rules alone do not decide it."""

    packet: ClientPacket
    away: Hit | None = None
    hits: tuple[Hit, ...] = ()
    perhaps: tuple[Hit, ...] = ()


def known(view: ServerView) -> tuple[FilterChain, ...] | None:
    """Its chains; None where they could not be read, or nobody looked closely."""
    looked = view.facts.linux if view.facts is not None else None
    return looked.chains if looked is not None else None


def first_packet(view: ServerView, vip: Vip, service: Service, source: str = "") -> ClientPacket:
    """The first packet from `source` (empty: from a client that no rule names) to a service, as the director's port
    puts it on the wire."""
    family: Literal[4, 6] = 6 if vip.ip.version == 6 else 4
    return ClientPacket(
        family=family, vip=canonical(vip.address), protocol=service.protocol,
        port=service.port, client=source, ordinary=not source, roaming=False, local=view.local(vip.address),
        incoming=view.nic.name if view.nic else "", home=_home(view, vip, source),
        length=_FIRST[service.protocol, family], every=False,
    )  # fmt: skip


def _home(view: ServerView, vip: Vip, source: str) -> str:
    """The interface by which the server would reply from a VIP to a client, as far as is known."""
    looked = view.facts.linux if view.facts is not None else None
    ways = {
        canonical(way.client): way.interface
        for way in (looked.ways if looked is not None else ())
        if way.state == "route" and canonical(way.vip) == canonical(vip.address)
    }
    if source and canonical(source) in ways:
        return ways[canonical(source)]
    near = [ip_interface(f"{one.address}/{one.prefix}").network for one in view.nic.addresses] if view.nic else []
    if view.nic is not None and source and any(ip_address(source) in one for one in near):
        return view.nic.name
    default = view.way(vip.ip.version, vip)
    return next(iter(ways.values()), default.interface if default is not None else "")


def into(view: ServerView, packet: ClientPacket) -> Sieve:
    """Follows a packet in: to the socket that it is for, or to where a rule sends it."""
    way, away = _arrived(view, packet)
    if way is None:
        return Sieve(packet=packet, away=away, perhaps=(away,) if away is not None else ())
    way.through("input" if way.packet.local else "forward")
    return _sieved(way, away)


def out_of(view: ServerView, packet: ClientPacket, interface: str) -> Sieve:
    """Follows the reply to a packet out by an interface; one that is answered elsewhere has none here."""
    way, away = _arrived(view, packet)
    if way is None or not way.packet.local:
        return Sieve(packet=packet, away=away)
    came = way.packet
    if packet.protocol == "tcp" and "UNTRACKED" in came.states:
        states = frozenset({"INVALID"})  # nf_conntrack_proto_tcp.c: a SYN-ACK opens no connection
    else:
        states = frozenset({"NEW" if "UNTRACKED" in came.states else "ESTABLISHED"}) | (came.states & {"DNAT"})
    # What a rule redirected is turned back after the chains of the way out (HOOK2MANIP of nf_nat_core.c).
    reply = msgspec.structs.replace(
        came, reply=True, incoming="", outgoing=interface, states=states, flags=frozenset({"SYN", "ACK"}),
        marks=frozenset({0}),
    )  # fmt: skip
    back = FilterWay(known(view) or (), reply)
    back.through(*OUT)
    return _sieved(back, None)


def _arrived(view: ServerView, packet: ClientPacket) -> tuple[FilterWay | None, Hit | None]:
    """The way to where the kernel decides on local or not, with the rule that surely translated the packet; no way
    where that does not say to what."""
    way = FilterWay(known(view) or (), packet)
    away = way.through("ingress", "prerouting")
    if away is not None:
        changed = _translated(view, way.packet, away.rule)
        if changed is None:
            return None, away
        way.packet = changed
    return way, away


def _sieved(way: FilterWay, away: Hit | None) -> Sieve:
    found = way.found()
    hits = _drops(found, sure=True)
    perhaps = _drops(found, sure=False)
    if any(hit.kind == "elsewhere" for hit in (*found.some, *found.perhaps)):
        hits, perhaps = (), (*hits, *perhaps)  # it may have had another destination by then
    return Sieve(packet=way.packet, away=away, hits=hits, perhaps=perhaps)


def _drops(found: Followed, *, sure: bool) -> tuple[Hit, ...]:
    asked = found.hits if sure else (*found.perhaps, *found.some)
    return tuple(dict.fromkeys(hit for hit in asked if hit.kind != "elsewhere"))


def _translated(view: ServerView, packet: ClientPacket, rule: str) -> ClientPacket | None:
    """The packet as a rule of nat leaves it; None where the rule does not say."""
    if _IN_PLACE.search(rule):
        return msgspec.structs.replace(packet, local=True)
    states = packet.states | {"DNAT"}
    if _REDIRECTS.search(rule):
        links = view.nic.addresses if view.nic else ()
        own = [one.address for one in links if (":" in one.address) == (packet.family == 6)]
        to_port = _TO_PORT.search(rule)
        return msgspec.structs.replace(
            packet, vip=canonical(own[0]) if own else packet.vip, port=int(to_port[1]) if to_port else packet.port,
            local=True, states=states,
        )  # fmt: skip
    told = _TO.search(rule)
    if told is None:
        return None
    try:
        address = str(ip_address(told[1] or told[3] or told[5]))
    except ValueError:
        return None
    port = told[2] or told[4]
    return msgspec.structs.replace(
        packet, vip=address, port=int(port) if port else packet.port, local=view.local(address), states=states,
        outgoing=_toward(view, address),
    )  # fmt: skip


def _toward(view: ServerView, address: str) -> str:
    """The interface in whose network an address is, empty where none has it."""
    wanted = ip_address(address)
    for link in view.facts.interfaces if view.facts else ():
        for entry in link.addresses:
            network = ip_interface(f"{entry.address}/{entry.prefix}").network
            if network.version == wanted.version and wanted in network:
                return link.name
    return ""


# -- judged


def stopping(view: ServerView, vip: Vip, service: Service, source: str = "") -> Stopping:
    """What the rules make of a first packet from `source` (empty: from a client that no rule names)."""
    if known(view) is None:
        return "unknown"
    found = into(view, first_packet(view, vip, service, source))
    if not found.hits:
        return "undecided" if found.perhaps else "none"
    if not source:
        return "stops"
    anybody = into(view, first_packet(view, vip, service))
    return "stops" if anybody.hits or anybody.perhaps else "narrow"


def echoes_stopped(view: ServerView, rip: str, size: int) -> bool:
    """Whether the rules may drop echoes of this size, or the answers to them, while they let data of clients pass."""
    if known(view) is None:
        return True
    six = ":" in rip
    source = view.evidence.beside(rip)
    echo = ClientPacket(
        family=6 if six else 4, vip=canonical(rip), protocol="ipv6-icmp" if six else "icmp", port=0, client=source,
        ordinary=not source, roaming=False, incoming=view.nic.name if view.nic else "", length=(size, size),
        every=False, flags=frozenset(),
    )  # fmt: skip
    nic = view.nic.name if view.nic else ""
    if not any(found.hits or found.perhaps for found in (into(view, echo), out_of(view, echo, nic))):
        return False
    states, flags = frozenset({"ESTABLISHED"}), frozenset({"ACK"})
    return not any(
        into(
            view,
            msgspec.structs.replace(
                first_packet(view, vip, service, source), length=(size, size), states=states, flags=flags
            ),
        ).hits
        for vip in view.vips
        for service in vip.services
        if vip.ip.version == (6 if six else 4)
    )


def rules_seen(view: ServerView, vip: Vip, service: Service, source: str = "") -> str:
    """The rules behind it, as that host's own program lists them; empty where nothing could be looked at."""
    if known(view) is None:
        return ""
    found = into(view, first_packet(view, vip, service, source))
    if found.hits:
        return listed(found.hits)
    if found.perhaps:
        return f"it could not be decided whether this does: {listed(found.perhaps)}"
    return "no rule of nftables or iptables there drops it"


def listed(hits: Sequence[Hit]) -> str:
    """Rules as evidence, the first of them whole."""
    more = f" and {len(hits) - _SHOWN} more" if len(hits) > _SHOWN else ""
    return "; ".join(hit.text for hit in hits[:_SHOWN]) + more


def opening(view: ServerView, vip: Vip, service: Service, source: str = "") -> str:
    """What to do on the server so that packets to the VIP's service get in, and how that is undone."""
    name = view.name
    if known(view) is None:
        return (
            f"On {name}: let {service.label} to {vip.address} in; as root, nft list ruleset or iptables-save shows "
            "what drops it."
        )
    found = into(view, first_packet(view, vip, service, source))
    behind = found.hits or found.perhaps[:1]
    if not behind:
        return (
            f"On {name}: bpftool net shows filters that nftables and iptables do not; otherwise look between the "
            f"director and {name} (security group, switch ACL)."
        )
    nic = view.nic.name if view.nic else ""
    fixes = list(dict.fromkeys(admitting(hit, _as_met(view, hit, vip, service, found), nic) for hit in behind))
    return f"On {name}: {' && '.join(fixes)}{undo(fixes)}"


def _as_met(view: ServerView, hit: Hit, vip: Vip, service: Service, found: Sieve) -> ClientPacket:
    """The packet as it comes by the chain: a translated one has its new destination after routing."""
    late = hit.base.hook in ("input", "forward")
    return found.packet if late else first_packet(view, vip, service)
