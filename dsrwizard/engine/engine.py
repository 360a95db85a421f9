"""The engine: observe, plan, apply, verify, watch, tear down. Implements `core.api.Engine` over ports."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from typing import TYPE_CHECKING, TypeVar

import msgspec

from dsrwizard.core.api import HostSeen, Leased, Patience, ServerTest, Watcher
from dsrwizard.core.model.answers import Owners
from dsrwizard.core.model.changes import SysctlChange
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.client_view import ClientView
from dsrwizard.core.model.contact import Contact
from dsrwizard.core.model.deployment import Client, Deployment, RealServer
from dsrwizard.core.model.errors import DsrError, Locked
from dsrwizard.core.model.events import Observer
from dsrwizard.core.model.facts import DirectorFacts, Failure, Observed, ServerFacts
from dsrwizard.core.model.keepalived import hosts_of
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.snapshot import Happening
from dsrwizard.core.model.steps import DIRECTOR, Plan
from dsrwizard.core.plan.appliance import spelled
from dsrwizard.core.plan.departed import Departed
from dsrwizard.core.plan.engines import refuse_unbuilt
from dsrwizard.core.plan.keepalived_back import handed_over
from dsrwizard.core.plan.mend import Mending, MendResult, mended, mending
from dsrwizard.core.plan.recognised import missing, recognised, set_up_by_themselves, told
from dsrwizard.core.plan.teardown import taken_back_by_others
from dsrwizard.core.plan.waves import WaveMode, unproved, waved
from dsrwizard.core.plan.whereabouts import Home
from dsrwizard.core.ports import Asker, DirectorPort, OpenConnector, ServerPort, WirePort
from dsrwizard.core.record.owed import Entry, Owed, RunEnded, Verb, deployed_since, drained_on_purpose, in_force
from dsrwizard.core.record.timeline import of_journal
from dsrwizard.engine.apply import Applier
from dsrwizard.engine.balancer_director import Doors, OpenBalancer
from dsrwizard.engine.books import Books, close_account, strike_out
from dsrwizard.engine.client_door import ClientDoor
from dsrwizard.engine.defects import apart, failure_of
from dsrwizard.engine.forgetting import forgettable
from dsrwizard.engine.hosts import Hosts, side_by_side
from dsrwizard.engine.journal import Journals, Run
from dsrwizard.engine.journals_elsewhere import into_the_books, remarks, stranger_here
from dsrwizard.engine.leases import Leases
from dsrwizard.engine.locks import Locks
from dsrwizard.engine.seats import Seats
from dsrwizard.engine.servers.linux import server_port
from dsrwizard.engine.silent_asker import Quiet
from dsrwizard.engine.spread_run import kind_of
from dsrwizard.engine.watches import Watches

if TYPE_CHECKING:
    from dsrwizard.engine.handshakes import Inside
    from dsrwizard.engine.timeline import Timeline

T = TypeVar("T")
PLANNED = "planned"
LAST_WORDS = 2.0
"""Seconds that a run has for its end in the journal once its connections are closed."""
REVERT_AFTER = 60.0
"""Seconds without a sign of life after which a server takes back what is not proved: longer than any one step."""


class Engine:
    """`director` takes the deployment's interface and gives its port; `open_server` may be replaced by tests;
    `forget` drops every secret that the operator entered; `events` is the folder of the timelines (None: none is
    kept); `find_winrm` tries the ports of WinRM; `revert_after`: see `ServerPort.apply`, 0 is off; `locks` are those of
    its runs; `open_balancer` opens an appliance."""

    def __init__(
        self,
        *,
        director: Callable[[str], DirectorPort],
        wire: WirePort,
        connect: OpenConnector,
        asker: Asker,
        journals: Journals,
        open_server: Callable[[RealServer], ServerPort] | None = None,
        forget: Callable[[], None] | None = None,
        events: Path | None = None,
        find_winrm: Callable[[RealServer], Contact] | None = None,
        revert_after: float = REVERT_AFTER,
        locks: Locks | None = None,
        open_balancer: OpenBalancer | None = None,
    ) -> None:
        self._wire = wire
        self._connect = connect
        self._asker = asker if isinstance(asker, Quiet) else Quiet(asker)
        self._journals = journals
        self._open_server = open_server or (
            lambda server: server_port(server, connect, self._asker, journals.adapters_made)
        )
        self._doors = Doors(director, open_balancer, self._asker, self._open_server)
        self._watches = Watches()
        self._client = ClientDoor(connect, self._asker)
        self._facts: dict[str, ServerFacts] = {}
        self._observed: dict[str, Observed] = {}
        """Deployment → what was observed of it last."""
        self._found: dict[str, list[Owed]] = {}
        """Deployment → what the plan of its teardown takes back that no journal tells of."""
        self._forget = forget or (lambda: None)
        self._events = events
        self._find_winrm = find_winrm
        self.revert_after, self.patience = revert_after, Patience()
        self.wave: WaveMode = "auto"
        self._leases = Leases(locks or Locks(journals.folder))
        self._seats = Seats(journals.folder)
        self._lock = threading.Lock()

    def _hosts_of(self, deployment: Deployment) -> Hosts:
        with self._lock:
            return self._doors.of(deployment)

    # --- looking -------------------------------------------------------------------------------------------------

    def director(self, deployment: Deployment) -> DirectorFacts:
        return self._hosts_of(deployment).director.observe(deployment)

    def address_in_use(self, interface: str, address: str) -> Owners:
        return self._wire.owners(interface, [address], 1.0)[address]

    def test_server(self, deployment: Deployment, server: RealServer) -> ServerTest:
        from dsrwizard.engine.server_test import tested

        find = self.find_winrm if self._find_winrm is not None else None
        return tested(deployment, server, self._hosts_of(deployment), self._wire, find)

    def find_winrm(self, server: RealServer) -> Contact:
        if self._find_winrm is None:
            return Contact(address=server.address, doors=())
        return self._find_winrm(server)

    def test_client(self, client: Client) -> Failure | None:
        try:
            self._client.use(client, lambda connector: connector.run("exit 0", deadline=10.0))
        except DsrError as problem:
            return failure_of(problem)
        return None

    def observe(self, deployment: Deployment, seen: HostSeen | None = None) -> Observed:
        """All hosts, also those that have left the deployment and still owe something; this machine where it is the
        director or was."""
        return self._observe(deployment, self._books(deployment), seen)

    def _observe(
        self, deployment: Deployment, books: Books, seen: HostSeen | None = None, *, closely: bool = False
    ) -> Observed:
        """`closely`: for the proof, which needs this machine's own addresses whoever balances."""
        from dsrwizard.engine.handshakes import recent_clients

        refuse_unbuilt(deployment)
        balances = deployment.director.in_kernel
        director_too = closely or deployment.director.driven or any(item.host == DIRECTOR for item in books.owed)
        whole = msgspec.structs.replace(deployment, servers=(*hosts_of(deployment), *books.leaving))
        hosts = self._hosts_of(deployment)
        clients = recent_clients(hosts.director) if closely and balances else []
        observed = self._leases.looked(deployment.name, hosts, lambda holder: hosts.observe(
            whole, seen, director_too=director_too, closely=closely, clients=clients, holder=holder
        ))  # fmt: skip
        self._facts = dict(observed.servers)
        self._observed[deployment.name] = observed
        self._watches.reached(observed.servers)
        return observed

    # --- changing ------------------------------------------------------------------------------------------------

    def plan(self, deployment: Deployment, observed: Observed) -> Plan:
        refuse_unbuilt(deployment)
        return waved(apart(observed, self._books(deployment).plan, PLANNED), self.wave)

    def lease(
        self, deployment: str, verb: str, *, wait: float = 0.0, waiting: Callable[[Locked], None] | None = None
    ) -> AbstractContextManager[Leased]:
        return self._leases.hold(verb, deployment, wait=wait, waiting=waiting)

    def apply(
        self,
        deployment: Deployment,
        plan: Plan,
        watch: Observer,
        stop: Flag | None = None,
        lease: Leased | None = None,
    ) -> RunResult:
        def fresh() -> tuple[Plan, Observed]:
            observed = self.observe(deployment)
            return self.plan(deployment, observed), observed

        with self._leases.agreed("apply", deployment.name, lease, plan, fresh) as now, self._acting(deployment):
            self._settle_reverts(deployment)
            applier = self._applier(deployment, "apply", watch, stop)
            self._recognise(deployment, applier.run)
            result = applier.apply(now)
            if deployment.director.engine == "keepalived":
                gone = handed_over(self._books(deployment).owed, result)
                strike_out(self._journals, deployment, "found", gone)
            return result

    def roll_back(self, deployment: Deployment, hosts: tuple[str, ...], watch: Observer) -> RunResult:
        with self.lease(deployment.name, "roll-back"):
            return self._rolled_back(deployment, hosts, watch)

    def _rolled_back(self, deployment: Deployment, hosts: tuple[str, ...], watch: Observer) -> RunResult:
        books = self._books(deployment)
        mine = [
            item
            for item in books.mine.last_apply()
            if item.host in hosts or (item.host == DIRECTOR and item.server in hosts)
        ]
        plan = apart(self._observe(deployment, books), lambda seen: books.back(seen, mine), PLANNED)
        with self._acting(deployment):
            return self._applier(deployment, "roll-back", watch, None).withdraw(plan)

    def mend_plan(self, deployment: Deployment, *checks: Check) -> Mending:
        books = self._books(deployment)
        drained = drained_on_purpose(books.mine.entries)
        hosts = self._observe(deployment, books)
        found = apart(hosts, lambda seen: mending(deployment, seen, checks, drained), PLANNED)
        plan = spelled(waved(found.plan, self.wave), deployment, hosts)
        return msgspec.structs.replace(found, plan=plan)

    def mend(
        self,
        deployment: Deployment,
        mending: Mending,
        watch: Observer,
        stop: Flag | None = None,
        lease: Leased | None = None,
    ) -> MendResult:
        def fresh() -> tuple[Plan, None]:
            return self.mend_plan(deployment, *(cure.check for cure in mending.cures)).plan, None

        run = RunResult(deployment=deployment.name, hosts=())
        if mending.plan.steps:
            leased = self._leases.agreed("mend", deployment.name, lease, mending.plan, fresh)
            with leased as now, self._acting(deployment):
                run = self._applier(deployment, "mend", watch, stop).apply(now)
        report = None if stop is not None and stop.is_set() else self.verify(deployment)
        return mended(mending, run, report)

    def teardown_plan(self, deployment: Deployment) -> Plan:
        books = self._books(deployment)
        self._found.pop(deployment.name, None)
        if books.knows_all and not books.elsewhere:
            observed = self._observe(deployment, books) if books.owed else Observed()
            extra = self._found[deployment.name] = set_up_by_themselves(deployment, observed, books.owed)
            return apart(observed, lambda seen: books.back(seen, extra=extra), PLANNED)
        observed = self._observe(deployment, books)
        stranger_here(books, observed)
        found = recognised(deployment, observed)
        extra = self._found[deployment.name] = missing(found, books.whereabouts(observed).rehomed(books.owed))
        return told(apart(observed, lambda seen: books.back(seen, extra=extra), PLANNED), found, deployment, observed)

    def teardown(
        self,
        deployment: Deployment,
        plan: Plan,
        watch: Observer,
        stop: Flag | None = None,
        lease: Leased | None = None,
    ) -> RunResult:
        def fresh() -> tuple[Plan, None]:
            return self.teardown_plan(deployment), None

        with self._leases.agreed("teardown", deployment.name, lease, plan, fresh) as now:
            if extra := self._found.pop(deployment.name, []):
                here = self._books(deployment).whereabouts(self._observed.get(deployment.name, Observed()))
                into_the_books(self._journals.of(deployment.name), deployment, extra, here.machines)
            applier = self._applier(deployment, "teardown", watch, stop)
            for other in self._books(deployment).left_behind:
                applier.run.writes_for(other.name, self._journals.of(other.name).begin("teardown", other))
            with self._acting(deployment):
                self._recognise(deployment, applier.run)
                result = applier.withdraw(now)
                self._settle(deployment, result.ok)
            if result.ok and not self._books(deployment).owed:
                self._journals.of(deployment.name).forgive()
        return result

    def forgettable(self, deployment: Deployment, server: str) -> Departed:
        books = self._books(deployment)
        return forgettable(books, self._observe(deployment, books), server)

    def forget(self, deployment: Deployment, gone: Departed) -> None:
        strike_out(self._journals, deployment, "forget", gone.owed)

    def remarks(self, deployment: Deployment) -> tuple[str, ...]:
        return remarks(self._books(deployment), self._journals, self._leases.locks)

    @contextmanager
    def _acting(self, deployment: Deployment) -> Iterator[None]:
        """Watches of the deployment tell what the block did, in the journal's words, and look at once."""
        self._watches.changing(deployment.name)
        watchers = self._watches.of(deployment.name)
        before = {entry.run for entry in self._entries(deployment) if isinstance(entry, RunEnded)} if watchers else ()
        try:
            yield
        finally:
            self._watches.changing(deployment.name)
            if watchers:
                lines = of_journal([entry for entry in self._entries(deployment) if entry.run not in before])
                for watcher in watchers:
                    watcher.acted(lines)

    def _settle(self, deployment: Deployment, ok: bool) -> None:
        """Strikes out what is owed and gone without a step of ours, say by a reboot, and would be owed for ever."""
        books = self._books(deployment)
        if not books.owed:
            return
        observed = self._observe(deployment, books)

        def taken(seen: Observed) -> list[Owed]:
            where = books.whereabouts(seen)
            return taken_back_by_others(where.rehomed(books.owed), where.seen())

        strike_out(self._journals, deployment, "teardown", apart(observed, taken, "looked at"), ok=ok)

    def _settle_reverts(self, deployment: Deployment) -> None:
        """Strikes out what servers took back by themselves since the last run: whoever sets the same by hand from now
        on may keep it."""
        undone = {name: facts for name, facts in self._facts.items() if facts.undo.reverted}
        if undone:
            books = self._books(deployment)

            def taken(seen: Observed) -> list[Owed]:
                mine = books.whereabouts(seen).rehomed(books.owed)
                return taken_back_by_others(mine, Observed(servers=undone))

            gone = apart(self._observed.get(deployment.name, Observed()), taken, "looked at")
            strike_out(self._journals, deployment, "roll-back", gone)

    def _applier(self, deployment: Deployment, verb: Verb, watch: Observer, stop: Flag | None) -> Applier:
        run = self._journals.of(deployment.name).begin(verb, deployment)
        books = self._books(deployment)
        observed = self._observed.get(deployment.name, Observed())
        run.machines = apart(observed, lambda seen: books.whereabouts(seen).machines, "looked at")
        return kind_of(deployment)(
            deployment,
            hosts=self._hosts_of(deployment),
            wire=self._wire,
            run=run,
            watch=watch,
            stop=stop,
            facts=self._facts,
            leaving=books.leaving,
            revert_after=self.revert_after,
            patience=self.patience,
            prove_wave=lambda servers: self._prove_wave(deployment, servers),
        )

    def _recognise(self, deployment: Deployment, run: Run) -> None:
        """Writes down which machines are known by another name, address or id now, and strikes out what went with
        installations that are no more."""
        books = self._books(deployment)

        def found(seen: Observed) -> tuple[list[Owed], list[tuple[Owed, Home]]]:
            where = books.whereabouts(seen)
            return where.gone(books.owed), where.renamed(books.owed)

        gone, renamed = apart(self._observed.get(deployment.name, Observed()), found, "looked at")
        for item in gone:
            close_account(run, item)
        run.recognised([(item, home.host, home.address, home.machine or item.machine) for item, home in renamed])

    def _prove_wave(self, deployment: Deployment, servers: Sequence[str]) -> dict[str, str]:
        """A verification after a wave, of which only what concerns these servers counts."""
        wave = tuple(server for server in deployment.servers if server.name in servers)
        hosts = self._hosts_of(deployment)
        observed = hosts.observe(msgspec.structs.replace(deployment, servers=wave), closely=True)
        client, inside = self._client_look(deployment), self._inside(deployment, observed)
        return unproved(deployment, servers, self._verified(deployment, observed, client, inside))

    # --- the journal ---------------------------------------------------------------------------------------------

    def _books(self, deployment: Deployment) -> Books:
        return Books(self._journals, deployment)

    def _entries(self, deployment: Deployment) -> list[Entry]:
        return self._journals.of(deployment.name).entries()

    def in_force(self, deployment: str) -> bool:
        return in_force(self._journals.of(deployment).entries())

    # --- proving and watching ------------------------------------------------------------------------------------

    def verify(self, deployment: Deployment, seen: Callable[[Check], None] | None = None) -> Report:
        observed = self._observe(deployment, self._books(deployment), closely=True)
        client, inside = self._client_look(deployment), self._inside(deployment, observed)
        report = self._verified(deployment, observed, client, inside, seen)
        self._watches.verified(deployment, report)
        return report

    def _verified(
        self, deployment: Deployment, observed: Observed, client: Callable[[], ClientView | Failure] | None,
        inside: Inside, seen: Callable[[Check], None] | None = None,
    ) -> Report:  # fmt: skip
        from dsrwizard.engine.verify import verify

        since = deployed_since(self._entries(deployment))
        return verify(deployment, observed, self._wire, client, seen, inside, since)

    def _client_look(self, deployment: Deployment) -> Callable[[], ClientView | Failure] | None:
        """What the client host sees; None: the deployment names none."""
        from dsrwizard.engine.client_looks import look

        client = deployment.client
        if client is None:
            return None
        director = self._hosts_of(deployment).director if deployment.director.in_kernel else None
        return lambda: self._client.use(client, lambda one: look(deployment, one, director))

    def _proving(self, deployment: Deployment) -> Callable[[Observed], Report]:
        """Verifications for a watch: nobody waits for them, and nobody is asked for anything."""
        from dsrwizard.engine.watch.proof import QuietClient, quiet_port

        look = self._client_look(deployment)
        client = None if look is None else QuietClient(look, self._asker)

        def prove(observed: Observed) -> Report:
            doors = self._inside(deployment, observed)
            quiet = replace(
                doors, servers={name: quiet_port(port, self._asker) for name, port in doors.servers.items()}
            )
            if client is not None and self._client.opened:
                client.reached()
            return self._verified(deployment, observed, client, quiet)

        return prove

    def _inside(self, deployment: Deployment, observed: Observed) -> Inside:
        """The doors into the hosts that could be looked at."""
        from dsrwizard.engine.handshakes import Inside

        hosts = self._hosts_of(deployment)
        servers = {one.name: hosts.port(one) for one in deployment.servers if one.name in observed.servers}
        if not deployment.director.in_kernel:
            return Inside(servers)
        director = hosts.director
        kept = frozenset(
            item.change.key for item in self._books(deployment).owed
            if item.host == DIRECTOR and isinstance(item.change, SysctlChange)
        )  # fmt: skip
        return Inside(
            servers, director.connections, lambda lost: director.look(deployment, lost), kept,
            lambda: director.holdings(deployment),
        )  # fmt: skip

    def watch(
        self, deployment: Deployment, interval: float = 1.0, *, recorded: bool = True, read_only: bool = False
    ) -> Watcher:
        from dsrwizard.engine.timeline import Recorder
        from dsrwizard.engine.watch import Poller

        refuse_unbuilt(deployment)
        poller = Poller(
            deployment,
            director=self._hosts_of(deployment).director,
            wire=self._wire,
            journal=self._journals.of(deployment.name),
            interval=interval,
            record=Recorder(self._timeline(deployment)) if recorded and self._events is not None else None,
            hosts=self._hosts_of(deployment),
            quiet=self._asker,
            prove=self._proving(deployment),
            read_only=read_only,
            hold=lambda: self.lease(deployment.name, "weight"),
        )
        self._watches.begin(deployment, poller)
        return poller

    def seat(self, deployment: str) -> str:
        return self._seats.take(deployment)

    def events(self, deployment: Deployment, since: float = 0.0, host: str = "") -> tuple[Happening, ...]:
        from dsrwizard.engine.timeline import events

        return events(self._timeline(deployment), self._journals.of(deployment.name), since, host)

    def _timeline(self, deployment: Deployment) -> Timeline:
        from dsrwizard.engine.timeline import Timeline

        return Timeline(self._events or self._journals.folder / "events", deployment.name)

    def close(self) -> None:
        self._seats.leave()
        with self._lock:
            all_hosts = self._doors.taken()
        # Side by side: a watch waits for its looks, which end with their connections.
        ends = [watcher.close for watcher in self._watches] + [hosts.close for hosts in all_hosts]
        side_by_side(
            ((str(number), end) for number, end in enumerate([*ends, self._client.close])), lambda name, what: None
        )
        self._journals.abandon(LAST_WORDS)
        self._forget()
