"""A Windows real server's faults, each named for what it is: facts by the real scripts on the model, wire by the model.

What the network sees follows from the model's state; scripts run once for each state, then facts are combined.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.core.checks import Report
from dsrwizard.core.diagnosis import Evidence, diagnose
from dsrwizard.core.facts import DirectorFacts, Failure, Interface, InterfaceAddress, Observed, Route, ServerFacts
from dsrwizard.core.mending import mending
from dsrwizard.core.model import Deployment, Director, Service
from dsrwizard.core.plan import host_plan
from dsrwizard.core.ports import Answer, Connector
from dsrwizard.core.watching.judging import Seen
from dsrwizard.core.watching.judging import judged as judged_live
from dsrwizard.core.windows.facts import Conflict, FirewallRule, SiteBinding, WindowsAddress
from dsrwizard.core.windows.facts import Site as SeenSite
from dsrwizard.core.wire import Connected, Owners, Ping, Probed
from dsrwizard.engine.windows import WindowsServer
from tests.unit.diagnosed import faults, find, only
from tests.windows.conftest import VIP, VIP6, shop
from tests.windows.conftest import Farm as WindowsFarm
from tests.windows.faults import FAULTS, UNTOLD_2008
from tests.windows.host import Address, Event, WindowsHost

BALANCER = "02:00:00:00:00:01"
NOW = 1_800_000_000.0
UNTOLD = {"server.half_open", "probe.client_like", "server.access"}
SOME = ["2008 R2", "2025"]
"""One of each dialect."""


class Straight:
    """A connection straight to the model."""

    def __init__(self, host: WindowsHost) -> None:
        self.host = host

    def run(self, script: str, *, deadline: float, on_line: Callable[[str], None] | None = None) -> Answer:
        out: list[str] = []
        err: list[str] = []

        def said(line: str) -> None:
            out.append(line)
            if on_line is not None:
                on_line(line)

        status = self.host.execute(script, said, err.append)
        return Answer(status=status, stdout="\n".join(out), stderr="\n".join(err))

    def close(self) -> None:
        pass


def port(host: WindowsHost, deployment: Deployment) -> WindowsServer:
    connector: Connector = Straight(host)
    return WindowsServer(deployment.servers[0], lambda: connector, clock=lambda: NOW)


def _must_work(step: str, worked: bool, said: str) -> None:
    assert worked, f"{step}: {said}"


@cache
def _set_up(version: str, deployment: Deployment) -> WindowsHost:
    host = WindowsHost(version)
    host.wire.addresses.append(Address("fd00::101", 64))
    host.wire.gateways.append("fd00::1")
    host.listeners.append(("tcp", "::", 80))
    server = port(host, deployment)
    facts = server.observe(deployment)
    steps = host_plan(deployment, deployment.servers[0], facts).steps
    assert steps
    server.apply(steps, _must_work, lambda _: None)
    return host


def set_up(version: str = "2025", deployment: Deployment | None = None) -> WindowsHost:
    """A host that dsrwizard has set up, with both address families."""
    return copy.deepcopy(_set_up(version, deployment or shop()))


def look(host: WindowsHost, deployment: Deployment | None = None) -> ServerFacts:
    wanted = deployment or shop()
    return port(host, wanted).observe(wanted)


def evidence(
    host: WindowsHost, facts: ServerFacts | None, deployment: Deployment | None = None, *, wire: bool = True
) -> Evidence:
    """What the network shows of the host. Without `wire` nobody may use raw sockets."""
    deployment = deployment or shop()
    server, mac = deployment.servers[0], host.wire.mac
    owners: dict[str, tuple[str, ...]] = {server.address: (mac,), "fd00::101": (mac,)}
    probes, connects = [], []
    for vip in deployment.vips:
        owners[vip.address] = (BALANCER, mac) if host.leaks(vip.address) else (BALANCER,)
        for service in vip.services:
            rip = server.rip_for(vip) or ""
            probes.append(_probe(host, rip, vip.address, service.port, wire=wire))
            reached = host.admits(rip, "tcp", service.port) and host.serves(rip, "tcp", service.port)
            connects.append(Connected(address=rip, port=service.port, result="open" if reached else "silent"))
    no = "" if wire else "Raw sockets need root or CAP_NET_RAW."
    return Evidence.gathered(
        deployment,
        Observed(
            servers={} if facts is None else {"win1": facts},
            failed={"win1": Failure(kind="refused", what="win1: the password was refused.")} if facts is None else {},
        ),
        pings={rip: Ping(address=rip, milliseconds=0.4, problem="") for rip in (server.address, "fd00::101")},
        connects=connects,
        owners={one: Owners(address=one, macs=() if no else macs, problem=no) for one, macs in owners.items()},
        probes=probes,
    )


def _probe(host: WindowsHost, rip: str, vip: str, port: int, *, wire: bool) -> Probed:
    mac = host.wire.mac
    if not wire:
        return Probed(vip=vip, port=port, protocol="tcp", rip=rip, signature="unknown", problem="no raw sockets")
    if not (host.accepts(vip) and host.admits(vip, "tcp", port)):
        return Probed(vip=vip, port=port, protocol="tcp", rip=rip, mac=mac, signature="silence")
    if host.serves(vip, "tcp", port):
        return Probed(vip=vip, port=port, protocol="tcp", rip=rip, mac=mac, signature="syn-ack", answered_by=mac)
    # A port that nobody listens on is not refused while the firewall is on ("stealth mode").
    if any(host.profiles.values()):
        return Probed(vip=vip, port=port, protocol="tcp", rip=rip, mac=mac, signature="silence")
    return Probed(vip=vip, port=port, protocol="tcp", rip=rip, mac=mac, signature="rst", answered_by=mac)


def verify(host: WindowsHost, deployment: Deployment | None = None, *, wire: bool = True) -> Report:
    return diagnose(evidence(host, look(host, deployment), deployment, wire=wire))


def unknown(report: Report) -> set[str]:
    return {check.check for check in report.checks if check.outcome == "unknown"} - UNTOLD


# -- healthy


@pytest.mark.parametrize("version", ["2008", *SOME, "2012"])
def test_a_server_that_is_set_up_passes(version: str) -> None:
    report = verify(set_up(version))
    assert faults(report) == []
    assert report.verdict == "pass"
    # Before 2012 no script can tell what is bound to an adapter.
    assert unknown(report) == ({"server.bindings"} if "2008" in version else set())
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
        f"Remove-NetIPAddress -IPAddress {VIP} -InterfaceAlias 'dsrwizard' -Confirm:$false; New-NetIPAddress",
        f'netsh interface ipv4 delete address "dsrwizard" {VIP}; netsh interface ipv4 add address "dsrwizard" {VIP}',
    ),
    "not-persistent": ("-PolicyStore PersistentStore", 'netsh interface ipv4 add address "dsrwizard"'),
    "arp-leak, VIP on the NIC": (
        f"Remove-NetIPAddress -IPAddress {VIP} -InterfaceAlias 'Ethernet' -Confirm:$false; New-NetIPAddress "
        "-InterfaceAlias 'dsrwizard'",
        f'netsh interface ipv4 delete address "Ethernet" {VIP}; netsh interface ipv4 add address "dsrwizard" {VIP}',
    ),
    "gateway, none": (
        "New-NetRoute -DestinationPrefix 0.0.0.0/0 -InterfaceAlias 'Ethernet' -NextHop",
        'netsh interface ipv4 add route 0.0.0.0/0 "Ethernet"',
    ),
    "firewall, rule removed": (f"netsh advfirewall firewall add rule name=dsrwizard-{VIP}-tcp-80 dir=in",) * 2,
    "firewall, block all": ("netsh advfirewall set allprofiles firewallpolicy blockinbound,allowoutbound",) * 2,
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
    assert not {"sysctl", "ip addr", "ip route"} & set(failed.fix.split("; ")), failed.fix
    assert all(check.consequence_of in ("", fault.cause) for check in report.checks)


@pytest.mark.parametrize(("version", "name"), EACH)
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


# -- what the model does not do, told by facts alone


@cache
def _healthy(version: str) -> tuple[WindowsHost, ServerFacts]:
    host = set_up(version)
    return host, look(host)


def altered(version: str = "2025", **fields: Any) -> ServerFacts:
    """A healthy server's facts with other values of WindowsFacts."""
    facts = _healthy(version)[1]
    assert facts.windows is not None
    return msgspec.structs.replace(facts, windows=msgspec.structs.replace(facts.windows, **fields))


def on_loopback(version: str = "2025", **fields: Any) -> ServerFacts:
    """The same with other values of the adapter that carries the VIP."""
    windows = _healthy(version)[1].windows
    assert windows is not None
    adapters = tuple(
        msgspec.structs.replace(one, **fields) if one.name == "dsrwizard" else one for one in windows.adapters
    )
    return altered(version, adapters=adapters)


def judged(
    facts: ServerFacts | None, *, wire: bool = True, change: Callable[[Evidence], Evidence] | None = None
) -> Report:
    seen = evidence(_healthy("2025")[0], facts, wire=wire)
    return diagnose(change(seen) if change else seen)


class TestSites:
    """http.sys accepts connections on every address and refuses the request after that."""

    def site(self, information: str, protocol: str = "http", flags: int = 0) -> tuple[SeenSite, ...]:
        binding = SiteBinding(protocol=protocol, information=information, ssl_flags=flags)
        return (SeenSite(name="Shop", started=True, bindings=(binding,)),)

    def test_a_connection_that_opens_does_not_clear_a_site_bound_elsewhere(self) -> None:
        report = judged(altered(sites=self.site("10.0.0.101:80:")))
        assert find(report, "vip.probe", "win1").outcome == "pass"
        failed = only(report)
        assert (failed.check, failed.cause) == ("server.sites", "site-binding")
        assert "Shop: http 10.0.0.101:80:" in failed.evidence

    @pytest.mark.parametrize("information", ["*:80:", "*:80:shop.example", f"{VIP}:80:"])
    def test_a_site_on_all_addresses_or_the_vip_passes(self, information: str) -> None:
        report = judged(altered(sites=self.site(information)))
        assert faults(report) == []
        assert find(report, "server.sites", "win1").outcome == "pass"

    @pytest.mark.parametrize(
        ("certificates", "flags", "missing"),
        [
            ({}, 0, True),
            ({"10.0.0.101:80": f"{'AB' * 20} {{id}} MY"}, 0, True),
            ({"0.0.0.0:80": f"{'AB' * 20} {{id}} MY"}, 0, False),
            ({f"{VIP}:80": f"{'AB' * 20} {{id}} MY"}, 0, False),
            ({}, 1, False),
        ],
    )
    def test_https_on_the_vip_needs_a_certificate_there(
        self, certificates: dict[str, str], flags: int, missing: bool
    ) -> None:
        report = judged(altered(sites=self.site(f"{VIP}:80:", "https", flags), certificates=certificates))
        assert faults(report) == ([("site-binding", "win1")] if missing else [])
        if missing and certificates:
            assert f"netsh http add sslcert ipport={VIP}:80 certhash={'AB' * 20} appid={{id}}" in only(report).fix

    def test_sites_that_could_not_be_read_are_unknown(self) -> None:
        report = judged(altered(sites=None))
        check = find(report, "server.sites", "win1")
        assert (check.outcome, report.verdict) == ("unknown", "unknown")
        assert "appcmd list site" in check.fix


class TestFirewall:
    def rule(self, **fields: Any) -> FirewallRule:
        return msgspec.structs.replace(FirewallRule(name="No web", enabled=True, protocol=6, ports="80"), **fields)

    def rules(self, *more: FirewallRule) -> ServerFacts:
        windows = _healthy("2025")[1].windows
        assert windows is not None
        return altered(rules=(*(windows.rules or ()), *more))

    def test_a_rule_that_blocks_goes_before_one_that_allows(self) -> None:
        failed = only(judged(self.rules(self.rule(allow=False)), wire=False))
        assert (failed.cause, failed.evidence.startswith("block rule “No web”")) == ("firewall", True)
        assert 'set rule name="No web" new enable=no' in failed.fix

    @pytest.mark.parametrize(
        "fields", [{"ports": "*"}, {"ports": "81"}, {"enabled": False}, {"addresses": "10.0.0.101"}, {"protocol": 17}]
    )
    def test_a_rule_about_something_else_does_not_count(self, fields: dict[str, Any]) -> None:
        """One for any port and address is a program's, which is not among the facts."""
        assert faults(judged(self.rules(self.rule(**({"allow": False} | fields))), wire=False)) == []

    def test_what_came_through_clears_it_whatever_the_rules_say(self) -> None:
        assert faults(judged(altered(rules=()))) == []

    def test_dropped_though_a_rule_lets_it_in_something_else_drops_it(self) -> None:
        host, facts = _healthy("2025")
        host = copy.deepcopy(host)
        host.block_all = True  # since the facts were read
        failed = only(diagnose(evidence(host, facts)))
        assert failed.cause == "firewall"
        assert f"rule “dsrwizard-{VIP}-tcp-80” would let it in" in failed.evidence
        assert "netsh wfp show netevents" in failed.fix

    def test_a_firewall_that_is_off_passes(self) -> None:
        windows = _healthy("2025")[1].windows
        assert windows is not None
        assert windows.firewall is not None
        off = msgspec.structs.replace(windows.firewall, profiles={"public": False}, block_all=True)
        check = find(judged(altered(firewall=off, rules=()), wire=False), "server.firewall", "win1")
        assert check.outcome == "pass"

    def test_rules_that_could_not_be_read_are_unknown_with_the_command(self) -> None:
        check = find(judged(altered(rules=None), wire=False), "server.firewall", "win1")
        assert (check.outcome, "netsh advfirewall firewall show rule" in check.fix) == ("unknown", True)


class TestConflicts:
    def facts(self, at: float = NOW) -> ServerFacts:
        return altered(conflicts=(Conflict(event=4199, address=VIP, mac="02:00:00:00:be:ef", at=at),))

    def since(self, when: float) -> Callable[[Evidence], Evidence]:
        return lambda seen: msgspec.structs.replace(seen, deployed={"win1": when})

    def test_one_from_before_the_vip_was_put_there_does_not_count(self) -> None:
        assert faults(judged(self.facts(), change=self.since(NOW - 1))) == [("address-conflict", "win1")]
        assert faults(judged(self.facts(), change=self.since(NOW + 1))) == []

    def test_the_journal_tells_since_when(self, tmp_path: Path) -> None:
        one = WindowsFarm(tmp_path, WindowsHost(), shop())
        one.host.events.append(Event(4199, VIP, "02:00:00:00:be:ef", 3600))
        assert find(one.engine.verify(one.deployment), "server.conflict", "win1").cause == "address-conflict"
        assert one.apply().ok
        assert find(one.engine.verify(one.deployment), "server.conflict", "win1").outcome == "pass"
        FAULTS["address-conflict"].make(one.host)
        assert find(one.engine.verify(one.deployment), "server.conflict", "win1").cause == "address-conflict"

    def test_another_address_does_not_count(self) -> None:
        other = Conflict(event=4198, address="10.0.0.101", mac="", at=NOW)
        odd = Conflict(event=4198, address="?", mac="", at=NOW)
        assert faults(judged(altered(conflicts=(other, odd)))) == []

    def test_a_second_owner_on_the_wire_explains_it(self) -> None:
        def doubled(seen: Evidence) -> Evidence:
            owners = {**seen.owners, VIP: Owners(address=VIP, macs=(BALANCER, "02:00:00:00:be:ef"))}
            return msgspec.structs.replace(seen, owners=owners)

        report = judged(self.facts(), change=doubled)
        assert faults(report) == [("duplicate-vip", "director")]
        assert find(report, "server.conflict", "win1").consequence_of == "duplicate-vip"

    def test_a_vip_given_up_for_it_is_not_missing_for_a_reason_of_its_own(self) -> None:
        host = set_up()
        FAULTS["address-conflict"].make(host)
        (entry,) = [one for adapter in host.adapters for one in adapter.addresses if one.address == VIP]
        entry.state = 3
        failed = only(verify(host))
        assert (failed.check, failed.cause) == ("vip.probe", "address-conflict")

    def test_a_log_that_could_not_be_read_is_unknown_and_spoils_nothing(self) -> None:
        report = judged(altered(conflicts=None))
        assert find(report, "server.conflict", "win1").outcome == "unknown"
        assert report.verdict == "pass"


class TestUnseen:
    @pytest.mark.parametrize("version", SOME)
    def test_flags_that_could_not_be_read_are_unknown_with_the_command(self, version: str) -> None:
        command = "Get-NetIPInterface -AddressFamily IPv4" if version == "2025" else "netsh interface ipv4 show"
        facts = on_loopback(version, settings=())
        check = find(judged(facts, wire=False), "server.weak_host", "win1")
        assert (check.outcome, command in check.fix) == ("unknown", True)
        assert find(judged(facts), "server.weak_host", "win1").outcome == "pass"  # a packet came in

    def test_an_address_that_may_not_be_kept_is_unknown(self) -> None:
        address = WindowsAddress(address=VIP, prefix=32, state=4, persistent=None)
        report = judged(on_loopback("2008 R2", addresses=(address,)))
        check = find(report, "server.persistent", "win1")
        assert (check.outcome, "show addresses" in check.fix, report.verdict) == ("unknown", True, "pass")

    def test_without_a_login_the_wire_tells_what_it_can_and_nothing_is_told_of_linux(self) -> None:
        report = judged(None)
        assert faults(report) == []
        for check in ("server.guard", "server.weak_host", "server.firewall"):
            assert find(report, check, "win1").outcome == "pass"
        told = " ".join(check.fix for check in report.checks)
        assert not any(word in told for word in ("sysctl", "ip addr", "ip route", "ss -l", "tcpdump"))
        blind = judged(None, wire=False)
        assert (faults(blind), blind.verdict) == ([], "unknown")
        told = " ".join(check.fix for check in blind.checks)
        assert not any(word in told for word in ("sysctl", "ip addr", "ip route", "ss -l", "tcpdump"))


class TestOddities:
    def test_a_vip_on_somebody_elses_loopback_adapter_is_judged_there(self) -> None:
        report = judged(on_loopback(name="Loopback"))
        assert faults(report) == []
        windows = on_loopback(name="Loopback", netbios=0)
        failed = only(judged(windows))
        assert (failed.cause, "Loopback" in failed.message) == ("windows-adapter", True)

    def test_an_adapter_without_ip_carries_no_vip(self) -> None:
        host = copy.deepcopy(_healthy("2025")[0])
        (adapter,) = [one for one in host.adapters if one.loopback]
        adapter.bindings["ms_tcpip"] = False
        adapter.addresses.clear()
        failed = only(verify(host))
        assert failed.cause == "windows-adapter"
        assert "Enable-NetAdapterBinding -Name 'dsrwizard' -ComponentID ms_tcpip" in failed.fix

    def test_a_metric_of_any_value_is_no_guard_and_no_fault(self) -> None:
        host = copy.deepcopy(_healthy("2025")[0])
        for adapter in host.adapters:
            for row in adapter.rows.values():
                row.metric, row.automatic = 25, True
        assert faults(verify(host)) == []
        host.wire.addresses.append(Address(VIP, 32))
        for adapter in host.adapters:
            for row in adapter.rows.values():
                row.metric, row.automatic = 254, False
        assert faults(verify(host)) == [("arp-leak", "win1")]

    def test_a_leak_its_settings_do_not_explain_is_told_once_with_what_to_look_at(self) -> None:
        def leaking(seen: Evidence) -> Evidence:
            owners = {**seen.owners, VIP: Owners(address=VIP, macs=(BALANCER, _healthy("2025")[0].wire.mac))}
            return msgspec.structs.replace(seen, owners=owners)

        failed = only(judged(_healthy("2025")[1], change=leaking))
        assert (failed.cause, failed.check) == ("arp-leak", "arp.audit")
        assert f"Get-NetIPAddress -IPAddress {VIP}" in failed.fix

    def test_a_default_gateway_of_the_director_is_named_with_its_own_commands(self) -> None:
        director = DirectorFacts(
            interfaces=(Interface(name="eth0", up=True, addresses=(InterfaceAddress(address="10.0.0.1", prefix=24),)),),
            default_routes=(Route(gateway="10.0.0.254", interface="eth0"),),
        )

        def balanced(seen: Evidence) -> Evidence:
            return msgspec.structs.replace(
                seen,
                deployment=msgspec.structs.replace(seen.deployment, director=Director(interface="eth0")),
                observed=msgspec.structs.replace(seen.observed, director=director),
            )

        check = find(judged(_healthy("2025")[1], change=balanced), "server.gateway", "win1")
        assert check.cause == "gateway"
        assert "Remove-NetRoute -DestinationPrefix 0.0.0.0/0 -InterfaceAlias 'Ethernet' -NextHop 10.0.0.1" in check.fix
        assert "New-NetRoute -DestinationPrefix 0.0.0.0/0 -InterfaceAlias 'Ethernet' -NextHop 10.0.0.254" in check.fix

    def test_2003_has_no_weak_host_model(self) -> None:
        deployment = shop()
        server = msgspec.structs.replace(deployment.servers[0], connect="manual", system="windows-2003")
        deployment = msgspec.structs.replace(deployment, servers=(server,))
        report = judged(None, wire=False, change=lambda seen: msgspec.structs.replace(seen, deployment=deployment))
        assert find(report, "server.weak_host", "win1").outcome == "skipped"


@pytest.mark.parametrize("seen", ["silence", "leak", "claim"])
def test_the_live_pane_tells_a_windows_server_nothing_of_linux(seen: str) -> None:
    server, mac = shop().servers[0], _healthy("2025")[0].wire.mac
    silent = Probed(vip=VIP, port=80, protocol="tcp", rip=server.address, mac=mac, signature="silence")
    place = {"silence": Seen(probe=silent), "leak": Seen(leak=mac), "claim": Seen(claim=mac)}[seen]
    fix = judged_live(server, Service(port=80), VIP, place).fix
    assert ("ipconfig" if seen == "silence" else "loopback adapter") in fix
    assert not any(word in fix for word in ("sysctl", "ip addr"))
