"""The guard on the other director: planned, read by its own unit from its own side, taken back, found without books."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import msgspec
import pytest

from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.dialects.linux.keepalived import parse_look
from dsrwizard.core.intake.deployment_file import dumps, loads
from dsrwizard.core.model.changes import FileChange, FileState, UnitChange
from dsrwizard.core.model.deployment import Deployment, Vrrp
from dsrwizard.core.model.facts import Observed
from dsrwizard.core.model.guarding import GuardState, guard_files
from dsrwizard.core.model.keepalived import KeepalivedFacts, keepalived_drop_in, services_file
from dsrwizard.core.model.restoring import DirectorBoot
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Step
from dsrwizard.core.plan.keepalived_found import keepalived_found
from dsrwizard.core.plan.teardown import teardown_plan
from dsrwizard.core.record.owed import Owed
from tests.unit.test_keepalived_look import LOOK
from tests.unit.test_keepalived_plan import FILE, SHOP, bare, files, owed, planned, put, seen

GUARDED = loads(FILE.replace('engine = "keepalived"', 'engine = "keepalived"\nguard = true\nguard_floor = 30'))
TOML, UNIT, LINK = guard_files("shop")
OURS = ("/opt/dsr/bin/dsrwizard",)
STATE = GuardState(deployment="shop", pid=7, since=1.0, at=1_000.0, every=0.5, floor=50, rounds=9, watchdog=15.0)


def there(**changes: object) -> KeepalivedFacts:
    """lb2 with dsrwizard on it."""
    files_there = {**bare().files, **dict.fromkeys((TOML, UNIT, LINK))}
    return bare(program="/usr/local/bin/dsrwizard", files=files_there, **changes)


def looked(lb2: KeepalivedFacts) -> Observed:
    found = seen(there=lb2)
    boot = DirectorBoot(systemd=True, program=OURS, files=dict.fromkeys((TOML, UNIT, LINK)))
    assert found.director is not None
    servers = {"lb2": msgspec.structs.replace(found.servers["lb2"], files=lb2.files, folders=lb2.folders)}
    director = msgspec.structs.replace(found.director, boot=boot)
    return msgspec.structs.replace(found, director=director, servers=servers)


def made(lb2: KeepalivedFacts, deployment: Deployment = GUARDED) -> HostPlan:
    return planned(looked(lb2), deployment)["lb2"]


def of_guard(host: HostPlan) -> Step:
    (step,) = [one for one in host.steps if one.purpose == "guard-service"]
    return step


def written(step: Step) -> Mapping[str, FileState | None]:
    return files(step)


def text(state: FileState | None) -> str:
    assert state is not None
    return state.content


def test_both_directors_get_the_unit_each_with_its_own_program_and_its_own_side() -> None:
    plans = planned(looked(there()), GUARDED)
    here, other = of_guard(plans[DIRECTOR]), of_guard(plans["lb2"])
    assert other.title == "Run the guard on lb2 as a systemd unit"
    assert f"ExecStart={OURS[0]} guard {TOML}\n" in text(written(here)[UNIT])
    assert f"ExecStart=/usr/local/bin/dsrwizard guard {TOML}\n" in text(written(other)[UNIT])
    assert commands(other.changes[-1]) == ("systemctl restart dsrwizard-guard-shop.service",)
    theirs = loads(text(written(other)[TOML])).director
    assert (theirs.address, theirs.interface, theirs.guard_floor) == ("10.0.0.3", "eth0", 30)
    assert [(peer.address, peer.interface) for peer in theirs.peers] == [("10.0.0.2", "eth0")]
    for host in plans.values():
        assert [step.purpose for step in host.steps] == ["guard-service", "keepalived"], "it proves before it is asked"
        services = text(written(host.steps[1])[services_file("shop")])
        assert "init_file 1" in services
        assert "mkdir -p /run/dsrwizard/health/shop" in text(written(host.steps[1])[keepalived_drop_in("shop")])


def test_an_interface_and_settings_of_its_own_and_a_server_of_the_same_name_do_not_matter() -> None:
    director = GUARDED.director
    peer = msgspec.structs.replace(director.peers[0], interface="lan9", port=2222, user="ops")
    servers = (msgspec.structs.replace(GUARDED.servers[0], name="first"), *GUARDED.servers[1:])
    odd = msgspec.structs.replace(
        GUARDED, servers=servers, director=msgspec.structs.replace(director, peers=(peer,), vrrp=Vrrp(priority=200))
    )
    observed = looked(there())
    lan9 = tuple(
        msgspec.structs.replace(link, name="lan9") if link.name == "eth0" else link
        for link in observed.servers["lb2"].interfaces
    )
    observed.servers["lb2"] = msgspec.structs.replace(observed.servers["lb2"], interfaces=lan9)
    theirs = loads(text(written(of_guard(planned(observed, odd)["lb2"]))[TOML]))
    assert (theirs.director.interface, theirs.director.peers[0].interface) == ("lan9", "eth0")
    assert theirs.servers == servers


def after(lb2: KeepalivedFacts, deployment: Deployment = GUARDED) -> KeepalivedFacts:
    """lb2 as an apply leaves it."""
    left = put(lb2, made(lb2, deployment).steps)
    return msgspec.structs.replace(left, guard=STATE, guarded=True)


def test_the_second_plan_has_nothing_and_a_guard_that_died_is_started_again() -> None:
    left = after(there())
    assert made(left).steps == ()
    dead = made(msgspec.structs.replace(left, guarded=False))
    assert [isinstance(change, UnitChange) for change in of_guard(dead).changes] == [True, True]


def test_a_file_that_asks_for_none_any_more_takes_it_away() -> None:
    plain = msgspec.structs.replace(GUARDED, director=msgspec.structs.replace(GUARDED.director, guard=False))
    step = of_guard(made(after(there()), plain))
    assert step.title == "Remove the guard's systemd unit on lb2"
    assert commands(step.changes[0]) == ("systemctl stop dsrwizard-guard-shop.service",)
    assert set(written(step).values()) == {None}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"program": ""}, "dsrwizard is not installed there."),
        ({"systemd": False}, "It does not run systemd."),
    ],
)
def test_where_none_can_be_set_up_it_is_said_and_its_files_wait_for_no_guard(
    changes: dict[str, object], words: str
) -> None:
    host = made(msgspec.structs.replace(there(), **changes))
    (note,) = [one for one in host.notes if "guard" in one]
    assert note.startswith(f"No guard is set up on lb2. {words}")
    (step,) = host.steps
    assert "track_file" not in text(written(step)[services_file("shop")])
    running = made(msgspec.structs.replace(there(guarded=True, guard=STATE), **changes))
    assert "track_file" in text(written(running.steps[-1])[services_file("shop")]), "one that is run by hand counts"


def test_a_teardown_stops_it_and_leaves_nothing() -> None:
    lb2 = there()
    steps = made(lb2).steps
    left = after(lb2)
    items = [msgspec.structs.replace(one, step=step.id) for step in steps for one in owed([step])]
    (plan,) = teardown_plan("shop", items, looked(left)).hosts
    undo = next(one for one in plan.steps if any(isinstance(c, FileChange) and c.path == UNIT for c in one.changes))
    assert commands(undo.changes[0]) == ("systemctl stop dsrwizard-guard-shop.service",)
    assert put(left, plan.steps).files == lb2.files


def test_without_a_journal_it_is_found_by_its_names_on_both() -> None:
    left = after(there())
    observed = looked(left)
    assert observed.director is not None
    assert observed.director.boot is not None
    boot = msgspec.structs.replace(
        observed.director.boot, files={path: left.files[path] for path in (TOML, UNIT, LINK)}
    )
    director = msgspec.structs.replace(observed.director, boot=boot)
    found = keepalived_found(GUARDED, msgspec.structs.replace(observed, director=director))

    def of(item: Owed) -> bool:
        return isinstance(item.change, FileChange) and item.change.path in (TOML, UNIT, LINK)

    assert [item.host for item in found if of(item)] == [DIRECTOR] * 3 + ["lb2"] * 3


def test_the_look_finds_program_and_guard_by_the_clock_there() -> None:
    told = base64.b64encode(msgspec.json.encode(STATE)).decode()
    for program, clock, expected in (
        ("/usr/local/bin/dsrwizard", "1002", ("/usr/local/bin/dsrwizard", STATE, True)),
        ("/usr/local/bin/dsrwizard", "1060", ("/usr/local/bin/dsrwizard", STATE, False)),
        ("dsrwizard", "9" * 5_000, ("", STATE, False)),
        ("/tmp/\x1b[2J", "soon", ("", STATE, False)),
    ):
        more = f"==dsr:N:program==\n{program}\n==dsr:N:guard==\n{clock}\n{told}\n==dsr:N:settings=="
        found = parse_look("lb2", "N", LOOK.replace("==dsr:N:settings==", more))
        assert (found.program, found.guard, found.guarded) == expected
    for damaged in ("!", base64.b64encode(b"[" * 100_000).decode(), base64.b64encode(b"{}").decode()):
        more = f"==dsr:N:guard==\n1\n{damaged}\n==dsr:N:settings=="
        assert parse_look("lb2", "N", LOOK.replace("==dsr:N:settings==", more)).guard is None


def test_its_file_is_what_the_guard_takes() -> None:
    """It is read by the same door as an operator's file."""
    text_of = text(written(of_guard(made(there())))[TOML])
    assert dumps(loads(text_of)) in text_of
    assert loads(text_of).servers == SHOP.servers
