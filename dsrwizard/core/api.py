"""The engine as screens and commands see it. `dsrwizard.engine.engine.Engine` is the one behind it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from threading import Event as Flag
from typing import Protocol

from dsrwizard.core.model.answers import Connected, Owners, Ping
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.connection_table import ConnectionTable
from dsrwizard.core.model.contact import Contact
from dsrwizard.core.model.deployment import Client, Deployment, RealServer
from dsrwizard.core.model.errors import Locked
from dsrwizard.core.model.events import Observer
from dsrwizard.core.model.facts import DirectorFacts, Failure, Observed, ServerFacts
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.model.snapshot import Happening, Snapshot
from dsrwizard.core.model.steps import Plan
from dsrwizard.core.plan.departed import Departed
from dsrwizard.core.plan.mend import Mending, MendResult
from dsrwizard.core.plan.waves import WaveMode

HostSeen = Callable[[str, DirectorFacts | ServerFacts | Failure], None]
"""Called from worker threads as each host has been looked at: its name and what came back."""


class ServerTest(Shown, frozen=True, kw_only=True):
    """What "test connection" found for one real server; each part None where it could not be looked at."""

    server: str
    facts: ServerFacts | None = None
    failure: Failure | None = None
    ping: Ping | None = None
    owners: Owners | None = None
    """Who answers for the RIP: empty means it is not on the director's layer 2."""
    ports: tuple[Connected, ...] = ()
    login: str = ""
    """How it is logged in, in a sentence, where there is more to say than the deployment does."""
    contact: Contact | None = None
    """For a Windows server: what answers at the ports of WinRM."""


class Leased(Protocol):
    """The right to change hosts: see `Engine.lease`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that the operator should read."""
        ...


DRAIN_SECONDS = 60.0
"""Requests, and connections that a browser keeps open for the next one, are over in a minute (nginx closes those after
75 s, Apache after 5, IIS after 120); longer downloads need more, and are asked for."""


STOP_SECONDS = {"ssh": 15.0, "winrm": 60.0}
"""By the way a real server is reached: seconds without the begin or end of a step after which it is no longer waited
for, once a run is to stop. Commands of Linux answer within a second or two, those of a network manager may take ten.
Windows takes half a minute for a new adapter, and the script there ends with its connection."""


@dataclass
class Patience:
    """`seconds` at most, 0 for none. `skip` set: the wait ends now, the removal goes on. `waiting` is set meanwhile."""

    seconds: float = DRAIN_SECONDS
    skip: Flag = field(default_factory=Flag)
    waiting: Flag = field(default_factory=Flag)


class Engine(Protocol):
    """Every method blocks and is safe to call from a worker thread. Failures of hosts come back in the results;
    what stands in the way of the whole call is raised as a DsrError."""

    revert_after: float
    """Seconds without a sign of life after which a server takes back by itself what was not proved; 0: never."""

    wave: WaveMode
    """Whether plans change the real servers in waves."""
    patience: Patience
    """For the connections of real servers that a run removes."""

    def director(self, deployment: Deployment) -> DirectorFacts:
        """This machine alone, quickly: its interfaces for the wizard's choice, IPVS present or what mends it."""
        ...

    def address_in_use(self, interface: str, address: str) -> Owners:
        """Who answers for an address on the wire right now; no MACs: nobody."""
        ...

    def test_server(self, deployment: Deployment, server: RealServer) -> ServerTest: ...

    def find_winrm(self, server: RealServer) -> Contact:
        """What answers at the ports of WinRM on a Windows server, without logging in."""
        ...

    def test_client(self, client: Client) -> Failure | None:
        """None: the client host can be reached."""
        ...

    def observe(self, deployment: Deployment, seen: HostSeen | None = None) -> Observed: ...

    def plan(self, deployment: Deployment, observed: Observed) -> Plan: ...

    def lease(
        self, deployment: str, verb: str, *, wait: float = 0.0, waiting: Callable[[Locked], None] | None = None
    ) -> AbstractContextManager[Leased]:
        """The right to change hosts, which one run at a time has: on this machine, and for this deployment. Where
        another run has it, waits for that many seconds and calls `waiting` once. Raises Locked.

        The plan of a run that brings a lease was made under it. Without one, the run takes its own, looks at the hosts
        again and makes the plan anew: where that has steps which the plan at hand has not, it raises PlanChanged.
        """
        ...

    def apply(
        self,
        deployment: Deployment,
        plan: Plan,
        watch: Observer,
        stop: Flag | None = None,
        lease: Leased | None = None,
    ) -> RunResult:
        """Carries the plan out, all hosts side by side, one journal entry before each change."""
        ...

    def roll_back(self, deployment: Deployment, hosts: tuple[str, ...], watch: Observer) -> RunResult:
        """Takes back what the journal says was changed on these hosts."""
        ...

    def verify(self, deployment: Deployment, seen: Callable[[Check], None] | None = None) -> Report:
        """Runs every check; `seen` gets each result as it is known, in order of the packet's travel."""
        ...

    def mend_plan(self, deployment: Deployment, *checks: Check) -> Mending:
        """Looks at all hosts and says for each failed check which steps cure it, or why none does and who must do what.
        Nothing is touched."""
        ...

    def mend(
        self,
        deployment: Deployment,
        mending: Mending,
        watch: Observer,
        stop: Flag | None = None,
        lease: Leased | None = None,
    ) -> MendResult:
        """Carries the steps out as `apply` does, then verifies again. Without steps it only verifies; stopped, it does
        not."""
        ...

    def teardown_plan(self, deployment: Deployment) -> Plan: ...

    def teardown(
        self,
        deployment: Deployment,
        plan: Plan,
        watch: Observer,
        stop: Flag | None = None,
        lease: Leased | None = None,
    ) -> RunResult: ...

    def forgettable(self, deployment: Deployment, server: str) -> Departed:
        """What is owed on a server that has left the deployment and does not answer, by its name or address. Looks at
        all hosts. Raises UsageError for any other."""
        ...

    def forget(self, deployment: Deployment, gone: Departed) -> None:
        """Nothing of it is owed any more, because the machine is gone for good. Needs a lease."""
        ...

    def remarks(self, deployment: Deployment) -> tuple[str, ...]:
        """What an operator should know of the journals before a run, in sentences: what is lost of this deployment's,
        whose journal it is, where another one is, and others that cannot be read."""
        ...

    def in_force(self, deployment: str) -> bool:
        """Whether the journal says that something of this deployment is applied."""
        ...

    def watch(
        self, deployment: Deployment, interval: float = 1.0, *, recorded: bool = True, read_only: bool = False
    ) -> Watcher:
        """`interval` in seconds. `recorded`: what it sees goes into the timeline. `read_only`: no weight is set."""
        ...

    def seat(self, deployment: str) -> str:
        """Takes the right to change this deployment from a terminal, which one terminal has until it is closed. Empty:
        this one has it; else who has it, in a sentence. Runs do not need it: they have their lease."""
        ...

    def events(self, deployment: Deployment, since: float = 0.0, host: str = "") -> tuple[Happening, ...]:
        """The timeline in order of time: what watches of this deployment saw and what the operator did, from `since`
        on (seconds since the epoch), of one host when it is named. Raises LookError."""
        ...

    def close(self) -> None:
        """Ends every connection. Secrets entered are forgotten."""
        ...


class Watcher(Protocol):
    """Polls in threads of its own until closed."""

    def start(self, show: Callable[[Snapshot], None]) -> None:
        """Calls `show` from a thread after every poll. A poll starts when the one before it has ended."""
        ...

    def once(self) -> Snapshot:
        """One full round now: counters twice for rates, every probe, the ARP audit, the real servers' facts, and a
        verification."""
        ...

    def set_weight(self, server: str, weight: int | None, vip: str = "", service: str = "") -> None:
        """Sets the weight of a real server, 0 to 65535; 0 drains it, None restores the deployment's.

        In all its services, or only in those of one VIP, or of one label (`tcp/80`). Raises DsrError.
        """
        ...

    def connections(self, vip: str, service: str, server: str = "") -> ConnectionTable:
        """What IPVS has in its connection table now for a service, of one real server or of all: read once, for a
        second at most. Raises nothing: why it cannot be read is in the table."""
        ...

    def look_now(self) -> None:
        """Looks with all sources at once, without waiting for it: after something was changed."""
        ...

    def pause(self, paused: bool) -> None: ...

    def close(self) -> None: ...

    def set_interval(self, seconds: float) -> None:
        """Polls that often from now on; what was seen so far is kept."""
        ...
