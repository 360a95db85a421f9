"""Scripts that are killed, or meet another one at work, and adapters that have another name, device or GUID since."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest

from dsrwizard.core.diagnosis import diagnose
from dsrwizard.core.model.events import Event, StepStarted
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.plan.mend import mending
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.locks import Lease
from tests.windows.conftest import VIP, VIP6, Farm, one_in, shop
from tests.windows.diagnosed import evidence
from tests.windows.host import WindowsHost
from tests.windows.host.machine import CHANGING
from tests.windows.host.model import Adapter, Device, Process, fresh_loopback
from tests.windows.test_windows_undo import crowded, seen

pytestmark = pytest.mark.long

DIALECTS = ["2008 R2", "2025"]
Farms = Callable[..., Farm]


def ours(host: WindowsHost) -> list[Adapter]:
    return [adapter for adapter in host.adapters if adapter.loopback]


@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_wherever_a_script_is_killed_the_next_apply_serves_and_a_teardown_leaves_nothing(
    tmp_path: Path, version: str, when: str
) -> None:
    """The n-th change of an apply is its last: no `catch` and no `finally` runs."""
    every = one_in(4)
    first = 1 + (2 * DIALECTS.index(version) + (when == "after")) % every
    for number in range(first, 200, every):
        start = crowded(version)
        one = Farm(tmp_path / str(number), copy.deepcopy(start), shop(VIP, VIP6, ports=(80, 443)))
        point = {(CHANGING, number)}
        one.host.dies_at, one.host.dies_after = (point, set()) if when == "before" else (set(), point)
        result = one.apply()
        cut = one.host.killed
        one.host.dies_at, one.host.dies_after = set(), set()
        if not cut:
            assert result.ok
            break
        assert not result.ok
        one.engine = one.fresh()
        again = one.apply()
        assert again.ok, f"{number}: {[host.failure for host in again.hosts]}"
        assert one.host.accepts(VIP)
        assert len(ours(one.host)) == 1, f"{number}: a second adapter"
        assert not one.plan().steps
        assert one.teardown().ok
        assert seen(one.host) == seen(start), str(number)
    assert number > 10


@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize("call", ["register", "bind"])
def test_a_teardown_alone_finds_what_a_killed_script_left_of_an_adapter(farm: Farms, version: str, call: str) -> None:
    one = farm(WindowsHost(version))
    one.host.dies_after = {(call, 1)}
    assert not one.apply().ok
    assert one.host.devices
    assert len(ours(one.host)) == (call == "bind")
    one.engine = one.fresh()
    if call == "register":
        notes = [note for host in one.plan().hosts for note in host.notes]
        assert any(one.host.devices[0].id in note and "no driver" in note for note in notes)
    assert one.teardown().ok
    assert (one.host.devices, ours(one.host)) == ([], [])


@pytest.mark.parametrize("version", DIALECTS)
def test_a_device_of_ours_without_driver_goes_also_where_the_journal_is_lost(farm: Farms, version: str) -> None:
    one = farm(WindowsHost(version))
    one.host.devices.append(Device(r"ROOT\NET\0007", ["*MSLOOP", r"DSRWIZARD\dsrwizard"]))
    one.host.devices.append(Device(r"ROOT\NET\0008", ["*MSLOOP", r"DSRWIZARD\another"]))
    assert one.apply().ok
    assert r"ROOT\NET\0007" not in [device.id for device in one.host.devices]
    assert r"ROOT\NET\0008" in [device.id for device in one.host.devices], "it is another adapter's"
    assert one.teardown().ok
    assert [device.id for device in one.host.devices] == [r"ROOT\NET\0008"]


def renamed(host: WindowsHost) -> None:
    ours(host)[0].name = "Loopback-DSR"


def renamed_and_replaced(host: WindowsHost) -> None:
    """Our adapter is "#2" by now, and somebody else's has the name that it had."""
    ours(host)[0].name = "dsrwizard #2"
    other = fresh_loopback(40, 41, host.version, 9)
    other.name, other.polls = "dsrwizard", 0
    host.adapters.append(other)


def another_device(host: WindowsHost) -> None:
    """The instance id is another, the GUID the same, the mark lost."""
    renamed(host)
    ours(host)[0].pnp = r"ROOT\NET\0042"
    host.devices.clear()


def another_guid(host: WindowsHost) -> None:
    """The mark is there, the GUID is another."""
    renamed(host)
    ours(host)[0].guid = "{11111111-2222-4333-8444-555555555555}"


@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize("change", [renamed, renamed_and_replaced, another_device, another_guid])
def test_an_adapter_that_is_called_otherwise_is_still_ours(
    farm: Farms, version: str, change: Callable[[WindowsHost], None]
) -> None:
    one = farm(WindowsHost(version))
    start = seen(one.host)
    assert one.apply().ok
    change(one.host)
    one.engine = one.fresh()
    others = len(ours(one.host)) - 1
    assert [step.id for step in one.plan().steps] == []
    carrier = next(adapter for adapter in one.host.adapters if adapter.loopback and adapter.holding(VIP))
    carrier.rows[4].weak_send = False
    assert not one.host.accepts(VIP)
    facts = one.engine.observe(one.deployment).servers["win1"]
    report = diagnose(evidence(one.host, facts, one.deployment))
    assert {check.cause for check in report.failures} == {"weak-host"}
    cures = mending(one.deployment, one.engine.observe(one.deployment), report.failures).cures
    assert [step.purpose for cure in cures for step in cure.steps] == ["weak-host"]
    assert one.apply().ok
    assert one.host.accepts(VIP)
    assert len(ours(one.host)) == 1 + others
    assert one.teardown().ok
    assert len(ours(one.host)) == others
    assert one.host.holds(VIP) == []
    if not others:
        assert seen(one.host) == start


@pytest.mark.parametrize("version", DIALECTS)
def test_an_upgrade_that_took_all_loopback_adapters_away(farm: Farms, version: str) -> None:
    one = farm(WindowsHost(version), shop(VIP, VIP6))
    start = seen(one.host)
    assert one.apply().ok
    one.host.adapters = [adapter for adapter in one.host.adapters if not adapter.loopback]
    one.host.devices.clear()
    one.engine = one.fresh()
    assert one.apply().ok
    assert one.host.accepts(VIP)
    assert not one.plan().steps
    ours(one.host)[0].name = "Ethernet 9"
    assert one.teardown().ok
    assert seen(one.host) == start


# -- one at a time


@pytest.mark.parametrize("version", DIALECTS)
def test_a_second_run_changes_nothing_and_says_who_is_at_it(tmp_path: Path, version: str) -> None:
    """Two operators, one host: the second comes while the first is in the middle of its apply."""
    host = WindowsHost(version)
    first, second = Farm(tmp_path / "a", host, shop()), Farm(tmp_path / "b", host, shop(name="other"))
    plan = second.plan()
    found = []

    def watch(event: Event) -> None:
        if isinstance(event, StepStarted) and event.number == 2:
            line = "powershell.exe -NoProfile -Command $dsrwizard = 'dsrwizard: change of shop by ann at desk'; $text"
            host.processes = [
                Process(4712, "powershell.exe -Command $dsrwizard = 'dsrwizard: look'", "20260105112900.000000+060"),
                Process(4711, line, "20260105113000.000000+060"),
            ]
            before = seen(host)
            found.append(second.engine.apply(second.deployment, plan, lambda event: None, None, Lease()))
            assert seen(host) == before
            assert second.plan().hosts, "a look needs nobody's leave"

    assert first.engine.apply(first.deployment, first.plan(), watch, None, Lease()).ok
    (result,) = found
    (entry,) = result.hosts
    assert not result.ok
    assert {step.outcome for step in entry.steps} == {Outcome.NOT_ATTEMPTED}
    assert entry.failure is not None
    assert entry.failure.kind == "busy"
    assert "another run of dsrwizard" in entry.failure.what
    assert "change of shop by ann at desk" in entry.failure.why
    assert "process 4711" in entry.failure.why
    assert "since 2026-01-05 11:30:00" in entry.failure.why
    host.processes = []
    assert second.apply().ok, "it is free again"


@pytest.mark.parametrize(("locked", "works"), [("abandoned", True), ("held", False), ("denied", False)])
@pytest.mark.parametrize("version", DIALECTS)
def test_a_lock_that_somebody_left_or_has(farm: Farms, version: str, locked: str, works: bool) -> None:
    one = farm(WindowsHost(version))
    one.host.locked = locked
    result = one.apply()
    assert result.ok is works
    if not works:
        (failure,) = [host.failure for host in result.hosts if host.failure]
        assert failure.kind == "busy"
        assert "does not say which process" in failure.why


@pytest.mark.parametrize("version", DIALECTS)
def test_a_killed_script_holds_nobody_up(farm: Farms, version: str) -> None:
    one = farm(WindowsHost(version))
    one.host.dies_at = {(CHANGING, 3)}
    assert not one.apply().ok
    one.host.dies_at = set()
    assert one.apply().ok


def test_the_process_list_says_what_runs_for_whom(farm: Farms) -> None:
    one = farm()
    assert one.apply().ok
    look, change = one.connector.scripts[:2]
    assert look.startswith("# dsrwizard: look\n")
    assert change.startswith("# dsrwizard: change of shop by ")


def test_the_journal_knows_the_device_before_it_has_a_driver(farm: Farms) -> None:
    one = farm()
    one.host.dies_at = {("bind", 1)}
    assert not one.apply().ok
    text = "".join(path.read_text() for path in one.folder.glob("*.jsonl"))
    assert one.host.devices[0].id.replace("\\", "\\\\") in text
    assert isinstance(one.fresh(), Engine)
