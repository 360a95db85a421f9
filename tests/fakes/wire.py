"""The wire of the fake world: pings, connects, ARP audits and VIP probes answered from its state (WirePort)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING

from dsrwizard.core.model.answers import Arrival, Arrivals, Claim, Connected, Owners, Ping, Probed, Sent, Talked
from dsrwizard.core.model.first_words import first_words
from dsrwizard.core.ports import ProbeTarget

if TYPE_CHECKING:
    from tests.fakes.server_state import ServerState
    from tests.fakes.world import World

NO_PRIVILEGE = "Raw sockets need root or CAP_NET_RAW."


class FakeWire:
    """Answers as the machines of the world would. The director never hears itself."""

    def __init__(self, world: World) -> None:
        self._world = world

    def ping(self, addresses: Sequence[str], deadline: float = 1.0, size: int = 0) -> Mapping[str, Ping]:
        with self._world.lock:
            return {
                address: Ping(address=address, milliseconds=0.4 if self._lives(address, size) else None)
                for address in addresses
            }

    def connect(self, targets: Sequence[tuple[str, int]], deadline: float = 2.0) -> Sequence[Connected]:
        with self._world.lock:
            return [self._connect(address, port) for address, port in targets]

    def owners(self, interface: str, addresses: Sequence[str], deadline: float = 1.0) -> Mapping[str, Owners]:
        with self._world.lock:
            problem = self._problem(interface)
            if problem:
                return {address: Owners(address=address, problem=problem) for address in addresses}
            return {
                address: Owners(
                    address=address, macs=self._macs(address), told=tuple(self._world.told.get(address, ()))
                )
                for address in addresses
            }

    def probe(
        self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 1.0, pace: int = 0
    ) -> Sequence[Probed]:
        with self._world.lock:
            problem = self._problem(interface)
            return [self._probe(target, problem) for target in targets]

    def offlink(
        self, interface: str, targets: Sequence[ProbeTarget], sources: Mapping[int, str], deadline: float = 1.0
    ) -> Sequence[Sent]:
        with self._world.lock:
            problem = self._problem(interface)
            return [self._client_like(target, sources, problem) for target in targets]

    def talk(self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 2.0) -> Sequence[Talked]:
        with self._world.lock:
            return [self._talk(target, deadline) for target in targets]

    def _talk(self, target: ProbeTarget, deadline: float) -> Talked:
        state = self._world.at(target.rip)
        asked, _ = first_words(target.port, target.vip)
        opened = state is not None and self._signature(state, target) == "syn-ack"
        hung = state is not None and state.hung
        return Talked(
            rip=target.rip, vip=target.vip, port=target.port, mac=target.mac, asked=asked, waited=deadline,
            result="unopened" if not opened else "hung" if hung else "answered",
            milliseconds=1.5 if opened and not hung else None,
            size=1500 if opened else 0, large=None if state is None or not opened else state.carries >= 1500,
        )  # fmt: skip

    def hear(self, interface: str, addresses: Sequence[str], heard: Callable[[Claim], None]) -> FakeHearing:
        return FakeHearing(self._world, lambda: self._problem(interface), addresses, heard)

    def arrivals(self, interface: str, vips: Sequence[str]) -> FakeArriving:
        return FakeArriving(self._world, self._problem(interface), vips)

    def _client_like(self, target: ProbeTarget, sources: Mapping[int, str], problem: str) -> Sent:
        state = self._world.at(target.rip)
        if not problem and target.protocol != "tcp":
            problem = "A UDP datagram leaves no state on the server to check."
        if not problem and state is None:
            problem = f"No host answers for {target.rip} on this link."
        self._world.source_port += 1
        sent = Sent(
            rip=target.rip,
            vip=target.vip,
            port=target.port,
            source=sources[ip_address(target.vip).version],
            source_port=self._world.source_port,
            mac=state.machine.mac if state else "",
            problem=problem,
        )
        if state is not None and not problem and not self._world.foreign_sources_lost:
            state.client_like(sent)
        return sent

    def _problem(self, interface: str) -> str:
        if not self._world.privileged:
            return NO_PRIVILEGE
        link = self._world.machine.links.get(interface)
        if link is None:
            return f"This machine has no interface {interface}."
        return "" if link.up else f"{interface} is down."

    def _lives(self, address: str, size: int = 0) -> bool:
        state = self._world.at(address)
        if state is not None and size > min(state.carries, state.returns):
            return False
        return self._world.at(address) is not None or self._world.machine.holds(address) is not None

    def _connect(self, address: str, port: int) -> Connected:
        state = self._world.at(address)
        if state is None:
            return Connected(address=address, port=port, result="silent")
        if state.machine.listens(address, "tcp", port):
            return Connected(address=address, port=port, result="open", milliseconds=0.6)
        return Connected(address=address, port=port, result="refused", milliseconds=0.5)

    def _macs(self, address: str) -> tuple[str, ...]:
        servers = tuple(
            state.machine.mac
            for state in self._world.servers.values()
            if state.reachable and state.machine.answers_arp(address)
        )
        router = self._world.routers.get(address)
        return servers + tuple(self._world.strangers.get(address, [router] if router else []))

    def _probe(self, target: ProbeTarget, problem: str) -> Probed:
        state = self._world.at(target.rip)
        if self._world.box is not None and target.mac in self._world.strangers.get(target.vip, ()):
            return self._sent_on(target, problem)
        if problem or state is None:
            signature, mac, answered = "unknown" if problem else "no-mac", target.mac, ""
        else:
            mac = target.mac or state.machine.mac
            signature = self._signature(state, target) if mac == state.machine.mac else "silence"
            answered = "" if signature == "silence" else mac
        source = {"redirect": target.rip, "wrong-source": target.rip, "silence": "", "unknown": "", "no-mac": ""}
        return Probed(
            vip=target.vip,
            port=target.port,
            protocol=target.protocol,
            rip=target.rip,
            mac=mac,
            signature=signature,  # type: ignore[arg-type]
            answered_by=answered,
            source=source.get(signature, target.vip),
            milliseconds=0.8 if answered else None,
            problem=problem,
            detail="it is not a DNS answer to the query" if signature == "wrong-reply" else "",
        )

    def _sent_on(self, target: ProbeTarget, problem: str) -> Probed:
        """Through the balancer that is another machine: the real server that it chose answers with its own MAC."""
        assert self._world.box is not None
        behind = self._world.at(next(iter(self._world.box(target.vip, target.port)), ""))
        signature = "unknown" if problem else "silence" if behind is None else self._signature(behind, target)
        answered = "" if behind is None or signature in ("silence", "unknown") else behind.machine.mac
        return Probed(
            vip=target.vip, port=target.port, protocol=target.protocol, rip=target.rip, mac=target.mac,
            signature=signature, answered_by=answered, problem=problem,  # type: ignore[arg-type]
        )  # fmt: skip

    @staticmethod
    def _signature(state: ServerState, target: ProbeTarget) -> str:
        machine, udp = state.machine, target.protocol == "udp"
        if machine.holds(target.vip) is None:
            return "redirect" if machine.sysctls.get("net.ipv4.ip_forward") == "1" else "silence"
        if state.drops(target.vip, target.protocol, target.port):
            return "silence"
        if not machine.listens(target.vip, target.protocol, target.port):
            return "port-unreachable" if udp else "rst"
        if (target.protocol, target.port) in state.garbled and target.expects != "any":
            return "wrong-reply"
        if udp:
            return "wrong-source" if state.reply_from_rip else "reply"
        return "syn-ack"


class FakeArriving:
    """Tells what `World.arrived` has taken since it was opened."""

    def __init__(self, world: World, problem: str, vips: Sequence[str]) -> None:
        self._world, self._problem, self._vips = world, problem, tuple(vips)
        self._from = len(world.arrived)

    def close(self) -> Arrivals:
        with self._world.lock:
            seen: list[Arrival] = [one for one in self._world.arrived[self._from :] if one.vip in self._vips]
        return Arrivals(problem=self._problem) if self._problem else Arrivals(seen=tuple(seen))


class FakeHearing:
    """Hears what `World.claim` and `World.asks` put on the wire, while the director's interface is up."""

    def __init__(
        self, world: World, wrong: Callable[[], str], addresses: Sequence[str], heard: Callable[[Claim], None]
    ) -> None:
        self._world = world
        self._wrong = wrong
        self._addresses = tuple(addresses)
        self._heard = heard
        with world.lock:
            world.hearings.append(self)

    @property
    def problem(self) -> str:
        with self._world.lock:
            return self._wrong()

    def close(self) -> None:
        with self._world.lock:
            if self in self._world.hearings:
                self._world.hearings.remove(self)

    def take(self, claim: Claim) -> None:
        """A frame on the wire."""
        own = {link.mac for link in self._world.machine.links.values()}
        if claim.address in self._addresses and claim.mac not in own and not self.problem:
            self._heard(claim)
