"""Windows servers that put themselves back: a task that waits on the server takes back what nobody proved.

The script of the task runs in a PowerShell of its own beside the run's; time on the host passes where a test says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from dsrwizard.core.model.errors import HostBusy
from dsrwizard.core.model.events import Event, HostSaid, RevertArmed, RevertOff, StepStarted
from dsrwizard.core.model.outcome import Outcome, RunResult
from dsrwizard.core.ports import Answer, OnLine
from dsrwizard.engine.servers.windows import WindowsServer
from tests.fakes.step_watch import Told
from tests.windows.conftest import VIP, VIP6, Farm, ModelConnector, shop
from tests.windows.host import Address, WindowsHost
from tests.windows.host.files import INHERITED
from tests.windows.test_windows_undo import crowded, seen

pytestmark = pytest.mark.long

DIALECTS = ["2008 R2", "2025"]
PLACE = r"C:\Windows\dsrwizard"
LONG = 400.0
"""Seconds after which every undo of a test has gone off."""
Farms = Callable[..., Farm]


@pytest.fixture
def armed(tmp_path: Path) -> Iterator[Farms]:
    """Makes farms whose server is told to put itself back 60 s after the last step; what waits there ends with the
    test."""
    farms: list[Farm] = []

    def make(host: WindowsHost, *vips: str, ports: tuple[int, ...] = (80,)) -> Farm:
        farms.append(Farm(tmp_path / str(len(farms)), host, shop(*vips, ports=ports), 60))
        return farms[-1]

    yield make
    for farm in farms:
        for process in farm.host.waiting():
            process.kill()
        assert farm.host.not_modelled == []


def notes(farm: Farm) -> str:
    return " ".join(note for host in farm.fresh().plan(farm.deployment, farm.fresh().observe(farm.deployment)).hosts
                    for note in host.notes)  # fmt: skip


def failure(result: RunResult) -> str:
    (found,) = [host.failure for host in result.hosts if host.failure is not None]
    return f"{found.what} {found.why} {found.next}"


def changing(host: WindowsHost) -> list[str]:
    """Notes every call of this host that may change something, from now on."""
    found: list[str] = []
    called = host.called

    def noted(name: str, *, changing: bool = True) -> None:
        if changing:
            found.append(name.lower())
        called(name, changing=changing)

    host.called = noted  # type: ignore[method-assign]
    return found


def on_the_nic(host: WindowsHost) -> list[str]:
    """Notes what is changed on the adapter of the connection, from now on, weak-host receive left out."""
    found: list[str] = []
    cmdlet, native = host.cmdlet, host.native
    index = host.wire.index

    def by_cmdlet(name: str, parameters: dict[str, Any], positional: list[Any]) -> list[Any]:
        about = parameters.get("interfaceindex") == index or parameters.get("name") == host.wire.name
        if about and not name.lower().startswith("get-") and "weakhostreceive" not in parameters:
            found.append(f"{name} {parameters}")
        return cmdlet(name, parameters, positional)

    def by_program(name: str, words: list[str]) -> tuple[int, list[str]]:
        if str(index) in words and not any(one.startswith("weakhostreceive") for one in words):
            found.append(f"{name} {words}")
        return native(name, words)

    host.cmdlet, host.native = by_cmdlet, by_program  # type: ignore[assignment,method-assign]
    return found


def nothing_left(host: WindowsHost) -> bool:
    return not (host.files.folders or host.files.texts or host.schedule.tasks or host.waiting())


# -- cut off


@pytest.mark.parametrize("version", DIALECTS)
def test_wherever_the_script_is_killed_the_host_puts_itself_back(armed: Farms, version: str) -> None:
    """Before and after every n-th change, those of the arming included."""
    whole = armed(crowded(version), VIP, VIP6, ports=(80, 443))
    calls = changing(whole.host)
    assert whole.apply().ok
    first, last = calls.index("register"), calls.index("move file")
    changes = [at for at, name in enumerate(calls[:last], 1) if at > first and name not in ("write file", "arp")]
    points = [first // 2, first, *changes[::7], changes[-1]]
    cuts = reverted = 0
    for number, point in enumerate(points):
        one = armed(crowded(version), VIP, VIP6, ports=(80, 443))
        start, broken = seen(one.host), {("changing", point)}
        one.host.dies_at, one.host.dies_after = (broken, set()) if number % 2 else (set(), broken)
        assert not one.apply().ok
        one.host.dies_at, one.host.dies_after = set(), set()
        touched = on_the_nic(one.host)
        one.host.pass_time(LONG)
        cuts += 1
        assert seen(one.host) == start, f"{point}: {calls[point - 1]}"
        assert touched == [], "the adapter of the connection is left alone"
        if point > first:
            assert list(one.host.files.texts) == [rf"{PLACE}\reverted"], "a note, and nothing else"
            assert one.host.schedule.tasks == []
        reverted += 1
    print(f"scripts killed / servers back ({version}): {cuts} / {reverted}")
    assert "It put itself back at 2026-01-05 12:01" in notes(one)
    assert one.apply().ok, "and the next run is as any other"
    assert one.host.accepts(VIP)
    assert nothing_left(one.host)
    assert one.teardown().ok
    assert seen(one.host) == start


@pytest.mark.parametrize("version", DIALECTS)
def test_what_is_proved_stays_and_leaves_no_task_and_no_file(armed: Farms, version: str) -> None:
    one = armed(crowded(version), VIP)
    told: list[Event] = []
    assert one.apply(told.append).ok
    assert [event.seconds for event in told if isinstance(event, RevertArmed)] == [60]
    assert len([event for event in told if isinstance(event, RevertOff)]) == 1
    assert nothing_left(one.host)
    before = seen(one.host)
    one.host.pass_time(LONG)
    assert seen(one.host) == before
    assert one.host.accepts(VIP)
    assert not one.plan().steps
    assert "put itself back" not in notes(one)


def test_every_change_puts_the_time_off_and_no_clock_does(armed: Farms) -> None:
    """Steps of half a minute each take longer than the undo waits; the clock is set a day ahead meanwhile."""
    one = armed(WindowsHost("2025"))

    def slowly(event: Event) -> None:
        if isinstance(event, StepStarted):
            one.host.pass_time(35)
            one.host.now += timedelta(days=1)

    assert one.apply(slowly).ok
    assert nothing_left(one.host)


# -- the run hangs, or ends


@pytest.mark.parametrize("version", DIALECTS)
def test_a_script_that_hangs_is_ended_before_its_steps_are_taken_back(armed: Farms, version: str) -> None:
    one = armed(WindowsHost(version))
    start = seen(one.host)

    def hang(event: Event) -> None:
        if isinstance(event, StepStarted) and event.number == 4:
            one.host.pass_time(LONG)

    result = one.apply(hang)
    assert not result.ok
    assert "shell is gone" in failure(result)
    assert seen(one.host) == start
    assert one.host.schedule.tasks == []
    assert one.apply().ok


def test_stopped_in_between_it_goes_back_unless_the_next_run_proves_it(armed: Farms) -> None:
    for again in (True, False):
        one = armed(WindowsHost("2025"))
        start = seen(one.host)
        one.connector.cut_after = 12
        told: list[Event] = []
        assert not one.apply(told.append).ok
        assert any("puts itself back 60 s after its last step" in event.line for event in told
                   if isinstance(event, HostSaid))  # fmt: skip
        assert "It puts itself back in 60 s, because an earlier run was not proved." in notes(one)
        if again:
            assert one.apply().ok
            assert nothing_left(one.host)
        one.host.pass_time(LONG)
        assert (seen(one.host) == start) is not again


def test_steps_that_failed_and_were_undone_leave_nothing_to_wait_for(armed: Farms) -> None:
    one = armed(WindowsHost("2025"))
    one.host.breaks_at = {("bind", 1)}
    start = seen(one.host)
    result = one.apply()
    assert "failed; its changes were undone" in failure(result)
    assert "puts itself back" not in failure(result)
    assert nothing_left(one.host)
    assert seen(one.host) == start


class Late(ModelConnector):
    """A connection by which the word to keep the steps comes too late."""

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        if script.startswith("# dsrwizard: keep"):
            self.host.pass_time(LONG)
        return super().run(script, deadline=deadline, on_line=on_line)


def test_a_server_that_went_back_already_is_not_said_to_be_ready(armed: Farms) -> None:
    one = armed(WindowsHost("2008 R2"))
    start = seen(one.host)
    one.connector = Late(one.host)
    result = one.apply()
    assert not result.ok
    assert "It has put itself back already" in failure(result)
    assert seen(one.host) == start


@pytest.mark.parametrize("then", ["apply", "teardown"])
def test_a_reboot_ends_the_undo_for_good_and_the_plan_says_so(armed: Farms, then: str) -> None:
    one = armed(WindowsHost("2025"))
    start = seen(one.host)
    one.host.dies_at = {("new-netipaddress", 1)}
    assert not one.apply().ok
    one.host.dies_at = set()
    half = seen(one.host)
    one.host.reboot()
    one.host.pass_time(86_400)
    assert seen(one.host) == half, "a task without trigger is not started by a boot"
    assert "ended without running, for instance by a reboot" in notes(one)
    one.engine = one.fresh()
    assert (one.apply() if then == "apply" else one.teardown()).ok
    assert nothing_left(one.host)
    assert one.host.accepts(VIP) is (then == "apply")
    assert then == "apply" or seen(one.host) == start


def test_a_teardown_after_it_went_back_leaves_no_note(armed: Farms) -> None:
    one = armed(WindowsHost("2025"))
    start = seen(one.host)
    one.host.dies_at = {("new-netipaddress", 1)}
    assert not one.apply().ok
    one.host.dies_at = set()
    one.host.pass_time(LONG)
    one.engine = one.fresh()
    assert one.teardown().ok
    assert nothing_left(one.host)
    assert seen(one.host) == start


# -- others


@pytest.mark.parametrize("version", DIALECTS)
def test_what_somebody_changed_meanwhile_stays_and_is_named(armed: Farms, version: str) -> None:
    one = armed(crowded(version), VIP)
    one.host.dies_after = {("add rule", 1)}
    assert not one.apply().ok
    one.host.dies_after = set()
    (ours,) = [adapter for adapter in one.host.adapters if adapter.loopback]
    ours.addresses.append(Address("192.0.2.77", 32))
    (rule,) = [rule for rule in one.host.rules if rule.name.startswith("dsrwizard-")]
    rule.ports = "8080"
    one.host.pass_time(LONG)
    assert [address.address for address in ours.addresses if address.address.startswith("192.")] == ["192.0.2.77"]
    assert one.host.rules[-1].ports == "8080"
    assert one.host.holds(VIP) == []
    assert not one.host.wire.rows[4].weak_receive
    said = notes(one)
    assert "It could not put the firewall rule dsrwizard-10.0.0.10-tcp-80 back: somebody had changed it." in said
    assert "It could not put the adapter dsrwizard back: somebody had changed it." in said


def test_what_windows_refuses_to_take_back_is_named_with_its_reason(armed: Farms) -> None:
    one = armed(crowded("2025"), VIP)
    one.host.dies_after = {("add rule", 1)}
    assert not one.apply().ok
    one.host.dies_after = set()
    one.host.firewall_service = False
    one.host.pass_time(LONG)
    assert "It failed to undo the firewall rule dsrwizard-10.0.0.10-tcp-80: the rules of the firewall" in notes(one)
    assert one.host.holds(VIP) == [], "the rest is taken back all the same"


def test_a_run_that_comes_while_the_host_takes_back_is_told_who_is_at_it(armed: Farms) -> None:
    one = armed(WindowsHost("2025"))
    steps = next(host.steps for host in one.plan().hosts if host.host == "win1")
    one.host.dies_at = {("new-netipaddress", 1)}
    assert not one.apply().ok
    one.host.dies_at = set()
    remove, told = one.host.remove, []
    (server,) = one.deployment.servers

    def meanwhile(pnp: str) -> None:
        one.host.remove = remove  # type: ignore[method-assign]
        port = WindowsServer(server, lambda: ModelConnector(one.host))
        with pytest.raises(HostBusy) as busy:
            port.apply(steps, Told([]), 60)
        told.append(busy.value.why)
        told.append(" ".join(host.problem for host in one.plan().hosts))
        remove(pnp)

    one.host.remove = meanwhile  # type: ignore[method-assign]
    one.host.pass_time(LONG)
    assert "revert of shop by" in told[0]
    assert "It is putting itself back at this moment" in told[1]
    assert seen(one.host) == seen(WindowsHost("2025"))


# -- where it cannot be armed


CANNOT = {
    "no service": ("2008 R2", "problem", "The service has not been started. (0x80041315)", "0x80041315"),
    "policy": (
        "2025",
        "forbidden",
        "Access is denied. (0x80070005 (E_ACCESSDENIED))",
        "Windows denies it to this login",
    ),
    "application control": ("2008 R2", "blocked", 0x800704EC - (1 << 32), "with the result 0x800704EC"),
}


@pytest.mark.parametrize("why", CANNOT)
def test_where_it_cannot_be_armed_nothing_is_changed_and_that_is_said(armed: Farms, why: str) -> None:
    version, attribute, value, says = CANNOT[why]
    one = armed(WindowsHost(version))
    setattr(one.host.schedule, attribute, value)
    start = seen(one.host)
    result = one.apply()
    text = failure(result)
    assert "nothing was changed, because the host cannot be made to put itself back" in text
    assert says in text
    assert "--revert-after 0" in text
    (entry,) = result.hosts
    assert {step.outcome for step in entry.steps} == {Outcome.NOT_ATTEMPTED}
    assert seen(one.host) == start
    assert nothing_left(one.host) or why == "no service"
    one.engine.revert_after = 0
    assert one.apply().ok, "without it, as the message says"


def test_a_script_that_the_host_blocks_is_told_in_its_own_words(armed: Farms) -> None:
    one = armed(WindowsHost("2025"))
    carry = one.host.carry
    one.host.carry = lambda command, process: carry(  # type: ignore[method-assign]
        command.replace("[ScriptBlock]::Create(", "throw ("), process
    )
    assert "the scheduled task for the undo ended: " in failure(one.apply())
    assert nothing_left(one.host)


@pytest.mark.parametrize(
    "sddl",
    [
        INHERITED,
        "O:S-1-5-21-1-2-3-1001G:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)",
        "O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;0x1301bf;;;BU)",
    ],
)
def test_a_folder_that_is_not_the_administrators_alone_is_not_trusted(armed: Farms, sddl: str) -> None:
    """Whoever can write there would have the system run what he likes."""
    one = armed(WindowsHost("2025"))
    one.host.files.folders[PLACE] = sddl
    one.host.files.texts[PLACE + r"\theirs"] = ""
    start = seen(one.host)
    text = failure(one.apply())
    assert r"users other than administrators have access to the folder C:\Windows\dsrwizard" in text
    assert seen(one.host) == start
    assert one.host.schedule.tasks == []
