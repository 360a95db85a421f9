"""A watch for days: the clock is set, the machine sleeps, the program stands still. Ages, order and blame are right."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from dsrwizard.cli.streaming import Latest
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.errors import ConnectionLost, ConnectTimeout
from dsrwizard.core.model.facts import Observed
from dsrwizard.core.model.snapshot import Happening, Snapshot
from dsrwizard.core.record.owed import RunBegan, RunEnded
from dsrwizard.core.record.timeline import in_order_of_time, of_journal
from dsrwizard.core.tell.metrics import exposition
from dsrwizard.core.tell.stream import WatchLines
from dsrwizard.engine.timeline import BEGAN, Recorder, Timeline
from dsrwizard.engine.watch.proof import Proof
from dsrwizard.engine.watch.timepiece import SETTLES, STOOD_STILL, Timepiece
from screens.widgets.numbers import age
from tests.fakes.clock import Clocks
from tests.fakes.world import World
from tests.unit.test_watching_poller import Watch

HOUR, DAY = 3600.0, 86_400.0
SET = [3 * DAY, -3 * DAY, HOUR, -HOUR, 40.0, -40.0]


class Sitting:
    """A watch with clocks that the test moves, and with a timeline."""

    def __init__(self, folder: Path) -> None:
        self.clocks = Clocks()
        self.timeline = Timeline(folder / "events", "shop")
        self.record = Recorder(self.timeline, clock=self.clocks.wall)
        clocks = self.clocks
        self.watch = Watch(folder, clock=Timepiece(clocks.wall, clocks.running, clocks.awake), record=self.record)
        self.poller = self.watch.poller
        self.stream = WatchLines()
        self.told = self.stream.lines(self.look())

    def runs(self) -> None:
        """The watch has begun: from here on it asks for the time all the while."""
        self.poller.board.time.beats()

    def second(self) -> Snapshot:
        """A second of the watch passes."""
        self.clocks.passes(1.0)
        return self.look()

    def look(self) -> Snapshot:
        self.poller._probes.slice()
        self.poller._audit.look()
        self.poller._counters.look()
        return self.poller.snapshot()

    def goes_on(self, seconds: int) -> Snapshot:
        for _ in range(seconds):
            snapshot = self.second()
        return snapshot

    def no_vip(self, server: str) -> Callable[[], None]:
        addresses = self.watch.world.servers[server].machine.links["lo"].addresses
        addresses.pop("10.0.0.10")
        return lambda: addresses.update({"10.0.0.10": 32})

    def state(self, server: str) -> str:
        return self.watch.states()["tcp/80", server]

    def kept(self) -> list[Happening]:
        return [entry for entry in self.timeline.read() if entry.message != BEGAN]


@pytest.fixture
def sitting(tmp_path: Path) -> Iterator[Sitting]:
    made = Sitting(tmp_path)
    made.runs()
    made.goes_on(3)
    assert set(made.watch.states().values()) == {"up"}
    yield made
    made.poller.close()
    made.watch.hosts.close()


def since(snapshot: Snapshot, server: str) -> float:
    rows = [row for service in snapshot.services for row in service.rows]
    return next(row.since for row in rows if row.server == server)


def ages(snapshot: Snapshot) -> list[float]:
    rows = [row for service in snapshot.services for row in service.rows]
    found = [snapshot.audit_age, snapshot.drift_age, snapshot.proof_age, snapshot.at - (snapshot.read_at or 0.0)]
    found += [one for row in rows for one in (row.probe_age, row.found_age)]
    found += [snapshot.at - row.since for row in rows]
    found += [one for fault in snapshot.faults for one in (fault.age, snapshot.at - fault.since)]
    found += [snapshot.at - entry.at for entry in snapshot.happenings]
    return [one for one in found if one is not None]


@pytest.mark.parametrize("seconds", SET)
def test_a_clock_that_is_set_makes_nothing_older_younger_or_ill(sitting: Sitting, seconds: float) -> None:
    sitting.no_vip("web2")
    sitting.goes_on(20)
    assert sitting.state("web2") == "vip-dead"
    sitting.clocks.is_set(seconds)
    after = sitting.second()
    assert sitting.state("web1") == "up"
    assert abs(after.at - since(after, "web2") - 20) <= 2, "it is as old as it was, by the clock as it is now"
    assert abs(after.at - sitting.clocks.wall()) < 0.001
    assert all(0 <= one < 60 for one in ages(after)), ages(after)
    (said,) = [entry for entry in after.happenings if entry.message.startswith("The clock was set ")]
    assert ("back" if seconds < 0 else "forward") in said.message
    assert [entry.at for entry in after.happenings] == sorted(entry.at for entry in after.happenings)
    assert sitting.goes_on(5).clock_set == pytest.approx(seconds)
    assert len([e for e in sitting.poller.snapshot().happenings if e.message.startswith("The clock")]) == 1


def found(*causes: str) -> Report:
    checks = tuple(
        Check(check="director.route", outcome="fail", host="director", cause=cause, message="It is wrong.")
        for cause in causes
    )
    return Report(deployment="shop", verdict="fail" if checks else "pass", checks=checks)


@pytest.mark.parametrize("seconds", SET)
def test_a_fault_of_the_director_is_as_old_as_it_is_and_comes_after_the_line_about_the_clock(
    sitting: Sitting, seconds: float
) -> None:
    board = sitting.poller.board
    board.proved(found("unreachable"), board.clock())
    sitting.goes_on(20)
    sitting.clocks.is_set(seconds)
    board.proved(found("unreachable", "gateway"), board.clock())
    after = sitting.poller.snapshot()
    assert [after.at - fault.since for fault in after.faults] == pytest.approx([20.0, 0.0])
    board.note("director", "drained by hand")
    noted = sitting.poller.snapshot().happenings[-1]
    assert noted.message == "drained by hand"
    assert noted.at == pytest.approx(sitting.clocks.wall())
    kept = [entry.cause or "clock" for entry in sitting.timeline._lines() if entry.message != BEGAN]
    assert kept == ["unreachable", "clock", "gateway"]


@pytest.mark.parametrize("picky", [True, False])
def test_a_verification_that_was_cut_by_sleep_counts_only_where_there_is_never_another(
    sitting: Sitting, picky: bool
) -> None:
    def sleeps(observed: Observed) -> Report:
        sitting.clocks.sleeps(HOUR)
        return found("gateway")

    board = sitting.poller.board
    board.doubtful.clear()
    Proof(sleeps, Observed, board).look(picky=picky)
    assert [fault.cause for fault in board.snapshot().faults] == ([] if picky else ["gateway"])
    sitting.clocks.passes(1.0)
    Proof(lambda observed: found(), Observed, board).look(picky=picky)
    assert bool(board.snapshot().verdict) is not picky, "the network may still be coming back"


@pytest.mark.parametrize("seconds", SET)
def test_the_stream_tells_it_and_no_change_of_state(sitting: Sitting, seconds: float) -> None:
    sitting.stream.lines(sitting.second())
    sitting.clocks.is_set(seconds)
    (line,) = sitting.stream.lines(sitting.second())
    assert line == {"type": "clock", "at": pytest.approx(sitting.clocks.wall()), "seconds": pytest.approx(seconds)}
    assert sitting.stream.lines(sitting.second()) == []


@pytest.mark.parametrize("seconds", SET)
def test_the_timeline_keeps_the_order_in_which_things_happened(sitting: Sitting, seconds: float) -> None:
    back = sitting.no_vip("web2")
    sitting.goes_on(20)
    back()
    sitting.goes_on(20)
    sitting.clocks.is_set(seconds)
    sitting.second()
    sitting.no_vip("web1")
    sitting.goes_on(20)
    told = [(entry.host, entry.state) for entry in sitting.kept() if entry.service in ("", "tcp/80")]
    assert told == [("web2", "vip-dead"), ("web2", "up"), ("director", "info"), ("web1", "vip-dead")]


def test_a_clock_that_was_set_back_while_nobody_watched_is_noticed_by_the_next_watch(tmp_path: Path) -> None:
    now = [5 * DAY]
    timeline = Timeline(tmp_path, "shop")

    def watches(state: str, before: str) -> None:
        recorder = Recorder(timeline, clock=lambda: now[0])
        recorder(Happening(at=now[0] + 60, host="web1", message=state, state=state, before=before))  # type: ignore[arg-type]
        now[0] += 100
        recorder.close()

    watches("vip-dead", "up")
    now[0] -= 2 * DAY
    watches("up", "vip-dead")
    assert [entry.message for entry in timeline.read() if entry.state != "info"] == ["vip-dead", "up"]
    assert any("set back by 2 d or more" in entry.message for entry in timeline.read())


def test_what_the_operator_did_stands_beside_it_in_the_order_in_which_it_was_done() -> None:
    def ran(run: str, at: float) -> list[RunBegan | RunEnded]:
        began = RunBegan(run=run, at=at, verb="apply", deployment=World.lab().deployment(), version="1")
        return [began, RunEnded(run=run, at=at + 1, ok=True)]

    def saw(at: float, message: str) -> Happening:
        return Happening(at=at, host="web1", message=message, state="up", before="unknown", vip=message)

    back = Happening(at=60.0, host="director", message="The clock was set back by 1 h.")
    seen = [saw(3600.0, "first"), saw(3700.0, "second"), back, saw(100.0, "third"), saw(200.0, "fourth")]
    done = of_journal([*ran("a", 3650.0), *ran("b", 150.0)])
    told = [entry.message.partition(":")[0] for entry in in_order_of_time(seen, done)]
    assert told == ["first", "apply", "second", "The clock was set back by 1 h.", "third", "apply", "fourth"]


@pytest.mark.parametrize(("at", "expected"), [(150.0, 3), (3650.0, 1), (20.0, 0), (5000.0, 4), (9000.0, 4)])
def test_something_done_is_put_where_the_watch_saw_that_time(at: float, expected: int) -> None:
    back = Happening(at=60.0, host="director", message="The clock was set back by 1 h.")
    seen = [Happening(at=at, host="web1", message="", state="up", vip=str(at)) for at in (3600.0, 3700.0, 100.0, 200.0)]
    done = Happening(at=at, host="web1", message="apply")
    order = in_order_of_time([*seen[:2], back, *seen[2:]], [done])
    assert order.index(done) - sum(one is back for one in order[: order.index(done)]) == expected


def test_without_a_line_that_says_so_time_alone_orders() -> None:
    entries = [Happening(at=at, host="web1", message=str(at), state="up", vip=str(at)) for at in (3.0, 1.0, 2.0)]
    assert [entry.at for entry in in_order_of_time(entries)] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("slept", [30.0, 3 * HOUR, 4 * DAY])
def test_a_machine_that_slept_says_so_and_its_figures_are_as_old_as_they_are(sitting: Sitting, slept: float) -> None:
    sitting.clocks.sleeps(slept)
    before = sitting.poller.snapshot()
    assert before.audit_age is not None
    assert before.audit_age >= slept, "nobody looked meanwhile"
    after = sitting.second()
    assert "suspended for" in after.happenings[-1].message
    assert not [entry for entry in after.happenings if entry.message.startswith("The clock was set")]
    assert since(after, "web1") < after.at - slept
    assert "suspended for" in sitting.kept()[-1].message


@pytest.mark.parametrize("stop", ["slept", "stopped"])
def test_silence_right_after_it_stood_still_is_no_servers_fault(sitting: Sitting, stop: str) -> None:
    """The network card, the switch's port and the neighbours come back one after the other."""
    (sitting.clocks.sleeps if stop == "slept" else sitting.clocks.passes)(10 * 60.0)
    for server in sitting.watch.world.servers.values():
        server.reachable = False
    for _ in range(4 if stop == "slept" else 1):
        sitting.second()
        assert set(sitting.watch.states().values()) == {"up"}
    for server in sitting.watch.world.servers.values():
        server.reachable = True
    sitting.goes_on(30)
    assert set(sitting.watch.states().values()) == {"up"}
    assert [entry for entry in sitting.kept() if entry.state != "info"] == []


def test_a_single_look_that_waited_long_for_a_dead_host_waits_only_once(tmp_path: Path) -> None:
    """Nobody else asks for the time meanwhile; that is no sign that the program stood still."""
    sitting = Sitting(tmp_path)
    drift = sitting.poller._drift
    assert drift is not None
    port = sitting.watch.hosts.port(sitting.watch.deployment.servers[0])
    tried = []

    def dead(*words: object, **named: object) -> object:
        tried.append(1)
        sitting.clocks.passes(8.0)
        raise ConnectTimeout("web1 does not answer.", "No answer within 8 seconds.")

    port.observe = dead  # type: ignore[method-assign,assignment]
    drift.look()
    assert len(tried) == 1
    sitting.poller.close()
    sitting.watch.hosts.close()


def test_a_server_that_went_while_it_slept_is_told_soon_after(sitting: Sitting) -> None:
    sitting.clocks.sleeps(HOUR)
    sitting.watch.world.servers["web2"].reachable = False
    sitting.goes_on(int(SETTLES) + 3)
    assert (sitting.state("web1"), sitting.state("web2")) == ("up", "unreachable")


def test_a_machine_that_stands_still_over_and_over_tells_the_truth_all_the_same(sitting: Sitting) -> None:
    sitting.watch.world.servers["web2"].reachable = False
    for _ in range(15):
        sitting.clocks.passes(STOOD_STILL + 3)
        sitting.look()
    assert sitting.state("web2") == "unreachable"


def test_a_look_that_was_cut_off_by_sleep_is_made_again_at_once(sitting: Sitting) -> None:
    drift, world = sitting.poller._drift, sitting.watch.world
    assert drift is not None
    drift.look()
    port = sitting.watch.hosts.port(sitting.watch.deployment.servers[0])
    observe = port.observe
    cut = [0]

    def sleeps_once(*words: object, **named: object) -> object:
        cut[0] += 1
        if cut[0] == 1:
            sitting.clocks.sleeps(HOUR)
            raise ConnectionLost("The connection to web1 is lost.", "It was silent for too long.")
        return observe(*words, **named)  # type: ignore[arg-type]

    port.observe = sleeps_once  # type: ignore[method-assign,assignment]
    drift.look()
    assert cut[0] == 2
    assert not [line for line in sitting.poller.snapshot().unseen if "web1" in line]
    assert world.servers["web1"].reachable


def test_a_look_that_fails_while_the_network_comes_back_is_made_again_soon(sitting: Sitting) -> None:
    drift, server = sitting.poller._drift, sitting.watch.world.servers["web1"]
    assert drift is not None
    sitting.clocks.sleeps(HOUR)
    server.ssh = False
    drift.look()
    assert [line for line in sitting.poller.snapshot().unseen if "web1" in line], "that nobody looked is said"
    server.ssh = True
    sitting.clocks.passes(SETTLES)
    drift.look()
    assert not [line for line in sitting.poller.snapshot().unseen if "web1" in line]


def test_a_program_that_is_stopped_between_two_clocks_sees_no_jump() -> None:
    clocks = Clocks()
    stops = threading.Event()

    def wall() -> float:
        now = clocks.wall()
        if stops.is_set():
            stops.clear()
            clocks.passes(HOUR)
        return now

    timepiece = Timepiece(wall, clocks.running, clocks.awake)
    stops.set()
    timepiece.now()
    timepiece.now()
    assert timepiece.notes() == []
    assert timepiece.ahead == 0.0


def test_a_clock_that_is_set_a_little_is_followed_without_a_word() -> None:
    clocks = Clocks()
    timepiece = Timepiece(clocks.wall, clocks.running, clocks.awake)
    for _ in range(20):
        clocks.passes(1.0)
        clocks.is_set(0.9)
        assert timepiece.shown(timepiece.now()) == pytest.approx(clocks.wall(), abs=0.6)
    assert timepiece.notes() == []


@pytest.mark.parametrize("seconds", SET)
def test_metrics_of_a_picture_are_neither_old_nor_new_because_the_clock_was_set(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    clocks = Clocks()
    monkeypatch.setattr("dsrwizard.cli.streaming._running", clocks.running)
    monkeypatch.setattr("time.time", clocks.wall)
    latest = Latest()
    latest.show(Snapshot(deployment="shop", at=clocks.wall()))
    clocks.is_set(seconds)
    clocks.passes(2.0)
    assert "dsrwizard_up 1" in exposition(latest.snapshot, latest.moment())
    clocks.sleeps(60.0)
    assert "dsrwizard_up 0" in exposition(latest.snapshot, latest.moment()), "a watch that hangs is not fresh"


def test_an_age_is_never_negative() -> None:
    assert age(-DAY) == "0.0 s"


def test_made_up_macs_of_a_server_are_bounded(sitting: Sitting) -> None:
    heard = sitting.poller.board.heard
    place = next(iter(heard.probes))
    answer = heard.probes[place][1]
    for number in range(20_000):
        mac = f"02:00:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
        heard = heard.with_probes(float(number), {place: msgspec.structs.replace(answer, mac=mac)}, {})
    assert len(heard.macs) < 2000
    assert heard.macs[mac] == place[2], "the newest is known"
    others = {one.mac for name, (_, one) in heard.probes.items() if name[2] != place[2]}
    assert others <= set(heard.macs), "what the others answer by is known, however often one of them changes"
