"""A packet socket (packet(7)) on one interface for one kind of frame, filtered in the kernel by our own address."""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Self

from backends.packets import ethernet, ip
from dsrwizard.core.model.errors import LookError

_SOL_PACKET = 263
_PACKET_AUXDATA = 8
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_RECEIVE_BUFFER = 8 << 20
"""Room for some 10,000 small answers (the kernel counts about 800 bytes for each) while Python is busy sending."""

_ADD_MEMBERSHIP = 1
_ALL_MULTICAST = 2
_HOST, _BROADCAST, _MULTICAST, _OTHER_HOST = 0, 1, 2, 3
_CHECKSUM_NOT_READY = 1 << 3
_VLAN_VALID = 1 << 4
_LARGEST = 65_600

_LOAD_WORD = 0x20
_LOAD_BYTE = 0x30
_JUMP_IF_EQUAL = 0x15
_RETURN = 0x06
_ACCEPT = 0x0004_0000
_MOST_DESTINATIONS = 200
"""A jump reaches 255 instructions."""
_MOST_CLAIMED = 1000
"""A program has at most 4096 instructions (BPF_MAXINSNS), of which an address needs up to four."""


def no_privilege(interface: str) -> LookError:
    """The error for a packet socket the kernel refused."""
    return LookError(
        f"Cannot send packets from {interface}: raw sockets need root or CAP_NET_RAW.",
        "",
        "Start it with sudo, or with CAP_NET_RAW.",
    )


class Capture:
    """Sends and receives frames of one ethertype. Non-blocking: poll `fileno()`, then take `frames()`.

    `program` (from `to_addresses` or `only_icmpv6`) lets the kernel drop other frames before Python sees them, so
    that a director under load does not drown the few answers waited for. What comes through is still checked in full.
    `receive` false: for sending only. `everyones`: also what is sent to other machines, as far as it gets here.
    Raises LookError where raw sockets are not allowed.
    """

    def __init__(
        self, interface: str, ethertype: int, program: bytes = b"", receive: bool = True, everyones: bool = False
    ) -> None:
        self._kinds = (_HOST, _BROADCAST, _MULTICAST, _OTHER_HOST) if everyones else (_HOST, _BROADCAST, _MULTICAST)
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        except PermissionError:
            raise no_privilege(interface) from None
        except OSError as error:
            raise LookError(f"Cannot send packets from {interface}: {error.strerror}.") from None
        try:
            self._prepare(program)
            # Protocol 0 until here: not a frame is queued before filter and buffer are in place.
            self._socket.bind((interface, ethertype if receive else 0))
            if everyones and ethertype == ethernet.IPV6:
                self._hear_all_groups(interface)
        except OSError as error:
            self._socket.close()
            raise LookError(f"Cannot send packets from {interface}: {error.strerror}.") from None
        self._name: str = self._socket.getsockname()[0]  # never an alternative name (ip link property)
        self._buffer = bytearray(_LARGEST)

    def _prepare(self, program: bytes) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except OSError:  # CAP_NET_RAW alone: the buffer grows as far as net.core.rmem_max allows
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._socket.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
        if program:
            code = ctypes.create_string_buffer(program, len(program))
            option = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)

    def _hear_all_groups(self, interface: str) -> None:
        """A solicitation goes to the group of the address asked for, which a network card may leave out; until the
        socket is closed it does not (packet(7), PACKET_MR_ALLMULTI)."""
        request = struct.pack("iHH8x", socket.if_nametoindex(interface), _ALL_MULTICAST, 0)
        self._socket.setsockopt(_SOL_PACKET, _ADD_MEMBERSHIP, request)

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, frame: bytes) -> bool:
        """Sends one frame; false where the queue is full and it should be tried again. Raises OSError."""
        try:
            self._socket.send(frame)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno == 105:  # ENOBUFS: the device's queue is full
                return False
            raise
        return True

    def frames(self, most: int = 1024) -> Iterator[ethernet.Frame]:
        """What has arrived, at most so many frames, so that a flood cannot keep the caller from its deadlines.

        Frames of a VLAN and with a VLAN tag are left out: not of this link. Raises OSError.
        """
        for _ in range(most):
            try:
                size, ancillary, flags, address = self._socket.recvmsg_into([self._buffer], 64)
            except (BlockingIOError, InterruptedError):
                return
            # A socket on eth0 is also handed what arrives for eth0.10, tag taken off; only the name tells.
            if address[0] != self._name or address[2] not in self._kinds or flags & socket.MSG_TRUNC:
                continue
            status, tag = _auxiliary(ancillary)
            frame = ethernet.parse(
                bytes(memoryview(self._buffer)[:size]),
                vlan=tag & 0x0FFF if status & _VLAN_VALID else 0,
                checksums=not status & _CHECKSUM_NOT_READY,
            )
            if frame is not None and not frame.vlan:
                yield frame

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _auxiliary(ancillary: Sequence[tuple[int, int, bytes]]) -> tuple[int, int]:
    """Status bits and VLAN tag of struct tpacket_auxdata (linux/if_packet.h)."""
    for level, kind, data in ancillary:
        if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA) and len(data) >= 18:
            status, tag = struct.unpack_from("I12xH", data)
            return status, tag
    return 0, 0


def to_addresses(ethertype: int, destinations: Sequence[bytes]) -> bytes:
    """A classic BPF program (kernel doc networking/filter) that lets IP packets to these addresses through.

    Of an IPv6 address the last 32 bits are compared: enough to keep a load away, and what is left is checked anyway.
    Empty, so everything comes through, where there are more addresses than a jump can pass over.
    """
    at = 14 + 16 if ethertype == ethernet.IPV4 else 14 + 36
    words = sorted({int.from_bytes(address[-4:], "big") for address in destinations})
    if len(words) > _MOST_DESTINATIONS:
        return b""
    program = [(_LOAD_WORD, 0, 0, at)]
    for index, word in enumerate(words):
        program.append((_JUMP_IF_EQUAL, len(words) - index, 0, word))
    program += [(_RETURN, 0, 0, 0), (_RETURN, 0, 0, _ACCEPT)]
    return _assembled(program)


def only_icmpv6() -> bytes:
    """The same for ICMPv6 without extension headers, as all of neighbour discovery is."""
    return _assembled(
        [(_LOAD_BYTE, 0, 0, 14 + 6), (_JUMP_IF_EQUAL, 0, 1, ip.ICMPV6), (_RETURN, 0, 0, _ACCEPT), (_RETURN, 0, 0, 0)]
    )


def only_claims(ethertype: int, addresses: Sequence[bytes]) -> bytes:
    """The same for ARP whose sender has one of the addresses, and for solicitations and advertisements of IPv6 that
    come from one of them or are about one. Of IPv6 addresses the last 32 bits are compared.

    Empty, so everything comes through, where there are more addresses than a program has room for.
    """
    words = sorted({int.from_bytes(address[-4:], "big") for address in addresses})
    if len(words) > _MOST_CLAIMED:
        return b""
    program: list[tuple[int, int, int, int]] = []
    if ethertype == ethernet.IPV6:
        program += [(_LOAD_BYTE, 0, 0, 14 + 6), (_JUMP_IF_EQUAL, 1, 0, ip.ICMPV6), (_RETURN, 0, 0, 0)]
        program += [(_LOAD_BYTE, 0, 0, 14 + 40), (_JUMP_IF_EQUAL, 2, 0, 135), (_JUMP_IF_EQUAL, 1, 0, 136)]
        program += [(_RETURN, 0, 0, 0)]
    for at in (14 + 14,) if ethertype == ethernet.ARP else (14 + 20, 14 + 60):
        program.append((_LOAD_WORD, 0, 0, at))
        for word in words:
            program += [(_JUMP_IF_EQUAL, 0, 1, word), (_RETURN, 0, 0, _ACCEPT)]
    program.append((_RETURN, 0, 0, 0))
    return _assembled(program)


def _assembled(program: Sequence[tuple[int, int, int, int]]) -> bytes:
    return b"".join(struct.pack("HBBI", *line) for line in program)
