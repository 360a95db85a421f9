"""A Windows real server's faults, each made on the model and named for what it is.

What the network sees follows from the model's state; scripts run once for each state, then facts are combined.
"""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any

import msgspec
import pytest

from dsrwizard.core.diagnosis import diagnose
from dsrwizard.core.model.facts import ServerFacts
from dsrwizard.core.plan.mend import mending
from tests.unit.diagnosed import faults, find, only
from tests.windows.conftest import VIP, VIP6, shop
from tests.windows.diagnosed import (
    SOME,
    evidence,
    look,
    set_up,
    unknown,
    verify,
)
from tests.windows.faults import FAULTS, UNTOLD_2008
from tests.windows.host import WindowsHost

# -- healthy


@pytest.mark.parametrize("version", ["2008", *SOME, "2012"])
def test_a_server_that_is_set_up_passes(version: str) -> None:
    report = verify(set_up(version))
    assert faults(report) == []
    assert report.verdict == "pass"
    # The firewall opens the VIP alone, and another product balances. Before 2012 no script can tell what is bound to an
    # adapter.
    assert unknown(report) == {"server.health_check"} | ({"server.bindings"} if "2008" in version else set())
    assert find(report, "server.rp_filter", "win1").outcome == "skipped"
    assert "254" not in " ".join(check.message + check.evidence for check in report.checks)


@pytest.mark.parametrize("version", SOME)
def test_ipv6_is_judged_by_its_own_settings(version: str) -> None:
    both = shop(VIP, VIP6)
    host = set_up(version, both)
    report = verify(host, both)
    assert (faults(report), report.verdict) == ([], "pass")
    host.wire.rows[6].weak_receive = False
    failed = only(verify(host, both))
    assert (failed.cause, failed.vip) == ("weak-host", VIP6)
    assert "IPv6" in failed.message or "ipv6" in failed.fix
    host.wire.rows[4].weak_receive = False
    assert faults(verify(host, both)) == [("weak-host", "win1")] * 2


def test_the_built_in_pseudo_interface_has_the_weak_host_model_only() -> None:
    deployment = shop(vip_interface="pseudo")
    host = set_up("2022", deployment)
    report = verify(host, deployment)
    assert (faults(report), report.verdict) == ([], "pass")
    assert find(report, "server.adapter", "win1").outcome == "skipped"
    host.pseudo.rows[4].weak_send = False
    failed = only(verify(host, deployment))
    assert failed.cause == "weak-host"
    assert "Set-NetIPInterface -InterfaceIndex 1 -AddressFamily IPv4 -WeakHostSend Enabled" in failed.fix


# -- each fault alone

FIXES = {
    "weak-host, receive on the NIC": (
        "Set-NetIPInterface -InterfaceAlias 'Ethernet' -AddressFamily IPv4 -WeakHostReceive Enabled",
        'netsh interface ipv4 set interface "Ethernet" weakhostreceive=enabled store=persistent',
    ),
    "weak-host, send on the loopback": (
        "Set-NetIPInterface -InterfaceAlias 'dsrwizard' -AddressFamily IPv4 -WeakHostSend Enabled",
        'netsh interface ipv4 set interface "dsrwizard" weakhostsend=enabled store=persistent',
    ),
    "windows-adapter, removed": ("dsrwizard apply installs it", "dsrwizard apply installs it"),
    "windows-adapter, disabled": (
        "Enable-NetAdapter -Name 'dsrwizard'",
        'netsh interface set interface name="dsrwizard" admin=enabled',
    ),
    "windows-adapter, DNS registration": (
        "Set-DnsClient -InterfaceAlias 'dsrwizard' -RegisterThisConnectionsAddress $false",
        ".SetDynamicDNSRegistration($false, $false)",
    ),
    "windows-adapter, NetBIOS": (".SetTcpipNetbios(2)", ".SetTcpipNetbios(2)"),
    "windows-adapter, DHCP": (
        "Set-NetIPInterface -InterfaceAlias 'dsrwizard' -AddressFamily IPv4 -Dhcp Disabled",
        f'netsh interface ipv4 set address name="dsrwizard" static {VIP} 255.255.255.255',
    ),
    "windows-adapter, gateway": (
        "Remove-NetRoute -DestinationPrefix 0.0.0.0/0 -InterfaceAlias 'dsrwizard' -NextHop 10.0.0.254",
        'netsh interface ipv4 delete route 0.0.0.0/0 "dsrwizard" 10.0.0.254',
    ),
    "windows-adapter, bindings": ("Disable-NetAdapterBinding -Name 'dsrwizard' -ComponentID ms_server", ""),
    "windows-adapter, speaks from the VIP": (f"Set-NetIPAddress -IPAddress {VIP} -SkipAsSource $true", ""),
    "vip-missing": (
        f"New-NetIPAddress -InterfaceAlias 'dsrwizard' -IPAddress {VIP} -PrefixLength 32",
        f'netsh interface ipv4 add address "dsrwizard" {VIP} 255.255.255.255',
    ),
    "vip-prefix": (
        f"Remove-NetIPAddress -IPAddress {VIP} -InterfaceAlias 'dsrwizard' -Confirm:$false; arp -d *; New-NetIPAddress",
        f'netsh interface ipv4 delete address "dsrwizard" {VIP}; arp -d *; '
        f'netsh interface ipv4 add address "dsrwizard" {VIP}',
    ),
    "not-persistent": (
        f"Remove-NetIPAddress -IPAddress {VIP} -InterfaceAlias 'dsrwizard' -Confirm:$false; arp -d *; New-NetIPAddress",
        'netsh interface ipv4 add address "dsrwizard"',
    ),
    "arp-leak, VIP on the NIC": (
        f"Remove-NetIPAddress -IPAddress {VIP} -InterfaceAlias 'Ethernet' -Confirm:$false; arp -d *; New-NetIPAddress "
        "-InterfaceAlias 'dsrwizard'",
        f'netsh interface ipv4 delete address "Ethernet" {VIP}; arp -d *; '
        f'netsh interface ipv4 add address "dsrwizard" {VIP}',
    ),
    "gateway, none": (
        "New-NetRoute -DestinationPrefix 0.0.0.0/0 -InterfaceAlias 'Ethernet' -NextHop",
        'netsh interface ipv4 add route 0.0.0.0/0 "Ethernet"',
    ),
    "firewall, rule removed": (f"netsh advfirewall firewall add rule name=dsrwizard-{VIP}-tcp-80 dir=in",) * 2,
    "firewall, block all": ('netsh advfirewall set allprofiles firewallpolicy "blockinbound,allowoutbound"',) * 2,
    "site-binding, explicit address": (f"/+bindings.[protocol='http',bindingInformation='{VIP}:80:']",) * 2,
    "site-binding, listen list": (f"netsh http add iplisten {VIP}",) * 2,
}
"""What the operator is told to type, from 2012 on and before."""
ELSEWHERE = {"arp-leak, VIP on the NIC": "arp.audit", "vip-missing": "vip.probe", "vip-prefix": "server.vip"}
STEPS = {
    "weak-host": ["weak-host"], "vip-missing": [f"vip {VIP}"], "vip-prefix": [f"vip {VIP}"],
    "firewall": [f"firewall {VIP}"], "site-binding": [f"sites {VIP}"], "windows-adapter": ["hygiene"],
}  # fmt: skip
"""Cause → the steps of the real plan that mend it."""
NOT_MENDED = {
    "windows-adapter, removed", "windows-adapter, disabled", "windows-adapter, gateway",
    "windows-adapter, speaks from the VIP", "firewall, block all", "firewall, policy",
}  # fmt: skip
"""What no step of the plan changes, or all of them together."""


@cache
def broken(version: str, name: str) -> tuple[WindowsHost, ServerFacts]:
    host = set_up(version)
    FAULTS[name].make(host)
    return host, look(host)


EACH = [(version, name) for version in SOME for name in FAULTS if version == "2025" or name not in UNTOLD_2008]


@pytest.mark.parametrize(("version", "name"), EACH)
def test_each_fault_is_named_alone_with_what_mends_it(version: str, name: str) -> None:
    host, facts = broken(version, name)
    fault = FAULTS[name]
    report = diagnose(evidence(host, facts))
    failed = only(report)
    assert (failed.cause, failed.host) == (fault.cause, "win1")
    assert (find(report, "vip.probe", "win1").outcome != "pass") is fault.stops
    assert FIXES.get(name, ("", ""))[SOME.index(version) ^ 1] in failed.fix
    assert failed.fix.startswith(("On win1: ", "Start ", "Find ", "In the group policy of win1"))
    assert "PersistentStore" not in failed.fix
    assert not {"sysctl", "ip addr", "ip route"} & set(failed.fix.split("; ")), failed.fix
    assert all(check.consequence_of in ("", fault.cause) for check in report.checks)


@pytest.mark.parametrize(("version", "name"), [one for one in EACH if one[0] == "2025"])
def test_without_raw_sockets_the_facts_still_name_it(version: str, name: str) -> None:
    host, facts = broken(version, name)
    report = diagnose(evidence(host, facts, wire=False))
    if name == "firewall, policy":  # whether a policy of its own lets them in is not among the facts
        assert faults(report) == []
        assert find(report, "server.firewall", "win1").outcome == "unknown"
    else:
        assert faults(report) == [(FAULTS[name].cause, "win1")]


@pytest.mark.parametrize(("version", "name"), [one for one in EACH if FAULTS[one[1]].cause in STEPS])
def test_the_steps_of_the_plan_mend_it(version: str, name: str) -> None:
    host, facts = broken(version, name)
    seen = evidence(host, facts)
    (cure,) = mending(seen.deployment, seen.observed, diagnose(seen).failures).cures
    steps = [step.id for step in cure.steps]
    if name == "windows-adapter, removed":
        assert steps[0] == "adapter dsrwizard"
        assert f"vip {VIP}" in steps
    elif name not in NOT_MENDED | ({"windows-adapter, DHCP"} if version == "2008 R2" else set()):
        assert steps == STEPS[FAULTS[name].cause]
    else:
        assert (steps, bool(cure.by_hand)) == ([], True)


# -- several at once

PLACES = {
    "weak-host": "flags", "firewall": "firewall", "site-binding": "port", "service-down": "port",
    "rip-only-listener": "port", "vip-missing": "vip", "vip-prefix": "vip", "not-persistent": "vip", "arp-leak": "vip",
    "windows-adapter": "adapter", "gateway": "gateway", "address-conflict": "log",
}  # fmt: skip


def place(name: str) -> str:
    """What the fault changes."""
    return "vip" if name == "windows-adapter, speaks from the VIP" else PLACES[FAULTS[name].cause]


def hidden(one: str, other: str) -> set[str]:
    """Causes that the second fault's making, or its showing, keeps from being seen beside the first."""
    made = {one, other}
    if "windows-adapter, removed" in made or "windows-adapter, disabled" in made:
        # What is on the adapter goes with it; the flags of a disabled one stay.
        flags = "windows-adapter, removed" in made and "weak-host, receive on the NIC" not in made
        return {"vip-missing", "vip-prefix"} | ({"weak-host"} if flags else set())
    if "arp-leak, VIP on the NIC" in made and "address-conflict" in made:
        return {"address-conflict"}  # Windows noticed the load balancer
    return set()


PAIRS = [(one, other) for one, other in itertools.combinations(FAULTS, 2) if place(one) != place(other)]


def merged(base: Any, one: Any, other: Any) -> Any:
    """Two changed documents as one: what the first did not change is the second's."""
    if one == base:
        return other
    if other == base:
        return one
    if isinstance(base, dict) and isinstance(one, dict) and isinstance(other, dict):
        keys = [*one, *(key for key in other if key not in one)]
        return {key: merged(base.get(key), one.get(key), other.get(key)) for key in keys}
    if isinstance(base, list) and len(base) == len(one) == len(other):
        return [merged(*parts) for parts in zip(base, one, other, strict=True)]
    raise ValueError("both changed the same")


def test_any_two_faults_in_different_places_are_both_named() -> None:
    """Facts are combined from those of each alone, or read anew where both change one list."""
    healthy = msgspec.to_builtins(look(set_up()))
    wrong = []
    for one, other in PAIRS:
        host = set_up()
        try:
            FAULTS[one].make(host)
            FAULTS[other].make(host)
        except (StopIteration, IndexError):
            continue  # the first took away what the second changes
        try:
            document = merged(healthy, *(msgspec.to_builtins(broken("2025", name)[1]) for name in (one, other)))
            facts = msgspec.convert(document, ServerFacts)
        except ValueError:
            facts = look(host)
        named = {cause for cause, _ in faults(diagnose(evidence(host, facts)))}
        expected = {FAULTS[one].cause, FAULTS[other].cause} - hidden(one, other)
        if named != expected:
            wrong.append((one, other, sorted(named)))
    assert not wrong, "\n".join(map(str, wrong))
