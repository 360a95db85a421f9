"""Validation of what more than one director needs: their own addresses, the peers, VRRP and BGP.

Ranges: VRRP, RFC 5798 5.2 (router id 1 to 255, priority 255 only for the owner of an address) and keepalived.conf(5)
(`preempt_delay` 0 to 1000); AS numbers, RFC 6793 and those that RFC 7607, RFC 7300 and RFC 6996 set apart.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import Draft, DraftBgp, DraftPeer, DraftVrrp
from dsrwizard.core.intake.problems import Problem, Refusal, shown
from dsrwizard.core.model.deployment import IN_KERNEL, PEER_BELOW, Address

MOST_PREEMPT = 1000
MOST_PRIORITY = 254
MOST_PEERS = 15
_RESERVED_AS = {0: "RFC 7607", 23456: "RFC 6793", 65535: "RFC 7300", 4294967295: "RFC 7300"}
_LOOP = (
    "A director that is also a real server would balance what the other director has already sent it, "
    "and packets would go round between the two."
)
_DECIMAL = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4})?", re.ASCII)


def directors_problems(draft: Draft, vips: Collection[Address]) -> Iterator[Problem]:
    """The problems of `address`, `peers`, `vrrp` and `bgp`, with their keys. `vips`: the valid VIPs."""
    yield from _sense(draft)
    taken = dict.fromkeys(vips, "the VIP")
    for server in draft.servers:
        for text in (server.address, server.address6):
            if (ip := fields.parsed(text)) is not None:
                taken.setdefault(ip, f"server {shown(server.name.strip())}")
    client = fields.parsed(draft.client.address) if draft.client is not None else None
    if client is not None:
        taken.setdefault(client, "the client host")
    own = fields.parsed(draft.address)
    if draft.address.strip():
        fault = fields.address(draft.address) or _taken(own, taken, "this director")
        if fault is not None:
            yield fault.at("director.address")
        elif own is not None:
            taken[own] = "this director"
    names = {server.name.strip().lower() for server in draft.servers}
    for number, peer in enumerate(draft.peers):
        yield from _peer(peer, f"director.peers[{number}]", own, names, taken)
    if draft.engine == "keepalived" and draft.bgp is None:
        yield from _family(draft, vips)
    if draft.vrrp is not None:
        yield from _vrrp(draft.vrrp)
    if draft.bgp is not None:
        yield from _bgp(draft.bgp, taken)


def _sense(draft: Draft) -> Iterator[Problem]:
    """Whether these keys go together."""
    if draft.engine not in IN_KERNEL:
        for key, given in (
            ("address", bool(draft.address.strip())),
            ("peers", bool(draft.peers)),
            ("vrrp", draft.vrrp is not None),
            ("bgp", draft.bgp is not None),
        ):
            if given:
                hint = f'Remove {key}, or write engine = "keepalived".'
                yield Refusal(f"{key} is for an engine that dsrwizard sets up; yours is another product.", hint).at(
                    f"director.{key}"
                )
        return
    if draft.vrrp is not None and draft.bgp is not None:
        yield Refusal(
            "[director.vrrp] lets one director hold the VIPs, [director.bgp] all of them.", "Keep one of the two."
        ).at("director.bgp")
        return
    if draft.vrrp is not None and draft.engine != "keepalived":
        yield Refusal("VRRP is spoken by keepalived.", 'Write engine = "keepalived", or remove [director.vrrp].').at(
            "director.vrrp"
        )
    if draft.bgp is not None and not draft.guard:
        yield Refusal(
            "[director.bgp] announces the VIPs only while a guard is well, and there is no guard.",
            "Write guard = true under [director].",
        ).at("director.guard")
    if draft.peers and draft.bgp is None:
        if draft.engine == "netlink":
            yield Refusal(
                'With engine = "netlink" nobody decides which director holds the VIPs: both would.',
                'Write engine = "keepalived" for two directors, or add [director.bgp] for any number.',
            ).at("director.peers")
        elif len(draft.peers) > 1:
            yield Refusal(
                f"There are {len(draft.peers)} peers. With VRRP one director serves and one stands by.",
                "Keep one peer, or add [director.bgp]: then all of them serve.",
            ).at("director.peers")
    elif len(draft.peers) > MOST_PEERS:
        yield Refusal(
            f"There are {len(draft.peers)} peers; at most {MOST_PEERS} can be set up.",
            "Keep fewer: routers spread traffic over 16 next hops or less.",
        ).at("director.peers")


def _taken(ip: Address | None, taken: dict[Address, str], what: str) -> Refusal | None:
    """Whether another host has this address already."""
    whose = taken.get(ip) if ip is not None else None
    if whose is None:
        return None
    if whose.startswith("server"):
        return Refusal(f"{ip} is {whose}, too. {_LOOP}", "Write another machine here, or remove it as a real server.")
    if whose == "the VIP":
        return Refusal(
            f"{ip} is the VIP. It moves between directors, so it cannot be the own address of {what}.",
            "Write the director's own address.",
        )
    return Refusal(f"{ip} is already the address of {whose}.", "Give each host its own address.")


def _peer(
    peer: DraftPeer, key: str, own: Address | None, names: set[str], taken: dict[Address, str]
) -> Iterator[Problem]:
    """Checks one peer, and adds its name and address to what is taken."""
    name = peer.name.strip()
    if (fault := fields.server_name(name)) is not None:
        yield fault.at(f"{key}.name")
    elif name.lower() in names:
        yield Refusal(
            f"Another host is named {shown(name)}.", "Give every real server and every director its own name."
        ).at(f"{key}.name")
    names.add(name.lower())
    ip = fields.parsed(peer.address)
    family = None
    if ip is not None and own is not None and ip.version != own.version:
        family = Refusal(
            f"{ip} is IPv{ip.version}, and this director's own address is IPv{own.version}.",
            "Write two addresses of one family: the directors talk to each other by them.",
        )
    fault = fields.address(peer.address) or _taken(ip, taken, "this peer") or family
    if fault is not None:
        yield fault.at(f"{key}.address")
    elif ip is not None:
        taken[ip] = f"director {shown(name)}"
    for field, problem in (
        ("interface", fields.director_interface(peer.interface) if peer.interface.strip() else None),
        ("user", fields.user(peer.user)),
        ("port", fields.connection_port(peer.port)),
        ("identity_file", fields.identity_file(peer.identity_file)),
    ):
        if problem is not None:
            yield problem.at(f"{key}.{field}")


def _family(draft: Draft, vips: Collection[Address]) -> Iterator[Problem]:
    """VRRP packets name the VIPs of their own address family, and need one (RFC 5798 5.2.9)."""
    talk = next(
        (ip for ip in (fields.parsed(draft.address), *(fields.parsed(p.address) for p in draft.peers)) if ip), None
    )
    if talk is None or not vips or any(vip.version == talk.version for vip in vips):
        return
    other = 10 - talk.version
    key = "director.address" if draft.address.strip() else "director.peers[0].address"
    yield Refusal(
        f"{talk} is IPv{talk.version}, and all VIPs are IPv{other}. VRRP needs one family for both.",
        f"Write the directors' IPv{other} addresses.",
    ).at(key)


def _vrrp(vrrp: DraftVrrp) -> Iterator[Problem]:
    for field, text, noun, low, high, hint in (
        ("router_id", vrrp.router_id, "VRRP router id", 1, 255, "51 is usual; no other pair in the network may use it"),
        ("preempt_delay", vrrp.preempt_delay, "preempt delay", 0, MOST_PREEMPT, "seconds; 60 is usual"),
        (
            "priority", vrrp.priority, "VRRP priority", PEER_BELOW + 1, MOST_PRIORITY,
            f"the other director has {PEER_BELOW} less; 150 is usual",
        ),
    ):  # fmt: skip
        fault = _between(text, noun, low, high, f"Write a whole number from {low} to {high} ({hint}).")
        if fault is not None:
            yield fault.at(f"director.vrrp.{field}")
    text = vrrp.advert_seconds.strip()
    hint = "Write seconds from 0.1 to 1, in hundredths; 0.1 is usual: the other director takes over after 0.4 s."
    if not _DECIMAL.fullmatch(text):
        yield Refusal(f"{shown(text)} is not a number of seconds.", hint).at("director.vrrp.advert_seconds")
    elif not 0.1 <= float(text) <= 1 or round(float(text) * 100) != round(float(text) * 10_000) / 100:
        yield Refusal(f"advert_seconds cannot be {shown(text)}.", hint).at("director.vrrp.advert_seconds")


def _bgp(bgp: DraftBgp, taken: dict[Address, str]) -> Iterator[Problem]:
    fault = fields.address(bgp.neighbour)
    ip = fields.parsed(bgp.neighbour)
    if fault is None and ip in taken:
        fault = Refusal(
            f"{ip} is {taken[ip]}. The neighbour is the router that is told of the VIPs.",
            "Write that router's address in the directors' network.",
        )
    if fault is not None:
        yield fault.at("director.bgp.neighbour")
    for field, text in (("local_as", bgp.local_as), ("neighbour_as", bgp.neighbour_as)):
        hint = "Write your AS number from 1 to 4294967295; 64512 to 65534 are for private use."
        fault = _between(text, "AS number", 0, 2**32 - 1, hint)
        number = fields.whole_number(text)
        if fault is None and number in _RESERVED_AS:
            fault = Refusal(f"AS {number} is reserved ({_RESERVED_AS[number]}).", hint)
        if fault is not None:
            yield fault.at(f"director.bgp.{field}")


def _between(text: str, noun: str, low: int, high: int, hint: str) -> Refusal | None:
    number = fields.whole_number(text)
    if number is None:
        return Refusal(f"{shown(text.strip())} is not a whole number.", hint)
    return None if low <= number <= high else Refusal(f"{number} is not a valid {noun}.", hint)
