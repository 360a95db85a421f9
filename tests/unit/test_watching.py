"""The live picture from readings: states, rates, trends and the lines of the event log."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrwizard.core.changes import DestinationState, ServiceKey, ServiceState
from dsrwizard.core.errors import DsrError, UsageError
from dsrwizard.core.facts import Destination, Stats, VirtualService
from dsrwizard.core.history import History
from dsrwizard.core.ledger import owed
from dsrwizard.core.model import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.snapshot import DestinationRow, Rates, ServiceRow, Snapshot, State
from dsrwizard.core.watching import (
    Heard,
    Place,
    Reading,
    happenings,
    next_history,
    rates,
    service_rows,
    state_of,
)
from dsrwizard.core.wire import Owners, Probed
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.watch import Poller
from tests.fakes.world import World

MAC, OTHER = "02:00:0a:00:00:65", "02:00:0a:00:00:66"
WEB1 = RealServer(name="web1", address="10.0.0.101")
SHOP = Deployment(
    name="shop",
    director=Director(interface="eth0"),
    vips=(Vip(address="10.0.0.10", services=(Service(port=80),)),),
    servers=(WEB1,),
)
PLACE: Place = ("10.0.0.10", "tcp/80", "web1")
SERVICE = ("10.0.0.10", "tcp/80")


def probed(signature: str = "syn-ack", **others: Any) -> Probed:
    values: dict[str, Any] = {
        "vip": "10.0.0.10", "port": 80, "protocol": "tcp", "rip": "10.0.0.101", "mac": MAC, "signature": signature,
        "answered_by": MAC,
    }  # fmt: skip
    return Probed(**(values | others))


def destination(connections: int = 0, **state: Any) -> Destination:
    return Destination(
        address="10.0.0.101", port=80, state=DestinationState(**({"weight": 1} | state)), active=2, inactive=3,
        stats=Stats(connections=connections, in_packets=6 * connections, in_bytes=480 * connections),
    )  # fmt: skip


def reading(at: float, connections: int = 0, *destinations: Destination) -> Reading:
    service = VirtualService(
        key=ServiceKey("10.0.0.10", "tcp", 80),
        state=ServiceState("rr", persistence=60),
        stats=Stats(connections=connections, out_packets=7),
        destinations=destinations or (destination(connections),),
    )
    return Reading(at=at, services=(service,))


def rows(now: Reading, before: Reading | None = None, heard: Heard | None = None, **others: Any) -> ServiceRow:
    values: dict[str, Any] = {"since": {}} | others
    (row,) = service_rows(SHOP, now, before, heard or Heard(), **values)
    return row


# --- the state of one server -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("here", "probe", "leak", "state", "words"),
    [
        (destination(), probed(), "", "up", ""),
        (destination(), probed("reply", protocol="udp"), "", "up", ""),
        (destination(), probed(answered_by=OTHER), "", "vip-dead", OTHER),
        (destination(), probed("rst"), "", "vip-dead", "nothing listens on port 80"),
        (destination(), probed("silence"), "", "vip-dead", "no answer"),
        (destination(), probed("redirect"), "", "vip-dead", "VIP is missing"),
        (destination(), probed("wrong-source", protocol="udp", source="10.0.0.101"), "", "vip-dead", "10.0.0.101"),
        (destination(), probed("silence", protocol="udp"), "", "unknown", "UDP"),
        (destination(), probed("no-mac"), "", "unreachable", "10.0.0.101"),
        (destination(), probed("no-mac"), MAC, "unreachable", "10.0.0.101"),
        (destination(), probed("unknown", problem="Raw sockets need root."), "", "unknown", "Raw sockets need root."),
        (destination(), None, "", "unknown", "Not probed yet"),
        (destination(), probed(), MAC, "leaking", MAC),
        (destination(weight=0), probed(), MAC, "leaking", MAC),
        (None, probed(), "", "drifted", "not in IPVS"),
        (None, probed("rst"), "", "vip-dead", "nothing listens"),
        (destination(method="nat"), probed(), "", "drifted", "nat"),
        (destination(weight=0), probed(), "", "draining", "no new clients"),
        (destination(weight=0), probed("silence"), "", "vip-dead", "no answer"),
        (destination(weight=0), None, "", "draining", "no new clients"),
    ],
)
def test_state(here: Destination | None, probe: Probed | None, leak: str, state: State, words: str) -> None:
    found, message = state_of(WEB1, here, True, probe, leak)
    assert found == state
    assert words in message
    assert bool(message) is (state != "up")


def test_ipvs_that_was_not_read_is_no_drift() -> None:
    assert state_of(WEB1, None, False, probed(), "") == ("up", "")
    assert state_of(WEB1, None, False, None, "")[0] == "unknown"


def test_weight_zero_as_wished_says_so() -> None:
    spare = RealServer(name="web1", address="10.0.0.101", weight=0)
    assert state_of(spare, destination(weight=0), True, probed(), "")[1] == "Weight 0, as the deployment says."


# --- rates and trends ------------------------------------------------------------------------------------------------


def test_rates_are_differences_over_time() -> None:
    before = Stats(connections=10, in_packets=100, in_bytes=1000)
    now = Stats(connections=30, in_packets=160, in_bytes=1500)
    assert rates(before, now, 2.0) == Rates(connections=10.0, in_packets=30.0, in_bytes=250.0)
    assert rates(before, before, 1.0) == Rates(connections=0.0, in_packets=0.0, in_bytes=0.0)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_without_time_between_there_is_no_rate(seconds: float) -> None:
    assert rates(Stats(), Stats(connections=5), seconds) == Rates()


def test_before_the_second_reading_there_is_no_rate() -> None:
    row = rows(reading(10.0, 100))
    assert row.rates == row.rows[0].rates == Rates()


@pytest.mark.parametrize("name", ["connections", "in_packets", "in_bytes"])
def test_a_counter_that_went_back_gives_no_rate_rather_than_a_wrong_one(name: str) -> None:
    high = Stats(connections=100, in_packets=100, in_bytes=100)
    low = Stats(**({"connections": 200, "in_packets": 200, "in_bytes": 200} | {name: 1}))
    assert rates(high, low, 1.0) == Rates()


_STATS = st.builds(Stats, connections=st.integers(0), in_packets=st.integers(0), in_bytes=st.integers(0))


@given(_STATS, _STATS, st.floats(0.01, 1e6))
def test_no_rate_is_ever_negative(before: Stats, now: Stats, seconds: float) -> None:
    found = rates(before, now, seconds)
    assert all(value is None or value >= 0 for value in (found.connections, found.in_packets, found.in_bytes))


def test_a_row_tells_what_ipvs_counts() -> None:
    row = rows(reading(12.0, 120), reading(10.0, 100))
    assert (row.scheduler, row.persistence, row.present, row.totals.out_packets) == ("rr", 60, True, 7)
    assert (row.rates.connections, row.active, row.inactive) == (10.0, 2, 3)
    child = row.rows[0]
    assert (child.weight, child.wanted_weight, child.active, child.rates.connections) == (1, 1, 2, 10.0)


def test_a_server_that_was_made_anew_between_readings_has_no_rate_and_its_service_has_one() -> None:
    row = rows(reading(11.0, 120, destination(5)), reading(10.0, 100, destination(100)))
    assert row.rates.connections == 20.0
    assert row.rows[0].rates == Rates()


def test_a_service_that_is_missing_and_one_that_was_not_read() -> None:
    missing, unread = rows(Reading(at=1.0, services=())), rows(Reading(at=1.0))
    assert (missing.present, missing.rows[0].state, missing.rows[0].weight) == (False, "drifted", None)
    assert (unread.present, unread.rows[0].state, unread.rates) == (None, "unknown", Rates())


def test_trends_keep_the_last_readings_and_gaps_add_nothing() -> None:
    history = History()
    before = reading(0.0)
    for second in range(1, 70):
        now = reading(float(second), second * second)
        history = next_history(history, [rows(now, before)])
        before = now
    line = history.line("connections", *PLACE)
    assert len(line) == len(history.line("connections", *PLACE[:2])) == 60
    assert line[-1] == 2.0 * 69 - 1
    assert next_history(history, [rows(reading(99.0))]).line("connections", *PLACE) == line[1:]


# --- ARP -------------------------------------------------------------------------------------------------------------


def heard(*macs: str, problem: str = "", probes: dict[Place, tuple[float, Probed]] | None = None) -> Heard:
    found = Owners(address="10.0.0.10", macs=macs, problem=problem)
    return Heard(owners={"10.0.0.10": (5.0, found)}, macs={MAC: "web1"}, probes=probes or {PLACE: (8.0, probed())})


@pytest.mark.parametrize(
    ("what", "owner", "arp", "state"),
    [
        (heard(), "director", "silent", "up"),
        (heard(MAC), "web1", "leaks", "leaking"),
        (heard(OTHER), OTHER, "silent", "up"),
        (heard(OTHER, MAC), OTHER, "leaks", "leaking"),
        (heard(problem="Raw sockets need root."), "", "unknown", "up"),
        (Heard(probes={PLACE: (8.0, probed())}), "", "unknown", "up"),
    ],
)
def test_who_answers_for_the_vip(what: Heard, owner: str, arp: str, state: State) -> None:
    row = rows(reading(10.0), None, what)
    assert (row.owner, row.rows[0].arp, row.rows[0].state) == (owner, arp, state)
    assert row.rows[0].probe_age == 2.0


def test_a_server_whose_mac_is_not_known_is_not_called_silent() -> None:
    nobody = Heard(owners={"10.0.0.10": (5.0, Owners(address="10.0.0.10"))}, probes={PLACE: (8.0, probed("no-mac"))})
    assert rows(reading(10.0), None, nobody).rows[0].arp == "unknown"


# --- what happened ---------------------------------------------------------------------------------------------------


def picture(state: State) -> list[ServiceRow]:
    child = DestinationRow(
        server="web1", address="10.0.0.101", vip="10.0.0.10", service="tcp/80", wanted_weight=1, state=state,
        message="Because.",
    )  # fmt: skip
    return [ServiceRow(vip="10.0.0.10", service="tcp/80", scheduler="rr", rows=(child,))]


@pytest.mark.parametrize(
    ("states", "lines"),
    [
        (["up", "up"], []),
        (["unknown", "up"], []),
        (["unknown", "vip-dead"], ["unknown → vip-dead"]),
        (["up", "vip-dead", "vip-dead", "up"], ["up → vip-dead", "vip-dead → up"]),
        (["leaking"], ["leaking"]),
        (["up", "unknown", "up"], ["up → unknown"]),
    ],
)
def test_transitions(states: list[State], lines: list[str]) -> None:
    since: dict[Place, tuple[State, float]] = {}
    told = []
    for at, state in enumerate(states):
        since, happened = happenings(since, picture(state), float(at))
        told += happened
    assert [line for line, entry in zip(lines, told, strict=True) if f"tcp/80: {line}." not in entry.message] == []
    assert all(entry.host == "web1" and "Because." in entry.message for entry in told)


def test_a_state_knows_since_when() -> None:
    since: dict[Place, tuple[State, float]] = {}
    for at, state in ((1.0, "up"), (2.0, "up"), (3.0, "draining"), (4.0, "draining")):
        since, _ = happenings(since, picture(state), at)  # type: ignore[arg-type]
    assert since == {PLACE: ("draining", 3.0)}
    here = reading(9.0, 0, destination(weight=0))
    assert rows(here, None, heard(), since=since).rows[0].since == 3.0
    assert rows(reading(9.0), None, heard(), since=since).rows[0].since == 9.0


# --- the poller over a world -----------------------------------------------------------------------------------------


class Watch:
    """A poller over a world in which everything is deployed, with a clock of its own."""

    def __init__(self, folder: Path, **others: Any) -> None:
        from tests.unit.test_teardown import Farm

        self.farm = Farm(folder)
        self.world: World = self.farm.world
        assert self.farm.apply().ok
        self.now = 1000.0
        self.journal = Journals(folder).of("shop")
        self.poller = Poller(
            self.farm.deployment if not others else self.world.deployment(**others),
            director=self.world.director(), wire=self.world.wire(), journal=self.journal, clock=lambda: self.now,
        )  # fmt: skip

    def once(self, seconds: float = 1.0) -> Snapshot:
        self.now += seconds
        return self.poller.once()

    def states(self) -> dict[tuple[str, str], str]:
        snapshot = self.poller.snapshot()
        return {(row.service, row.server): row.state for service in snapshot.services for row in service.rows}


def test_drain_and_restore_leave_no_trace_and_are_told(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.once()
    before = owed(watch.journal.entries())
    watch.poller.set_weight("web1", 0)
    watch.once()
    assert watch.states() == {
        ("tcp/80", "web1"): "draining", ("udp/7", "web1"): "draining",
        ("tcp/80", "web2"): "up", ("udp/7", "web2"): "up",
    }  # fmt: skip
    assert set(watch.world.requests(4)) == {"web2"}
    watch.poller.set_weight("web1", None)
    snapshot = watch.once()
    assert set(watch.states().values()) == {"up"}
    assert owed(watch.journal.entries()) == before
    messages = [entry.message for entry in snapshot.happenings]
    assert any("Weight 1 → 0 for web1" in message for message in messages)
    assert any("up → draining" in message for message in messages)


def test_draining_a_server_that_is_not_in_ipvs_says_so(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.world.ipvs.table.clear()
    with pytest.raises(DsrError, match="web1 is behind no IPVS service"):
        watch.poller.set_weight("web1", 0)


def test_the_weight_of_another_product_is_not_ours(tmp_path: Path) -> None:
    watch = Watch(tmp_path, engine="external")
    with pytest.raises(UsageError):
        watch.poller.set_weight("web1", 0)
    assert {row.state for service in watch.once().services for row in service.rows} == {"up"}


def test_a_reading_that_fails_keeps_the_last_numbers_and_says_why(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.once()
    watch.world.requests(10)
    good = watch.once(2.0)
    watch.world.ipvs_problem = "It cannot be read."
    bad = watch.once(5.0)
    assert "It cannot be read." in bad.problem
    assert bad.read_at == good.read_at == 1003.0
    assert bad.at == 1008.0
    assert bad.services[0].active == good.services[0].active
    watch.world.ipvs_problem = ""
    assert watch.once().problem == ""


def test_where_ipvs_was_never_read_the_probes_are_shown_all_the_same(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.world.ipvs_problem = "It cannot be read."
    shown: queue.Queue[Snapshot] = queue.Queue()
    watch.poller.set_interval(0.01)
    watch.poller.start(shown.put)
    try:
        snapshot = shown.get(timeout=30)
        while {row.state for row in snapshot.services[0].rows} != {"up"}:
            assert "It cannot be read." in snapshot.problem
            snapshot = shown.get(timeout=30)
    finally:
        watch.poller.close()
    assert [service.present for service in snapshot.services] == [None, None]


def test_a_fault_of_a_look_is_told_and_the_next_look_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that died of it would leave old green for ever."""
    watch = Watch(tmp_path)
    broken = threading.Event()
    broken.set()
    probe = watch.poller._wire.probe

    def look(*arguments: Any, **named: Any) -> Any:
        if broken.is_set():
            raise RuntimeError("nobody thought of this")
        return probe(*arguments, **named)

    monkeypatch.setattr(watch.poller._wire, "probe", look)
    monkeypatch.setattr("dsrwizard.engine.watch.PROBE_SECONDS", 0.01)
    shown: queue.Queue[Snapshot] = queue.Queue()
    watch.poller.set_interval(0.01)
    watch.poller.start(shown.put)
    try:
        while "nobody thought of this" not in shown.get(timeout=30).problem:
            pass
        broken.clear()
        while shown.get(timeout=30).problem:
            pass
    finally:
        watch.poller.close()


def test_faults_appear_and_go(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.once()
    web1, web2 = (watch.world.servers[name].machine for name in ("web1", "web2"))
    del web1.links["lo"].addresses["10.0.0.10"]
    web2.sysctls["net.ipv4.conf.all.arp_ignore"] = "0"
    snapshot = watch.once()
    assert watch.states() == {
        ("tcp/80", "web1"): "vip-dead", ("tcp/80", "web2"): "leaking",
        ("udp/7", "web1"): "unknown", ("udp/7", "web2"): "leaking",
    }  # fmt: skip
    assert snapshot.services[0].owner == "web2"
    web1.links["lo"].addresses["10.0.0.10"] = 32
    web2.sysctls["net.ipv4.conf.all.arp_ignore"] = "1"
    watch.once()
    assert set(watch.states().values()) == {"up"}
