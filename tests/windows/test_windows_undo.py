"""A Windows host that fails at any one call of a step: afterwards it is as it was before that step."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from dsrwizard.core.model.changes import AddressChange, Change, CommandSet, LinkChange, WindowsChange, WindowsItem
from dsrwizard.core.model.errors import CommandFailed
from dsrwizard.core.model.events import Event, StepFinished, StepStarted
from dsrwizard.core.model.outcome import HostResult, Outcome
from dsrwizard.core.model.steps import Step
from dsrwizard.engine.locks import Lease
from tests.fakes.step_watch import Told
from tests.windows.conftest import VIP, VIP6, Farm, one_in, shop
from tests.windows.host import VERSIONS, Address, Binding, Site, WindowsHost
from tests.windows.host.machine import ANY, CHANGING
from tests.windows.host.model import fresh_loopback

pytestmark = pytest.mark.long

Fails = Set[tuple[str, int]]
Made = Callable[[str], WindowsHost]
DIALECTS = ["2008 R2", "2025"]
EVERYTHING = {"adapter", "weak-host", "hygiene", "vip", "firewall", "sites"}
"""What kinds of steps there are."""


def crowded(version: str) -> WindowsHost:
    """A host that needs a step of every kind: sites on single addresses, one with a certificate, and a listen list."""
    host = WindowsHost(version)
    host.wire.addresses.append(Address("fd00::101", 64))
    host.listeners = []
    host.listen = ["10.0.0.101"]
    host.sites = [
        Site("Default Web Site", [Binding("http", "10.0.0.101:80:")]),
        Site("Secure", [Binding("https", "10.0.0.101:443:", "ab" * 20, "MY")]),
    ]
    host.certificates = {"10.0.0.101:443": ("AB" * 20, "{4dc3e181-e14b-4a21-b022-59fc669b0914}", "MY")}
    return host


def half_set_up(version: str) -> WindowsHost:
    """A host whose adapter was made by hand and left as Windows makes it, with the VIP on it under a wrong prefix."""
    host = crowded(version)
    ours = fresh_loopback(30, 31, version, 0)
    ours.name, ours.polls = "dsrwizard", 0
    ours.rows[4].dhcp = False
    ours.addresses = [Address(VIP, 24, skip=True)]
    host.adapters.append(ours)
    return host


@dataclass
class Run:
    """One run on a host that fails where it is told to.

    `before` is the host's state when its last step began, or ended well; `step` is the one it is at, empty between two.
    """

    farm: Farm
    verb: str = "apply"
    before: dict[str, Any] = field(default_factory=dict)
    step: str = ""

    def __call__(self, fails: Fails = frozenset(), afterwards: Fails = frozenset()) -> HostResult:
        """`fails` do nothing and fail, `afterwards` fail though they did it."""
        host, engine, deployment = self.farm.host, self.farm.engine, self.farm.deployment
        plan = self.farm.plan() if self.verb == "apply" else engine.teardown_plan(deployment)
        self.before = seen(host)
        host.calls.clear()
        host.breaks_at, host.breaks_after = set(fails), set(afterwards)
        carry_out = engine.apply if self.verb == "apply" else engine.teardown
        result = carry_out(deployment, plan, self._seen, None, Lease())
        host.breaks_at, host.breaks_after = set(), set()
        assert host.not_modelled == []
        return next(entry for entry in result.hosts if entry.host == "win1")

    def _seen(self, event: Event) -> None:
        if isinstance(event, StepStarted):
            self.step, self.before = event.step, seen(self.farm.host)
        elif isinstance(event, StepFinished) and event.result.outcome is Outcome.CHANGED:
            self.step, self.before = "", seen(self.farm.host)


def seen(host: WindowsHost) -> dict[str, Any]:
    """The host's state, but for the order of rules and bindings and what Windows does by itself: addresses 169.254.x,
    and on 2008 netsh, which leaves an adapter off DHCP when it has had an address once."""
    state = host.state()
    for adapter in state["adapters"]:
        adapter["addresses"] = [one for one in adapter["addresses"] if not one["address"].startswith("169.254.")]
        adapter["polls"] = 0
        if not host.modern and adapter["component"] == "*MSLOOP":
            adapter["rows"][4]["dhcp"] = False
    state["rules"].sort(key=lambda rule: rule["name"])
    for site in state["sites"] or ():
        site["bindings"].sort(key=lambda binding: binding["information"])
    return state


Again = Callable[..., Iterator[tuple[int, Run]]]


@pytest.fixture
def again(tmp_path: Path) -> Again:
    """The same run over and over on copies of one host, until a run made fewer calls than the number it is given.

    One number in `share` in make test, from `first` on, and each of them in make undo-table.
    """

    def make(
        host: WindowsHost, counted: str, verb: str = "apply", share: int = 1, first: int = 1
    ) -> Iterator[tuple[int, Run]]:
        every = one_in(share)
        for number in range(min(first, every), 2000, every):
            farm = Farm(tmp_path / str(number), copy.deepcopy(host), shop(VIP, VIP6, ports=(80, 443)))
            if verb == "teardown":
                assert farm.apply().ok
            run = Run(farm, verb)
            yield number, run
            if farm.host.calls[counted] < number:
                return

    return make


def taken_back(run: Run, result: HostResult) -> str:
    """The kind of the step that failed and left nothing behind; empty where none failed."""
    if result.failure is None:
        return ""
    where = f"{run.step}: {result.failure.what} {result.failure.why}"
    assert seen(run.farm.host) == run.before, where
    if not run.step:
        assert "the script ended before all its steps" in result.failure.what, where
        return ""
    assert [one.step for one in result.steps if one.outcome is Outcome.FAILED] == [run.step], where
    assert "its changes were undone" in result.failure.what, where
    return run.step.removeprefix("undo ").split()[0]


@pytest.mark.parametrize(
    ("made", "version"),
    [*((crowded, version) for version in VERSIONS), *((half_set_up, version) for version in DIALECTS)],
)
def test_whichever_change_fails_the_host_is_as_before_that_step(again: Again, made: Made, version: str) -> None:
    """Every change of both dialects, and of the other versions one in four."""
    share = 1 if version in DIALECTS and made is crowded else 4
    runs = again(made(version), CHANGING, share=share, first=1 + list(VERSIONS).index(version) % 4)
    failed = {taken_back(run, run({(CHANGING, number)})) for number, run in runs}
    kinds = EVERYTHING - ({"adapter"} if made is half_set_up else set())
    assert failed - {""} == kinds if one_in(share) == 1 else len(failed - {""}) >= 3


@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize("made", [crowded, half_set_up])
def test_a_change_that_took_though_it_reported_failure_is_taken_back_too(
    again: Again, made: Made, version: str
) -> None:
    for number, run in again(made(version), CHANGING, share=3, first=1 + DIALECTS.index(version)):
        taken_back(run, run(afterwards={(CHANGING, number)}))


@pytest.mark.parametrize(("version", "share"), [("2008 R2", 13), ("2025", 11)])
def test_a_call_that_only_looks_fails_and_the_host_is_as_before_too(again: Again, version: str, share: int) -> None:
    """One call in so many, changing or not, until what fails is the look after all steps."""
    failed: set[str] = set()
    for number, run in again(crowded(version), ANY, share=share):
        result = run({(ANY, number)})
        if result.failure is not None and result.failure.kind == "took":
            break
        failed.add(taken_back(run, result))
    assert len(failed - {""}) >= 3


@pytest.mark.parametrize("version", DIALECTS)
def test_whichever_change_of_a_teardown_fails_the_host_is_as_before_that_step(again: Again, version: str) -> None:
    runs = again(crowded(version), CHANGING, "teardown", share=2)
    failed = {taken_back(run, run({(CHANGING, number)})) for number, run in runs}
    assert {"adapter", "vip", "firewall", "sites"} <= failed


KINDS = {
    "weak_receive": "weak-receive", "weak_send": "weak-send", "dad": "dad", "router_discovery": "router-discovery",
    "dhcp": "dhcp", "metric": "metric", "automatic": "metric", "bindings": "binding", "register": "dns-registration",
    "suffix": "dns-registration", "netbios": "netbios", "addresses": "address",
}  # fmt: skip
"""What the model calls a setting → what the report calls it."""


def left(before: dict[str, Any], now: dict[str, Any]) -> set[str]:
    """The kinds of settings that differ."""
    found: set[str] = set()
    for name, kind in (
        ("rules", "firewall-rule"), ("listen", "listen-address"), ("certificates", "certificate"),
        ("sites", "site-binding"),
    ):  # fmt: skip
        found |= {kind} if before[name] != now[name] else set()
    if len(before["adapters"]) != len(now["adapters"]) or before["devices"] != now["devices"]:
        return found | {"adapter"}
    for one, other in zip(before["adapters"], now["adapters"], strict=True):
        found |= {KINDS[name] for name in KINDS if name in one and one[name] != other[name]}
        for family, row in one["rows"].items():
            found |= {KINDS[name] for name in row if row[name] != other["rows"][family][name]}
    return found


@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize("made", [crowded, half_set_up])
def test_what_could_not_be_taken_back_is_named_and_nothing_else_is_left(again: Again, made: Made, version: str) -> None:
    """The first change that is taken back fails once as well."""
    halfway = 0
    for number, run in again(made(version), CHANGING, share=4, first=2):
        start = seen(run.farm.host)
        result = run({(CHANGING, number), (CHANGING, number + 1)})
        if result.failure is None:
            continue
        why = result.failure.why
        told = set(re.findall(r"taking back ([a-z-]+) ", why))
        assert left(run.before, seen(run.farm.host)) == told, why
        outcomes = {one.step: one.outcome for one in result.steps}
        if not told:
            taken_back(run, result)
            continue
        halfway += 1
        assert outcomes[run.step] is Outcome.UNKNOWN
        assert "failed, and its changes could not be undone" in result.failure.what
        assert run.farm.apply().ok
        assert run.farm.teardown().ok
        assert seen(run.farm.host) == start, f"{run.step}: {why}"
    assert halfway >= 3


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("version", "share"), [("2008 R2", 37), ("2025", 41)])
def test_whatever_fails_another_apply_serves_and_a_teardown_leaves_the_host_as_it_was(
    tmp_path: Path, version: str, when: str, share: int
) -> None:
    """A share of all calls; `make undo-table` has every one of them."""
    from tests.windows.undo_table import table

    found = table(version, when, tmp_path, share)
    assert found.wrong == []
    assert found.made.total() >= 3


def on_the_nic(host: WindowsHost) -> list[Change]:
    """One change for each way to write a setting of an adapter, all of them meant for the one to the network."""
    name, guid = host.wire.name, host.wire.guid
    system: CommandSet = "windows-2012" if host.modern else "windows-2008"

    def setting(item: WindowsItem, key: str, old: str | None, new: str) -> Change:
        return WindowsChange(item=item, key=key, old=old, new=new, system=system)

    changes: list[Change] = [
        LinkChange(interface=name, old=True, new=False, system=system),
        AddressChange(interface=name, address=VIP, prefix=32, old=False, new=True, system=system),
        AddressChange(interface=name, address="10.0.0.101", prefix=24, old=True, new=False, system=system),
        setting("weak-send", f"{guid}/4", "Disabled", "Enabled"),
        setting("dad", f"{guid}/4", "3", "0"),
        setting("router-discovery", f"{guid}/6", "ControlledByDHCP", "Disabled"),
        setting("metric", f"{guid}/4", "automatic", "254"),
        setting("dns-registration", guid, "true,false", "false,false"),
        setting("netbios", guid, "0", "2"),
    ]
    if host.modern:
        changes += [
            setting("dhcp", f"{guid}/4", "Disabled", "Enabled"),
            setting("binding", f"{guid}/ms_server", "Enabled", "Disabled"),
            setting("binding", f"{guid}/*", None, "ms_tcpip"),
        ]
    return changes


def carried_out(farm: Farm, change: Change) -> None:
    """This change alone, past all planning."""
    farm.plan()
    step = Step(id="x", host="win1", phase="vip", title="x", why="x", changes=(change,))
    port = farm.engine._hosts_of(farm.deployment).port(farm.deployment.servers[0])
    port.apply([step], Told())


@pytest.mark.parametrize("version", DIALECTS)
@pytest.mark.parametrize("number", range(12))
def test_no_way_to_write_a_setting_touches_the_adapter_of_the_session(
    farm: Callable[..., Farm], version: str, number: int
) -> None:
    one = farm(WindowsHost(version))
    changes = on_the_nic(one.host)
    change = changes[number % len(changes)]
    before = one.host.state()
    with pytest.raises(CommandFailed, match="carries the WinRM connection"):
        carried_out(one, change)
    assert one.host.state() == before


@pytest.mark.parametrize("version", DIALECTS)
def test_weak_host_receive_is_set_on_the_adapter_of_the_session(farm: Callable[..., Farm], version: str) -> None:
    one = farm(WindowsHost(version))
    system: CommandSet = "windows-2012" if one.host.modern else "windows-2008"
    key = f"{one.host.wire.guid}/4"
    carried_out(one, WindowsChange(item="weak-receive", key=key, old="Disabled", new="Enabled", system=system))
    assert one.host.wire.rows[4].weak_receive
