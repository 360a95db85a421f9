"""What is owed: any sequence of changes and undos nets out, and what is uncertain stays so."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrwizard.core.model.changes import (
    AddressChange,
    AnnounceChange,
    Change,
    DestinationChange,
    DestinationState,
    FileChange,
    FileState,
    ModuleChange,
    ServiceKey,
    SysctlChange,
    UnitChange,
)
from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.steps import DIRECTOR, Phase, Step
from dsrwizard.core.record.owed import (
    Entry,
    Intent,
    Owed,
    Result,
    RunBegan,
    RunEnded,
    Verb,
    in_force,
    last_deployment,
    owed,
)

SHOP = Deployment(
    name="shop",
    director=Director(interface="eth0"),
    vips=(Vip(address="10.0.0.10", services=(Service(port=80),)),),
    servers=(RealServer(name="web1", address="10.0.0.101"),),
)
WEB = ServiceKey("10.0.0.10", "tcp", 80)
IGNORE = "net.ipv4.conf.all.arp_ignore"


def setting(old: str, new: str) -> SysctlChange:
    return SysctlChange(key=IGNORE, old=old, new=new)


def weight(old: int | None, new: int | None) -> DestinationChange:
    def state(number: int | None) -> DestinationState | None:
        return None if number is None else DestinationState(number)

    return DestinationChange(service=WEB, address="10.0.0.101", port=80, old=state(old), new=state(new))


VIP = AddressChange(interface="lo", address="10.0.0.10", prefix=32, old=False, new=True)


def intent(name: str, *changes: Change, run: str = "r1", host: str = "web1", phase: Phase = "vip") -> Intent:
    step = Step(id=name, host=host, phase=phase, title=name.title(), why="", changes=changes)
    address = {"web1": "10.0.0.101", "web2": "10.0.0.102"}.get(host, "local")
    return Intent(run=run, at=0.0, address=address, step=step)


def result(name: str, outcome: Outcome = Outcome.CHANGED, run: str = "r1", host: str = "web1") -> Result:
    return Result(run=run, at=0.0, host=host, step=name, outcome=outcome)


def made(name: str, *changes: Change, run: str = "r1", outcome: Outcome = Outcome.CHANGED) -> tuple[Entry, Entry]:
    return intent(name, *changes, run=run), result(name, outcome, run)


def values(items: Sequence[Owed]) -> list[tuple[object, object, bool]]:
    return [(item.change.old, item.change.new, item.certain) for item in items]


@pytest.mark.parametrize(
    ("outcome", "standing"),
    [
        (Outcome.CHANGED, [("0", "1", True)]),
        (Outcome.UNKNOWN, [("0", "1", False)]),
        (Outcome.UNCHANGED, [("0", "1", True)]),
        (Outcome.FAILED, []),
        (Outcome.NOT_ATTEMPTED, []),
        (Outcome.HELD, []),
    ],
)
def test_what_each_end_of_a_step_leaves_owed(outcome: Outcome, standing: list[tuple[object, object, bool]]) -> None:
    assert values(owed(made("guard", setting("0", "1"), outcome=outcome))) == standing


def test_a_step_without_an_end_is_owed_uncertainly() -> None:
    assert values(owed([intent("guard", setting("0", "1"))])) == [("0", "1", False)]


def test_changes_of_one_thing_add_up_from_the_first_value() -> None:
    entries = [*made("a", setting("0", "2")), *made("b", setting("2", "1"), run="r2")]
    (item,) = owed(entries)
    assert (item.change, item.step, item.title) == (setting("0", "1"), "a", "A")


def test_draining_and_restoring_leaves_no_trace() -> None:
    there = [*made("destination", weight(None, 0)), *made("weight", weight(0, 1))]
    drained = [*made("weight", weight(1, 0), run="r2"), *made("weight", weight(0, 1), run="r3")]
    assert values(owed([*there, *drained])) == values(owed(there)) == [(None, DestinationState(1), True)]


def test_a_teardown_cut_off_while_it_ran_may_or_may_not_have_taken_it_back() -> None:
    (item,) = owed([*made("guard", setting("0", "1")), intent("undo guard", setting("1", "0"), run="r2")])
    assert not item.certain
    assert item.change.old == "0"
    assert {item.change.new, *(change.new for change in item.perhaps)} == {"0", "1"}


def test_what_was_seen_to_be_gone_is_struck_out() -> None:
    seen = made("gone", VIP.inverse(), run="r2", outcome=Outcome.UNCHANGED)
    assert owed([*made("vip", VIP), *seen]) == []
    assert not in_force([*made("vip", VIP), *seen])


def test_of_one_run_only_what_that_run_did() -> None:
    entries = [*made("a", setting("0", "2")), *made("b", setting("2", "1"), run="r2")]
    assert values(owed(entries, run="r2")) == [("2", "1", True)]
    assert owed(entries, run="none") == []


def test_the_same_step_on_another_host_is_another_step() -> None:
    entries: list[Entry] = [intent("vip", VIP), result("vip", host="web2"), intent("vip", VIP, host="web2")]
    assert [(item.host, item.certain) for item in owed(entries)] == [("web1", False), ("web2", False)]


def test_what_has_no_state_is_never_owed() -> None:
    stateless = (UnitChange(), ModuleChange(module="ip_vs"), AnnounceChange(interface="eth0", address="10.0.0.10"))
    assert owed(made("x", *stateless)) == []


def test_in_force_is_an_address_a_service_or_a_destination() -> None:
    assert not in_force(made("guard", setting("0", "1")))
    assert in_force(made("vip", VIP))
    assert in_force(made("weight", weight(None, 0)))


@pytest.mark.parametrize(
    ("runs", "stands"),
    [
        ([("apply", True), ("teardown", True)], False),
        ([("apply", True), ("teardown", False)], True),
        ([("apply", True), ("teardown", None)], True),
        ([("teardown", True), ("apply", False)], True),
        ([("teardown", True), ("apply", None)], True),
        ([("teardown", True), ("teardown", False)], False),
        ([("teardown", True), ("weight", True)], False),
    ],
)
def test_what_a_teardown_that_ended_well_left_is_not_in_force(
    runs: list[tuple[Verb, bool | None]], stands: bool
) -> None:
    entries: list[Entry] = [*made("vip", VIP)]
    for number, (verb, ok) in enumerate(runs):
        entries.append(RunBegan(run=f"r{number}", at=0.0, verb=verb, deployment=SHOP, version="0"))
        entries += [] if ok is None else [RunEnded(run=f"r{number}", at=0.0, ok=ok)]
    assert in_force(entries) is stands


def test_the_deployment_last_applied() -> None:
    runs: list[tuple[Verb, str]] = [("apply", "one"), ("apply", "two"), ("teardown", "three")]
    began = [
        RunBegan(run=str(number), at=0.0, verb=verb, deployment=msgspec.structs.replace(SHOP, name=name), version="0")
        for number, (verb, name) in enumerate(runs)
    ]
    found = last_deployment([*began, RunEnded(run="2", at=0.0, ok=True)])
    assert found is not None
    assert found.name == "two"
    assert last_deployment([]) is None


# --- any sequence ----------------------------------------------------------------------------------------------------

_KEYS = ["a", "b", "c"]
_FILE = {"0": None, "1": FileState("1\n"), "2": FileState("2\n")}


def _change(key: str, old: str, new: str) -> Change:
    if key == "c":
        return FileChange(path="/etc/c", old=_FILE[old], new=_FILE[new])
    return SysctlChange(key=key, old=old, new=new)


_MOVES = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from(_KEYS), st.sampled_from("012")), min_size=1, max_size=3),
        st.sampled_from(["done", "failed", "lost", "cut"]),
        st.integers(0, 3),
    ),
    max_size=12,
)


@settings(max_examples=300, deadline=None)
@given(_MOVES)
def test_any_sequence_nets_out(moves: list[tuple[list[tuple[str, str]], str, int]]) -> None:
    """A world of three things is changed by steps that end well, fail, or are lost after some of their changes; each
    step begins with what is there. The books then lead back to the beginning: for everything that is not as it was
    there is an entry whose old value is the first one, and one of whose new values is what is there."""
    first = dict.fromkeys(_KEYS, "0")
    world = dict(first)
    entries: list[Entry] = []
    for number, (wanted, end, carried_out) in enumerate(moves):
        changes, states = [], [dict(world)]
        for key, value in wanted:
            changes.append(_change(key, states[-1][key], value))
            states.append(states[-1] | {key: value})
        entries.append(intent(str(number), *changes))
        if end == "failed":
            entries.append(result(str(number), Outcome.FAILED))
        elif end == "done":
            entries.append(result(str(number)))
            world = states[-1]
        else:
            world = states[min(carried_out, len(wanted))]
        if end == "lost":
            entries.append(result(str(number), Outcome.UNKNOWN))
        if end == "cut":
            entries.append(RunBegan(run="r1", at=0.0, verb="apply", deployment=SHOP, version="0"))
    standing = {getattr(item.change, "key", "c"): item for item in owed(entries)}
    for key in _KEYS:
        item = standing.get(key)
        if item is None:
            assert world[key] == first[key]
            continue
        expected = _change(key, first[key], world[key])
        assert item.change.old == expected.old
        possible = [item.change.new, *(change.new for change in item.perhaps)]
        assert expected.new in possible
        assert not item.certain or possible == [expected.new] != [expected.old]


def test_what_was_cut_off_comes_before_what_the_next_run_does() -> None:
    begin = RunBegan(run="r2", at=0.0, verb="teardown", deployment=SHOP, version="0")
    assert owed([intent("vip", VIP), begin, *made("undo vip", VIP.inverse(), run="r2")]) == []


def test_the_director_is_a_host_like_others() -> None:
    entries: list[Entry] = [
        intent("service", weight(None, 1), host=DIRECTOR, phase="service"),
        result("service", host=DIRECTOR),
    ]
    assert [(item.host, item.phase) for item in owed(entries)] == [(DIRECTOR, "service")]
