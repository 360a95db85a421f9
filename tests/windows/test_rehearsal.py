"""`dsrwizard rehearse` on modelled hosts: nothing of it stays, and whatever differs from what is expected is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from threading import Event as Flag

import pytest

from dsrwizard import signals
from dsrwizard.cli import wiring
from dsrwizard.cli.main import run
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model.events import Event, HostFinished
from dsrwizard.core.tell.rehearsal import ADAPTER, Rehearsal, trial
from dsrwizard.core.tell.rehearsal.expectations import AS_BEFORE
from dsrwizard.core.tell.rehearsal.report import report
from dsrwizard.core.tell.rehearsal.trial import VIP, VIP6
from dsrwizard.engine.rehearse import Rehearser
from tests.windows.conftest import Farm, ModelConnector, shop
from tests.windows.host import VERSIONS, Adapter, Rule, WindowsHost

pytestmark = pytest.mark.long

SOME = ["2008 R2", "2022"]
APPLICATION = "{00000000-0000-0000-0000-000000000000}"
Start = Callable[[WindowsHost], None]
Rehearse = Callable[..., tuple[int, str, str]]


@pytest.fixture
def rehearse(
    tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Rehearse:
    """Runs the command against a modelled host: exit code, standard output, standard error."""
    file = tmp_path / "shop.toml"
    file.write_text(dumps(shop()))

    def once(host: WindowsHost, *options: str) -> tuple[int, str, str]:
        monkeypatch.setattr(wiring, "_connect", lambda name, target, asker: ModelConnector(host))
        monkeypatch.setattr(signals, "how_to_stop", lambda: "")  # a slow machine below nohup is told something else
        code = run(["rehearse", str(file), "win1", *options])
        said = capsys.readouterr()
        return code, said.out, said.err

    return once


def carrier(host: WindowsHost) -> Adapter:
    return next(adapter for adapter in host.adapters if adapter.name == ADAPTER)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_windows_as_expected_is_as_before_afterwards(rehearse: Rehearse, state: Path, version: str) -> None:
    host = WindowsHost(version)
    before = host.state()
    code, said, errors = rehearse(host, "--yes", "--json")
    made = json.loads(said)
    assert [one for one in made["findings"] if one["agreement"] == "differs"] == []
    assert {one["stage"] for one in made["findings"]} == {"look", "set-up", "undo"}
    assert made["complete"]
    assert made["problems"] == []
    assert host.state() == before
    assert not list((state / "rehearsal").glob("*.json"))
    assert (code, errors) == (0, "")


def test_the_text_says_what_was_seen_on_which_windows(rehearse: Rehearse) -> None:
    code, said, _ = rehearse(WindowsHost("2016"), "--yes")
    assert code == 0
    assert "PowerShell 5.1" in said
    assert "10.0.14393" in said
    assert "as expected  The IPv4 address is never chosen as a source." in said
    assert "as expected  The server is as it was before the rehearsal." in said
    assert "0 different" in said
    assert said.rstrip().endswith("Everything was undone.")
    report_alone = said[said.index("Rehearsal of dsrwizard") :]
    assert "10.0.0.101" not in report_alone
    assert "Administrator" not in report_alone


def test_a_look_changes_nothing_and_asks_nothing(rehearse: Rehearse) -> None:
    host = WindowsHost("2022")
    before, calls = host.state(), host.calls["changing"]
    code, said, _ = rehearse(host, "--look")
    assert code == 0
    assert host.state() == before
    assert host.calls["changing"] == calls
    assert "Nothing was changed." in said


def test_without_a_terminal_it_changes_nothing_unasked(rehearse: Rehearse) -> None:
    host = WindowsHost("2022")
    before = host.state()
    code, _, errors = rehearse(host)
    assert code == 2
    assert "--yes" in errors
    assert host.state() == before


@pytest.mark.parametrize("version", SOME)
def test_kept_over_a_restart_and_then_taken_back(rehearse: Rehearse, version: str) -> None:
    host = WindowsHost(version)
    before = host.state()
    code, said, _ = rehearse(host, "--keep", "--yes")
    assert code == 0
    assert "still on the server" in said
    code, _, errors = rehearse(host)
    assert code == 2
    assert "has not been restarted" in errors
    carrier(host).rows[4].weak_send = False  # what this Windows forgets at a restart
    host.boot = "20260106080000.000000+060"
    code, said, _ = rehearse(host, "--json")
    made = json.loads(said)
    assert [(one["stage"], one["id"]) for one in made["findings"] if one["agreement"] == "differs"] == [
        ("restart", "weak-send-4")
    ]
    assert code == 1
    assert made["complete"]
    assert host.state() == before


def test_what_was_kept_can_be_taken_back_without_a_restart(rehearse: Rehearse) -> None:
    host = WindowsHost("2022")
    before = host.state()
    assert rehearse(host, "--finish")[0] == 2  # nothing was kept
    rehearse(host, "--keep", "--yes")
    code, said, _ = rehearse(host, "--finish")
    assert code == 0
    assert "Everything was undone." in said
    assert host.state() == before


def test_a_rehearsal_whose_record_is_lost_is_taken_back(rehearse: Rehearse, state: Path) -> None:
    host = WindowsHost("2022")
    before = host.state()
    rehearse(host, "--keep", "--yes")
    (state / "rehearsal" / "win1.json").unlink()
    code, said, _ = rehearse(host)
    assert code == 0
    assert "Everything was undone." in said
    assert host.state() == before


def test_a_server_with_a_vip_is_only_looked_at(rehearse: Rehearse, farm: Callable[..., Farm]) -> None:
    host = WindowsHost("2022")
    farm(host).apply()
    before = host.state()
    code, _, errors = rehearse(host, "--yes")
    assert code == 2
    assert "already has the VIP 10.0.0.10" in errors
    assert host.state() == before
    assert rehearse(host, "--look")[0] == 0


@pytest.mark.parametrize("name", ["web9", "win2"])
def test_a_server_that_is_not_there_is_named(rehearse: Rehearse, tmp_path: Path, name: str) -> None:
    assert run(["rehearse", str(tmp_path / "shop.toml"), name]) == 2


def _nic(host: WindowsHost) -> None:
    host.wire.rows[4].metric = 4000


def _gone(host: WindowsHost) -> None:
    host.adapters.remove(carrier(host))


def _of(change: Callable[[Adapter], object]) -> Start:
    return lambda host: (change(carrier(host)), None)[1]


def _address(family: int, **fields: object) -> Start:
    """Changes the trial's address of this family."""

    def change(host: WindowsHost) -> None:
        entry = carrier(host).holding(VIP if family == 4 else VIP6)
        assert entry is not None
        for name, value in fields.items():
            setattr(entry, name, value)

    return change


def _row(family: int, **fields: object) -> Start:
    """Changes the trial adapter's settings of this family."""

    def change(host: WindowsHost) -> None:
        for name, value in fields.items():
            setattr(carrier(host).rows[family], name, value)

    return change


def _rule(address: str) -> Start:
    def change(host: WindowsHost) -> None:
        next(rule for rule in host.rules if address in rule.name).ports = "9,10"

    return change


def _nic_strict(family: int) -> Start:
    return lambda host: setattr(host.wire.rows[family], "weak_receive", False)


AFTERWARDS: dict[str, Start] = {
    "adapter": _gone,
    "device": _of(lambda one: setattr(one, "pnp", r"SWD\MSLOOP\7")),
    "up": _of(lambda one: setattr(one, "up", False)),
    "dhcp": _row(4, dhcp=True),
    "bindings": _of(lambda one: one.bindings.update(ms_server=True)),
    "dns": _of(lambda one: setattr(one, "register", True)),
    "netbios": _of(lambda one: setattr(one, "netbios", 0)),
    "others": _nic,
}
for _family, _vip in ((4, VIP), (6, VIP6)):
    AFTERWARDS |= {
        f"address-{_family}": _address(_family, prefix=24),
        f"usable-{_family}": _address(_family, state=1),
        f"skip-as-source-{_family}": _address(_family, skip=False),
        f"persistent-{_family}": _address(_family, persistent=False),
        f"weak-receive-{_family}": _row(_family, weak_receive=False),
        f"weak-send-{_family}": _row(_family, weak_send=False),
        f"metric-{_family}": _row(_family, metric=25),
        f"dad-{_family}": _row(_family, dad=3),
        f"nic-{_family}": _nic_strict(_family),
        f"rule-{_family}": _rule(_vip),
    }
"""What Windows may make of what was set up."""


@pytest.mark.parametrize("about", AFTERWARDS)
def test_whatever_windows_makes_of_a_setting_is_told(farm: Callable[..., Farm], about: str) -> None:
    made = _set_up(farm(WindowsHost("2022")), AFTERWARDS[about])
    assert about in {one.id for one in made.differing}
    assert "DIFFERS" in report(made)


def test_every_expectation_of_the_set_up_was_seen_broken(farm: Callable[..., Farm]) -> None:
    made = _set_up(farm(WindowsHost("2022")), lambda host: None)
    assert {one.id for one in made.findings if one.stage == "set-up"} - {"steps"} == set(AFTERWARDS)


def _set_up(one: Farm, change: Start) -> Rehearsal:
    """A rehearsal up to the look after the set-up, before which the host is changed."""
    deployment = trial(one.deployment, one.deployment.servers[0])

    def watch(event: Event) -> None:
        if isinstance(event, HostFinished):
            change(one.host)

    rehearser = Rehearser(one.engine, deployment, allowed=60.0)
    return rehearser.set_up(rehearser.begin("0"), rehearser.plan(), watch, Flag())


AT_FIRST: dict[str, Start] = {
    "complete": lambda host: setattr(host, "firewall_service", False),
    "64-bit": lambda host: setattr(host, "wow64", True),
    "administrator": lambda host: setattr(host, "elevated", False),
    "certificates": lambda host: host.certificates.update({"shop.example:443": ("AB" * 20, APPLICATION, "MY")}),
}
"""What the look itself may meet."""


@pytest.mark.parametrize("about", AT_FIRST)
def test_what_the_look_meets_is_told(farm: Callable[..., Farm], about: str) -> None:
    one = farm(WindowsHost("2022"))
    AT_FIRST[about](one.host)
    rehearser = Rehearser(one.engine, trial(one.deployment, one.deployment.servers[0]), allowed=60.0)
    assert about in {finding.id for finding in rehearser.begin("0").differing}


def test_every_expectation_of_the_look_was_seen_broken(farm: Callable[..., Farm]) -> None:
    one = farm(WindowsHost("2022"))
    rehearser = Rehearser(one.engine, trial(one.deployment, one.deployment.servers[0]), allowed=60.0)
    assert {finding.id for finding in rehearser.begin("0").findings} == {*AT_FIRST, "in-time", "repeatable"}


def test_a_slow_look_is_told(farm: Callable[..., Farm]) -> None:
    one = farm(WindowsHost("2022"))
    ticks = iter(range(0, 1000, 31))
    deployment = trial(one.deployment, one.deployment.servers[0])
    rehearser = Rehearser(one.engine, deployment, allowed=60.0, clock=lambda: float(next(ticks)))
    (found,) = rehearser.begin("0").differing
    assert found.id == "in-time"
    assert "31.0 s" in found.seen


def test_what_changes_between_two_looks_is_told(farm: Callable[..., Farm]) -> None:
    one = farm(WindowsHost("2022"))
    run_, looks = one.connector.run, []

    def other(script: str, **more: object) -> object:
        looks.append(script)
        one.host.rules.append(Rule(f"rule {len(looks)}", ports="80"))
        return run_(script, **more)  # type: ignore[arg-type]

    one.connector.run = other  # type: ignore[assignment,method-assign]
    rehearser = Rehearser(one.engine, trial(one.deployment, one.deployment.servers[0]), allowed=60.0)
    (found,) = rehearser.begin("0").differing
    assert (found.id, found.seen) == ("repeatable", "rules: rule 2 is new")


@pytest.mark.parametrize("left", ["adapter", "rule", "nic"])
def test_what_the_way_back_leaves_is_told(farm: Callable[..., Farm], left: str) -> None:
    one = farm(WindowsHost("2022"))
    deployment = trial(one.deployment, one.deployment.servers[0])
    rehearser = Rehearser(one.engine, deployment, allowed=60.0)
    made = rehearser.set_up(rehearser.begin("0"), rehearser.plan(), lambda event: None, Flag())
    rule, adapter = one.host.rules[-1], carrier(one.host)

    def back(event: Event) -> None:
        if isinstance(event, HostFinished):
            match left:
                case "adapter":
                    one.host.adapters.append(adapter)
                case "rule":
                    one.host.rules.append(rule)
                case _:
                    one.host.wire.rows[4].weak_receive = True

    made = rehearser.take_back(made, rehearser.plan_back(), back, Flag())
    (found,) = made.differing
    assert found.id == AS_BEFORE
    assert {"adapter": ADAPTER, "rule": "rules", "nic": "weak host receive"}[left] in found.seen


def test_a_step_that_fails_is_told_and_everything_is_taken_back(rehearse: Rehearse) -> None:
    host = WindowsHost("2022")
    before = host.state()
    host.broken["set-dnsclient"] = "The parameter is incorrect."
    code, said, _ = rehearse(host, "--yes")
    host.broken.clear()
    assert code == 1
    assert "DIFFERS      Every step is carried out." in said
    assert "The parameter is incorrect." in said
    assert host.state() == before


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_what_a_windows_says_reaches_the_terminal_harmless(rehearse: Rehearse, options: tuple[str, ...]) -> None:
    host = WindowsHost("2022")
    host.broken["set-dnsclient"] = "\x1b]0;mine\x07\u202eno\nfake: line"
    host.wire.name = "Ether\x1b[31mnet"
    _, said, errors = rehearse(host, "--yes", *options)
    assert "mine" in said
    for text in (said, errors):
        assert not {"\x1b", "\x07", "\u202e"} & set(text)
        assert "\nfake:" not in text
