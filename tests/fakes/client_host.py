"""The client host of a farm in memory: it does what the script asks of it, with the world as it is, and says it so.

It reads the script's lines of what to reach, connect to and look at, as a shell would; nothing of it is executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal

from dsrwizard.core.dialects.client.shell import PATIENT
from dsrwizard.core.model.answers import Arrival
from dsrwizard.core.model.changes import ServiceKey
from dsrwizard.core.model.errors import ConnectionLost
from dsrwizard.core.ports import Answer, OnLine
from tests.fakes.ipvs import Entry, Virtual
from tests.fakes.server_state import ServerState
from tests.fakes.world import World

ROUTER_MAC = "02:00:cb:00:71:01"
ASKED = 78
"""Bytes of one request."""
ANSWERED = 890
WHOLE, BEGUN = 20_000, 280
"""Bytes of a page that is large, and of it where only what fits a small packet arrives."""
Said = tuple[Literal["open", "refused", "silent"], str]
"""What became of a connection, and the MAC that answered."""


@dataclass
class FakeClientHost:
    """A Connector to the client host. Tests set the attributes to bring about what they are about."""

    world: World
    address: str = "203.0.113.10"
    address6: str = "fd00:203::10"
    on_link: bool = False
    python: bool = True
    root: bool = True
    pings: bool = True
    """False: ping is filtered on the way."""
    seen_as: str = ""
    """The address that a NAT on the way gives it."""
    new_ports: bool = False
    """The NAT changes ports, too."""
    entries: dict[str, str] = field(default_factory=dict)
    """VIP → another MAC than the director's, in the table of whoever sends to it."""
    prefers: str = ""
    """The RIP that the scheduler gives every connection, because the others have more to do."""
    by_director: set[str] = field(default_factory=set)
    """RIPs whose replies the director passes on, as with masquerading."""
    flaky: set[str] = field(default_factory=set)
    """RIPs that leave connections of clients unanswered for no reason anybody sees."""
    served: set[str] = field(default_factory=set)
    """RIPs that serve it whatever they drop of others."""
    slow: str = ""
    """The real server whose application says nothing until it is waited for with patience."""
    lost_at: int = 0
    """The run at which the connection to the host breaks, counted from 1."""
    runs: list[str] = field(default_factory=list)
    arrived: list[Arrival] = field(default_factory=list)
    """What of its connections came in on the director's interface."""
    _port: int = 40_000
    _patient: bool = False

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        self.runs.append(script)
        self._patient = f" {PATIENT} </dev/null" in script
        if len(self.runs) == self.lost_at:
            raise ConnectionLost("The connection to client broke in the middle.", "", "Verify again.")
        nonce = re.search(r"^n='(\w+)'$", script, re.MULTILINE)
        assert nonce
        with self.world.lock:
            said = [f"{nonce[1]} {line}" for line in self._lines(script)]
        return Answer(status=0, stdout="\n\n".join(["Welcome to the client host!", *said, ""]), stderr="")

    def close(self) -> None:
        pass

    def _lines(self, script: str) -> Iterator[str]:
        for vip in re.findall(r"^reach (\S+) &$", script, re.MULTILINE):
            yield (
                f"ping {vip} answered 0.4 {64 if self.on_link else 63}" if self._pinged(vip) else f"ping {vip} silent -"
            )
        plan = re.search(r"^connections '([^']*)' &$", script, re.MULTILINE)
        for line in plan[1].splitlines() if plan else ():
            vip, port, count, kind, *page = line.split()
            for _ in range(int(count) if self.python else min(int(count), 4)):
                yield from self._tried(vip, int(port), kind == "big", page != ["/"])
        yield "tap " + ("on" if self.python and self.root else "privilege" if self.python else "python3")
        for vip in re.findall(r"^near (\S+)$", script, re.MULTILINE):
            yield f"link {vip} {'near' if self.on_link else 'far'}"
            if self.on_link and (mac := self._mac(vip)):
                yield f"mac {vip} {mac}"
        yield "end"

    def _pinged(self, vip: str) -> bool:
        return self.pings and self._mac(vip) == self.world.machine.mac

    def _mac(self, vip: str) -> str:
        """Whose MAC is in the table of whoever sends to the VIP."""
        return self.entries.get(vip) or (self.world.machine.mac if self.world.machine.holds(vip) else "")

    def _tried(self, vip: str, port: int, big: bool = False, large: bool = False) -> Iterator[str]:
        self._port += 2
        result, mac = self._connect(vip, port, self._port)
        if not self.python:
            yield f"tcp {vip} {port} {result} {'4' if result == 'open' else '-'}"
            return
        own = self.address6 if ":" in vip else self.address
        answering = next((one for one in self.world.servers.values() if one.machine.mac == mac), None)
        silent = answering is not None and (answering.hung or (self.slow == answering.name and not self._patient))
        figures = (
            f"1.20 {own} {self._port} {'- 78 0' if silent else f'2.40 {ASKED} {ANSWERED}'}"
            if result == "open"
            else f"- {own} {self._port} - 0 0"
        )
        if big:
            fits = answering is not None and answering.carries >= 1500
            figures = figures if fits or result != "open" else f"1.20 {own} {self._port} - 3100 0"
            ended = int(fits and not silent)
            if large and ended:
                ended = int(answering is not None and answering.returns >= 1500)
                figures = figures.replace(f" {ANSWERED}", f" {WHOLE if ended else BEGUN}")
            yield f"big {vip} {port} {result} {figures.replace(f' {ASKED} ', ' 3100 ')} - - {ended}"
            return
        yield f"tcp {vip} {port} {result} {figures} - -"
        if self.root and result != "silent":
            through = mac == self.world.machine.mac or any(
                state.machine.mac == mac and set(state.rips) & self.by_director for state in self.world.servers.values()
            )
            far = (0 if self.on_link else 1) + (result == "open" and through)
            sender = ROUTER_MAC if not self.on_link else self.world.machine.mac if through else mac
            yield f"frame {vip} {port} {self._port} {sender} {64 - far} 4"

    def _connect(self, vip: str, port: int, own: int) -> Said:
        mac = self._mac(vip)
        if mac != self.world.machine.mac:
            state = next((one for one in self.world.servers.values() if one.machine.mac == mac), None)
            return self._at(state, vip, port) if state else ("silent", "")
        sender = self.seen_as or (self.address6 if ":" in vip else self.address)
        here = Arrival(client=sender, client_port=own, vip=vip, port=port, source=ROUTER_MAC, interface="eth0")
        self.arrived.append(here)
        self.world.arrived.append(here)
        key = ServiceKey(vip, "tcp", port)
        virtual = self.world.ipvs.table.get(key)
        entry = self._scheduled(virtual) if virtual else None
        if virtual is None or entry is None:
            return "refused", mac  # the director itself says so
        said = self._at(self.world.at(entry.address), vip, port)
        if entry.address in self.flaky:
            said = "silent", ""
        client = self.seen_as or (self.address6 if ":" in vip else self.address)
        for counters in (virtual.counters, entry.counters):
            counters.request(packets=6, size=480)
            if entry.address in self.by_director:
                counters.out_packets += 4
        port_there = own + 1000 if self.new_ports else own
        self.world.ipvs.connected(key, entry, answered=said[0] == "open", client=(client, port_there))
        return said

    def _scheduled(self, virtual: Virtual) -> Entry | None:
        if self.prefers:
            return next(one for one in virtual.entries if one.address == self.prefers)
        entry = virtual.next()
        if entry and (virtual.state.persistence or virtual.state.scheduler == "sh"):
            return next(one for one in virtual.entries if one.state.weight > 0)
        return entry

    def _at(self, state: ServerState | None, vip: str, port: int) -> Said:
        """What a real server says to a client elsewhere."""
        if state is None or not state.reachable or state.machine.holds(vip) is None:
            return "silent", ""
        family = ip_address(vip).version
        ways = [one for one in state.machine.routes if one.family == family]
        if state.strangers_dropped and not (self.on_link or set(state.rips) & self.served):
            return "silent", ""
        if state.drops(vip, "tcp", port) or not ways or any(self._is_director(one.gateway) for one in ways):
            return "silent", ""
        return ("open" if state.machine.listens(vip, "tcp", port) else "refused"), state.machine.mac

    def _is_director(self, gateway: str) -> bool:
        return self.world.machine.holds(gateway) is not None
