"""A watch over a farm in memory: faults come and go, and what cannot be seen is said."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.core.model.secret import Secret
from dsrwizard.core.model.snapshot import DestinationRow, Snapshot
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion
from dsrwizard.engine.hosts import Hosts
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.silent_asker import Quiet
from dsrwizard.engine.timeline import Recorder, Timeline
from dsrwizard.engine.watch import Poller
from tests.fakes.operator import Nobody
from tests.fakes.wire import FakeWire
from tests.fakes.world import World
from tests.unit.test_teardown import Farm

ALL = "net.ipv4.conf.all."


class Watch:
    """A watch over a world in which everything is deployed, with a clock of its own."""

    def __init__(self, folder: Path, *, asker: Any = None, wire: Any = None, **others: Any) -> None:
        self.farm = Farm(folder)
        self.world: World = self.farm.world
        assert self.farm.apply().ok
        self.now = 1000.0
        self.journal = Journals(folder).of("shop")
        quiet = Quiet(asker or Nobody())
        self.deployment = others.pop("deployment", self.farm.deployment)
        director = self.world.director()
        self.hosts = Hosts(lambda: director, lambda server: self.world.open_server(server, quiet))
        self.poller = Poller(
            self.deployment, director=director, wire=wire or self.world.wire(), journal=self.journal,
            clock=others.pop("clock", lambda: self.now), hosts=self.hosts, quiet=quiet, **others,
        )  # fmt: skip

    def once(self, seconds: float = 1.0) -> Snapshot:
        self.now += seconds
        return self.poller.once()

    def row(self, server: str = "web1", service: str = "tcp/80") -> DestinationRow:
        found = [row for one in self.poller.snapshot().services for row in one.rows]
        return next(row for row in found if (row.server, row.service) == (server, service))

    def states(self) -> dict[tuple[str, str], str]:
        snapshot = self.poller.snapshot()
        return {(row.service, row.server): row.state for service in snapshot.services for row in service.rows}

    def causes(self) -> set[tuple[str, str, str]]:
        rows = [row for service in self.poller.snapshot().services for row in service.rows]
        return {(row.server, row.state, row.cause) for row in rows if row.state != "up"}


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    made = Watch(tmp_path)
    snapshot = made.once()
    assert set(made.states().values()) == {"up"}
    assert (snapshot.round.pairs, snapshot.round.done) == (4, 4)
    assert snapshot.round.seconds is not None
    yield made
    made.poller.close()
    made.hosts.close()


# --- faults come and go ----------------------------------------------------------------------------------------------


def vip_missing(watch: Watch) -> Callable[[], None]:
    addresses = watch.world.servers["web1"].machine.links["lo"].addresses
    addresses.pop("10.0.0.10")
    return lambda: addresses.update({"10.0.0.10": 32})


def firewall(watch: Watch) -> Callable[[], None]:
    dropped = watch.world.servers["web1"].dropped
    dropped.add(("tcp", 80))
    return dropped.clear


def service_down(watch: Watch) -> Callable[[], None]:
    listeners = watch.world.servers["web1"].machine.listeners
    kept = [*listeners]
    listeners[:] = [one for one in listeners if one.port != 80]
    return lambda: listeners.__setitem__(slice(None), kept)


def rip_only(watch: Watch) -> Callable[[], None]:
    listeners = watch.world.servers["web1"].machine.listeners
    kept = [*listeners]
    listeners[:] = [msgspec.structs.replace(one, address="10.0.0.101") if one.port == 80 else one for one in listeners]
    return lambda: listeners.__setitem__(slice(None), kept)


def unreachable(watch: Watch) -> Callable[[], None]:
    watch.world.servers["web1"].reachable = False
    return lambda: setattr(watch.world.servers["web1"], "reachable", True)


def setting(name: str, value: str) -> Callable[[Watch], Callable[[], None]]:
    def make(watch: Watch) -> Callable[[], None]:
        sysctls = watch.world.servers["web1"].machine.sysctls
        before = {key: sysctls[key] for key in (ALL + name, f"net.ipv4.conf.eth0.{name}")}
        sysctls.update(dict.fromkeys(before, value))
        return lambda: sysctls.update(before)

    return make


def gateway(watch: Watch) -> Callable[[], None]:
    machine = watch.world.servers["web1"].machine
    kept, machine.routes = machine.routes, []
    return lambda: setattr(machine, "routes", kept)


def not_persistent(watch: Watch) -> Callable[[], None]:
    files = watch.world.servers["web1"].machine.files
    kept = dict(files)
    files.clear()
    return lambda: files.update(kept)


@pytest.mark.parametrize(
    ("fault", "state", "cause"),
    [
        (vip_missing, "vip-dead", "vip-missing"),
        (firewall, "vip-dead", "firewall"),
        (service_down, "vip-dead", "service-down"),
        (rip_only, "vip-dead", "rip-only-listener"),
        (unreachable, "unreachable", "unreachable"),
        (setting("arp_ignore", "0"), "leaking", "arp-leak"),
        (setting("arp_announce", "0"), "drifted", "arp-announce"),
        (gateway, "drifted", "gateway"),
        (not_persistent, "drifted", "not-persistent"),
    ],
)
def test_a_fault_shows_with_its_cause_on_its_server_and_goes_with_it(
    watch: Watch, fault: Callable[[Watch], Callable[[], None]], state: str, cause: str
) -> None:
    mend = fault(watch)
    began = watch.now + 1.0
    snapshot = watch.once()
    row = watch.row()
    assert (row.state, row.cause) == (state, cause)
    assert row.message
    assert row.fix
    assert row.since == began
    assert {name for name, _, _ in watch.causes()} == {"web1"}
    lines = [line for line in snapshot.happenings if (line.host, line.service, line.state) == ("web1", "tcp/80", state)]
    assert lines[0].before == "up"
    assert lines[-1].cause == cause
    mend()
    snapshot = watch.once()
    assert set(watch.states().values()) == {"up"}
    assert [line for line in snapshot.happenings if (line.host, line.before, line.state) == ("web1", state, "up")]


def test_two_faults_on_two_servers_are_each_named(watch: Watch) -> None:
    vip_missing(watch)
    watch.world.servers["web2"].machine.sysctls[ALL + "arp_ignore"] = "0"
    snapshot = watch.once()
    assert watch.causes() == {("web1", "vip-dead", "vip-missing"), ("web2", "leaking", "arp-leak")}
    assert snapshot.services[0].owner == "web2"


def test_a_stranger_with_the_vip_is_named_on_the_service(watch: Watch) -> None:
    watch.world.strangers["10.0.0.10"] = ["02:00:0a:00:00:42"]
    service = watch.once().services[0]
    assert (service.cause, service.owner) == ("duplicate-vip", "02:00:0a:00:00:42")
    watch.world.strangers.clear()
    assert watch.once().services[0].cause == ""


def test_a_director_without_the_vip_is_named_on_the_service(watch: Watch) -> None:
    addresses = watch.world.machine.links["eth0"].addresses
    prefix = addresses.pop("10.0.0.10")
    assert {service.cause for service in watch.once().services} == {"director-vip"}
    addresses["10.0.0.10"] = prefix
    assert {service.cause for service in watch.once().services} == {""}


def test_a_vip_that_is_stolen_by_a_question_is_heard_and_goes_with_the_guard_s_cure(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    mend = setting("arp_announce", "0")(watch)
    snapshots = shown(watch)
    try:
        watch.world.asks("web1")
        while watch.row().state != "leaking":
            watch.world.asks("web1")
            snapshots.get(timeout=30)
        assert watch.row().cause == "arp-announce"
        assert watch.row("web2").state != "leaking"
        mend()
        watch.now += 1.0
        watch.poller.look_now()
        while watch.row().state != "up":
            snapshots.get(timeout=30)
    finally:
        watch.poller.close()
    assert watch.world.hearings == []


def test_a_server_that_answers_others_for_the_vip_is_blamed_for_its_answers_only(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    mend = setting("arp_ignore", "0")(watch)
    snapshots = shown(watch)
    try:
        while watch.row().state != "leaking":
            snapshots.get(timeout=30)
        watch.world.claim("10.0.0.10", watch.world.servers["web1"].machine.mac, "reply")
        mend()
        while watch.row().state != "up":
            watch.now += 0.01
            watch.poller.look_now()
            snapshots.get(timeout=30)
    finally:
        watch.poller.close()
    told = {line.cause for line in watch.poller.snapshot().happenings if line.host == "web1"}
    assert told == {"arp-leak", ""}


def test_one_lost_packet_is_no_outage(tmp_path: Path) -> None:
    class Lossy(FakeWire):
        lost = 0

        def probe(self, *arguments: Any, **named: Any) -> Any:
            answers = list(super().probe(*arguments, **named))
            if self.lost:
                self.lost -= 1
                answers = [
                    msgspec.structs.replace(one, signature="silence", answered_by="", milliseconds=None)
                    for one in answers
                ]
            return answers

    wire = Lossy(World.lab(2))
    watch = Watch(tmp_path, wire=wire)
    wire._world = watch.world
    watch.once()
    wire.lost = 1
    watch.once()
    assert set(watch.states().values()) == {"up"}
    wire.lost = 2
    watch.once()
    assert set(watch.states().values()) == {"up"}, "the whole look failed, and it stands alone"
    wire.lost = 3
    watch.once()
    assert "vip-dead" in watch.states().values()
    watch.once()
    assert set(watch.states().values()) == {"up"}


def test_a_lost_look_is_no_line_in_the_log_and_a_second_one_is(watch: Watch) -> None:
    def look() -> DestinationRow:
        watch.now += 1.0
        watch.poller._probes.slice()
        watch.poller.board.refresh()
        return watch.row("web1")

    server = watch.world.servers["web1"]
    before = watch.row("web1").since
    server.reachable = False
    first = look()
    assert (first.state, first.missed, first.missed_at, first.since) == ("up", "no-mac", watch.now, before)
    server.reachable = True
    assert (look().missed, watch.row("web1").since) == ("", before)
    assert not [line for line in watch.poller.snapshot().happenings if line.host == "web1"]
    server.reachable = False
    look()
    assert (look().state, watch.row("web1").missed) == ("unreachable", "")
    assert {line.state for line in watch.poller.snapshot().happenings if line.host == "web1"} == {"unreachable"}


# --- what cannot be looked at ----------------------------------------------------------------------------------------


class Counting:
    """Would answer, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def secret(self, question: SecretQuestion) -> Secret | None:
        self.asked += 1
        return Secret("right")

    def accept_key(self, question: HostKeyQuestion) -> bool:
        self.asked += 1
        return True


def test_a_watch_asks_nobody_and_says_what_it_cannot_see(tmp_path: Path) -> None:
    operator = Counting()
    watch = Watch(tmp_path, asker=operator)
    watch.world.servers["web1"].password = "right"
    watch.world.servers["web2"].key = "unknown"
    snapshot = watch.once()
    assert operator.asked == 0
    assert any("web1" in line and "it needs your input (password)" in line for line in snapshot.unseen)
    assert any("web2" in line and "it needs your input (host key)" in line for line in snapshot.unseen)
    assert set(watch.states().values()) == {"up"}, "the wire tells all the same"
    watch.hosts.observe(watch.deployment)  # what a verification does: the operator answers
    assert operator.asked == 2
    watch.poller.reached(["web1", "web2"])
    assert watch.once().unseen == ()


def test_a_login_that_was_refused_is_not_tried_again_and_again(watch: Watch) -> None:
    server = watch.world.servers["web1"]
    server.key = "changed"
    watch.hosts._ports.clear()  # no login is left of the set-up
    tries = []
    login = watch.world._login
    watch.world._login = lambda name, *others: (tries.append(name), login(name, *others))[1]  # type: ignore[func-returns-value, method-assign]
    for _ in range(5):
        snapshot = watch.once(30.0)
    assert tries.count("web1") == 1
    assert any("web1 is not checked on the host" in line for line in snapshot.unseen)


def test_servers_set_up_by_hand_are_named_once(tmp_path: Path) -> None:
    farm = Farm(tmp_path / "other")
    by_hand = tuple(msgspec.structs.replace(one, connect="manual") for one in farm.deployment.servers)
    watch = Watch(tmp_path, deployment=msgspec.structs.replace(farm.deployment, servers=by_hand))
    snapshot = watch.once()
    assert [line for line in snapshot.unseen if "web1, web2 are set up by hand" in line] == list(snapshot.unseen)
    assert set(watch.states().values()) == {"up"}


def test_without_raw_sockets_nothing_is_green(watch: Watch) -> None:
    watch.world.privileged = False
    snapshot = watch.once()
    assert set(watch.states().values()) == {"unknown"}
    assert any("Raw sockets need root" in line for line in snapshot.unseen)


def test_a_reading_that_fails_keeps_the_last_numbers_and_says_why(watch: Watch) -> None:
    watch.world.requests(10)
    good = watch.once(2.0)
    watch.world.ipvs_problem = "It cannot be read."
    bad = watch.once(5.0)
    assert "It cannot be read." in bad.problem
    assert "It cannot be read." in bad.read_problem
    assert bad.read_at == good.read_at
    assert bad.at == (good.read_at or 0) + 5.0
    assert bad.services[0].active == good.services[0].active
    watch.world.ipvs_problem = ""
    assert watch.once().problem == ""


# --- the threads -----------------------------------------------------------------------------------------------------


def shown(watch: Watch) -> queue.Queue[Snapshot]:
    """Starts the watch; what it shows."""
    snapshots: queue.Queue[Snapshot] = queue.Queue()
    watch.poller.set_interval(0.01)
    watch.poller.start(snapshots.put)
    return snapshots


def test_where_ipvs_was_never_read_the_probes_are_shown_all_the_same(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.world.ipvs_problem = "It cannot be read."
    snapshots = shown(watch)
    try:
        snapshot = snapshots.get(timeout=30)
        while {row.state for row in snapshot.services[0].rows} != {"up"}:
            assert "It cannot be read." in snapshot.problem
            snapshot = snapshots.get(timeout=30)
    finally:
        watch.poller.close()
    assert [service.present for service in snapshot.services] == [None, None]


def test_a_fault_of_a_look_is_told_and_the_next_look_goes_on(tmp_path: Path) -> None:
    """A thread that died of it would leave old green for ever."""

    class Broken(FakeWire):
        broken = threading.Event()

        def probe(self, *arguments: Any, **named: Any) -> Any:
            if self.broken.is_set():
                raise RuntimeError("nobody thought of this")
            return super().probe(*arguments, **named)

    wire = Broken(World.lab(2))
    wire.broken.set()
    watch = Watch(tmp_path, wire=wire)
    wire._world = watch.world
    snapshots = shown(watch)
    try:
        while "dsrwizard itself failed" not in snapshots.get(timeout=30).problem:
            pass
        wire.broken.clear()
        while snapshots.get(timeout=30).problem:
            pass
    finally:
        watch.poller.close()


def test_what_the_wire_says_is_looked_into_at_once(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    snapshots = shown(watch)
    try:
        while {row.state for one in snapshots.get(timeout=30).services for row in one.rows} != {"up"}:
            pass
        watch.now += 1.0
        firewall(watch)
        causes: list[str] = []
        while "firewall" not in causes:
            watch.now += 0.01
            rows = [row for one in snapshots.get(timeout=30).services for row in one.rows if row.server == "web1"]
            causes = [row.cause for row in rows]
    finally:
        watch.poller.close()


def test_a_timeline_that_cannot_be_written_is_said_and_the_watch_goes_on(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("a file where the folder should be")
    timeline = Timeline(tmp_path / "events", "shop")
    made = Watch(tmp_path / "journal", record=Recorder(timeline))
    made.once()
    del made.world.servers["web1"].machine.links["lo"].addresses["10.0.0.10"]
    snapshot = made.once()
    assert any("timeline" in line and "cannot be written" in line for line in snapshot.unseen)
    made.poller.close()
    made.hosts.close()
