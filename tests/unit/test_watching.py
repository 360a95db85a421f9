"""The live picture from readings: states, rates, trends and the lines of the event log."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrwizard.core.live.findings import Finding, Findings
from dsrwizard.core.live.judge import Judged, SeenOfServer, judged
from dsrwizard.core.live.last_seen import Heard
from dsrwizard.core.live.latency import Latencies
from dsrwizard.core.live.log_lines import StateChange, state_lines
from dsrwizard.core.live.readings import Reading, RowPlace, rates
from dsrwizard.core.live.schedule import Turns
from dsrwizard.core.live.table import LiveRows
from dsrwizard.core.model.answers import Owners, Probed, Told
from dsrwizard.core.model.changes import DestinationState, ServiceKey, ServiceState
from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.facts import Destination, Stats, VirtualService
from dsrwizard.core.model.history import History
from dsrwizard.core.model.snapshot import Rates, ServiceRow, State

MAC, OTHER, STRANGE = "02:00:0a:00:00:65", "02:00:0a:00:00:66", "02:00:00:00:be:ef"
WEB1 = RealServer(name="web1", address="10.0.0.101")
SHOP = Deployment(
    name="shop",
    director=Director(interface="eth0"),
    vips=(Vip(address="10.0.0.10", services=(Service(port=80, scheduler="rr", persistence=60),)),),
    servers=(WEB1,),
)
PLACE: RowPlace = ("10.0.0.10", "tcp/80", "web1")
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


def rows(
    now: Reading, before: Reading | None = None, heard: Heard | None = None, findings: Findings | None = None
) -> ServiceRow:
    (row,) = LiveRows(SHOP).rows(now.at, now, before, heard or Heard(), findings or Findings())
    return row


# --- the state of one server -----------------------------------------------------------------------------------------


def seen(here: Destination | None = None, probe: Probed | None = None, **others: Any) -> SeenOfServer:
    values: dict[str, Any] = {"balanced": True, "destination": here, "probe": probe}
    return SeenOfServer(**(values | others))


def judge(what: SeenOfServer, server: RealServer = WEB1) -> Judged:
    return judged(server, Service(port=80), "10.0.0.10", what)


def finding(cause: str, at: float = 10.0) -> Finding:
    return Finding(cause=cause, message=f"It is {cause}.", fix="Mend it.", at=at)


@pytest.mark.parametrize(
    ("what", "state", "cause", "words"),
    [
        (seen(destination(), probed()), "up", "", ""),
        (seen(destination(), probed("reply", protocol="udp")), "up", "", ""),
        (seen(destination(), probed(answered_by=OTHER)), "vip-dead", "", OTHER),
        (seen(destination(), probed("rst")), "vip-dead", "", "nothing listens on port 80"),
        (seen(destination(), probed("silence")), "vip-dead", "", "or a firewall"),
        (seen(destination(), probed("redirect")), "vip-dead", "vip-missing", "back to the director: a loop"),
        (seen(destination(), probed("unreachable")), "vip-dead", "", "ICMP"),
        (
            seen(destination(), probed("wrong-source", protocol="udp", source="10.0.0.101")),
            "vip-dead", "rip-only-listener", "10.0.0.101",
        ),
        (
            seen(destination(), probed("wrong-reply", protocol="udp", detail="it is not a DNS answer to the query")),
            "vip-dead", "service-down", "not a DNS answer",
        ),
        (seen(destination(), probed("silence", protocol="udp")), "unknown", "", "UDP"),
        (seen(destination(), probed("silence", protocol="udp"), consent=True), "up", "", ""),
        (seen(destination(), probed("no-mac")), "unreachable", "unreachable", "10.0.0.101"),
        (seen(destination(), probed("no-mac"), leak=MAC), "unreachable", "unreachable", "10.0.0.101"),
        (seen(destination(), probed(), gone=True), "unreachable", "unreachable", "10.0.0.101"),
        (seen(destination(), probed("unknown", problem="Raw sockets need root.")), "unknown", "", "Raw sockets need"),
        (seen(destination()), "unknown", "", "Not probed yet"),
        (seen(destination(), probed(), leak=MAC), "leaking", "arp-leak", MAC),
        (seen(destination(), probed(), claim=MAC), "leaking", "arp-announce", MAC),
        (seen(destination(weight=0), probed(), leak=MAC), "leaking", "arp-leak", MAC),
        (seen(None, probed()), "drifted", "ipvs-missing", "not in IPVS"),
        (seen(None, probed("rst")), "vip-dead", "", "nothing listens"),
        (seen(destination(method="nat"), probed()), "drifted", "ipvs-differs", "nat"),
        (seen(destination(weight=5), probed()), "drifted", "ipvs-differs", "weight is 5, the deployment says 1"),
        (seen(destination(weight=0), probed()), "draining", "drained", "no new clients"),
        (seen(destination(weight=0), probed("silence")), "vip-dead", "", "no answer"),
        (seen(destination(weight=0)), "draining", "drained", "no new clients"),
    ],
)  # fmt: skip
def test_state(what: SeenOfServer, state: State, cause: str, words: str) -> None:
    found = judge(what)
    assert (found.state, found.cause) == (state, cause)
    assert words in found.message
    assert bool(found.message) is (state != "up")


@pytest.mark.parametrize("cause", ["firewall", "vip-missing", "service-down", "rip-only-listener", "vip-prefix"])
def test_facts_newer_than_the_wire_s_change_say_which_cause_it_is(cause: str) -> None:
    dead: dict[str, Any] = {"here": destination(), "probe": probed("silence"), "findings": (finding(cause),)}
    fresh = judge(seen(**dead, changed=9.0))
    assert (fresh.state, fresh.cause, fresh.message, fresh.fix) == ("vip-dead", cause, f"It is {cause}.", "Mend it.")
    old = judge(seen(**dead, changed=11.0))
    assert old.cause == (cause if cause == "vip-prefix" else "")


@pytest.mark.parametrize("cause", ["not-persistent", "gateway", "rp-filter", "vip-prefix", "arp-leak", "arp-announce"])
def test_a_setting_that_differs_is_drift_while_the_server_serves(cause: str) -> None:
    found = judge(seen(destination(), probed(), findings=(finding(cause),), changed=9.0))
    assert (found.state, found.cause, found.message, found.fix) == ("drifted", cause, f"It is {cause}.", "Mend it.")


@pytest.mark.parametrize("cause", ["vip-missing", "service-down", "firewall", "arp-leak", "unreachable", "gateway"])
def test_what_facts_said_before_the_wire_changed_colours_nothing(cause: str) -> None:
    assert judge(seen(destination(), probed(), findings=(finding(cause),), changed=11.0)).state == "up"


def test_a_server_that_is_drained_and_differs_says_both() -> None:
    found = judge(seen(destination(weight=0), probed(), findings=(finding("gateway"),)))
    assert (found.state, found.cause) == ("draining", "gateway")
    assert "Weight 0" in found.message
    assert "It is gateway." in found.message


def test_what_is_wrong_with_the_service_colours_no_server_that_is_well() -> None:
    fault = finding("duplicate-vip")
    assert judge(seen(destination(), probed(), service_fault=fault)).state == "up"
    assert judge(seen(destination(), probed("redirect"), service_fault=fault)).cause == "vip-missing"


def test_ipvs_that_was_not_read_is_no_drift() -> None:
    assert judge(seen(None, probed(), balanced=False)).state == "up"
    assert judge(seen(None, None, balanced=False)).state == "unknown"


def test_weight_zero_as_wished_says_so() -> None:
    spare = RealServer(name="web1", address="10.0.0.101", weight=0)
    found = judge(seen(destination(weight=0), probed()), spare)
    assert (found.state, found.cause, found.message) == ("draining", "", "Weight 0, as the deployment says.")


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
    history, table = History(), LiveRows(SHOP)
    before = reading(0.0)
    for second in range(1, 70):
        now = reading(float(second), second * second)
        history = table.next_history(history, table.rows(now.at, now, before, Heard(), Findings()))
        before = now
    line = history.line("connections", *PLACE)
    assert len(line) == len(history.line("connections", *PLACE[:2])) == 60
    assert line[-1] == 2.0 * 69 - 1
    gap = table.rows(99.0, reading(99.0), None, Heard(), Findings())
    assert table.next_history(history, gap).line("connections", *PLACE) == line[1:]


# --- ARP -------------------------------------------------------------------------------------------------------------


def heard(*macs: str, problem: str = "", probes: dict[RowPlace, tuple[float, Probed]] | None = None) -> Heard:
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


def changed(before: str, now: State, cause: str = "", vip: str = "10.0.0.10", server: str = "web1") -> StateChange:
    return StateChange((vip, "tcp/80", server), before, Judged(state=now, cause=cause, message="Because."))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("before", "now", "line"),
    [
        ("unknown", "up", None),
        ("", "up", None),
        ("", "unknown", None),
        ("", "leaking", "LEAKING"),
        ("unknown", "vip-dead", "unknown → VIP dead"),
        ("up", "vip-dead", "up → VIP dead"),
        ("vip-dead", "up", "VIP dead → up"),
        ("up", "unknown", "up → unknown"),
    ],
)
def test_transitions(before: str, now: State, line: str | None) -> None:
    found = state_lines([changed(before, now)], 5.0)
    assert [(entry.host, entry.before, entry.state, entry.vip, entry.service) for entry in found] == (
        [("web1", before, now, "10.0.0.10", "tcp/80")] if line else []
    )
    assert all(entry.message == f"10.0.0.10 tcp/80: {line}. Because." for entry in found)


def test_a_cause_that_becomes_known_is_told() -> None:
    (line,) = state_lines([changed("vip-dead", "vip-dead", "firewall")], 5.0)
    assert (line.before, line.state, line.cause) == ("vip-dead", "vip-dead", "firewall")


def test_a_host_that_dies_with_a_hundred_vips_is_one_line() -> None:
    mass = [changed("up", "unreachable", "unreachable", f"10.0.0.{number}") for number in range(100)]
    other = changed("up", "vip-dead", "service-down", server="web2")
    lines = state_lines([*mass, other], 5.0)
    assert [(line.host, line.vip, line.cause) for line in lines] == [
        ("web1", "", "unreachable"), ("web2", "10.0.0.10", "service-down"),
    ]  # fmt: skip
    assert "100 services: up → unreachable" in lines[0].message


def test_a_state_knows_since_when_and_is_told_once() -> None:
    table, weights = LiveRows(SHOP), {1.0: 1, 2.0: 1, 3.0: 0, 4.0: 0}
    for at, weight in weights.items():
        now = reading(at, 0, destination(weight=weight))
        (row,) = table.rows(at, now, None, heard(), Findings())
    assert (row.rows[0].state, row.rows[0].since) == ("draining", 3.0)
    assert [(change.before, change.now.state) for change in table.changes] == [("", "up"), ("up", "draining")]


# --- who claims the VIP ----------------------------------------------------------------------------------------------


def claiming(mac: str, at: float) -> Heard:
    return msgspec.structs.replace(heard(), claims={"10.0.0.10": {mac: at}})


def test_a_claim_by_a_server_is_a_leak_until_newer_facts_refute_it() -> None:
    theft = claiming(MAC, 9.0)
    assert rows(reading(10.0), None, theft).rows[0].cause == "arp-announce"
    guarded = Findings(looked={"web1": 9.5})
    assert rows(reading(10.0), None, theft, guarded).rows[0].state == "up"
    still = Findings(looked={"web1": 9.5}, places={PLACE: (finding("arp-announce"),)})
    assert rows(reading(10.0), None, theft, still).rows[0].state == "leaking"
    before = Findings(looked={"web1": 8.5})
    assert rows(reading(10.0), None, theft, before).rows[0].state == "leaking"
    assert rows(reading(200.0), None, theft).rows[0].state == "up"


def test_a_stranger_s_claim_is_shown_on_the_service() -> None:
    row = rows(reading(10.0), None, claiming(OTHER, 9.0))
    assert (row.owner, row.cause) == (OTHER, "duplicate-vip")
    assert OTHER in row.message
    assert rows(reading(30.0), None, claiming(OTHER, 9.0)).cause == ""


# --- the service as a whole ------------------------------------------------------------------------------------------


def test_another_scheduler_and_persistence_are_drift() -> None:
    wanted = msgspec.structs.replace(SHOP, vips=(Vip(address="10.0.0.10", services=(Service(port=80),)),))
    (row,) = LiveRows(wanted).rows(10.0, reading(10.0), None, heard(), Findings())
    assert (row.cause, row.rows[0].state, row.rows[0].cause) == ("ipvs-differs", "up", "")
    assert "scheduler rr instead of wlc and persistence 60 s instead of 0 s" in row.message


def test_a_destination_nobody_asked_for_is_drift_of_the_service() -> None:
    stranger = msgspec.structs.replace(destination(), address="10.0.0.199")
    row = rows(reading(10.0, 0, destination(), stranger), None, heard())
    assert (row.cause, row.rows[0].state) == ("ipvs-differs", "up")
    assert "10.0.0.199 port 80" in row.message


def test_a_service_that_is_missing_is_told_of_the_director_and_not_of_every_server() -> None:
    table = LiveRows(SHOP)
    (row,) = table.rows(10.0, Reading(at=10.0, services=()), None, heard(), Findings())
    assert (row.cause, row.rows[0].state, row.rows[0].cause) == ("ipvs-missing", "drifted", "ipvs-missing")
    assert [(line.host, line.cause) for line in state_lines(table.changes, 10.0)] == [("director", "ipvs-missing")]


def test_a_dead_server_is_unreachable_in_every_service_as_soon_as_one_place_tells() -> None:
    many = msgspec.structs.replace(SHOP, vips=(*SHOP.vips, Vip(address="10.0.0.11", services=(Service(port=80),))))
    gone = {PLACE: probed("no-mac", mac="", answered_by="")}
    dead = heard().with_probes(8.0, gone, {}).with_probes(9.0, gone, {})
    first, second = LiveRows(many).rows(10.0, Reading(at=10.0), None, dead, Findings())
    assert first.rows[0].state == second.rows[0].state == "unreachable"
    alive = dead.with_probes(10.0, {PLACE: probed()}, {})
    first, second = LiveRows(many).rows(11.0, Reading(at=11.0), None, alive, Findings())
    assert (first.rows[0].state, second.rows[0].state) == ("up", "unknown")


# --- pace ------------------------------------------------------------------------------------------------------------


def pairs(servers: int, vips: int) -> list[tuple[str, str, str, int]]:
    return [(f"10.0.{s}.1", f"10.1.0.{v}", "tcp", 80) for v in range(vips) for s in range(servers)]


def test_a_small_farm_is_probed_whole_every_second() -> None:
    turns = Turns(pairs(3, 2) + pairs(3, 2), budget=500)
    for second in range(3):
        assert len(turns.slice(float(second), list)) == 6
        turns.over(second + 0.01)
    assert (turns.round().pairs, turns.round().done, turns.round().budget) == (6, 6, 500)


def test_ten_thousand_pairs_take_turns_within_the_budget() -> None:
    turns, asked, seconds = Turns(pairs(100, 100), budget=500), set(), 0
    while turns.round().seconds is None:
        chosen = turns.slice(float(seconds), list)
        assert len(chosen) <= 250
        assert len({target[0] for target in chosen}) == 100, "every server is heard of every second"
        asked |= set(chosen)
        seconds += 1
        turns.over(float(seconds))
    assert len(asked) == 10_000
    assert turns.round().seconds == seconds == 40


def test_pairs_that_are_not_well_are_asked_often_and_do_not_stop_the_round() -> None:
    turns, everything = Turns(pairs(100, 100), budget=500), pairs(100, 100)
    sick = dict.fromkeys(everything[:1000])
    seconds = 0
    while turns.round().seconds is None:
        chosen = turns.slice(float(seconds), lambda: list(sick))
        assert len(chosen) <= 250
        for target in chosen:
            if sick.pop(target, 0) is None:
                sick[target] = None
        seconds += 1
        turns.over(float(seconds))
        assert seconds < 200
    turns.soon([everything[-1]])
    assert everything[-1] in turns.slice(float(seconds), lambda: list(sick))


def test_latency_is_that_of_the_last_minute() -> None:
    latencies = Latencies()
    for at, milliseconds in ((0.0, 99.0), (30.0, 1.0), (40.0, 3.0), (50.0, 2.0)):
        latencies.add(at, [("web1", probed(milliseconds=milliseconds))])
    latencies.add(51.0, [("web1", probed("silence")), ("web2", probed("unknown"))])
    found = latencies.of_all(65.0)["web1"]
    assert (found.minimum, found.median, found.maximum, found.sent, found.lost) == (1.0, 2.0, 3.0, 4, 1)
    assert "web2" not in latencies.of_all(65.0)
    gone = latencies.of_all(200.0)["web1"]
    assert (gone.sent, gone.median) == (0, None)


def naming(mac: str, by: str, at: float = 9.0, *, asked: bool = False) -> Heard:
    """One MAC says that the VIP is at another."""
    found = heard().with_macs({OTHER: "web2"})
    if asked:
        owners = Owners(address="10.0.0.10", told=(Told(mac=mac, by=by, answer=True),))
        return found.with_owners(at, {"10.0.0.10": owners})
    return found.with_told("10.0.0.10", at, mac, by)


@pytest.mark.parametrize("asked", [True, False])
def test_who_names_a_server_is_at_fault_and_the_server_is_not(asked: bool) -> None:
    row = rows(reading(10.0), None, naming(MAC, STRANGE, asked=asked))
    assert row.cause == "arp-mismatch"
    assert MAC in row.message
    assert STRANGE in row.message
    assert row.rows[0].state != "leaking"
    assert row.rows[0].arp == "silent"
    server = rows(reading(10.0), None, naming(OTHER, MAC, asked=asked)).rows[0]
    assert (server.state, server.cause, server.arp) == ("leaking", "arp-mismatch", "leaks")
    assert OTHER in server.message
    assert rows(reading(200.0), None, naming(MAC, STRANGE)).cause == ""


def test_two_ports_of_a_server_are_one_and_a_strangers_two_are_a_stranger() -> None:
    own = naming(MAC, STRANGE, asked=True).with_macs({STRANGE: "web1"})
    assert rows(reading(10.0), None, own).rows[0].cause == "arp-leak"
    assert rows(reading(10.0), None, naming("02:00:00:00:00:77", STRANGE, asked=True)).cause == "duplicate-vip"


def test_a_server_that_says_anothers_mac_is_its_own_does_not_take_the_others_leak_on_itself() -> None:
    leaking = heard().with_owners(9.0, {"10.0.0.10": Owners(address="10.0.0.10", macs=(MAC,))})
    row = rows(reading(10.0), None, leaking.with_macs({MAC: "web2"})).rows[0]
    assert (row.server, row.state, row.cause) == ("web1", "leaking", "arp-leak")


def test_made_up_claims_are_bounded_and_a_servers_stays() -> None:
    found = claiming(MAC, 1.0)
    for number in range(5000):
        made_up = f"02:00:00:00:{number // 256:02x}:{number % 256:02x}"
        found = found.with_claims("10.0.0.10", 9.0, (made_up,)).with_told("10.0.0.10", 9.0, made_up, STRANGE)
    assert max(len(found.claims["10.0.0.10"]), len(found.told["10.0.0.10"])) <= 2000
    assert MAC in found.claims["10.0.0.10"]
