"""A generic netlink socket for reading: requests go out as bytes, answers come back as the kernel's raw buffers.

Changes go through pyroute2 (see `messages`); reading ten thousand destinations each second does not, because its
general decoder takes a hundred times as long.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from struct import pack

from backends.netlink.attributes import GENL_HEADER, MESSAGE, attribute, messages, number, table, unreadable
from backends.netlink.decode import check_end
from backends.netlink.numbers import (
    CTRL_ATTR_FAMILY_ID,
    CTRL_ATTR_FAMILY_NAME,
    CTRL_CMD_GETFAMILY,
    FAMILY,
    GENL_ID_CTRL,
    NETLINK_GENERIC,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    VERSION,
)

RECEIVE = 65536
"""More than the kernel ever puts into one part of a dump (32 KiB, af_netlink.c)."""

ANSWER_SECONDS = 5
"""The kernel answers at once; this only keeps a lost answer from blocking for ever."""


class ReadSocket:
    """One conversation at a time: the caller holds a lock. Raises KernelError, AnswerUnreadable, OSError."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self._sequence = 0
        try:
            # the kernel's own timeout: Python's would cost one poll per receive
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, pack("ll", ANSWER_SECONDS, 0))
            self._socket.bind((0, 0))
            self._family = self._find_family()
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def _send(self, kind: int, flags: int, command: int, payload: bytes) -> None:
        self._sequence += 1
        size = GENL_HEADER + len(payload)
        header = MESSAGE.pack(size, kind, NLM_F_REQUEST | flags, self._sequence, 0)
        self._socket.send(header + pack("=BBH", command, VERSION, 0) + payload)

    def _receive(self) -> bytes:
        data = self._socket.recv(RECEIVE)
        if int.from_bytes(data[8:12], sys.byteorder) != self._sequence:
            raise unreadable("it belongs to another request")
        return data

    def _find_family(self) -> int:
        self._send(GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, attribute(CTRL_ATTR_FAMILY_NAME, FAMILY.encode() + b"\0"))
        data = self._receive()
        for kind, _sequence, start, end in messages(data):
            check_end(data, kind, start, end)
            family = number(data, table(data, (start + GENL_HEADER, end)).get(CTRL_ATTR_FAMILY_ID))
            if family:
                return family
        raise unreadable("it names no family")

    def dump(self, command: int, payload: bytes, feed: Callable[[bytes], bool]) -> None:
        """Sends a dump request and hands every buffer to `feed` until it says that the dump has ended."""
        self._send(self._family, NLM_F_DUMP, command, payload)
        while not feed(self._receive()):
            pass

    def ask(self, command: int, payload: bytes) -> tuple[bytes, int, int]:
        """Sends a request that has one answer: the buffer, and where the answer's attributes begin and end."""
        self._send(self._family, 0, command, payload)
        data = self._receive()
        for kind, _sequence, start, end in messages(data):
            if check_end(data, kind, start, end):
                break
            return data, start + GENL_HEADER, end
        raise unreadable("it is empty")
