"""IPVS services and destinations out of the kernel's dump.

`Row` is one destination as a plain tuple, because ten thousand of them are read each second while the live pane is
open. All destinations of one kernel have their attributes at the same places, so the places are learned from the first
message and the rest are unpacked a whole buffer at a time; before that every attribute header of every message is
compared with the first one's, and what differs is walked attribute by attribute.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator
from operator import itemgetter
from socket import AF_INET, AF_INET6, inet_ntop
from struct import Struct
from typing import Any

import msgspec

from backends.netlink.attributes import (
    GENL_HEADER,
    Span,
    attributes,
    messages,
    network_number,
    number,
    table,
    text,
    unreadable,
)
from backends.netlink.numbers import (
    FLAG_HASHED,
    FLAG_PERSISTENT,
    NLMSG_DONE,
    NLMSG_ERROR,
    Count,
    Daemon,
    Dest,
    MessageAttr,
    Svc,
)
from dsrwizard.core.model.changes import ServiceKey, ServiceState
from dsrwizard.core.model.facts import Stats

Row = tuple[Any, ...]
"""address (16 bytes), port (as stored: network order), forwarding method, weight, encapsulation, its port (network
order) and flags, upper and lower threshold, active, inactive and persistent connections, address family, connections,
packets in, packets out, bytes in, bytes out: eighteen values, all but the address numbers, in the kernel's order."""

FOREIGN_PROTOCOLS: dict[int, str] = {132: "sctp"}
FULL_IPV4_MASK = 0xFFFFFFFF
FULL_IPV6_PREFIX = 128

_COUNTS = (Count.CONNS, Count.INPKTS, Count.OUTPKTS, Count.INBYTES, Count.OUTBYTES)
_FORMS: dict[int, str] = {
    Dest.ADDR: "16s", Dest.PORT: "H", Dest.FWD_METHOD: "I", Dest.WEIGHT: "I", Dest.TUN_TYPE: "B", Dest.TUN_PORT: "H",
    Dest.TUN_FLAGS: "H", Dest.U_THRESH: "I", Dest.L_THRESH: "I", Dest.ACTIVE_CONNS: "I", Dest.INACT_CONNS: "I",
    Dest.PERSIST_CONNS: "I", Dest.ADDR_FAMILY: "H",
}  # fmt: skip
"""The values of a row but for the counters, in the order of ip_vs_genl_fill_dest (kernel, ip_vs_ctl.c)."""
_SIZES = {"16s": 16, "B": 1, "H": 2, "I": 4, "Q": 8}


class KernelError(Exception):
    """The kernel refused a request; `number` is the errno."""

    def __init__(self, errno: int) -> None:
        super().__init__(errno)
        self.errno = errno


class RawService(msgspec.Struct, frozen=True):
    """A service of the dump: `key` None where no deployment can name it, then `label` says what it is.

    `selector` is what asks the kernel for its destinations.
    """

    key: ServiceKey | None
    label: str
    state: ServiceState
    stats: Stats
    family: int
    mark: int = 0
    protocol: int = 0
    address: str = ""
    port: int = 0


def check_end(data: bytes, kind: int, start: int, end: int) -> bool:
    """Whether this message ends a dump. Raises KernelError where the kernel refused it."""
    if kind not in (NLMSG_DONE, NLMSG_ERROR):
        return False
    code = int.from_bytes(data[start + 16 : min(start + 20, end)], sys.byteorder, signed=True)
    if code < 0:
        raise KernelError(-code)
    return True


def sync_state(data: bytes, start: int, end: int) -> int:
    """The state in one message of a GET_DAEMON dump (IP_VS_STATE_*), 0 where it names none."""
    span = table(data, (start + GENL_HEADER, end)).get(MessageAttr.DAEMON)
    return number(data, table(data, span).get(Daemon.STATE)) if span is not None else 0


class ServiceDump:
    """Takes the buffers of a GET_SERVICE dump; `services` holds them in the kernel's order."""

    def __init__(self) -> None:
        self.services: list[RawService] = []

    def feed(self, data: bytes) -> bool:
        """Takes one buffer; true when the dump has ended. Raises AnswerUnreadable, KernelError."""
        for kind, _sequence, start, end in messages(data):
            if check_end(data, kind, start, end):
                return True
            self.add(data, start + GENL_HEADER, end)
        return False

    def add(self, data: bytes, start: int, end: int) -> None:
        """Takes the service in one message's attributes, where there is one."""
        span = table(data, (start, end)).get(MessageAttr.SERVICE)
        if span is not None:
            self.services.append(service(data, span))


def service(data: bytes, span: Span) -> RawService:
    """One service out of the IPVS_CMD_ATTR_SERVICE nest at `span`. Raises AnswerUnreadable."""
    found = table(data, span)
    family = number(data, found.get(Svc.AF))
    if family not in (AF_INET, AF_INET6):
        raise unreadable(f"a service of address family {family}")
    state = _service_state(data, found, family)
    stats = Stats(**dict(zip(("connections", "in_packets", "out_packets", "in_bytes", "out_bytes"),
                             _counts(data, found, Svc.STATS64, Svc.STATS), strict=True)))  # fmt: skip
    if Svc.FWMARK in found:
        mark = number(data, found[Svc.FWMARK])
        label = f"firewall mark {mark}{' IPv6' if family == AF_INET6 else ''}"
        return RawService(None, label, state, stats, family, mark)
    protocol = number(data, found.get(Svc.PROTOCOL))
    address = _address(data, found.get(Svc.ADDR), family)
    port = network_number(data, found.get(Svc.PORT))
    if protocol == 6:
        return RawService(ServiceKey(address, "tcp", port), "", state, stats, family)
    if protocol == 17:
        return RawService(ServiceKey(address, "udp", port), "", state, stats, family)
    name = FOREIGN_PROTOCOLS.get(protocol, f"protocol {protocol}")
    label = f"{name} {address} port {port}"
    return RawService(None, label, state, stats, family, 0, protocol, address, port)


def _service_state(data: bytes, found: dict[int, Span], family: int) -> ServiceState:
    flags = found.get(Svc.FLAGS)
    bits = number(data, (flags[0], min(flags[0] + 4, flags[1]))) if flags else 0
    if family == AF_INET:
        mask = network_number(data, found.get(Svc.NETMASK), FULL_IPV4_MASK)
        full = FULL_IPV4_MASK
    else:
        mask = number(data, found.get(Svc.NETMASK), FULL_IPV6_PREFIX)
        full = FULL_IPV6_PREFIX
    return ServiceState(
        scheduler=text(data, found.get(Svc.SCHED_NAME)),
        persistence=number(data, found.get(Svc.TIMEOUT)) if bits & FLAG_PERSISTENT else 0,
        flags=bits & ~(FLAG_PERSISTENT | FLAG_HASHED),
        netmask=None if mask == full else mask,
        persistence_engine=text(data, found.get(Svc.PE_NAME)),
    )


def _address(data: bytes, span: Span | None, family: int) -> str:
    size = 4 if family == AF_INET else 16
    if span is None or span[1] - span[0] < size:
        raise unreadable("an address is missing or too short")
    return inet_ntop(family, data[span[0] : span[0] + size])


def _counts(data: bytes, found: dict[int, Span], wide: int, narrow: int) -> tuple[int, ...]:
    span = found.get(wide) or found.get(narrow)  # kernels before 4.1 have only the narrow ones
    if span is None:
        return (0,) * len(_COUNTS)
    counts = table(data, span)
    return tuple(number(data, counts.get(kind)) for kind in _COUNTS)


def row(data: bytes, span: Span, family: int) -> Row:
    """One destination out of the IPVS_CMD_ATTR_DEST nest at `span`, attribute by attribute. Raises AnswerUnreadable.

    `family` is its service's, used where the kernel (before 3.18) does not tell the destination's own.
    """
    found = table(data, span)
    own = number(data, found.get(Dest.ADDR_FAMILY), family)
    if own not in (AF_INET, AF_INET6):
        raise unreadable(f"a destination of address family {own}")
    start, end = found.get(Dest.ADDR, (0, 0))
    if end - start < (4 if own == AF_INET else 16):
        raise unreadable("an address is missing or too short")
    address = data[start : min(end, start + 16)].ljust(16, b"\0")
    plain = [number(data, found.get(field)) for field in _FORMS if field not in (Dest.ADDR, Dest.ADDR_FAMILY)]
    return (address, *plain, own, *_counts(data, found, Dest.STATS64, Dest.STATS))


Order = Callable[[Row], Row] | None


class DestinationDump:
    """Takes the buffers of one service's GET_DEST dump; `rows` holds them in the kernel's order.

    `layouts` is kept from one dump to the next by the caller.
    """

    def __init__(self, family: int, layouts: list[MessageLayout]) -> None:
        self.rows: list[Row] = []
        self._family = family
        self._layouts = layouts

    def feed(self, data: bytes) -> bool:
        """Takes one buffer; true when the dump has ended. Raises AnswerUnreadable, KernelError."""
        position = 0
        for known in self._layouts:
            position = known.take(data, self.rows)
            if position:
                break
        for kind, _sequence, start, end in messages(data, position):
            if check_end(data, kind, start, end):
                return True
            span = table(data, (start + GENL_HEADER, end)).get(MessageAttr.DEST)
            if span is None:
                continue
            self.rows.append(row(data, span, self._family))
            if not self._layouts and (layout := MessageLayout.learn(data, start, end)) is not None:
                self._layouts.append(layout)
        return False


class MessageLayout:
    """Where the kernel puts each value of a destination's message. Made by `learn`."""

    def __init__(self, size: int, values: list[tuple[int, str]], order: Order, heads: dict[int, int]) -> None:
        self.size = size
        self._words = size // 4
        position, form = 0, "="
        for offset, kind in values:
            form += f"{offset - position}x{kind}"
            position = offset + _SIZES[kind]
        self._struct = Struct(f"{form}{size - position}x")
        self._order = order
        self._heads = heads
        self._expected: dict[int, list[tuple[int, array[int]]]] = {}

    @classmethod
    def learn(cls, data: bytes, start: int, end: int) -> MessageLayout | None:
        """The layout of the message between `start` and `end`, or None where it is one that must be walked:
        an attribute is missing or has another size."""
        size = end - start
        if size % 4:
            return None
        notes = _Notes(data, start)
        notes.message(end)
        values = notes.values
        wanted: list[tuple[int, int]] = [(0, field) for field in _FORMS] + [(Dest.STATS64, kind) for kind in _COUNTS]
        if any(key not in values for key in wanted):
            return None
        placed = sorted((values[key], index) for index, key in enumerate(wanted))
        back = [0] * len(placed)
        for at, (_value, index) in enumerate(placed):
            back[index] = at
        order = None if back == sorted(back) else itemgetter(*back)
        return cls(size, [value for value, _index in placed], order, notes.heads)

    def take(self, data: bytes, rows: list[Row]) -> int:
        """Adds the rows of as many whole messages at the beginning of `data` as have this layout all through, and
        returns how many bytes those were: 0, or all that could be."""
        count = len(data) // self.size
        if not count:
            return 0
        used = count * self.size
        whole = data if used == len(data) else data[:used]
        words = array("I", whole)
        for at, expected in self._expectation(count):
            if words[at :: self._words] != expected:
                return 0
        found = self._struct.iter_unpack(whole)
        rows.extend(found if self._order is None else map(self._order, found))
        return used

    def _expectation(self, count: int) -> list[tuple[int, array[int]]]:
        expected = self._expected.get(count)
        if expected is None:
            expected = [(offset // 4, array("I", [word]) * count) for offset, word in self._heads.items()]
            self._expected[count] = expected
        return expected


def _word(data: bytes, offset: int) -> int:
    return int.from_bytes(data[offset : offset + 4], sys.byteorder)


class _Notes:
    """Every attribute header of one message, nests included, and where its values lie; offsets from its beginning."""

    def __init__(self, data: bytes, base: int) -> None:
        self._data = data
        self._base = base
        self.heads: dict[int, int] = {offset: _word(data, base + offset) for offset in (0, 4, 16)}
        self.values: dict[tuple[int, int], tuple[int, str]] = {}
        """(nest, attribute) to offset and form; nest 0 is the destination itself."""

    def message(self, end: int) -> None:
        for kind, start, stop in self._attributes(self._base + GENL_HEADER, end):
            if kind == MessageAttr.DEST:
                self._destination(start, stop)

    def _destination(self, start: int, end: int) -> None:
        for kind, begin, stop in self._attributes(start, end):
            if kind == Dest.STATS:
                for _ in self._attributes(begin, stop):
                    pass
            elif kind == Dest.STATS64:
                for counter, at, to in self._attributes(begin, stop):
                    if counter in _COUNTS and to - at == _SIZES["Q"]:
                        self.values[kind, counter] = (at - self._base, "Q")
            elif kind in _FORMS and stop - begin == _SIZES[_FORMS[kind]]:
                self.values[0, kind] = (begin - self._base, _FORMS[kind])

    def _attributes(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        for kind, begin, stop in attributes(self._data, start, end):
            self.heads[begin - 4 - self._base] = _word(self._data, begin - 4)
            yield kind, begin, stop
