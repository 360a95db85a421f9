"""A Windows real server on the model: set up, set up again, taken back, on every version and in every awkward state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.engine.locks import Lease
from tests.fakes.step_watch import Told
from tests.windows.conftest import VIP, VIP6, Farm, shop
from tests.windows.host import VERSIONS, Adapter, Address, Binding, Rule, Site, WindowsHost
from tests.windows.host.model import fresh_loopback

pytestmark = pytest.mark.long

Make = Callable[..., Farm]
SOME = ["2008 R2", "2025"]
"""One of each dialect."""
MODERN = [version for version in VERSIONS if version not in ("2008", "2008 R2")]


def titles(farm: Farm) -> list[str]:
    return [step.id for step in farm.plan().steps]


@pytest.mark.parametrize("version", VERSIONS)
def test_it_serves_after_one_apply_and_is_as_before_after_teardown(farm: Make, version: str) -> None:
    one = farm(WindowsHost(version))
    before = one.host.state()
    assert not one.host.accepts(VIP)
    result = one.apply()
    assert result.ok, [host.failure for host in result.hosts]
    assert one.host.accepts(VIP)
    assert not one.host.leaks(VIP)
    assert one.host.admits(VIP, "tcp", 80)
    assert one.plan().steps == ()
    assert one.teardown().ok
    assert one.host.state() == before
    assert not one.engine.in_force("shop")
    assert one.host.not_modelled == []


@pytest.mark.parametrize("version", SOME)
def test_the_loopback_adapter_keeps_to_itself(farm: Make, version: str) -> None:
    one = farm(WindowsHost(version))
    one.apply()
    (adapter,) = [entry for entry in one.host.adapters if entry.loopback]
    assert adapter.name == "dsrwizard"
    assert [(entry.address, entry.prefix, entry.skip) for entry in adapter.addresses if "." in entry.address] == [
        (VIP, 32, True)
    ]
    assert not adapter.rows[4].dhcp
    assert adapter.rows[4].metric == 254
    assert (adapter.register, adapter.suffix, adapter.netbios) == (False, False, 2)
    bound = {name for name, on in adapter.bindings.items() if on}
    assert bound == ({"ms_tcpip"} if version in MODERN else set(adapter.bindings))


@pytest.mark.parametrize("version", SOME)
def test_what_it_had_learnt_of_the_vip_is_forgotten(farm: Make, version: str) -> None:
    one = farm(WindowsHost(version))
    one.host.neighbours[VIP] = "02:00:0a:00:00:02"
    one.apply()
    assert one.host.neighbours == {}
    assert any(
        "arp -d *" in commands(change) for step in farm(WindowsHost(version)).plan().steps for change in step.changes
    )


@pytest.mark.parametrize("version", SOME)
def test_ipv6_and_several_vips(farm: Make, version: str) -> None:
    host = WindowsHost(version)
    host.wire.addresses.append(Address("fd00::101", 64))
    one = farm(host, shop(VIP, "10.0.0.11", VIP6))
    before = host.state()
    assert one.apply().ok
    assert all(host.accepts(vip) for vip in (VIP, "10.0.0.11", VIP6))
    (adapter,) = [entry for entry in host.adapters if entry.loopback]
    assert adapter.bindings["ms_tcpip6"]
    assert one.plan().steps == ()
    assert one.teardown().ok
    assert host.state() == before


@pytest.mark.parametrize("version", ["2012", "2025"])
def test_the_built_in_pseudo_interface_as_an_option(farm: Make, version: str) -> None:
    one = farm(WindowsHost(version), shop(vip_interface="pseudo"))
    before = one.host.state()
    assert one.apply().ok
    assert one.host.accepts(VIP)
    assert len(one.host.adapters) == 1
    assert one.plan().steps == ()
    assert one.teardown().ok
    assert one.host.state() == before


def test_a_strangers_loopback_adapter_is_left_alone_and_told(farm: Make) -> None:
    host = WindowsHost()
    stranger = fresh_loopback(30, 31, "2022", 0)
    stranger.name, stranger.polls = "Npcap Loopback Adapter", 0
    host.adapters.append(stranger)
    one = farm(host)
    before = host.state()
    (plan,) = [entry for entry in one.plan().hosts if entry.host == "win1"]
    assert any("Npcap Loopback Adapter" in note for note in plan.notes)
    assert one.apply().ok
    assert host.state()["adapters"][1] == before["adapters"][1]
    assert one.teardown().ok
    assert host.state() == before


def test_an_adapter_of_that_name_that_was_there_is_used_and_stays(farm: Make) -> None:
    host = WindowsHost()
    ours = fresh_loopback(30, 31, "2022", 0)
    ours.name, ours.polls, ours.addresses = "dsrwizard", 0, []
    host.adapters.append(ours)
    one = farm(host)
    before = host.state()
    assert one.apply().ok
    assert host.accepts(VIP)
    assert one.plan().steps == ()
    assert one.teardown().ok
    assert host.state() == before


@pytest.mark.parametrize("version", SOME)
def test_a_wrong_prefix_is_put_right(farm: Make, version: str) -> None:
    one = farm(WindowsHost(version))
    one.apply()
    (adapter,) = [entry for entry in one.host.adapters if entry.loopback]
    entry = adapter.holding(VIP)
    assert entry is not None
    entry.prefix = 24
    assert titles(one) == [f"vip {VIP}"]
    assert one.apply().ok
    entry = adapter.holding(VIP)
    assert entry is not None
    assert entry.prefix == 32


@pytest.mark.parametrize("version", SOME)
@pytest.mark.parametrize("part", ["weak_receive", "weak_send"])
def test_drift_of_the_weak_host_model_is_planned_alone(farm: Make, version: str, part: str) -> None:
    one = farm(WindowsHost(version))
    one.apply()
    (adapter,) = [entry for entry in one.host.adapters if entry.loopback]
    setattr(adapter.rows[4], part, False)
    assert not one.host.accepts(VIP)
    assert titles(one) == ["weak-host"]
    assert one.apply().ok
    assert one.host.accepts(VIP)


class TestSites:
    def host(self, version: str) -> WindowsHost:
        host = WindowsHost(version)
        host.listeners = []
        host.sites = [
            Site(
                "Default Web Site", [Binding("http", "10.0.0.101:80:"), Binding("http", "10.0.0.101:80:shop.example")]
            ),
            Site("Secure", [Binding("https", "10.0.0.101:443:", "ab" * 20, "MY")]),
            Site("Elsewhere", [Binding("http", "*:8080:")]),
        ]
        host.certificates = {"10.0.0.101:443": ("AB" * 20, "{4dc3e181-e14b-4a21-b022-59fc669b0914}", "MY")}
        return host

    @pytest.mark.parametrize("version", SOME)
    def test_sites_on_single_addresses_get_the_vip_with_its_certificate(self, farm: Make, version: str) -> None:
        one = farm(self.host(version), shop(ports=(80, 443)))
        before = one.host.state()
        assert one.apply().ok
        assert one.host.serves(VIP, "tcp", 80)
        assert one.host.serves(VIP, "tcp", 443)
        assert one.host.certificates[f"{VIP}:443"] == one.host.certificates["10.0.0.101:443"]
        assert one.host.sites is not None
        assert [entry.information for entry in one.host.sites[2].bindings] == ["*:8080:"]
        assert one.plan().steps == ()
        assert one.teardown().ok
        assert one.host.state() == before

    @pytest.mark.parametrize("version", SOME)
    def test_the_listen_list_of_http_sys_gets_the_vip_only_where_there_is_one(self, farm: Make, version: str) -> None:
        host = self.host(version)
        host.sites = [Site("Default Web Site", [Binding("http", "*:80:")])]
        one = farm(host)
        one.apply()
        assert host.listen == []
        one.teardown()
        host.listen = ["10.0.0.101"]
        before = host.state()
        assert not host.serves(VIP, "tcp", 80)
        assert one.apply().ok
        assert host.serves(VIP, "tcp", 80)
        assert one.teardown().ok
        assert host.state() == before

    @pytest.mark.parametrize("version", SOME)
    def test_two_services_put_the_vip_on_the_listen_list_once(self, farm: Make, version: str) -> None:
        host = self.host(version)
        host.listen = ["10.0.0.101"]
        one = farm(host, shop(ports=(80, 443)))
        assert one.apply().ok
        assert host.listen == ["10.0.0.101", VIP]
        assert one.host.serves(VIP, "tcp", 443)


class TestFirewall:
    def test_a_rule_that_covers_the_vip_already_is_enough(self, farm: Make) -> None:
        host = WindowsHost()
        host.rules.append(Rule("World Wide Web Services (HTTP Traffic-In)", ports="80"))
        one = farm(host)
        one.apply()
        assert not [rule for rule in host.rules if rule.group == "dsrwizard"]

    def test_a_rule_for_the_domain_profile_alone_is_not(self, farm: Make) -> None:
        host = WindowsHost()
        host.rules.append(Rule("Web in the domain", ports="80", profiles=1))
        one = farm(host)
        one.apply()
        (rule,) = [rule for rule in host.rules if rule.group == "dsrwizard"]
        assert (rule.name, rule.ports, rule.addresses) == (f"dsrwizard-{VIP}-tcp-80", "80", VIP)

    def test_a_firewall_that_is_off_needs_none(self, farm: Make) -> None:
        host = WindowsHost()
        host.profiles = dict.fromkeys(host.profiles, False)
        one = farm(host)
        one.apply()
        assert not [rule for rule in host.rules if rule.group == "dsrwizard"]


class TestRefusals:
    def refused(self, farm: Make, host: WindowsHost) -> str:
        one = farm(host)
        before = host.state()
        (plan,) = [entry for entry in one.plan().hosts if entry.host == "win1"]
        assert plan.steps == ()
        assert host.state() == before
        return plan.problem

    def test_without_an_administrators_rights(self, farm: Make) -> None:
        host = WindowsHost()
        host.elevated = False
        assert "LocalAccountTokenFilterPolicy" in self.refused(farm, host)

    def test_where_a_policy_forbids_devices(self, farm: Make) -> None:
        host = WindowsHost()
        host.restriction = "DenyUnspecified"
        assert "policy" in self.refused(farm, host)

    def test_in_a_32_bit_powershell(self, farm: Make) -> None:
        host = WindowsHost()
        host.wow64 = True
        assert "32-bit" in self.refused(farm, host)

    def test_the_vip_on_the_adapter_to_the_network(self, farm: Make) -> None:
        host = WindowsHost()
        host.wire.addresses.append(Address(VIP, 32))
        assert "answers ARP" in self.refused(farm, host)

    def test_an_address_that_leads_elsewhere(self, farm: Make) -> None:
        assert "No adapter on this host has 10.0.0.101" in self.refused(farm, WindowsHost(address="10.0.0.55"))


class TestFailures:
    @pytest.mark.parametrize("version", SOME)
    @pytest.mark.parametrize("what", ["install", "set-netipinterface", "new-netipaddress", "fwrule", "netsh"])
    def test_a_run_that_failed_goes_on_when_retried(self, farm: Make, version: str, what: str) -> None:
        one = farm(WindowsHost(version))
        before = one.host.state()
        one.host.broken[what] = "The network was busy."
        result = one.apply()
        modern = version in MODERN
        felt = what != "netsh" if modern else what in ("install", "fwrule", "netsh")
        assert result.ok is not felt
        if felt:
            (failure,) = [host.failure for host in result.hosts if host.failure]
            assert "The network was busy." in failure.why or "status 1" in failure.why
        one.host.broken.clear()
        assert one.apply().ok
        assert one.host.accepts(VIP)
        assert one.teardown().ok
        assert one.host.state() == before

    @pytest.mark.parametrize("lines", [0, 2, 5, 8])
    @pytest.mark.parametrize("version", SOME)
    def test_a_run_whose_connection_broke_is_taken_back_whole(self, farm: Make, version: str, lines: int) -> None:
        """The script runs on though nobody hears it."""
        one = farm(WindowsHost(version))
        before = one.host.state()
        plan = one.plan()
        one.connector.cut_after = lines
        assert not one.engine.apply(one.deployment, plan, lambda event: None, None, Lease()).ok
        assert one.host.accepts(VIP)
        one.engine = one.fresh()
        assert one.teardown().ok
        assert one.host.state() == before

    def test_what_was_changed_meanwhile_is_not_overwritten(self, farm: Make) -> None:
        one = farm()
        plan = one.plan()
        one.host.wire.rows[4].weak_receive = True  # somebody else is at work there
        result = one.engine.apply(one.deployment, plan, lambda event: None, None, Lease())
        (failure,) = [host.failure for host in result.hosts if host.failure]
        assert "changed meanwhile" in failure.why
        assert one.apply().ok

    def test_what_somebody_changed_since_stays_and_is_told(self, farm: Make) -> None:
        one = farm()
        one.apply()
        (rule,) = [rule for rule in one.host.rules if rule.group == "dsrwizard"]
        rule.ports = "80,8443"
        plan = one.engine.teardown_plan(one.deployment)
        one.engine.teardown(one.deployment, plan, lambda event: None, None, Lease())
        assert all(not adapter.loopback for adapter in one.host.adapters)


class TestTheSession:
    def test_the_adapter_of_the_connection_is_never_touched_but_for_weak_receive(self, farm: Make) -> None:
        one = farm()
        before = one.host.state()["adapters"][0]
        one.apply()
        after = one.host.state()["adapters"][0]
        before["rows"][4]["weak_receive"] = True
        assert after == before

    def test_planned_on_it_by_mistake_the_script_itself_refuses(self, farm: Make) -> None:
        """The plan never says so; a name that moved between looking and applying might."""
        one = farm()
        plan = one.plan()
        one.apply()
        one.teardown()
        nic: Adapter = one.host.wire
        spare = fresh_loopback(40, 41, "2022", 3)
        spare.name, spare.polls = "dsrwizard", 0
        spare.component, spare.addresses = nic.component, list(nic.addresses)
        nic.name, nic.addresses = "old", []
        one.host.adapters.append(spare)
        before = one.host.state()
        steps = [step for step in plan.steps if step.id == "hygiene"]
        port = one.engine._hosts_of(one.deployment).port(one.deployment.servers[0])
        with pytest.raises(Exception, match="carries the WinRM connection"):
            port.apply(steps, Told())
        assert one.host.state() == before


def test_two_deployments_share_the_adapter_until_the_last_goes(farm: Make, tmp_path: object) -> None:
    one = farm()
    before = one.host.state()
    other = farm(one.host, shop("10.0.0.11", name="other"))
    assert one.apply().ok
    assert other.apply().ok
    assert one.teardown().ok
    assert one.host.accepts("10.0.0.11")
    assert not one.host.accepts(VIP)
    assert other.teardown().ok
    assert one.host.state() == before


def test_a_second_apply_says_unchanged(farm: Make) -> None:
    one = farm()
    assert one.apply().changed
    again = one.apply()
    assert again.ok
    assert not again.changed
    assert all(host.outcome is not Outcome.FAILED for host in again.hosts)
