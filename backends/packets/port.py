"""Packets from this machine: the `WirePort` of the core, made of own sockets. No ping, arping or telnet is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dsrwizard.core.model.answers import Claim, Connected, Owners, Ping, Probed, Sent, Talked
from dsrwizard.core.ports import Arriving, Hearing, ProbeTarget


class Wire:
    """Without state: safe to use from several threads at once. Each call has its own sockets and closes them; what
    `hear` and `arrivals` open is closed by the caller."""

    def ping(self, addresses: Sequence[str], deadline: float = 1.0, size: int = 0) -> Mapping[str, Ping]:
        """Echo to all addresses at once."""
        from backends.packets.ping import ping

        return ping(addresses, deadline, size)

    def connect(self, targets: Sequence[tuple[str, int]], deadline: float = 2.0) -> Sequence[Connected]:
        """TCP connects to all targets at once, results in their order."""
        from backends.packets.connect import connect

        return connect(targets, deadline)

    def owners(self, interface: str, addresses: Sequence[str], deadline: float = 1.0) -> Mapping[str, Owners]:
        """Every MAC that answers for each address; always takes the whole deadline."""
        from backends.packets.owners import owners

        return owners(interface, addresses, deadline)

    def resolve(self, interface: str, addresses: Sequence[str], deadline: float = 1.0) -> Mapping[str, Owners]:
        """As `owners`, but over as soon as each address has one answer: for RIPs, not for the audit."""
        from backends.packets.owners import resolve

        return resolve(interface, addresses, deadline)

    def probe(
        self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 1.0, pace: int = 0
    ) -> Sequence[Probed]:
        """The VIP through each real server alone, all at once or at a pace, results in the targets' order."""
        from backends.packets.probe import probe

        return probe(interface, targets, deadline, pace)

    def offlink(
        self, interface: str, targets: Sequence[ProbeTarget], sources: Mapping[int, str], deadline: float = 1.0
    ) -> Sequence[Sent]:
        """One client-like SYN per target, results in the targets' order; no answer is waited for."""
        from backends.packets.offlink import offlink

        return offlink(interface, targets, sources, deadline)

    def talk(self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 2.0) -> Sequence[Talked]:
        """A short conversation with a TCP service through each real server alone, results in the targets' order."""
        from backends.packets.talk import talk

        return talk(interface, targets, deadline)

    def hear(self, interface: str, addresses: Sequence[str], heard: Callable[[Claim], None]) -> Hearing:
        """Every claim of an address by another machine, until it is closed; the one call that has a thread."""
        from backends.packets.hear import hear

        return hear(interface, addresses, heard)

    def arrivals(self, interface: str, vips: Sequence[str]) -> Arriving:
        """Clients' first packets to the VIPs on any interface, from now until it is closed."""
        from backends.packets.arrivals import listen

        return listen(interface, vips)
