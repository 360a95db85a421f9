"""The rules of the VIP probe: what is sent to one real server's MAC, and what each answer means.

Nothing here waits or touches a socket: frames in, verdicts and frames to send out (field guide, section 2, probe B).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from backends.packets import dns, ethernet, icmp, ip, transport
from backends.packets.addresses import unpack
from backends.packets.ethernet import Frame, mac_text
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.ports import ProbeTarget

Signature = Literal[
    "syn-ack", "reply", "rst", "port-unreachable", "silence", "redirect", "unreachable", "wrong-source",
    "wrong-reply", "no-mac", "unknown",
]  # fmt: skip


_TFTP = 69


class ProbeAnswer(msgspec.Struct, frozen=True):
    """The first answer that counts, and where it came from."""

    signature: Signature
    mac: bytes
    source: bytes
    at: float
    detail: str = ""


class Shot(msgspec.Struct, eq=False):
    """One probe: its target, what was sent (our own random port and sequence number), and the answer so far."""

    index: int
    target: ProbeTarget
    vip: bytes
    rip: bytes
    source: bytes
    source_port: int
    sequence: int
    """32 random bits: TCP's sequence number, DNS's identifier."""
    mac: bytes = b""
    sent_at: float = 0.0
    answer: ProbeAnswer | None = None
    final: bool = False
    resetting: bool = False
    """The server has answered with RST itself: no half-open connection is left to end."""
    token: bytes = b""
    """Random bytes at the end of what an echo is asked: who has not seen the question cannot answer it."""

    @property
    def tcp(self) -> bool:
        return self.target.protocol == "tcp"

    def opening(self, own_mac: bytes) -> bytes:
        """The frame that asks: a SYN, or a datagram with the payload."""
        make = (self.source, self.vip, self.source_port, self.target.port)
        packet = transport.syn(*make, self.sequence) if self.tcp else transport.datagram(*make, self.asked)
        return self._framed(self.mac, own_mac, packet)

    @property
    def asked(self) -> bytes:
        """What the datagram carries."""
        if self.target.expects == "dns":
            return dns.query(self.sequence)
        return self.target.payload + self.token

    def amiss(self, said: bytes, *, complete: bool = True) -> str:
        """Why a datagram does not answer what was asked, or nothing. Of one cut by fragmentation the start counts."""
        if self.target.expects == "dns" and not dns.is_answer(said, self.sequence):
            return "it is not a DNS answer to the query"
        if self.target.expects == "echo" and said != self.asked and (complete or not self.asked.startswith(said)):
            return "it does not echo what it was sent"
        return ""

    def reset(self, own_mac: bytes, mac: bytes = b"") -> bytes:
        """The frame that ends the half-open connection our SYN left on the server (or on whoever has that MAC)."""
        packet = transport.rst(self.source, self.vip, self.source_port, self.target.port, self.sequence + 1)
        return self._framed(mac or self.mac, own_mac, packet)

    def _framed(self, mac: bytes, own_mac: bytes, packet: bytes) -> bytes:
        ethertype = ethernet.IPV4 if len(self.vip) == 4 else ethernet.IPV6
        return ethernet.build(mac, own_mac, ethertype, packet)

    def probed(self, signature: Signature, *, answered_by: str = "", detail: str = "") -> Probed:
        """The result without an answer of its own."""
        return Probed(
            vip=self.target.vip, port=self.target.port, protocol=self.target.protocol, rip=self.target.rip,
            mac=mac_text(self.mac), signature=signature, answered_by=answered_by, detail=detail,
        )  # fmt: skip

    def result(self) -> Probed:
        """What the answer says; silence where there is none."""
        bare = self.probed("silence")
        answer = self.answer
        if answer is None:
            return bare
        return msgspec.structs.replace(
            bare,
            signature=answer.signature,
            answered_by=mac_text(answer.mac),
            source=unpack(answer.source),
            milliseconds=(answer.at - self.sent_at) * 1000,
            detail=answer.detail,
        )


GUESSES = 32
"""Answers to questions that nobody asked, in one round, until no answer to a datagram is believed: its port has 15
random bits, and who has to guess it sends thousands. Late answers to an earlier round are a handful."""
_MOST_GUESSED = 10_000

Asked = tuple[bool, bytes, int]
"""TCP or not, VIP, port."""


class Shots:
    """All probes of one round, found again by the port each was sent from."""

    def __init__(self, own_mac: bytes, shots: Iterable[Shot]) -> None:
        self.own_mac = own_mac
        self._shots = {(shot.tcp, shot.source, shot.source_port): shot for shot in shots}
        self._asked: frozenset[Asked] = frozenset(_asked(shot) for shot in self._shots.values())
        self._redirected: dict[tuple[bytes, bytes], str] = {}
        self._strays: dict[tuple[Asked, bytes], int] = {}

    def result(self, shot: Shot) -> Probed:
        """What is known of a probe now. A server sends redirects sparingly (Linux: ip_rt_send_redirect backs off per
        neighbour), so one that it sent for another port of the same VIP counts for this port as well."""
        strays = self._strays.get((_asked(shot), shot.mac), 0)
        if not shot.final and (detail := self._redirected.get((shot.mac, shot.vip))):
            found = shot.probed("redirect", answered_by=mac_text(shot.mac), detail=f"{detail}, for another port")
        else:
            found = shot.result()
        if not shot.tcp and strays > GUESSES and found.signature != "silence":
            return msgspec.structs.replace(
                shot.probed("unknown"), strays=strays,
                problem=f"{strays} answers as {found.vip} udp/{found.port} from {found.mac} match no "
                "probe: someone is guessing, so none can be trusted.",
            )  # fmt: skip
        return msgspec.structs.replace(found, strays=strays)

    def _stray(self, frame: Frame, tcp: bool, vip: bytes, port: int) -> None:
        """An answer of a VIP's to a question that nobody asked."""
        key = ((tcp, vip, port), frame.source)
        if key[0] in self._asked and (key in self._strays or len(self._strays) < _MOST_GUESSED):
            self._strays[key] = self._strays.get(key, 0) + 1

    def take(self, frame: Frame, now: float) -> tuple[Shot | None, bytes | None]:
        """The probe this frame answers, and a frame to be sent at once; None, None for a frame that answers none.

        An answer from the MAC that was asked is final; one from another MAC stands until a better one comes.
        """
        packet = ip.parse(frame) if frame.destination == self.own_mac else None
        if packet is None:
            return None, None
        if packet.protocol == ip.TCP:
            return self._tcp(frame, packet, now)
        if packet.protocol == ip.UDP:
            return self._udp(frame, packet, now), None
        error = icmp.error(packet)
        return (self._error(frame, packet, error, now), None) if error is not None else (None, None)

    def _tcp(self, frame: Frame, packet: ip.Packet, now: float) -> tuple[Shot | None, bytes | None]:
        segment = transport.parse_tcp(packet, checksums=frame.checksums)
        if segment is None:
            return None, None
        shot = self._shots.get((True, packet.destination, segment.destination_port))
        # Only who has seen our SYN knows its sequence number; a stranger's or an old packet does not get past this.
        if (
            shot is None
            or not shot.sent_at
            or segment.source_port != shot.target.port
            or not segment.flags & transport.ACK
            or segment.acknowledged != (shot.sequence + 1) & 0xFFFFFFFF
        ):
            self._stray(frame, True, packet.source, segment.source_port)
            return None, None
        from_vip = packet.source == shot.vip
        if segment.flags & transport.RST:
            shot.resetting = shot.resetting or frame.source == shot.mac
            self._note(shot, ProbeAnswer("rst" if from_vip else "wrong-source", frame.source, packet.source, now))
            return shot, None
        if not segment.flags & transport.SYN:
            return None, None
        self._note(shot, ProbeAnswer("syn-ack" if from_vip else "wrong-source", frame.source, packet.source, now))
        return shot, shot.reset(self.own_mac, frame.source)

    def _udp(self, frame: Frame, packet: ip.Packet, now: float) -> Shot | None:
        datagram = transport.parse_udp(packet, checksums=frame.checksums)
        shot = self._shots.get((False, packet.destination, datagram.destination_port)) if datagram is not None else None
        if datagram is None:
            return None
        if shot is None or not shot.sent_at:
            self._stray(frame, False, packet.source, datagram.source_port)
            return None
        same_port = datagram.source_port == shot.target.port
        from_vip = packet.source == shot.vip
        if frame.source != shot.mac and not (same_port and from_vip):
            return None
        # TFTP answers from a port of its own (RFC 1350). Everything else answers from the port that was asked.
        if from_vip and not same_port and shot.target.port != _TFTP:
            return None
        signature: Signature = "reply" if from_vip else "wrong-source"
        amiss = shot.amiss(datagram.payload, complete=packet.complete)
        if amiss:
            self._stray(frame, False, packet.source, datagram.source_port)
            if not from_vip or not same_port or frame.source != shot.mac:
                return None  # an accident, or a forgery by who has not seen the question
            signature = "wrong-reply"
        self._note(shot, ProbeAnswer(signature, frame.source, packet.source, now, amiss))
        return shot

    def _error(self, frame: Frame, packet: ip.Packet, error: icmp.Error, now: float) -> Shot | None:
        about = error.about
        tcp = about.protocol == ip.TCP
        shot = self._shots.get((tcp, about.source, about.source_port))
        if (
            shot is None
            or not shot.sent_at
            or (about.destination, about.destination_port) != (shot.vip, shot.target.port)
            or (tcp and about.sequence != shot.sequence)
            or packet.destination != shot.source
        ):
            self._stray(frame, tcp, about.destination, about.destination_port)
            return None
        signature: Signature = error.kind
        detail = error.words
        if error.kind == "redirect":
            detail = f"redirect to {unpack(error.gateway)}"
            if frame.source == shot.mac:
                self._redirected[shot.mac, shot.vip] = detail
        elif error.kind == "port-unreachable" and tcp:
            # A kernel resets a TCP connection nobody wants; only a packet filter answers it so (iptables REJECT).
            signature = "unreachable"
        self._note(shot, ProbeAnswer(signature, frame.source, packet.source, now, detail))
        return shot

    @staticmethod
    def _note(shot: Shot, answer: ProbeAnswer) -> None:
        asked = answer.mac == shot.mac
        if shot.final or (shot.answer is not None and not asked):
            return
        shot.answer = answer
        shot.final = asked and answer.signature != "wrong-reply"  # the right one may still be on its way


def _asked(shot: Shot) -> Asked:
    return shot.tcp, shot.vip, shot.target.port
