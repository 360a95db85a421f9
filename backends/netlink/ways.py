"""The kernel's own ways: where it would send a packet, what it does with one that comes in, and who is next.

Raw rtnetlink (rtnetlink(7)), because a farm of fifty servers is a hundred questions and pyroute2 takes a millisecond
for each. No privilege is needed; nothing is changed.
"""

from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network
from struct import pack, unpack_from
from typing import Self

from backends.netlink.attributes import attribute, attributes, messages
from dsrwizard.core.model.director_facts import ComingIn, KernelRule, KernelWay, NeighbourEntry
from dsrwizard.core.model.errors import AnswerUnreadable

_RTM_NEWROUTE, _RTM_GETROUTE, _RTM_NEWNEIGH, _RTM_GETNEIGH = 24, 26, 28, 30
_RTM_NEWRULE, _RTM_GETRULE = 32, 34
_REQUEST, _DUMP = 0x1, 0x301
_ERROR, _DONE = 2, 3
_LOOKUP_TABLE, _FIB_MATCH = 0x1000, 0x2000
_DST, _SRC, _IIF, _OIF, _GATEWAY, _PRIORITY, _PREFSRC, _METRICS, _MULTIPATH = 1, 2, 3, 4, 5, 6, 7, 8, 9
_TABLE, _VIA, _IP_PROTO, _DPORT = 15, 18, 27, 29
_METRIC_MTU = 2
_NDA_DST, _NDA_LLADDR = 1, 2
_FRA_DST, _FRA_SRC, _FRA_IIFNAME, _FRA_FWMARK, _FRA_PRIORITY, _FRA_TABLE = 1, 2, 3, 10, 6, 15
_KINDS = {
    1: "unicast", 2: "local", 3: "broadcast", 4: "anycast", 5: "multicast", 6: "blackhole", 7: "unreachable",
    8: "prohibit", 9: "throw",
}  # fmt: skip
_STOPPING = (6, 7, 8)
"""Of routes (RTN_*) and of rules (FR_ACT_*): blackhole, unreachable, prohibit."""
_STATES = {
    0x01: "incomplete", 0x02: "reachable", 0x04: "stale", 0x08: "delay", 0x10: "probe", 0x20: "failed", 0x40: "noarp",
    0x80: "permanent", 0x00: "none",
}  # fmt: skip
_TABLES = {253: "default", 254: "main", 255: "local"}
_MOST = 4096
"""Messages of one dump that are looked at."""


class Ways:
    """One rtnetlink socket; a context manager. Every method raises OSError, or AnswerUnreadable."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.settimeout(3.0)
        self._sequence = 0
        self._names = dict(socket.if_nameindex())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    # -- where a packet goes

    def to(self, address: str) -> tuple[KernelWay, KernelWay]:
        """Where a packet to the address goes now, and what its route says; a redirect may lie between them."""
        return self._way(address, 0), self._way(address, _FIB_MATCH)

    def _way(self, address: str, flags: int) -> KernelWay:
        packed = ip_address(address).packed
        try:
            body = self._ask(_RTM_GETROUTE, _route(packed, flags | _LOOKUP_TABLE) + attribute(_DST, packed))
        except OSError as error:
            if error.errno is None:
                raise
            return KernelWay(address=address, problem=os.strerror(error.errno), number=error.errno)
        return self._told(address, body)

    def _told(self, address: str, body: bytes) -> KernelWay:
        family, length, _, _, table, _, _, kind, _ = unpack_from("=BBBBBBBBI", body)
        found = _values(body, 12)
        hop = found
        gateway, index = found.get(_GATEWAY), found.get(_OIF)
        several = found.get(_MULTIPATH)
        if several and len(several) >= 8:
            index = several[4:8]
            hop = _values(several[: unpack_from("=H", several)[0]], 8)
            gateway = hop.get(_GATEWAY)
        via = hop.get(_VIA)
        if gateway is None and via is not None and len(via) > 2:
            gateway = via[2:]
        target = found.get(_DST)
        size = 32 if family == socket.AF_INET else 128
        entry = (
            "default" if target is None or length == 0 else f"{_text(target)}{'' if length == size else f'/{length}'}"
        )
        number = int.from_bytes(found[_TABLE], "little") if len(found.get(_TABLE, b"")) == 4 else table
        name = self._names.get(_number(index), "") if index else ""
        metrics = _values(found.get(_METRICS, b""), 0)
        return KernelWay(
            address=address, kind=_KINDS.get(kind, str(kind)), gateway=_text(gateway), interface=name,
            source=_text(found.get(_PREFSRC)), table=_TABLES.get(number, str(number)), entry=entry,
            metric=_number(found.get(_PRIORITY)), mtu=_number(metrics.get(_METRIC_MTU)),
        )  # fmt: skip

    def coming(self, vip: str, client: str, interface: str, port: int) -> ComingIn:
        """What the kernel does with the first packet of a TCP connection that comes in there, policy routes and
        reverse-path filtering included (inet_rtm_getroute in the kernel's route.c)."""
        target, source = ip_address(vip).packed, ip_address(client).packed
        try:
            index = socket.if_nametoindex(interface)
            asked = _route(target, _LOOKUP_TABLE, len(source) * 8) + attribute(_DST, target) + attribute(_SRC, source)
            asked += attribute(_IIF, pack("=I", index)) + attribute(_IP_PROTO, pack("=B", socket.IPPROTO_TCP))
            body = self._ask(_RTM_GETROUTE, asked + attribute(_DPORT, pack(">H", port)))
        except OSError as error:
            return ComingIn(
                vip=vip, client=client, interface=interface, problem=os.strerror(error.errno or 0),
                number=error.errno or 0,
            )  # fmt: skip
        return ComingIn(vip=vip, client=client, interface=interface, kind=_KINDS.get(body[7], str(body[7])))

    # -- what ends a way

    def stops(self, addresses: Sequence[str]) -> tuple[KernelRule, ...]:
        """Routes and rules that throw packets to (rules: or from) these addresses away."""
        wanted = {text: ip_address(text) for text in addresses}
        found: list[KernelRule] = []
        for family, version in ((socket.AF_INET, 4), (socket.AF_INET6, 6)):
            mine = {text: one for text, one in wanted.items() if one.version == version}
            if not mine:
                continue
            for kind, body in self._dump(_RTM_GETRULE, pack("=B11x", family)):
                if kind == _RTM_NEWRULE and (rule := _rule(body, list(mine), version)) is not None:
                    found.append(rule)
            for kind, body in self._dump(_RTM_GETROUTE, pack("=B11x", family)):
                if kind == _RTM_NEWROUTE and body[7] in _STOPPING and (route := self._stop(body, list(mine), version)):
                    found.append(route)
        return tuple(found)

    def _stop(self, body: bytes, addresses: Sequence[str], version: int) -> KernelRule | None:
        way = self._told("", body)
        if version == 6 and way.entry == "default" and way.metric == 0xFFFFFFFF:
            return None  # the kernel's own end of the table
        covers = _covered(way.entry, addresses, version)
        if not covers:
            return None
        text = f"{way.kind} {way.entry}"
        text += f" table {way.table}" if way.table != "main" else ""
        text += f" metric {way.metric}" if way.metric and version == 6 else ""
        return KernelRule(what="route", text=text, covers=covers, version=6 if version == 6 else 4)

    # -- who is next

    def neighbours(self, addresses: Sequence[str]) -> tuple[NeighbourEntry, ...]:
        """The entries for these addresses, on every interface."""
        wanted = {ip_address(text).packed: text for text in addresses}
        found = []
        for family in {socket.AF_INET if len(one) == 4 else socket.AF_INET6 for one in wanted}:
            for kind, body in self._dump(_RTM_GETNEIGH, pack("=B11x", family)):
                if kind != _RTM_NEWNEIGH or len(body) < 12:
                    continue
                index, state = unpack_from("=iH", body, 4)
                told = _values(body, 12)
                text = wanted.get(told.get(_NDA_DST, b""))
                if text is not None:
                    name = self._names.get(index, "")
                    mac = told.get(_NDA_LLADDR, b"").hex(":")
                    found.append(
                        NeighbourEntry(address=text, interface=name, mac=mac, state=_STATES.get(state, str(state)))
                    )
        return tuple(found)

    # -- the socket

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._sequence += 1
        self._socket.send(pack("=IHHII", 16 + len(body), kind, flags, self._sequence, 0) + body)

    def _answers(self) -> Iterator[tuple[int, bytes]]:
        """Messages of the present conversation, errors raised. Raises OSError."""
        data = self._socket.recv(1 << 18)
        for kind, sequence, start, end in messages(data):
            if sequence != self._sequence:
                continue
            body = data[start + 16 : end]
            if kind == _ERROR and len(body) >= 4:
                number = -unpack_from("=i", body)[0]
                raise OSError(number, os.strerror(number))
            yield kind, body

    def _ask(self, kind: int, body: bytes) -> bytes:
        self._send(kind, _REQUEST, body)
        while True:
            for found, answer in self._answers():
                if found == _RTM_NEWROUTE and len(answer) >= 12:
                    return answer

    def _dump(self, kind: int, body: bytes) -> Iterator[tuple[int, bytes]]:
        self._send(kind, _DUMP, body)
        told = 0
        while True:
            for found, answer in self._answers():
                if found == _DONE:
                    return
                told += 1
                if told <= _MOST and len(answer) >= 12:
                    yield found, answer


def _route(packed: bytes, flags: int, source_length: int = 0) -> bytes:
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    return pack("=BBBBBBBBI", family, len(packed) * 8, source_length, 0, 0, 0, 0, 0, flags)


def _values(data: bytes, start: int) -> dict[int, bytes]:
    """Attributes by type; what cannot be one is left out."""
    try:
        return {kind: data[begin:end] for kind, begin, end in attributes(data, start, len(data))}
    except AnswerUnreadable:
        return {}


def _number(data: bytes | None) -> int:
    return unpack_from("=I", data)[0] if data is not None and len(data) == 4 else 0


def _text(packed: bytes | None) -> str:
    return str(ip_address(packed)) if packed is not None and len(packed) in (4, 16) else ""


def _covered(entry: str, addresses: Sequence[str], version: int) -> tuple[str, ...]:
    if entry == "default":
        return tuple(addresses)
    network = ip_network(entry, strict=False)
    return tuple(text for text in addresses if network.version == version and ip_address(text) in network)


def _rule(body: bytes, addresses: Sequence[str], version: int) -> KernelRule | None:
    """A rule that throws packets away, as `ip rule` has it; None for any other."""
    _, to, source, tos, _, _, _, action = unpack_from("=BBBBBBBB", body)
    if action not in _STOPPING:
        return None
    found = _values(body, 12)
    target, sender = _text(found.get(_FRA_DST)), _text(found.get(_FRA_SRC))
    where = f"{target}/{to}" if target else "default"
    covers = _covered(where, addresses, version)
    if sender and not target:
        covers = _covered(f"{sender}/{source}", addresses, version)
    size = 32 if version == 4 else 128
    words = [f"from {sender}{'' if source == size else f'/{source}'}" if sender else "from all"]
    words += [f"to {target}{'' if to == size else f'/{to}'}"] if target else []
    words += [f"tos 0x{tos:02x}"] if tos else []
    words += [f"fwmark 0x{_number(found[_FRA_FWMARK]):x}"] if _number(found.get(_FRA_FWMARK)) else []
    if _FRA_IIFNAME in found:
        name = found[_FRA_IIFNAME].rstrip(bytes(1)).decode("ascii", "replace")
        words.append(f"iif {shlex.quote(name)}")
    priority = _number(found.get(_FRA_PRIORITY))
    text = f"{' '.join(words)} {_KINDS[action]}" + (f" priority {priority}" if priority else "")
    return KernelRule(what="rule", text=text, covers=covers, version=6 if version == 6 else 4) if covers else None
