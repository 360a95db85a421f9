"""The state of one real server in memory, and what its kernel does with a client's packet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Literal

from dsrwizard.core.dialects.linux.half_open import COUNTERS, LISTEN_DROPS, REVERSE_PATH, UNREACHABLE, UNREACHABLE6
from dsrwizard.core.model.answers import Sent
from dsrwizard.core.model.changes import Change
from dsrwizard.core.model.facts import HalfOpen
from dsrwizard.core.model.packet_filter import FilterChain
from dsrwizard.core.model.steps import Step
from tests.fakes.filters import input_drops
from tests.fakes.host import Machine

Moment = Literal["before", "midway", "after"]


@dataclass
class ServerState:
    """One real server: the machine, and how reaching it goes."""

    machine: Machine
    rips: tuple[str, ...]
    reachable: bool = True
    """False: the cable is out. No ping, no ARP, no SSH."""
    ssh: bool = True
    """False: SSH does not answer though the machine lives."""
    key: Literal["known", "unknown", "changed"] = "known"
    password: str | None = None
    """Set: the login asks for it."""
    dropped: set[tuple[str, int]] = field(default_factory=set)
    """(protocol, port) that the host's firewall drops when sent to the VIP."""
    dropped_at: set[tuple[str, str, int]] = field(default_factory=set)
    """(VIP, protocol, port): the same for one VIP alone."""
    filters: tuple[FilterChain, ...] | None = None
    """What looking at its packet filter shows; None: the rules behind what is dropped here."""
    filters_hidden: bool = False
    """Its packet filter cannot be looked at."""
    reply_from_rip: bool = False
    """A UDP service that answers from the RIP instead of the VIP."""
    garbled: set[tuple[str, int]] = field(default_factory=set)
    """(protocol, port) where something else listens than the service that should."""
    fails: dict[str, str] = field(default_factory=dict)
    """Step id → what the host says when that step is tried. Deleted by the test when mended."""
    lost_at: str = ""
    """Step id at which the connection breaks, once."""
    privileged: bool = True
    hung: bool = False
    """Its applications take connections and say nothing."""
    carries: int = 1500
    """The largest packet that its way carries."""
    returns: int = 1500
    """The largest packet that its way back carries."""
    sessions: int = 0
    """How many logins there were."""
    strangers_dropped: bool = False
    """The host's firewall drops what comes from outside its own networks."""
    router_refuses: bool = False
    """The router has no way to where clients are: its ICMP error ends a half-open connection at once."""
    counters: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTERS, 7))
    """The kernel's counters, by the names of nstat."""
    half_open: list[HalfOpen] = field(default_factory=list)
    armed: float = 0.0
    """Seconds after which it takes `begun` back by itself; 0: it does not."""
    begun: list[Change] = field(default_factory=list)
    """Changes of the run that armed it, as they began."""
    reverted: int = 0
    """When it last took them back, in seconds since the epoch."""
    holder: str = ""
    """The line about the run that has its lock."""
    cannot_arm: bool = False
    """It has no way to start what outlives a connection."""
    cut: Callable[[Step, int, Moment], bool] = lambda step, change, moment: False
    """Whether the cable comes out at this moment of a change of a step, counted from 0."""

    @property
    def name(self) -> str:
        return self.machine.name

    def rules(self) -> tuple[FilterChain, ...] | None:
        """Its packet filter, as it shows itself."""
        if self.filters_hidden or self.filters is not None:
            return None if self.filters_hidden else self.filters
        said: dict[Literal[4, 6], list[str]] = {4: [], 6: []}
        for protocol, port in sorted(self.dropped):
            for rules in said.values():
                rules.append(f"-p {protocol} -m {protocol} --dport {port} -j DROP")
        for vip, protocol, port in sorted(self.dropped_at):
            where = f"-d {vip}/{'128' if ':' in vip else '32'} -p {protocol} -m {protocol} --dport {port}"
            said[6 if ":" in vip else 4].append(f"{where} -j DROP")
        if self.strangers_dropped:
            said[4].append("! -s 10.0.0.0/16 -j DROP")
            said[6].append("! -s fd00::/64 -j DROP")
        return tuple(one for family, rules in said.items() if rules for one in input_drops(*rules, family=family))

    def drops(self, vip: str, protocol: str, port: int) -> bool:
        """Whether the host's firewall drops what is sent there."""
        return (protocol, port) in self.dropped or (vip, protocol, port) in self.dropped_at

    def client_like(self, sent: Sent) -> None:
        """A SYN from elsewhere arrives: what a kernel does with it, in the order a kernel does it."""
        machine = self.machine
        if machine.holds(sent.vip) is None:
            return
        way = machine.way(sent.vip)
        strict = max(int(machine.sysctls[f"net.ipv4.conf.{name}.rp_filter"]) for name in ("all", machine.ingress)) == 1
        if strict and ip_address(sent.vip).version == 4 and (way is None or way.interface != machine.ingress):
            self.counters[REVERSE_PATH] += 1
            return
        if self.drops(sent.vip, "tcp", sent.port) or self.strangers_dropped:
            return
        if way is None or not machine.listens(sent.vip, "tcp", sent.port):
            return
        if self.router_refuses:
            self.counters[LISTEN_DROPS] += 1
            self.counters[UNREACHABLE if ip_address(sent.vip).version == 4 else UNREACHABLE6] += 1
            return
        self.half_open.append(HalfOpen(vip=sent.vip, port=sent.port, client=sent.source, client_port=sent.source_port))
