"""What Windows facts mean that the model does not bring about, in every way they may be seen or not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.core.diagnosis import Evidence, diagnose
from dsrwizard.core.live.judge import SeenOfServer
from dsrwizard.core.live.judge import judged as judged_live
from dsrwizard.core.model.answers import Owners, Probed
from dsrwizard.core.model.deployment import Director, Service
from dsrwizard.core.model.facts import DirectorFacts, Interface, InterfaceAddress, Route, ServerFacts
from dsrwizard.core.model.windows_facts import Conflict, FirewallRule, SiteBinding, WindowsAddress
from dsrwizard.core.model.windows_facts import Site as SeenSite
from tests.unit.diagnosed import faults, find, only
from tests.windows.conftest import VIP, shop
from tests.windows.conftest import Farm as WindowsFarm
from tests.windows.diagnosed import (
    BALANCER,
    NOW,
    SOME,
    altered,
    evidence,
    healthy,
    judged,
    on_loopback,
    set_up,
    verify,
)
from tests.windows.faults import FAULTS
from tests.windows.host import Address, Event, WindowsHost


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
            assert (
                f'netsh http add sslcert ipport={VIP}:80 certhash={"AB" * 20} "appid={{id}}" certstorename=MY'
                in only(report).fix
            )

    def test_sites_that_could_not_be_read_are_unknown(self) -> None:
        report = judged(altered(sites=None))
        check = find(report, "server.sites", "win1")
        assert (check.outcome, report.verdict) == ("unknown", "unknown")
        assert 'inetsrv\\appcmd.exe" list site' in check.fix


class TestFirewall:
    def rule(self, **fields: Any) -> FirewallRule:
        return msgspec.structs.replace(FirewallRule(name="No web", enabled=True, protocol=6, ports="80"), **fields)

    def rules(self, *more: FirewallRule) -> ServerFacts:
        windows = healthy("2025")[1].windows
        assert windows is not None
        return altered(rules=(*(windows.rules or ()), *more))

    def test_a_rule_that_blocks_goes_before_one_that_allows(self) -> None:
        failed = only(judged(self.rules(self.rule(allow=False)), wire=False))
        assert (failed.cause, failed.evidence.startswith("block rule “No web”")) == ("firewall", True)
        assert 'set rule name="No web" dir=in new enable=no' in failed.fix

    @pytest.mark.parametrize(
        "fields", [{"ports": "*"}, {"ports": "81"}, {"enabled": False}, {"addresses": "10.0.0.101"}, {"protocol": 17}]
    )
    def test_a_rule_about_something_else_does_not_count(self, fields: dict[str, Any]) -> None:
        """One for any port and address is a program's, which is not among the facts."""
        assert faults(judged(self.rules(self.rule(**({"allow": False} | fields))), wire=False)) == []

    def test_what_came_through_clears_it_whatever_the_rules_say(self) -> None:
        assert faults(judged(altered(rules=()))) == []

    def test_dropped_though_a_rule_lets_it_in_something_else_drops_it(self) -> None:
        host, facts = healthy("2025")
        host = copy.deepcopy(host)
        host.block_all = True  # since the facts were read
        failed = only(diagnose(evidence(host, facts)))
        assert failed.cause == "firewall"
        assert f"rule “dsrwizard-{VIP}-tcp-80” would let it in" in failed.evidence
        assert "netsh wfp show netevents" in failed.fix

    def test_a_firewall_that_is_off_passes(self) -> None:
        windows = healthy("2025")[1].windows
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
        assert faults(judged(altered(conflicts=(other,)))) == []

    def test_an_event_that_names_no_address_does_not_count(self) -> None:
        host = set_up("2025")
        host.events.append(Event(4198, "?", "", 60))
        assert faults(verify(host)) == []

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
        assert (check.outcome, "show ipaddresses store=persistent" in check.fix, report.verdict) == (
            "unknown",
            True,
            "pass",
        )

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
        host = copy.deepcopy(healthy("2025")[0])
        (adapter,) = [one for one in host.adapters if one.loopback]
        adapter.bindings["ms_tcpip"] = False
        adapter.addresses.clear()
        failed = only(verify(host))
        assert failed.cause == "windows-adapter"
        assert "Enable-NetAdapterBinding -Name 'dsrwizard' -ComponentID ms_tcpip" in failed.fix

    def test_a_metric_of_any_value_is_no_guard_and_no_fault(self) -> None:
        host = copy.deepcopy(healthy("2025")[0])
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
            owners = {**seen.owners, VIP: Owners(address=VIP, macs=(BALANCER, healthy("2025")[0].wire.mac))}
            return msgspec.structs.replace(seen, owners=owners)

        failed = only(judged(healthy("2025")[1], change=leaking))
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

        check = find(judged(healthy("2025")[1], change=balanced), "server.gateway", "win1")
        assert check.cause == "gateway"
        assert "Remove-NetRoute -DestinationPrefix 0.0.0.0/0 -InterfaceAlias 'Ethernet' -NextHop 10.0.0.1" in check.fix
        assert "New-NetRoute -DestinationPrefix 0.0.0.0/0 -InterfaceAlias 'Ethernet' -NextHop 10.0.0.254" in check.fix

    def test_2003_has_no_weak_host_model(self) -> None:
        deployment = shop()
        server = msgspec.structs.replace(deployment.servers[0], connect="manual", system="windows-2003")
        deployment = msgspec.structs.replace(deployment, servers=(server,))
        report = judged(None, wire=False, change=lambda seen: msgspec.structs.replace(seen, deployment=deployment))
        assert find(report, "server.weak_host", "win1").outcome == "skipped"


@pytest.mark.parametrize("seen", ["redirect", "leak", "claim"])
def test_the_live_pane_tells_a_windows_server_nothing_of_linux(seen: str) -> None:
    server, mac = shop().servers[0], healthy("2025")[0].wire.mac
    bounced = Probed(vip=VIP, port=80, protocol="tcp", rip=server.address, mac=mac, signature="redirect")
    place = {"redirect": SeenOfServer(probe=bounced), "leak": SeenOfServer(leak=mac), "claim": SeenOfServer(claim=mac)}[
        seen
    ]
    fix = judged_live(server, Service(port=80), VIP, place).fix
    assert ("ipconfig" if seen == "redirect" else "loopback adapter") in fix
    assert not any(word in fix for word in ("sysctl", "ip addr"))
