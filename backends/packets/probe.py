"""The VIP probe: one SYN (or datagram) to the VIP, framed to each real server's MAC, all at once.

It works whether or not the director holds the VIP itself: the kernel drops the answers as martians (their source is
its own address) only after packet sockets have seen them. No route, rule, address or filter is touched.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Sequence

from backends.packets import ethernet, ndp
from backends.packets.addresses import no_address, pack
from backends.packets.capture import Capture, to_addresses
from backends.packets.ethernet import Frame, mac_bytes
from backends.packets.link import EthernetLink, look_up
from backends.packets.loop import Loop, OnFrame
from backends.packets.owners import AddressAsked, ArpQuestions, problem_text
from backends.packets.shots import Shot, Shots
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.ports import ProbeTarget

_PORTS = range(32768, 65536)
"""Every port that clients use: Linux (ip-sysctl, ip_local_port_range) and IANA (RFC 6335), which most others follow."""
_TOKEN = 16
_MOST = 10_000
"""Probes in one round; more go in rounds one after the other, so that every probe has a port of its own."""
_GRACE = 0.25
"""Seconds the right server still has to answer after somebody else did."""
_LARGEST_PAYLOAD = 1400


def probe(interface: str, targets: Sequence[ProbeTarget], deadline: float = 1.0, pace: int = 0) -> list[Probed]:
    """One result per target, in their order; silence is decided `deadline` seconds after a probe was sent.

    Targets without a MAC are resolved first, for at most `deadline` seconds; the others do not wait for that. A
    silent target is asked twice. Every TCP probe ends with a RST to the server, also after silence: the answer may
    have been lost on its way and the connection be half open. Targets that are the same are probed once.

    `pace`: at most so many questions a second, the repeated ones and those for MACs among them (0: as fast as the
    interface takes them); a RST goes out at once beside them. Nothing raises: see `Probed.problem`.
    """
    different = list(dict.fromkeys(targets))
    results: dict[ProbeTarget, Probed] = {}
    for start in range(0, len(different), _MOST):
        some = different[start : start + _MOST]
        results.update(zip(some, _Round(interface, some, deadline, pace).run(), strict=True))
    return [results[target] for target in targets]


class _Round:
    """One round on one loop."""

    def __init__(self, interface: str, targets: Sequence[ProbeTarget], deadline: float, pace: int) -> None:
        self._interface = interface
        self._targets = targets
        self._deadline = deadline
        self._pace = pace
        self._results: list[Probed | None] = [None] * len(targets)
        self._left = 0
        self._captures: dict[int, Capture] = {}
        self._waiting: dict[bytes, list[Shot]] = {}

    def run(self) -> list[Probed]:
        problem = ""
        try:
            link = look_up(self._interface)
            self._fly(link, self._aim(link))
        except (DsrError, OSError) as error:
            problem = problem_text(self._interface, error)
        return [
            result if result is not None else _failed(target, problem)
            for result, target in zip(self._results, self._targets, strict=True)
        ]

    def _aim(self, link: EthernetLink) -> list[Shot]:
        """A shot per target that makes sense; the others get their result here."""
        choice = random.SystemRandom()
        ports = choice.sample(_PORTS, len(self._targets))
        shots = []
        for index, target in enumerate(self._targets):
            shot = self._shot(link, index, target, ports[index], choice.getrandbits(32))
            if isinstance(shot, str):
                self._results[index] = _failed(target, shot)
            else:
                shots.append(shot)
        return shots

    @staticmethod
    def _shot(link: EthernetLink, index: int, target: ProbeTarget, port: int, sequence: int) -> Shot | str:
        vip, rip, mac = pack(target.vip), pack(target.rip), mac_bytes(target.mac) if target.mac else b""
        if vip is None or rip is None:
            return no_address(target.vip if vip is None else target.rip)
        if len(vip) != len(rip):
            return f"VIP {target.vip} and RIP {target.rip} have different address families: direct routing needs one."
        if mac is None:
            return f"{target.mac!r} is not a machine's MAC."
        if link.holds(rip) and not mac:
            return f"{target.rip} is this machine itself: a probe to it never reaches the wire."
        if not 0 < target.port < 65536 or len(target.payload) > _LARGEST_PAYLOAD:
            return f"Port {target.port} or a payload of {len(target.payload)} bytes cannot be sent."
        source = link.source(rip, vip)
        if source is None:
            return f"{link.name} has no address of its own to ask {target.vip} from."
        token = secrets.token_bytes(_TOKEN) if target.expects == "echo" else b""
        return Shot(index, target, vip, rip, source, port, sequence, mac, token=token)

    def _fly(self, link: EthernetLink, shots: list[Shot]) -> None:
        self._left = len(shots)
        table = Shots(link.mac, shots)
        for shot in shots:
            if not shot.mac:
                self._waiting.setdefault(shot.rip, []).append(shot)
        with Loop(self._pace) as loop:

            def resolved(asked: AddressAsked) -> None:
                for shot in self._waiting.pop(asked.wanted, ()):
                    shot.mac = asked.where or b""
                    self._send(loop, table, shot)

            def unresolved(rip: bytes) -> None:
                """Nobody answered for itself: a MAC that another machine named is better than none."""
                asked = audit.asked[rip]
                if asked.where is not None:
                    resolved(asked)
                for shot in self._waiting.pop(rip, ()):
                    self._results[shot.index] = shot.probed("no-mac")
                    self._left -= 1

            audit = ArpQuestions(link, list(self._waiting), heard=resolved)

            def take(frame: Frame, now: float) -> None:
                if self._waiting:
                    audit.take(frame)
                shot, answer = table.take(frame, now)
                if shot is not None:
                    if answer is not None:
                        loop.send(self._captures[len(shot.vip)], answer, turn="free")
                    self._answered(loop, table, shot, now)

            self._open(loop, shots, audit, take)
            resolver = {4: loop.watch(Capture(self._interface, ethernet.ARP), audit.take)} if self._needs_arp() else {}

            for rip in self._waiting:
                capture = resolver[4] if len(rip) == 4 else self._captures[16]
                self._resolve(loop, capture, rip, audit.question(audit.asked[rip]), unresolved)
            for shot in shots:
                if shot.mac:
                    self._send(loop, table, shot)
            loop.run(lambda: self._left == 0)

    def _needs_arp(self) -> bool:
        return any(len(rip) == 4 for rip in self._waiting)

    def _open(self, loop: Loop, shots: list[Shot], audit: ArpQuestions, take: OnFrame) -> None:
        asking = {asked.source for asked in audit.asked.values()}
        asking.add(ndp.ALL_NODES)  # where the answer to a solicitation from no address goes
        for size, ethertype in ((4, ethernet.IPV4), (16, ethernet.IPV6)):
            sources = {shot.source for shot in shots if len(shot.vip) == size}
            if sources:
                program = to_addresses(ethertype, [own for own in sources | asking if len(own) == size])
                self._captures[size] = loop.watch(Capture(self._interface, ethertype, program), take)

    def _resolve(
        self, loop: Loop, capture: Capture, rip: bytes, question: bytes, unresolved: Callable[[bytes], None]
    ) -> None:
        def sent(now: float) -> None:
            loop.at(now + self._deadline / 2, again)
            loop.at(now + self._deadline, lambda: unresolved(rip))

        def again() -> None:
            if rip in self._waiting:
                loop.send(capture, question, turn="first")

        loop.send(capture, question, sent)

    def _send(self, loop: Loop, table: Shots, shot: Shot) -> None:
        capture = self._captures[len(shot.vip)]
        frame = shot.opening(table.own_mac)

        def sent(now: float) -> None:
            shot.sent_at = now
            loop.at(now + self._deadline / 2, again)
            loop.at(now + self._deadline, lambda: self._decide(loop, table, shot))

        def again() -> None:
            if shot.answer is None:  # the same ports and numbers: to the server it is a retransmission
                loop.send(capture, frame, turn="first")

        loop.send(capture, frame, sent)

    def _answered(self, loop: Loop, table: Shots, shot: Shot, now: float) -> None:
        if shot.final:
            self._decide(loop, table, shot)
        else:
            loop.at(now + _GRACE, lambda: self._decide(loop, table, shot))

    def _decide(self, loop: Loop, table: Shots, shot: Shot) -> None:
        if self._results[shot.index] is not None:
            return
        self._results[shot.index] = table.result(shot)
        self._left -= 1
        if shot.tcp and not shot.resetting and not (shot.final and shot.answer and shot.answer.signature == "syn-ack"):
            loop.send(self._captures[len(shot.vip)], shot.reset(table.own_mac), turn="free")


def _failed(target: ProbeTarget, problem: str) -> Probed:
    return Probed(
        vip=target.vip, port=target.port, protocol=target.protocol, rip=target.rip, mac=target.mac,
        signature="unknown", problem=problem,
    )  # fmt: skip
