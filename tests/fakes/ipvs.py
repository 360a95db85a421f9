"""IPVS as the kernel keeps it: services, destinations, counters that grow with requests, and what it refuses."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from ipaddress import ip_address

from dsrwizard.core.model.changes import DestinationChange, DestinationState, ServiceChange, ServiceKey, ServiceState
from dsrwizard.core.model.deployment import SCHEDULERS
from dsrwizard.core.model.facts import Connection, Destination, Stats, VirtualService
from tests.fakes.host import Refused


@dataclass
class Counters:
    connections: int = 0
    in_packets: int = 0
    out_packets: int = 0
    in_bytes: int = 0
    out_bytes: int = 0

    def request(self, packets: int, size: int) -> None:
        self.connections += 1
        self.in_packets += packets
        self.in_bytes += size

    def stats(self) -> Stats:
        return Stats(
            connections=self.connections,
            in_packets=self.in_packets,
            out_packets=self.out_packets,
            in_bytes=self.in_bytes,
            out_bytes=self.out_bytes,
        )


@dataclass
class Entry:
    """One destination."""

    address: str
    port: int
    state: DestinationState
    active: int = 0
    inactive: int = 0
    counters: Counters = field(default_factory=Counters)


@dataclass
class Virtual:
    """One service; `turn` is what the scheduler remembers."""

    state: ServiceState
    counters: Counters = field(default_factory=Counters)
    entries: list[Entry] = field(default_factory=list)
    turn: int = 0

    def entry(self, address: str, port: int) -> Entry | None:
        wanted = ip_address(address)
        return next((e for e in self.entries if ip_address(e.address) == wanted and e.port == port), None)

    def next(self) -> Entry | None:
        """The destination the next connection goes to: in turn, among those with a weight."""
        able = [entry for entry in self.entries if entry.state.weight > 0]
        if not able:
            return None
        self.turn += 1
        return able[(self.turn - 1) % len(able)]


class FakeIpvs:
    """The kernel's table of services."""

    def __init__(self) -> None:
        self.table: dict[ServiceKey, Virtual] = {}
        self.schedulers = set(SCHEDULERS)
        self.connections: deque[Connection] = deque(maxlen=10_000)
        """The connection table; a request leaves its entry here, and nothing expires by itself."""

    def services(self) -> tuple[VirtualService, ...]:
        return tuple(
            VirtualService(
                key=key,
                state=virtual.state,
                stats=virtual.counters.stats(),
                destinations=tuple(
                    Destination(
                        address=entry.address,
                        port=entry.port,
                        state=entry.state,
                        active=entry.active,
                        inactive=entry.inactive,
                        stats=entry.counters.stats(),
                    )
                    for entry in virtual.entries
                ),
            )
            for key, virtual in self.table.items()
        )

    def service(self, change: ServiceChange) -> None:
        now = self.table.get(change.service)
        if change.new is not None and change.new.scheduler not in self.schedulers:
            raise Refused(f"Scheduler or persistence engine not found: {change.new.scheduler}")
        if change.old is None and now is not None:
            raise Refused("Service already exists")
        if change.old is not None:
            if now is None:
                raise Refused("No such service")
            if now.state != change.old:
                raise Refused(
                    f"the service is set to {now.state.scheduler}, not {change.old.scheduler} as when looked at"
                )
        if change.new is None:
            self.table.pop(change.service, None)
        elif now is None:
            self.table[change.service] = Virtual(state=change.new)
        else:
            now.state = change.new

    def destination(self, change: DestinationChange) -> None:
        virtual = self.table.get(change.service)
        if virtual is None:
            raise Refused("Service not defined")
        if ip_address(change.address).version != ip_address(change.service.address).version:
            raise Refused("Invalid operation.  Possibly wrong address family")
        now = virtual.entry(change.address, change.port)
        if change.old is None and now is not None:
            raise Refused("Destination already exists")
        if change.old is not None:
            if now is None:
                raise Refused("No such destination")
            if now.state != change.old:
                raise Refused(f"the weight is {now.state.weight}, not {change.old.weight} as when looked at")
        if change.new is None:
            if now is not None:
                virtual.entries.remove(now)
            return
        if change.new.weight < 0:
            raise Refused("Invalid weight")
        if now is None:
            virtual.entries.append(Entry(change.address, change.port, change.new))
        else:
            now.state = change.new

    def connected(
        self, key: ServiceKey, entry: Entry, *, answered: bool, client: tuple[str, int] | None = None
    ) -> None:
        """A client's connection as it is left when the client has gone: ended, or waiting for its SYN-ACK."""
        number = len(self.connections) + sum(one.counters.connections for one in self.table[key].entries)
        anybody = "203.0.113.10" if ip_address(key.address).version == 4 else "fd00:203::10"
        address, port = client or (anybody, 32768 + number % 28000)
        self.connections.append(
            Connection(
                protocol=key.protocol,
                client=address,
                client_port=port,
                vip=key.address,
                port=key.port,
                address=entry.address,
                dest_port=entry.port,
                state="UDP" if key.protocol == "udp" else "FIN_WAIT" if answered else "SYN_RECV",
                expires=300 if key.protocol == "udp" else 119 if answered else 59,
            )
        )

    def set_weight(self, key: ServiceKey, address: str, port: int, weight: int) -> None:
        virtual = self.table.get(key)
        if virtual is None:
            raise Refused("Service not defined")
        entry = virtual.entry(address, port)
        if entry is None:
            raise Refused("No such destination")
        if weight < 0:
            raise Refused("Invalid weight")
        entry.state = DestinationState(weight, entry.state.method, entry.state.upper, entry.state.lower)
