"""The first packets of clients' connections to the VIPs, as they come in on any interface of this machine.

A packet socket sees them before packet filters, routes and IPVS do (packet(7)), so that one which came and left no
entry in IPVS was lost in this machine. Nothing is read until it is over: the kernel keeps what came.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress

from backends.packets import ethernet, ip
from backends.packets.addresses import pack, unpack
from dsrwizard.core.model.answers import Arrival, Arrivals

MOST = 4000
"""Connections kept at most."""

_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_SO_ATTACH_FILTER = 26
_SO_RCVBUFFORCE = 33
_ROOM = 8 << 20
_SNAP = 128
"""Octets kept of each packet: headers with options."""
_EVERYTHING = 3
"""ETH_P_ALL: what comes in is handed over before traffic control and the ingress hook of nftables see it."""
_IGNORE_OUTGOING = 23
_PROTOCOL = 0xFFFF_F000
"""SKF_AD_OFF + SKF_AD_PROTOCOL (linux/filter.h): the frame's ethertype."""
_HOST, _BROADCAST, _MULTICAST = 0, 1, 2
_MOST_VIPS = 200
"""A jump reaches 255 instructions."""
_SYN, _ACK = 0x02, 0x10

_LOAD_WORD, _LOAD_BYTE, _LOAD_INDEXED = 0x20, 0x30, 0x50
_LOAD_HEADER_LENGTH = 0xB1
_AND, _JUMP_IF_EQUAL, _RETURN = 0x54, 0x15, 0x06


def only_openings(version: int, vips: Sequence[bytes]) -> bytes:
    """A classic BPF program (kernel doc networking/filter) for packets that begin with the IP header: TCP SYNs without
    ACK to one of the VIPs, of an IPv6 address the last 32 bits. Where there are more VIPs than a program has room for,
    the SYNs to anybody."""
    words = sorted({int.from_bytes(vip[-4:], "big") for vip in vips})
    program: list[tuple[int, int, int, int]] = [
        (_LOAD_WORD, 0, 0, _PROTOCOL), (_JUMP_IF_EQUAL, 1, 0, ethernet.IPV4 if version == 4 else ethernet.IPV6),
        (_RETURN, 0, 0, 0),
        (_LOAD_BYTE, 0, 0, 9 if version == 4 else 6), (_JUMP_IF_EQUAL, 1, 0, ip.TCP), (_RETURN, 0, 0, 0),
    ]  # fmt: skip
    if version == 4:
        program += [(_LOAD_HEADER_LENGTH, 0, 0, 0), (_LOAD_INDEXED, 0, 0, 13)]
    else:
        program += [(_LOAD_BYTE, 0, 0, 40 + 13)]
    program += [(_AND, 0, 0, _SYN | _ACK), (_JUMP_IF_EQUAL, 1, 0, _SYN), (_RETURN, 0, 0, 0)]
    if len(words) <= _MOST_VIPS:
        program.append((_LOAD_WORD, 0, 0, 16 if version == 4 else 36))
        program += [(_JUMP_IF_EQUAL, len(words) - index, 0, word) for index, word in enumerate(words)]
        program.append((_RETURN, 0, 0, 0))
    program.append((_RETURN, 0, 0, _SNAP))
    return b"".join(struct.pack("HBBI", *line) for line in program)


class ArrivalListener:
    """One socket per address family, on every interface, from when it is made until `close`."""

    def __init__(self, interface: str, vips: Sequence[str]) -> None:
        self._interface = interface
        self._vips = {packed: text for text in vips if (packed := pack(text)) is not None}
        self._sockets: list[tuple[int, socket.socket]] = []
        self._problem = ""
        try:
            for version in (4, 6):
                mine = [vip for vip in self._vips if len(vip) == (4 if version == 4 else 16)]
                if mine:
                    self._sockets.append((version, _opened(only_openings(version, mine))))
        except PermissionError:
            self._fail("Raw sockets need root or CAP_NET_RAW.")
        except OSError as error:
            self._fail(f"The kernel says: {error.strerror or error}.")

    def _fail(self, problem: str) -> None:
        self._problem = f"Nobody could listen for clients' packets. {problem}"
        self._shut()

    def close(self) -> Arrivals:
        """What came until now. A second call tells nothing more."""
        seen: dict[tuple[str, int, str, int], Arrival] = {}
        cut = False
        try:
            for version, opened in self._sockets:
                for one in self._taken(version, opened):
                    key = (one.client, one.client_port, one.vip, one.port)
                    # Of a VLAN or a bridge the port is told first, and last the interface that takes the packet.
                    if key in seen or len(seen) < MOST:
                        seen[key] = one
                    else:
                        cut = True
                        break
                cut = cut or _lost(opened)
        except OSError as error:
            self._problem = f"Listening for clients' packets has stopped: {error.strerror or error}."
        self._shut()
        return Arrivals(seen=tuple(seen.values()), problem=self._problem, cut=cut)

    def _shut(self) -> None:
        for _, opened in self._sockets:
            opened.close()
        self._sockets = []

    def _taken(self, version: int, opened: socket.socket) -> Iterator[Arrival]:
        while True:
            try:
                data, address = opened.recvfrom(_SNAP)
            except (BlockingIOError, InterruptedError):
                return
            interface, kind, mac = address[0], address[2], address[4]
            if interface != "lo" and kind in (_HOST, _BROADCAST, _MULTICAST):
                found = arrival(version, data, interface, mac, self._vips)
                if found is not None:
                    yield found


def arrival(version: int, data: bytes, interface: str, mac: bytes, vips: dict[bytes, str]) -> Arrival | None:
    """The beginning of a connection in an IP packet, of which the end may be cut off; None for anything else."""
    if version == 4:
        if len(data) < 20 or data[0] >> 4 != 4 or data[9] != ip.TCP or int.from_bytes(data[6:8], "big") & 0x1FFF:
            return None
        source, target, rest = data[12:16], data[16:20], data[(data[0] & 0x0F) * 4 :]
    else:
        if len(data) < 40 or data[0] >> 4 != 6 or data[6] != ip.TCP:
            return None
        source, target, rest = data[8:24], data[24:40], data[40:]
    if target not in vips or len(rest) < 14 or rest[13] & (_SYN | _ACK) != _SYN:
        return None
    client_port, port = struct.unpack_from("!HH", rest)
    return Arrival(
        client=unpack(source), client_port=client_port, vip=vips[target], port=port, source=mac.hex(":"),
        interface=interface,
    )  # fmt: skip


def _opened(program: bytes) -> socket.socket:
    """Datagrams, of every interface: the kernel takes the link's header off, whatever link it is. Raises OSError."""
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    opened = socket.socket(socket.AF_PACKET, kind, socket.htons(_EVERYTHING))
    try:
        # What comes before the filter is in place is looked at all the same, and left out then.
        code = ctypes.create_string_buffer(program, len(program))
        option = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
        opened.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, option)
        with suppress(OSError):  # kernels before 4.20; what goes out is left out by its kind then
            opened.setsockopt(_SOL_PACKET, _IGNORE_OUTGOING, 1)
        try:
            opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _ROOM)
        except OSError:  # CAP_NET_RAW alone: the buffer grows as far as net.core.rmem_max allows
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        opened.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)  # reading begins the count anew
    except BaseException:
        opened.close()
        raise
    return opened


def _lost(opened: socket.socket) -> bool:
    """Whether packets came that the buffer had no room for (struct tpacket_stats, linux/if_packet.h)."""
    with suppress(OSError):
        _, drops = struct.unpack("II", opened.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8))
        return bool(drops)
    return False


def listen(interface: str, vips: Sequence[str]) -> ArrivalListener:
    """Listens for connections to the VIPs until it is closed; see `WirePort.arrivals`. Nothing raises."""
    return ArrivalListener(interface, vips)
