"""Who owns an address: who-has (IPv6: neighbour solicitation) sent, and every answer collected, not the first."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import msgspec

from backends.packets import arp, ethernet, ndp
from backends.packets.addresses import no_address, pack
from backends.packets.capture import Capture, only_icmpv6
from backends.packets.ethernet import Frame, mac_text
from backends.packets.link import EthernetLink, look_up, own_macs
from backends.packets.loop import Loop
from dsrwizard.core.model.answers import Owners, Told
from dsrwizard.core.model.errors import DsrError

_PACE = 200
"""Questions of an audit a second: each is a broadcast that every machine of the network looks at, again and again."""
_MOST = 200
"""MACs kept for an address: whoever makes them up fills neither memory nor report."""


class AddressAsked(msgspec.Struct):
    """One address, who answered for it, and who claimed it without being asked; MACs in order of arrival.

    `told`: what was said by another MAC than the one named: (MAC named, MAC it came from) → whether it was an answer.
    """

    wanted: bytes
    source: bytes
    answers: list[bytes] = msgspec.field(default_factory=list)
    claims: list[bytes] = msgspec.field(default_factory=list)
    told: dict[tuple[bytes, bytes], bool] = msgspec.field(default_factory=dict)

    @property
    def where(self) -> bytes | None:
        """The MAC to send to: the first that answered for itself, else the first that was named in an answer."""
        named = (mac for (mac, _), answer in self.told.items() if answer)
        return self.answers[0] if self.answers else next(named, None)


class ArpQuestions:
    """The rules: which frames to send, and what each frame that comes in says about the addresses asked for.

    `heard` is called for each MAC that answers for itself. `own` gives this machine's other MACs. Nothing here
    waits or sends.
    """

    def __init__(
        self,
        link: EthernetLink,
        wanted: Sequence[bytes],
        heard: Callable[[AddressAsked], None] | None = None,
        own: Callable[[], frozenset[bytes]] = frozenset,
    ) -> None:
        self._mac = link.mac
        self._own = lru_cache(maxsize=1)(own)
        self._heard = heard
        self.asked = {address: AddressAsked(address, self.source(link, address)) for address in wanted}

    @staticmethod
    def source(link: EthernetLink, wanted: bytes) -> bytes:
        """The sender address of the question: our own in that subnet; all zeros where there is none, so that nobody
        learns a wrong neighbour (RFC 5227 section 1.1). IPv6 may speak link-locally to any subnet (RFC 4861)."""
        near = link.near(wanted)
        if near is not None:
            return near
        return arp.UNSPECIFIED if len(wanted) == 4 else link.link_local() or ndp.UNSPECIFIED

    def question(self, asked: AddressAsked) -> bytes:
        """The frame that asks for one address."""
        ask = arp.who_has if len(asked.wanted) == 4 else ndp.solicitation
        return ask(self._mac, asked.source, asked.wanted)

    def take(self, frame: Frame, _now: float = 0.0) -> None:
        """Notes what a frame says; frames that say nothing about our addresses are ignored."""
        if frame.ethertype == ethernet.ARP:
            self._arp(frame)
        elif frame.ethertype == ethernet.IPV6:
            self._neighbour(frame)

    def _arp(self, frame: Frame) -> None:
        message = arp.parse(frame)
        asked = self.asked.get(message.sender_ip) if message is not None else None
        if message is None or asked is None:
            return
        to_us = frame.destination == self._mac and message.target_ip in (asked.source, asked.wanted)
        self._note(asked, message.sender_mac, message.by, answer=to_us and message.replies_to(self._mac))

    def _neighbour(self, frame: Frame) -> None:
        message = ndp.parse(frame)
        if message is None:
            return
        if isinstance(message, ndp.Solicitation):
            # From the address: its owner asks for somebody. From nowhere: somebody is about to take the address.
            asked = self.asked.get(message.source if message.source != ndp.UNSPECIFIED else message.target)
            if asked is not None:
                self._note(asked, message.mac, message.by, answer=False)
            return
        asked = self.asked.get(message.target)
        if asked is None:
            return
        # Asked from nowhere, the answer goes to all nodes and cannot say that it is one (RFC 4861 section 7.2.4).
        to_us = message.destination == asked.source and message.solicited
        to_all = asked.source == ndp.UNSPECIFIED and message.destination == ndp.ALL_NODES
        self._note(asked, message.mac, message.by, answer=to_us or to_all)

    def _note(self, asked: AddressAsked, mac: bytes, by: bytes, *, answer: bool) -> None:
        """The address is said to be at `mac`, in a frame that came from `by`."""
        if mac == self._mac or mac in self._own():
            return
        if mac != by:
            if len(asked.told) < _MOST or (mac, by) in asked.told:
                asked.told[mac, by] = answer or asked.told.get((mac, by), False)
            return
        found = asked.answers if answer else asked.claims
        if mac in found or len(found) >= _MOST:
            return
        found.append(mac)
        if answer and self._heard is not None:
            self._heard(asked)


def owners(interface: str, addresses: Sequence[str], deadline: float = 1.0) -> Mapping[str, Owners]:
    """Every MAC that answers for each address until the deadline; asked twice, because a question may get lost.

    It takes longer where the deadline is too short for all questions at 200 a second: a quarter of it is then left
    after the last one. Nothing raises: see `Owners.problem`.
    """
    return _ask(interface, addresses, deadline, first=False)


def resolve(interface: str, addresses: Sequence[str], deadline: float = 1.0) -> Mapping[str, Owners]:
    """As `owners`, but returns as soon as every address has one answer by the MAC that it names."""
    return _ask(interface, addresses, deadline, first=True)


def _ask(interface: str, addresses: Sequence[str], deadline: float, *, first: bool) -> Mapping[str, Owners]:
    packed = {address: pack(address) for address in addresses}
    wanted = list(dict.fromkeys(value for value in packed.values() if value is not None))
    problem = ""
    asked: dict[bytes, AddressAsked] = {}
    if wanted:
        try:
            asked = _listen(interface, wanted, deadline, first=first)
        except (DsrError, OSError) as error:
            problem = problem_text(interface, error)
    found: dict[str, Owners] = {}
    for address, value in packed.items():
        if value is None or problem:
            found[address] = Owners(address=address, problem=problem or no_address(address))
            continue
        one = asked[value]
        found[address] = Owners(
            address=address,
            macs=tuple(map(mac_text, one.answers)),
            claims=tuple(map(mac_text, one.claims)),
            told=tuple(Told(mac=mac_text(mac), by=mac_text(by), answer=yes) for (mac, by), yes in one.told.items()),
        )
    return found


def _listen(interface: str, wanted: Sequence[bytes], deadline: float, *, first: bool) -> dict[bytes, AddressAsked]:
    link = look_up(interface)
    open_questions = set(wanted)
    audit = ArpQuestions(link, wanted, heard=lambda asked: open_questions.discard(asked.wanted), own=own_macs)
    ended = False
    with Loop(0 if first else _PACE) as loop:
        captures = {
            size: loop.watch(Capture(interface, ethertype, program), audit.take)
            for size, ethertype, program in ((4, ethernet.ARP, b""), (16, ethernet.IPV6, only_icmpv6()))
            if any(len(address) == size for address in wanted)
        }

        def ask(asked: AddressAsked) -> None:
            capture, question = captures[len(asked.wanted)], audit.question(asked)

            def again() -> None:
                if not first or not asked.answers:
                    loop.send(capture, question)

            loop.send(capture, question, lambda now: loop.at(now + deadline / 2, again))

        def end() -> None:
            nonlocal ended
            ended = True

        for asked in audit.asked.values():
            ask(asked)
        least = 0.0 if first else 2 * len(wanted) / _PACE + deadline / 4
        loop.at(time.monotonic() + max(deadline, least), end)
        loop.run(lambda: ended or (first and not open_questions))
    return audit.asked


def problem_text(interface: str, error: DsrError | OSError) -> str:
    """An error as the `problem` of a result. Which of its errors the kernel gives for an interface that goes depends on
    the moment."""
    if isinstance(error, OSError) and error.errno in (errno.ENETDOWN, errno.ENXIO, errno.ENODEV):
        return f"Cannot send packets from {interface}: it is down or gone."
    if isinstance(error, OSError):
        return f"Cannot send packets from {interface}: {error.strerror or error}."
    return str(error)
