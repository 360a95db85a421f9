"""A short TCP conversation with a VIP through each real server alone: handshake, one large segment, a request, the
first byte, and a RST.

The probe proves that a server's kernel takes connections for the VIP; this, that its application says something. All
frames are made here and go to the server's MAC. The kernel of a director that holds the VIP drops the answers as
martians (their source is its own address) after packet sockets have seen them, so it does not end what it did not open.

The large segment carries bytes from before the connection's first, which every TCP drops and acknowledges at once
(RFC 9293 3.10.7.4): nothing of it gets to the application.
"""

from __future__ import annotations

import fcntl
import random
import socket
import struct
import time
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from backends.packets import ethernet, ip, transport
from backends.packets.addresses import no_address, pack
from backends.packets.capture import Capture, to_addresses
from backends.packets.ethernet import Frame, mac_bytes
from backends.packets.link import EthernetLink, look_up
from backends.packets.loop import Loop
from backends.packets.owners import problem_text
from dsrwizard.core.model.answers import Talked
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.first_words import first_words
from dsrwizard.core.ports import ProbeTarget

_PORTS = range(32768, 65536)
_AT_ONCE = 2000
_OPENING = (0.4, 1.0)
"""Seconds after which the SYN goes out again where nothing has come."""
_LARGE = (0.0, 0.15, 0.5)
"""Seconds after which the large segment goes out, for the first time and again."""
_LARGE_GIVEN_UP = 1.0
_ASKING = (0.0, 0.5, 1.2)
_UNOPENED = 1.5
_LEAST = 600
"""Payload from which a segment is called large: what every path carries is less (RFC 791)."""
_MOST = 1500
"""The largest packet that a client elsewhere sends: what only neighbours with jumbo frames need proves nothing."""
_UNANSWERED = 65_535
"""Bytes: no less than the window that our segments grant."""
_SIOCGIFMTU = 0x8921

_Result = Literal["answered", "closed", "reset", "hung", "unopened", "unknown"]


def talk(interface: str, targets: Sequence[ProbeTarget], deadline: float = 2.0) -> list[Talked]:
    """One result per target, in their order, `_AT_ONCE` side by side. `deadline`: seconds for the first byte. Nothing
    raises."""
    return [
        one
        for start in range(0, len(targets), _AT_ONCE)
        for one in _talk(interface, targets[start : start + _AT_ONCE], deadline)
    ]


def _talk(interface: str, targets: Sequence[ProbeTarget], deadline: float) -> list[Talked]:
    try:
        link = look_up(interface)
        talks = [_made(link, target, port) for target, port in zip(targets, _ports(len(targets)), strict=True)]
        _Round(interface, link.mac, [one for one in talks if isinstance(one, Talk)], deadline, _mtu(interface)).run()
    except (DsrError, OSError) as error:
        problem = problem_text(interface, error)
        return [_told(target, "unknown", problem=problem) for target in targets]
    return [one.told(deadline) if isinstance(one, Talk) else one for one in talks]


def _ports(count: int) -> list[int]:
    return random.SystemRandom().sample(_PORTS, count)


def _mtu(interface: str) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        found = fcntl.ioctl(asking, _SIOCGIFMTU, struct.pack("16s16x", interface.encode()[:15]))
    return int(struct.unpack_from("i", found, 16)[0])


def _told(target: ProbeTarget, result: _Result, problem: str = "") -> Talked:
    return Talked(
        rip=target.rip, vip=target.vip, port=target.port, mac=target.mac, result=result, problem=problem
    )  # fmt: skip


def _made(link: EthernetLink, target: ProbeTarget, port: int) -> Talk | Talked:
    vip, rip, mac = pack(target.vip), pack(target.rip), mac_bytes(target.mac)
    if vip is None or rip is None:
        return _told(target, "unknown", no_address(target.vip if vip is None else target.rip))
    source = link.source(rip, vip) if len(vip) == len(rip) else None
    if mac is None or source is None or target.protocol != "tcp":
        return _told(target, "unknown", "It cannot be talked to by TCP from here.")
    asked, words = first_words(target.port, target.vip)
    return Talk(
        target=target, vip=vip, source=source, source_port=port, own_mac=link.mac, mac=mac, asked=asked, words=words,
        sequence=random.SystemRandom().getrandbits(32),
    )  # fmt: skip


class Talk(msgspec.Struct, eq=False, kw_only=True):
    """One conversation: what is sent next, and what came. It waits for nothing itself."""

    target: ProbeTarget
    vip: bytes
    source: bytes
    source_port: int
    own_mac: bytes
    mac: bytes
    asked: str
    words: bytes
    sequence: int
    opened: float = 0.0
    peer: int = 0
    """The next sequence number of the server's."""
    largest: int = 0
    size: int = 0
    large: bool | None = None
    asked_at: float = 0.0
    first_byte: float = 0.0
    result: _Result | None = None

    def syn(self) -> bytes:
        return self._framed(transport.syn(*self._ends, self.sequence))

    def acknowledgement(self) -> bytes:
        return self._framed(transport.segment(*self._ends, self.sequence + 1, self.peer, b""))

    def filler(self, mtu: int) -> bytes | None:
        """The large segment; None where the server takes none."""
        heads = 40 if len(self.vip) == 4 else 60
        payload = min(self.largest or 536, min(mtu, _MOST) - heads)
        if payload < _LEAST:
            return None
        self.size = payload + heads
        packet = transport.segment(*self._ends, self.sequence + 1 - payload, self.peer, bytes(payload))
        return self._framed(packet)

    def request(self) -> bytes:
        return self._framed(transport.segment(*self._ends, self.sequence + 1, self.peer, self.words))

    def resets(self) -> list[bytes]:
        """What ends the connection, whether the server has had the request or not."""
        numbers = {self.sequence + 1, self.sequence + 1 + len(self.words)}
        return [self._framed(transport.rst(*self._ends, number)) for number in sorted(numbers)]

    @property
    def _ends(self) -> tuple[bytes, bytes, int, int]:
        return self.source, self.vip, self.source_port, self.target.port

    def _framed(self, packet: bytes) -> bytes:
        return ethernet.build(self.mac, self.own_mac, ethernet.IPV4 if len(self.vip) == 4 else ethernet.IPV6, packet)

    def take(self, segment: transport.Segment, now: float) -> None:
        """What a segment from the VIP and this server's MAC says. Only who has seen our SYN knows its number."""
        past = (segment.acknowledged - self.sequence - 1) & 0xFFFFFFFF
        if not segment.flags & transport.ACK or past > len(self.words):
            return
        if not self.opened:
            if segment.flags & transport.RST:
                self.result = "unopened"
            elif segment.flags & transport.SYN:
                self.opened, self.peer, self.largest = now, (segment.sequence + 1) & 0xFFFFFFFF, segment.largest
            return
        ends = segment.flags & (transport.RST | transport.FIN)
        if ends and not segment.size and segment.sequence != self.peer:
            # It overtook what was said before it. After a FIN that comes again, after a RST it may not.
            if self.result is None and segment.flags & transport.RST and self._further(segment):
                self.first_byte, self.result = now, "answered"
            return
        bare = not segment.size and not ends and not segment.flags & transport.SYN
        if self.large is False and bare and not past:
            self.large = True  # nothing else is acknowledged without the request
        elif self.result is None and segment.size:
            self.first_byte, self.result = now, "answered"
        elif self.result is None and ends:
            self.result = "reset" if segment.flags & transport.RST else "closed"

    def _further(self, segment: transport.Segment) -> bool:
        """Whether the server has sent more than came here, and no more than one without answers to it may."""
        return 0 < (segment.sequence - self.peer) & 0xFFFFFFFF <= _UNANSWERED

    def told(self, deadline: float) -> Talked:
        result = self.result or ("hung" if self.opened else "unopened")
        took = (self.first_byte - (self.asked_at or self.opened)) * 1000
        return Talked(
            rip=self.target.rip, vip=self.target.vip, port=self.target.port, mac=self.target.mac, asked=self.asked,
            result=result, milliseconds=max(0.0, took) if self.first_byte else None,
            waited=deadline, size=self.size, large=self.large,
        )  # fmt: skip


class _Round:
    """All conversations on one loop."""

    def __init__(self, interface: str, own_mac: bytes, talks: Sequence[Talk], deadline: float, mtu: int) -> None:
        self._interface, self._own_mac, self._deadline, self._mtu = interface, own_mac, deadline, mtu
        self._talks = {(one.source, one.source_port): one for one in talks}
        self._captures: dict[int, Capture] = {}
        self._stages: dict[int, Literal["opening", "large", "asking", "over"]] = {}
        self._loop = Loop()

    def run(self) -> None:
        """Raises DsrError and OSError."""
        with self._loop as loop:
            for size, ethertype in ((4, ethernet.IPV4), (16, ethernet.IPV6)):
                sources = {one.source for one in self._talks.values() if len(one.vip) == size}
                if sources:
                    program = to_addresses(ethertype, list(sources))
                    self._captures[size] = loop.watch(Capture(self._interface, ethertype, program), self._take)
            for one in self._talks.values():
                self._begin(one)
            loop.run(lambda: sum(stage == "over" for stage in self._stages.values()) == len(self._talks))

    def _send(self, one: Talk, frame: bytes, sent: Callable[[float], None] | None = None) -> None:
        self._loop.send(self._captures[len(one.vip)], frame, sent)

    def _at_stage(self, one: Talk, stage: str) -> bool:
        return self._stages[one.source_port] == stage

    def _again(self, one: Talk, after: Sequence[float], frame: bytes, now: float) -> None:
        """Sends a frame, and anew as long as the conversation is where it was."""
        still = self._stages[one.source_port]

        def once() -> None:
            if self._at_stage(one, still):
                self._send(one, frame)

        for wait in after:
            self._loop.at(now + wait, once)

    def _begin(self, one: Talk) -> None:
        self._stages[one.source_port] = "opening"

        def sent(now: float) -> None:
            self._again(one, _OPENING, one.syn(), now)
            self._loop.at(now + _UNOPENED, lambda: self._end(one) if self._at_stage(one, "opening") else None)

        self._send(one, one.syn(), sent)

    def _opened(self, one: Talk, now: float) -> None:
        self._stages[one.source_port] = "large"
        self._send(one, one.acknowledgement())
        filler = one.filler(self._mtu)
        if filler is None:
            self._ask(one, now)
            return
        one.large = False
        self._again(one, _LARGE, filler, now)
        self._loop.at(now + _LARGE_GIVEN_UP, lambda: self._go_on(one, now + _LARGE_GIVEN_UP))

    def _go_on(self, one: Talk, now: float) -> None:
        """The large segment has arrived or is given up: whoever spoke first has answered, others are asked."""
        if self._at_stage(one, "large"):
            if one.result is not None:
                self._end(one)
            else:
                self._ask(one, now)

    def _ask(self, one: Talk, now: float) -> None:
        self._stages[one.source_port] = "asking"
        one.asked_at = time.monotonic()
        if one.words:
            self._again(one, _ASKING, one.request(), now)
        self._loop.at(now + self._deadline, lambda: self._end(one))

    def _end(self, one: Talk) -> None:
        if not self._at_stage(one, "over"):
            self._stages[one.source_port] = "over"
            for frame in one.resets():
                self._loop.send(self._captures[len(one.vip)], frame, turn="free")

    def _take(self, frame: Frame, now: float) -> None:
        packet = ip.parse(frame) if frame.destination == self._own_mac else None
        segment = transport.parse_tcp(packet, checksums=frame.checksums) if packet is not None else None
        if packet is None or segment is None:
            return
        one = self._talks.get((packet.destination, segment.destination_port))
        if one is None or self._at_stage(one, "over") or frame.source != one.mac:
            return
        if packet.source != one.vip or segment.source_port != one.target.port:
            return
        one.take(segment, now)
        if self._at_stage(one, "opening"):
            if one.opened:
                self._opened(one, now)
            elif one.result is not None:
                self._end(one)
        elif self._at_stage(one, "large") and one.large:
            self._go_on(one, now)
        elif self._at_stage(one, "asking") and one.result is not None:
            self._end(one)
