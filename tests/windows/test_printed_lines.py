"""Every line that a review, a ticket or a fix prints for a Windows, pasted into the PowerShell of that Windows."""

from __future__ import annotations

import copy
from functools import cache

import msgspec
import pytest

from dsrwizard.core.diagnosis import diagnose
from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.model.changes import LinkChange
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.plan.plan import host_plan
from dsrwizard.core.tell.ticket import step_commands, undo_commands
from tests.unit.diagnosed import faults
from tests.windows.conftest import VIP, VIP6, shop
from tests.windows.diagnosed import evidence, look, set_up
from tests.windows.faults import FAULTS, UNTOLD_2008
from tests.windows.host import Address, Binding, Event, Rule, Site, WindowsHost
from tests.windows.pasting import in_powershell, said_to_type, undo_in

pytestmark = pytest.mark.long

VERSIONS = ["2008", "2008 R2", "2012", "2012 R2", "2016", "2019", "2022", "2025"]
NAMES = {
    "plain": ("Ethernet", "Default Web Site"),
    "blanks": ("Local Area Connection 2", "My shop"),
    "brackets": ("NIC [1]", "Shop (new)"),
    "dollar": ("LAN $5", "Cash & Carry $home"),
    "backtick": ("LAN `n", "Shop `t"),
    "percent": ("100% up", "Tom & Jerry"),
    "apostrophe": ("O'Brien", "Brien & Sons"),
    "typographic": ("“LAN” ‘x’", "“Shop”"),
    "separators": ("a;b,c&d (e) {f}", "a;b@{c}"),
}
"""What adapters and sites may be called: of NIC and site."""
PRIVATE = shop(VIP, VIP6, ports=(80, 443))


def served(version: str, kind: str = "plain") -> WindowsHost:
    """A host with a site on its own address alone, certificates and a listen list: everything a plan may be about."""
    host = WindowsHost(version)
    host.wire.name, site = NAMES[kind]
    host.wire.addresses.append(Address("fd00::101", 64))
    host.wire.gateways.append("fd00::1")
    own, own6 = "10.0.0.101", "[fd00::101]"
    bindings = [Binding("http", f"{one}:80:") for one in (own, own6)]
    bindings += [Binding("https", f"{one}:443:", "AB" * 20, "My") for one in (own, own6)]
    host.sites = [Site(site, bindings)]
    host.listeners = [("tcp", "0.0.0.0", 5985)]
    host.listen = [own, "fd00::101"]
    application = "{4dc3e181-e14b-4a21-b022-59fc669b0914}"
    host.certificates = {f"{own}:443": ("AB" * 20, application, "MY"), f"{own6}:443": ("AB" * 20, application, "MY")}
    host.neighbours = {VIP: "02:00:00:00:00:09", VIP6: "02:00:00:00:00:09"}
    return host


def by_hand(host: WindowsHost, change: LinkChange) -> None:
    """What Device Manager does, where a line says only that."""
    if change.new:
        host.bind(host.register("BYHAND"))
        host.adapters[-1].name, host.adapters[-1].polls = change.interface, 0
    else:
        host.remove(next(one.pnp for one in host.adapters if one.name == change.interface))


def pasted(host: WindowsHost, deployment: Deployment) -> list[str]:
    """Pastes the review of its plan. What failed."""
    plan = host_plan(deployment, deployment.servers[0], look(host, deployment))
    assert plan.steps, plan.problem
    found = []
    for step in plan.steps:
        for change in step.changes:
            if isinstance(change, LinkChange):
                by_hand(host, change)
        found += in_powershell(host, *step_commands(step))
    return found


def left(host: WindowsHost, deployment: Deployment) -> list[str]:
    return [step.id for step in host_plan(deployment, deployment.servers[0], look(host, deployment)).steps]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_review_typed_by_hand_leaves_nothing_to_do(version: str) -> None:
    host = served(version)
    assert pasted(host, PRIVATE) == []
    assert left(host, PRIVATE) == []
    for vip in (VIP, VIP6):
        assert host.accepts(vip), vip
        assert not host.leaks(vip), vip
        assert all(host.admits(vip, "tcp", port) and host.serves(vip, "tcp", port) for port in (80, 443)), vip
    assert host.neighbours == {}
    assert host.wire.holding("10.0.0.101") is not None


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("version", ["2008", "2012", "2022"])
def test_whatever_adapters_and_sites_are_called(version: str, kind: str) -> None:
    host = served(version, kind)
    assert pasted(host, PRIVATE) == []
    assert host.accepts(VIP)
    assert host.accepts(VIP6)
    assert host.serves(VIP, "tcp", 443)


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("version", ["2008 R2", "2012 R2", "2025"])
def test_whatever_the_loopback_adapter_is_called(version: str, kind: str) -> None:
    """`vip_interface` may name one that somebody made."""
    deployment = shop(VIP, VIP6, vip_interface=NAMES[kind][0])
    host = WindowsHost(version)
    host.wire.name = "Wire"
    host.wire.addresses.append(Address("fd00::101", 64))
    host.bind(host.register("BYHAND"))
    host.adapters[-1].name, host.adapters[-1].polls = NAMES[kind][0], 0
    assert pasted(host, deployment) == []
    assert host.accepts(VIP)
    assert host.accepts(VIP6)
    assert (host.adapters[-1].netbios, host.adapters[-1].register) == (2, False)


def test_a_2008_without_its_hotfix_takes_the_address_all_the_same() -> None:
    host = served("2008")
    host.skip_as_source = False
    assert pasted(host, PRIVATE) == []
    assert host.accepts(VIP)
    assert host.accepts(VIP6)


@pytest.mark.parametrize("version", ["2012", "2022"])
def test_the_pseudo_interface_by_its_index(version: str) -> None:
    host = WindowsHost(version)
    deployment = shop(vip_interface="pseudo")
    assert pasted(host, deployment) == []
    assert left(host, deployment) == []
    assert host.accepts(VIP)


@pytest.mark.parametrize("version", ["2008", "2008 R2", "2012", "2016", "2025"])
def test_the_undo_typed_by_hand_leaves_the_host_as_it_was(version: str) -> None:
    host = served(version)
    before = host.state()
    steps = host_plan(PRIVATE, PRIVATE.servers[0], look(host, PRIVATE)).steps
    assert pasted(host, PRIVATE) == []
    for step in reversed(steps):
        assert in_powershell(host, *undo_commands(step)) == []
        for change in step.inverse().changes:
            if isinstance(change, LinkChange):
                by_hand(host, change)
    assert host.state() == before


# -- what a fix says

BY_HAND = {"windows-adapter, removed", "firewall, policy", "service-down", "rip-only-listener", "address-conflict"}
"""Faults whose fix is no line to type: another program's, another host's, a group policy's, or an apply's."""


FOUR_ONLY_2008 = ("windows-adapter, DHCP", "not-persistent")
"""Before 2012 these are about IPv4 alone: DHCP ends with an IPv4 VIP, and only its store is read."""


@cache
def broken(version: str, name: str, six: bool) -> WindowsHost:
    deployment = shop(VIP6) if six else shop()
    host = set_up(version, deployment)
    FAULTS[name].make(host)
    return host


CASES = [
    (version, name, six)
    for version in VERSIONS
    for name in FAULTS
    for six in (False, True)
    if not ("2008" in version and name in UNTOLD_2008)
    and (not six or version == "2025" or (version == "2008 R2" and name not in FOUR_ONLY_2008))
]


@pytest.mark.parametrize(("version", "name", "six"), CASES)
def test_a_fix_mends_what_it_is_said_for(version: str, name: str, six: bool) -> None:
    deployment = shop(VIP6) if six else shop()
    host = copy.deepcopy(broken(version, name, six))
    report = diagnose(evidence(host, look(host, deployment), deployment))
    failed = report.failures
    assert failed, name
    if name in BY_HAND:
        return
    for one in failed:
        line = said_to_type(one.fix).replace("<router>", "fd00::1" if six else "10.0.0.1")
        assert in_powershell(host, line) == [], line
    after = diagnose(evidence(host, look(host, deployment), deployment))
    assert faults(after) == []
    assert host.accepts(deployment.vips[0].address)


@pytest.mark.parametrize("version", ["2008", "2008 R2", "2012", "2022"])
def test_what_shows_something_can_be_pasted_too(version: str) -> None:
    """Nothing is known but the system: each check that could not be made says what to look at."""
    system = "windows-2008" if "2008" in version else "windows-2012"
    deployment = shop(VIP, VIP6)
    server = msgspec.structs.replace(deployment.servers[0], connect="manual", system=system)
    deployment = msgspec.structs.replace(deployment, servers=(server,))
    host = set_up(version, shop(VIP, VIP6))
    host.events.append(Event(4199, "10.0.0.77", "02:00:00:00:00:77"))  # without any, looking for them is an error
    seen = evidence(host, None, deployment, wire=False)
    lines = {said_to_type(one.fix) for one in diagnose(seen).checks if one.fix.startswith("On win1: ")}
    lines = {line for line in lines if not line.startswith("in ")}
    assert len(lines) > 5
    for line in sorted(lines):
        assert in_powershell(host, line) == [], line


@pytest.mark.parametrize(
    "name",
    ["Block all", "it's", "50% off", "a`b $c", "“quoted”", "Tom & Jerry", "a;b", "x [1]"],
)
@pytest.mark.parametrize("version", ["2008 R2", "2022"])
def test_a_rule_that_blocks_is_turned_off_by_its_name(version: str, name: str) -> None:
    host = set_up(version)
    host.rules.append(Rule(name, ports="80", action=0))
    failed = next(one for one in diagnose(evidence(host, look(host), wire=False)).failures if one.cause == "firewall")
    assert in_powershell(host, said_to_type(failed.fix)) == []
    assert [rule.name for rule in host.rules if not rule.enabled] == [name]


@pytest.mark.parametrize("name", ['say "no"', "ends in \\", "all"])
def test_a_rule_that_no_line_can_name_is_left_to_the_window(name: str) -> None:
    host = set_up("2022")
    host.rules.append(Rule(name, ports="80", action=0))
    failed = next(one for one in diagnose(evidence(host, look(host), wire=False)).failures if one.cause == "firewall")
    assert "netsh" not in failed.fix
    assert "in Windows Firewall, disable the inbound rule" in failed.fix


def test_the_undo_of_a_rule_takes_that_rule_away() -> None:
    host = set_up("2019")
    FAULTS["firewall, rule removed"].make(host)
    before = host.state()
    (failed,) = diagnose(evidence(host, look(host))).failures
    assert in_powershell(host, said_to_type(failed.fix)) == []
    assert host.state() != before
    assert in_powershell(host, undo_in(failed.fix)) == []
    assert host.state() == before


def test_of_a_plan_nothing_is_said_that_is_not_typed_or_a_comment() -> None:
    """A comment stands only for what no command does."""
    for version in ("2008 R2", "2022"):
        host = served(version)
        steps = host_plan(PRIVATE, PRIVATE.servers[0], look(host, PRIVATE)).steps
        lines = [line for step in steps for change in step.changes for line in commands(change)]
        told = [line for line in lines if line.startswith("#")]
        assert all("SetupAPI" in line or "renamed" in line or "makes dsrwizard static" in line for line in told), told
