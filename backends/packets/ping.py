"""ICMP echo to many addresses at once, with the kernel's ping sockets where allowed and raw sockets otherwise."""

from __future__ import annotations

import math
import secrets
import select
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from backends.packets import icmp
from backends.packets.addresses import no_address, pack
from dsrwizard.core.model.answers import Ping

_TOKEN = 8
_BATCH = 64
_MTU_DISCOVER, _MTU_DISCOVER6, _DONT_FRAGMENT6, _PROBE = 10, 23, 62, 3
NO_PRIVILEGE = "Cannot ping: raw sockets need root or CAP_NET_RAW, and net.ipv4.ping_group_range allows no others."


class _Family:
    """One socket for all addresses of one version. Replies are known by a random token and their number in it."""

    def __init__(self, version: int, size: int = 0) -> None:
        self.version = version
        self.filling = max(44, size - (28 if version == 4 else 48) - _TOKEN - 4)
        self.identifier = secrets.randbelow(1 << 16)
        self.token = secrets.token_bytes(_TOKEN)
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
        try:
            self.socket = socket.socket(family, socket.SOCK_DGRAM, protocol)
            self.raw = False
        except PermissionError:
            self.socket = socket.socket(family, socket.SOCK_RAW, protocol)
            self.raw = True
        self.socket.setblocking(False)
        if size and version == 4:  # no fragments, whatever was learned of the path (ip(7), ipv6(7))
            self.socket.setsockopt(socket.IPPROTO_IP, _MTU_DISCOVER, _PROBE)
        elif size:
            self.socket.setsockopt(socket.IPPROTO_IPV6, _MTU_DISCOVER6, _PROBE)
            self.socket.setsockopt(socket.IPPROTO_IPV6, _DONT_FRAGMENT6, 1)

    def send(self, address: str, number: int) -> None:
        payload = self.token + number.to_bytes(4, "big") + bytes(self.filling)
        message = icmp.echo_request(self.version, self.identifier, number & 0xFFFF, payload)
        where = socket.getaddrinfo(address, 0, flags=socket.AI_NUMERICHOST)[0][4]
        self.socket.sendto(message, where)

    def receive(self) -> tuple[bytes, int] | None:
        """The next reply as (packed sender, number); None where the message is none of ours. Raises BlockingIOError."""
        data, sender = self.socket.recvfrom(2048)
        if self.raw and self.version == 4:  # a raw IPv4 socket hands over the IP header as well (raw(7))
            data = data[(data[0] & 0x0F) * 4 :] if data else b""
        reply = icmp.echo_reply(self.version, data)
        source = pack(str(sender[0]))
        if reply is None or source is None or reply[1][:_TOKEN] != self.token or len(reply[1]) < _TOKEN + 4:
            return None
        return source, int.from_bytes(reply[1][_TOKEN : _TOKEN + 4], "big")


def ping(addresses: Sequence[str], deadline: float = 1.0, size: int = 0) -> Mapping[str, Ping]:
    """One echo to each address, a second one half-way to those still silent; returns when all have answered.

    `size`: bytes of each packet, without the Ethernet header, that must not be fragmented; 0: small ones.
    Milliseconds are from the last echo sent to the answer. Nothing raises: see `Ping.problem`.
    """
    wanted = list(dict.fromkeys(addresses))
    found: dict[str, Ping] = {}
    with ExitStack() as stack:
        run = _Run(wanted, found)
        for version in (4, 6):
            members = [address for address in wanted if _version(address) == version]
            if not members:
                continue
            try:
                family = _Family(version, size)
            except OSError as error:
                text = NO_PRIVILEGE if isinstance(error, PermissionError) else f"Cannot ping: {error.strerror}."
                found.update({address: Ping(address=address, problem=text) for address in members})
                continue
            stack.enter_context(family.socket)
            run.families[version] = family
        run.until(deadline)
    return {address: found.get(address) or Ping(address=address) for address in wanted}


def _version(address: str) -> int:
    packed = pack(address)
    return 0 if packed is None else 4 if len(packed) == 4 else 6


class _Run:
    def __init__(self, wanted: list[str], found: dict[str, Ping]) -> None:
        self.wanted = wanted
        self.found = found
        self.families: dict[int, _Family] = {}
        self._sent: dict[int, float] = {}
        for address in wanted:
            if not _version(address):
                found[address] = Ping(address=address, problem=no_address(address))

    def until(self, deadline: float) -> None:
        start = time.monotonic()
        self._send_all()
        for end in (start + deadline / 2, start + deadline):
            while len(self.found) < len(self.wanted) and (left := end - time.monotonic()) > 0:
                self._receive(left)
            if end < start + deadline:
                self._send_all()

    def _send_all(self) -> None:
        waiting = [number for number, address in enumerate(self.wanted) if address not in self.found]
        for count, number in enumerate(waiting, 1):
            address = self.wanted[number]
            self._sent[number] = time.monotonic()
            try:
                self.families[_version(address)].send(address, number)
            except BlockingIOError:
                pass  # the queue is full: as good as lost, and the second round comes
            except OSError as error:
                self.found[address] = Ping(address=address, problem=f"Cannot send to {address}: {error.strerror}.")
            if count % _BATCH == 0:
                self._receive(0.0)

    def _receive(self, wait: float) -> None:
        poll = select.poll()
        by_descriptor = {family.socket.fileno(): family for family in self.families.values()}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLIN)
        for descriptor, _events in poll.poll(math.ceil(wait * 1000)):
            self._drain(by_descriptor[descriptor])

    def _drain(self, family: _Family) -> None:
        for _ in range(1024):
            try:
                reply = family.receive()
            except BlockingIOError:
                return
            except OSError:  # an ICMP error for one of the addresses: that one stays without an answer
                continue
            if reply is None or reply[1] not in self._sent:
                continue
            address = self.wanted[reply[1]]
            if pack(address) == reply[0] and address not in self.found:
                elapsed = (time.monotonic() - self._sent[reply[1]]) * 1000
                self.found[address] = Ping(address=address, milliseconds=elapsed)
