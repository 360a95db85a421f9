"""IPVS of this machine: read into the core's types, changed through pyroute2."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from socket import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP, inet_ntop, inet_pton, ntohs
from struct import pack
from threading import Lock
from typing import TypeVar

from backends.netlink.attributes import attribute, messages
from backends.netlink.decode import (
    DestinationDump,
    KernelError,
    MessageLayout,
    RawService,
    Row,
    ServiceDump,
    check_end,
    sync_state,
)
from backends.netlink.numbers import NLA_F_NESTED, Command, MessageAttr, Svc, method_name
from backends.netlink.problems import LOAD, NOT_LOADED, refused, unreadable
from backends.netlink.reader import ReadSocket
from dsrwizard.core.model.changes import DestinationState, ServiceKey, ServiceState
from dsrwizard.core.model.director_facts import OtherService
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.facts import Destination, Stats, VirtualService
from dsrwizard.core.model.values import endpoint

T = TypeVar("T")

TABLE = Path("/proc/net/ip_vs")
"""There exactly when IPVS is loaded in this network namespace. Looked at first, because asking the kernel for the
netlink family makes it load the module, and looking must not change anything."""

_METHOD_MASK = 0x7


def loaded() -> bool:
    """Whether IPVS is there without asking for it."""
    return TABLE.exists()


class Ipvs:
    """Thread-safe: readings share one socket under a lock, every change has a socket of its own.

    Reading raises LookError (no privilege, not loaded) or AnswerUnreadable; changes raise NoPrivilege or
    CommandFailed.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._socket: ReadSocket | None = None
        self._layouts: list[MessageLayout] = []
        self._addresses: dict[tuple[int, bytes], str] = {}
        self._states: dict[tuple[int, ...], DestinationState] = {}

    def close(self) -> None:
        with self._lock:
            self._drop()

    def services(self) -> list[VirtualService]:
        """Every service with destinations and counters, in the kernel's order; those no deployment can name (firewall
        marks, SCTP) are left out, see `read`."""
        return self.read()[0]

    def read(self) -> tuple[list[VirtualService], tuple[str, ...]]:
        """The services, and what else is there as text: `firewall mark 7 (rr)`."""
        found = self._reading(self._read_all)
        services = [
            VirtualService(
                key=raw.key,
                state=raw.state,
                stats=raw.stats,
                destinations=tuple(map(self._destination, rows)),
            )
            for raw, rows in found
            if raw.key is not None
        ]
        return services, tuple(f"{raw.label} ({raw.state.scheduler})" for raw, _rows in found if raw.key is None)

    def others(self) -> tuple[OtherService, ...]:
        """The services that no deployment can name, with their destinations."""

        def look(reader: ReadSocket) -> list[tuple[RawService, list[Row]]]:
            dump = ServiceDump()
            reader.dump(Command.GET_SERVICE, b"", dump.feed)
            found = []
            for raw in dump.services:
                if raw.key is None:
                    rows = DestinationDump(raw.family, self._layouts)
                    reader.dump(Command.GET_DEST, _foreign(raw), rows.feed)
                    found.append((raw, rows.rows))
            return found

        return tuple(
            OtherService(
                label=raw.label, family=4 if raw.family == AF_INET else 6, mark=raw.mark, state=raw.state,
                destinations=tuple(
                    (one.address, one.port, one.state) for one in map(self._destination, rows)
                ),
            )
            for raw, rows in self._reading(look)
        )  # fmt: skip

    def sync(self) -> tuple[str, ...]:
        """What IPVS' synchronisation does here: `master`, `backup`, both or nothing."""
        states: list[int] = []

        def feed(data: bytes) -> bool:
            for kind, _sequence, start, end in messages(data):
                if check_end(data, kind, start, end):
                    return True
                states.append(sync_state(data, start, end))
            return False

        self._reading(lambda reader: reader.dump(Command.GET_DAEMON, b"", feed))
        return tuple(word for bit, word in ((1, "master"), (2, "backup")) if any(state & bit for state in states))

    def service(self, key: ServiceKey) -> VirtualService | None:
        """One service with its destinations, or None where there is none."""

        def look(reader: ReadSocket) -> tuple[RawService, list[Row]] | None:
            raws = ServiceDump()
            try:
                data, start, end = reader.ask(Command.GET_SERVICE, _selector(key))
            except KernelError as error:
                if error.errno in _ABSENT:
                    return None
                raise
            raws.add(data, start, end)
            for raw in raws.services:
                return raw, self._read_rows(reader, raw)
            return None

        found = self._reading(look)
        if found is None:
            return None
        raw, rows = found
        return VirtualService(
            key=key, state=raw.state, stats=raw.stats, destinations=tuple(map(self._destination, rows))
        )

    # --- changes, each in force when its method returns

    def add_service(self, key: ServiceKey, state: ServiceState) -> None:
        self._change_service(Command.NEW_SERVICE, key, state, "added")

    def set_service(self, key: ServiceKey, state: ServiceState) -> None:
        self._change_service(Command.SET_SERVICE, key, state, "changed")

    def del_service(self, key: ServiceKey) -> None:
        """Removes a service and, as the kernel does, every destination in it."""
        self._change_service(Command.DEL_SERVICE, key, None, "removed")

    def add_destination(self, key: ServiceKey, address: str, port: int, state: DestinationState) -> None:
        self._change_destination(Command.NEW_DEST, key, (address, port), state, "added to")

    def set_destination(self, key: ServiceKey, address: str, port: int, state: DestinationState) -> None:
        self._change_destination(Command.SET_DEST, key, (address, port), state, "changed in")

    def del_destination(self, key: ServiceKey, address: str, port: int) -> None:
        self._change_destination(Command.DEL_DEST, key, (address, port), None, "removed from")

    def _change_service(self, command: Command, key: ServiceKey, state: ServiceState | None, done: str) -> None:
        from backends.netlink.messages import service_part

        what = f"The IPVS service {service_name(key)} could not be {done}."
        self._send(command, [service_part(key, state)], what, scheduler=state.scheduler if state else "")

    def _change_destination(
        self, command: Command, key: ServiceKey, real: tuple[str, int], state: DestinationState | None, done: str
    ) -> None:
        from backends.netlink.messages import destination_part, service_part

        what = f"The destination {endpoint(*real)} could not be {done} the IPVS service {service_name(key)}."
        self._send(command, [service_part(key), destination_part(*real, state)], what, destination=True)

    def _send(
        self,
        command: Command,
        parts: Sequence[tuple[str, object]],
        what: str,
        *,
        scheduler: str = "",
        destination: bool = False,
    ) -> None:
        from backends.netlink.messages import IpvsSocket

        if not loaded():
            raise LookError("IPVS could not be changed.", NOT_LOADED, LOAD)
        try:
            socket = IpvsSocket()
        except OSError as error:  # NetlinkError is one
            raise refused(getattr(error, "code", None) or error.errno or 0, "IPVS could not be opened.") from None
        try:
            socket.request(command, list(parts))
        except KernelError as error:
            raise refused(error.errno, what, scheduler=scheduler, destination=destination) from None
        except OSError as error:
            raise refused(error.errno or 0, what) from None
        finally:
            socket.close()

    # --- reading

    def _reading(self, look: Callable[[ReadSocket], T]) -> T:
        """Runs one conversation; a broken one drops the socket, so that no late answer is taken for the next."""
        with self._lock:
            if not loaded():
                self._drop()
                raise LookError("IPVS could not be read.", NOT_LOADED, LOAD)
            try:
                if self._socket is None:
                    self._socket = ReadSocket()
                return look(self._socket)
            except KernelError as error:
                self._drop()  # the module may come back with another family number
                raise unreadable(error.errno) from None
            except OSError as error:
                self._drop()
                raise unreadable(error.errno or 0) from None
            except BaseException:
                self._drop()
                raise

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _read_all(self, reader: ReadSocket) -> list[tuple[RawService, list[Row]]]:
        dump = ServiceDump()
        reader.dump(Command.GET_SERVICE, b"", dump.feed)
        return [(raw, self._read_rows(reader, raw) if raw.key is not None else []) for raw in dump.services]

    def _read_rows(self, reader: ReadSocket, raw: RawService) -> list[Row]:
        if raw.key is None:
            return []
        dump = DestinationDump(raw.family, self._layouts)
        reader.dump(Command.GET_DEST, _selector(raw.key), dump.feed)
        return dump.rows

    def _destination(self, row: Row) -> Destination:
        (address, port, method, weight, tun_type, tun_port, tun_flags, upper, lower, active, inactive, persistent,
         family, connections, in_packets, out_packets, in_bytes, out_bytes) = row  # fmt: skip
        set_to = (weight, method, upper, lower, tun_type, tun_port, tun_flags)
        return Destination(
            address=self._addresses.get((family, address)) or self._spell(family, address),
            port=ntohs(port),
            state=self._states.get(set_to) or self._state(set_to),
            active=active,
            inactive=inactive,
            persistent=persistent,
            stats=Stats(
                connections=connections,
                in_packets=in_packets,
                out_packets=out_packets,
                in_bytes=in_bytes,
                out_bytes=out_bytes,
            ),
        )

    def _spell(self, family: int, address: bytes) -> str:
        if len(self._addresses) > _REMEMBERED:
            self._addresses.clear()
        text = inet_ntop(family, address[:4] if family == AF_INET else address)
        self._addresses[family, address] = text
        return text

    def _state(self, set_to: tuple[int, ...]) -> DestinationState:
        if len(self._states) > _REMEMBERED:
            self._states.clear()
        weight, method, upper, lower, tun_type, tun_port, tun_flags = set_to
        state = DestinationState(
            weight=weight if weight < 1 << 31 else weight - (1 << 32),  # the kernel keeps a signed number
            method=method_name(method & _METHOD_MASK),
            upper=upper,
            lower=lower,
            tun_type=tun_type,
            tun_port=ntohs(tun_port),
            tun_flags=tun_flags,
        )
        self._states[set_to] = state
        return state


_REMEMBERED = 100_000
_ABSENT = (2, 3)
"""ENOENT, ESRCH: what the kernel says of a service that is not there."""


def service_name(key: ServiceKey) -> str:
    """A service as messages name it: `tcp 10.0.0.10:80`."""
    return f"{key.protocol} {endpoint(key.address, key.port)}"


def _selector(key: ServiceKey) -> bytes:
    family = AF_INET6 if ":" in key.address else AF_INET
    return attribute(
        MessageAttr.SERVICE | NLA_F_NESTED,
        attribute(Svc.AF, pack("=H", family))
        + attribute(Svc.PROTOCOL, pack("=H", IPPROTO_TCP if key.protocol == "tcp" else IPPROTO_UDP))
        + attribute(Svc.ADDR, inet_pton(family, key.address))
        + attribute(Svc.PORT, pack(">H", key.port)),
    )


def _foreign(raw: RawService) -> bytes:
    """What asks for the destinations of a service that no deployment can name."""
    inside = attribute(Svc.AF, pack("=H", raw.family))
    if raw.mark:
        inside += attribute(Svc.FWMARK, pack("=I", raw.mark))
    else:
        family = AF_INET if raw.family == AF_INET else AF_INET6
        inside += attribute(Svc.PROTOCOL, pack("=H", raw.protocol))
        inside += attribute(Svc.ADDR, inet_pton(family, raw.address)) + attribute(Svc.PORT, pack(">H", raw.port))
    return attribute(MessageAttr.SERVICE | NLA_F_NESTED, inside)


def privileged() -> bool:
    """Whether this process may do all that a director's does: change the network (CAP_NET_ADMIN) and send packets of
    its own (CAP_NET_RAW), as apply does to announce the VIP and to prove servers."""
    return _capable(_CAP_NET_ADMIN) and _capable(_CAP_NET_RAW)


def may_load_modules() -> bool:
    """Whether this process may load a kernel module (CAP_SYS_MODULE)."""
    return _capable(_CAP_SYS_MODULE)


def _capable(capability: int) -> bool:
    """Whether a capability is in this process's effective set (capabilities(7))."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return os.geteuid() == 0
    for line in status.splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> capability & 1)
    return os.geteuid() == 0


_CAP_NET_ADMIN, _CAP_NET_RAW, _CAP_SYS_MODULE = 12, 13, 16  # linux/capability.h
