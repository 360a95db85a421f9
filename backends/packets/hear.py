"""The passive listener: every host that claims a VIP as its own, in ARP or neighbour discovery."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

from backends.packets import arp, ethernet, ndp
from backends.packets.addresses import no_address, pack
from backends.packets.capture import Capture, only_claims
from backends.packets.ethernet import Frame, mac_text
from backends.packets.link import check_link, look_up, own_macs
from backends.packets.owners import problem_text
from dsrwizard.core.model.answers import Claim
from dsrwizard.core.model.errors import DsrError

_AGAIN = 1.0
"""Seconds between two calls for the same (address, MAC, kind), and between two tries to open the interface."""
_MOST = 200
"""Calls in those seconds altogether: whoever makes up MACs fills neither memory nor log."""
_PATIENCE = 2.0
"""Seconds the end waits for a call that is under way."""
_BATCH = 256
_BREATH = 0.02
"""Seconds of rest after a full batch: under a flood the kernel drops what is too much, at no cost."""

ClaimKind = Literal["reply", "request", "gratuitous", "advertisement", "solicitation"]


class Claims:
    """The rules: what a frame claims of the addresses, and whether it is to be told. Nothing here waits."""

    def __init__(self, addresses: Sequence[str], own: Callable[[], frozenset[bytes]]) -> None:
        self._texts: dict[bytes, list[str]] = {}
        for text in dict.fromkeys(addresses):
            self._texts.setdefault(pack(text) or b"", []).append(text)
        self._own = own
        self._told: dict[tuple[bytes, bytes, bytes, ClaimKind], float] = {}

    def take(self, frame: Frame, now: float, at: float) -> list[Claim]:
        """What is to be told of a frame taken at `now` (monotonic); `at` is the same moment for the reader."""
        found = self._arp(frame) if frame.ethertype == ethernet.ARP else self._neighbour(frame)
        if found is None or found[0] not in self._texts or not self._due(found, now):
            return []
        # Asked only now, and anew each time: an interface may have come meanwhile, and claims are rare.
        if found[1] in self._own():
            return []
        address, mac, sender, kind = found
        by = "" if sender == mac else mac_text(sender)
        return [Claim(at=at, address=text, mac=mac_text(mac), by=by, kind=kind) for text in self._texts[address]]

    def _due(self, found: tuple[bytes, bytes, bytes, ClaimKind], now: float) -> bool:
        if now - self._told.get(found, -_AGAIN) < _AGAIN:
            return False
        if len(self._told) >= _MOST:
            self._told = {key: then for key, then in self._told.items() if now - then < _AGAIN}
            if len(self._told) >= _MOST:
                return False
        self._told[found] = now
        return True

    @staticmethod
    def _arp(frame: Frame) -> tuple[bytes, bytes, bytes, ClaimKind] | None:
        """Address, the MAC it is said to be at, the MAC that said so, and how."""
        message = arp.parse(frame)
        if message is None:
            return None
        kind: ClaimKind = "reply" if message.operation == arp.REPLY else "request"
        if message.target_ip == message.sender_ip or (kind == "reply" and frame.destination == ethernet.BROADCAST):
            kind = "gratuitous"
        return message.sender_ip, message.sender_mac, message.by, kind

    @staticmethod
    def _neighbour(frame: Frame) -> tuple[bytes, bytes, bytes, ClaimKind] | None:
        message = ndp.parse(frame)
        if message is None:
            return None
        if isinstance(message, ndp.Advertisement):
            return message.target, message.mac, message.by, "advertisement"
        # From nowhere: duplicate address detection, somebody is about to take the address (RFC 4862 section 5.4).
        address = message.target if message.source == ndp.UNSPECIFIED else message.source
        return address, message.mac, message.by, "solicitation"


class ClaimListener:
    """One thread, one socket per address family. An interface that goes down or away is waited for."""

    def __init__(self, interface: str, addresses: Sequence[str], heard: Callable[[Claim], None]) -> None:
        self._interface = interface
        self._addresses = [packed for packed in map(pack, addresses) if packed is not None]
        self._claims = Claims(addresses, own_macs)
        self._heard = heard
        self._captures: list[Capture] = []
        self._closed = False
        self._wrong = next((no_address(text) for text in addresses if pack(text) is None), "")
        self._problem = ""
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        if self._addresses:
            self._open()
        self._thread = threading.Thread(target=self._run, name=f"hear-{interface}", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str:
        return self._problem or self._wrong

    def close(self) -> None:
        """From `heard` itself it returns at once, and that call is the last."""
        if self._closed:
            return
        self._closed = True
        os.eventfd_write(self._bell, 1)
        if threading.current_thread() is not self._thread:
            self._thread.join(_PATIENCE)
        os.close(self._bell)

    def _open(self) -> None:
        self._shut()
        try:
            look_up(self._interface)
            for size, ethertype in ((4, ethernet.ARP), (16, ethernet.IPV6)):
                mine = [address for address in self._addresses if len(address) == size]
                if mine:
                    program = only_claims(ethertype, mine)
                    self._captures.append(Capture(self._interface, ethertype, program, everyones=True))
            self._problem = ""
        except (DsrError, OSError) as error:
            self._shut()
            self._problem = problem_text(self._interface, error)

    def _shut(self) -> None:
        for capture in self._captures:
            capture.close()
        self._captures = []

    def _run(self) -> None:
        try:
            while not self._closed:
                self._wait()
        finally:
            self._problem = self._problem or ("" if self._closed else f"Listening on {self._interface} has stopped.")
            self._shut()

    def _wait(self) -> None:
        poll = select.poll()
        poll.register(self._bell, select.POLLIN)
        for capture in self._captures:
            poll.register(capture.fileno(), select.POLLIN)
        try:
            if not poll.poll(_AGAIN * 1000):
                self._look()
            elif not self._closed:
                busy = [self._drain(capture) for capture in self._captures]
                if any(busy):
                    time.sleep(_BREATH)
        except OSError:  # the interface has gone down or away
            self._open()

    def _look(self) -> None:
        """A cable that was pulled is no error of the socket."""
        if not self._captures and self._addresses:
            self._open()
            return
        try:
            check_link(self._interface)
            self._problem = ""
        except DsrError as error:
            self._problem = problem_text(self._interface, error)

    def _drain(self, capture: Capture) -> bool:
        """Takes what has arrived; whether there was more than one batch."""
        count = 0
        for frame in capture.frames(_BATCH):
            count += 1
            for claim in self._claims.take(frame, time.monotonic(), time.time()):
                if self._closed:
                    return False
                self._heard(claim)
        return count == _BATCH


def hear(interface: str, addresses: Sequence[str], heard: Callable[[Claim], None]) -> ClaimListener:
    """Tells `heard` every claim of the addresses by other machines; see `WirePort.hear`. Nothing raises."""
    return ClaimListener(interface, addresses, heard)
