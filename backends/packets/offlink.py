"""The client-like probe: one SYN to the VIP through each real server, from an address outside this link's network.

A real server judges such a SYN as a client's: reverse-path filter, way back, filters by source. The answer goes to the
router and not to this machine, so what became of it is read on the real server (field guide, section 2, probe E).
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence

import msgspec

from backends.packets import ethernet, transport
from backends.packets.addresses import no_address, pack, unpack
from backends.packets.capture import Capture
from backends.packets.ethernet import mac_bytes
from backends.packets.link import EthernetLink, look_up
from backends.packets.owners import problem_text, resolve
from dsrwizard.core.model.answers import Sent
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.ports import ProbeTarget

_PORTS = range(32768, 61000)
_PAUSE = 0.001
_PATIENCE = 0.5
"""Seconds a frame may wait for room in the interface's queue."""


def offlink(
    interface: str, targets: Sequence[ProbeTarget], sources: Mapping[int, str], deadline: float = 1.0
) -> list[Sent]:
    """One SYN per target and no more, results in their order. `sources`: the sender's address per family.

    Targets without a MAC are resolved first, for at most `deadline` seconds. Nothing raises: see `Sent.problem`.
    """
    found = [
        Sent(rip=one.rip, vip=one.vip, port=one.port, source=sources.get(_family(one.vip), ""), mac=one.mac)
        for one in targets
    ]
    try:
        link = look_up(interface)
        checked = [
            msgspec.structs.replace(sent, problem=_refusal(link, target, sent))
            for target, sent in zip(targets, found, strict=True)
        ]
        return _send(interface, link, _resolved(interface, checked, deadline))
    except (DsrError, OSError) as error:
        return [_failed(sent, problem_text(interface, error)) for sent in found]


def _family(address: str) -> int:
    packed = pack(address)
    return 0 if packed is None else 4 if len(packed) == 4 else 6


def _refusal(link: EthernetLink, target: ProbeTarget, sent: Sent) -> str:
    """Why this target cannot be sent a client-like SYN, or nothing."""
    vip, rip = pack(target.vip), pack(target.rip)
    if vip is None or rip is None:
        return no_address(target.vip if vip is None else target.rip)
    if len(vip) != len(rip):
        return f"VIP {target.vip} and RIP {target.rip} have different address families: direct routing needs one."
    if target.protocol != "tcp":
        return "A UDP datagram leaves no state on the server to check."
    if not 0 < target.port < 65536:
        return f"Port {target.port} cannot be sent to."
    if target.mac and mac_bytes(target.mac) is None:
        return f"{target.mac!r} is not a machine's MAC."
    source = pack(sent.source)
    if source is None or len(source) != len(vip):
        return f"There is no source address for {target.vip}."
    if link.holds(source) or link.near(source) is not None or source in (vip, rip):
        return f"{sent.source} is in the real servers' own network: the probe must come from another network."
    if link.holds(rip) and not target.mac:
        return f"{target.rip} is this machine itself: a probe to it never reaches the wire."
    return ""


def _resolved(interface: str, found: Sequence[Sent], deadline: float) -> list[Sent]:
    """With the MACs of the RIPs that have none yet."""
    wanted = list(dict.fromkeys(sent.rip for sent in found if not sent.mac and not sent.problem))
    owners = resolve(interface, wanted, deadline) if wanted else {}
    results = []
    for sent in found:
        owner = owners.get(sent.rip) if not sent.mac and not sent.problem else None
        if owner is None:
            results.append(sent)
        elif owner.where:
            results.append(msgspec.structs.replace(sent, mac=owner.where[0]))
        else:
            results.append(_failed(sent, owner.problem or f"No host answers for {sent.rip} on {interface}."))
    return results


def _send(interface: str, link: EthernetLink, found: Sequence[Sent]) -> list[Sent]:
    choice = random.SystemRandom()
    first = choice.randrange(len(_PORTS))
    captures: dict[int, Capture] = {}
    results = []
    try:
        for number, sent in enumerate(found):
            mac, source, vip = mac_bytes(sent.mac), pack(sent.source), pack(sent.vip)
            if sent.problem or mac is None or source is None or vip is None:
                results.append(sent if sent.problem else _failed(sent, f"{sent.mac!r} is not a machine's MAC."))
                continue
            ethertype = ethernet.IPV4 if len(vip) == 4 else ethernet.IPV6
            if ethertype not in captures:
                captures[ethertype] = Capture(interface, ethertype, receive=False)
            port = _PORTS[(first + number) % len(_PORTS)]
            packet = transport.syn(source, vip, port, sent.port, choice.getrandbits(32))
            told = msgspec.structs.replace(sent, source=unpack(source), source_port=port)
            problem = _out(captures[ethertype], interface, ethernet.build(mac, link.mac, ethertype, packet))
            results.append(_failed(told, problem) if problem else told)
    finally:
        for capture in captures.values():
            capture.close()
    return results


def _out(capture: Capture, interface: str, frame: bytes) -> str:
    """Sends one frame; why it could not be sent, or nothing."""
    end = time.monotonic() + _PATIENCE
    try:
        while not capture.send(frame):
            if time.monotonic() > end:
                return f"The send queue of {interface} stayed full."
            time.sleep(_PAUSE)
    except OSError as error:
        return problem_text(interface, error)
    return ""


def _failed(sent: Sent, problem: str) -> Sent:
    return msgspec.structs.replace(sent, problem=sent.problem or problem)
