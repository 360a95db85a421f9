"""Windows servers as people have them: IPv6 certificates, no firewall service, names with brackets."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dsrwizard.engine.locks import Lease
from tests.unit.diagnosed import faults, find
from tests.windows.conftest import VIP, VIP6, Farm, shop
from tests.windows.diagnosed import SOME, look, set_up, verify
from tests.windows.host import Address, Binding, Event, Site, WindowsHost
from tests.windows.host.model import fresh_loopback

pytestmark = pytest.mark.long

Make = Callable[..., Farm]
IIS = "{4dc3e181-e14b-4a21-b022-59fc669b0914}"
ENDED = "0x800706D9"
"""What COM says when the firewall's service does not run."""


class TestCertificatesOfIpv6:
    """Their keys in the registry, `[::]:443`, would be patterns that match something else."""

    @pytest.mark.parametrize("version", SOME)
    def test_a_certificate_on_every_ipv6_address_is_seen(self, version: str) -> None:
        host = WindowsHost(version)
        host.certificates = {"[::]:443": ("AB" * 20, IIS, "MY"), "0.0.0.0:443": ("CD" * 20, IIS, "MY")}
        windows = look(host).windows
        assert windows is not None
        assert set(windows.certificates or {}) == {"[::]:443", "0.0.0.0:443"}

    @pytest.mark.parametrize("version", SOME)
    def test_one_for_an_ipv6_vip_is_added_seen_again_and_taken_back(self, farm: Make, version: str) -> None:
        host = WindowsHost(version)
        host.wire.addresses.append(Address("fd00::101", 64))
        host.listeners = []
        host.sites = [Site("Secure", [Binding("https", "[fd00::101]:443:", "ab" * 20, "MY")])]
        host.certificates = {"[fd00::101]:443": ("AB" * 20, IIS, "MY")}
        one = farm(host, shop(VIP6, ports=(443,)))
        before = host.state()
        assert one.apply().ok
        assert host.certificates[f"[{VIP6}]:443"] == host.certificates["[fd00::101]:443"]
        assert one.plan().steps == ()
        assert one.teardown().ok
        assert host.state() == before

    @pytest.mark.parametrize("version", SOME)
    def test_an_entry_of_the_central_store_has_no_certificate_to_copy(self, farm: Make, version: str) -> None:
        host = WindowsHost(version)
        host.listeners = []
        host.sites = [Site("Secure", [Binding("https", "10.0.0.101:443:", "ab" * 20, "MY")])]
        host.certificates = {"10.0.0.101:443": ("", IIS, "")}
        one = farm(host, shop(ports=(443,)))
        assert one.apply().ok
        assert set(host.certificates) == {"10.0.0.101:443"}


class TestFirewallServiceStopped:
    """Vendors' guides for such servers begin with turning it off."""

    @pytest.mark.parametrize("version", SOME)
    def test_the_rest_is_set_up_and_the_plan_says_what_it_could_not_see(self, farm: Make, version: str) -> None:
        host = WindowsHost(version)
        host.firewall_service = False
        one = farm(host)
        before = host.state()
        (plan,) = [entry for entry in one.plan().hosts if entry.host == "win1"]
        assert not [step for step in plan.steps if step.id.startswith("firewall")]
        (note,) = [note for note in plan.notes if "firewall" in note]
        assert "MpsSvc" in note
        assert ENDED in note
        assert one.apply().ok
        assert host.accepts(VIP)
        assert one.teardown().ok
        assert host.state() == before

    @pytest.mark.parametrize("version", SOME)
    def test_the_proof_clears_it_or_says_that_it_is_not_known(self, version: str) -> None:
        host = set_up(version)
        host.firewall_service = False
        report = verify(host)
        assert (faults(report), report.verdict) == ([], "pass")
        check = find(verify(host, wire=False), "server.firewall", "win1")
        assert check.outcome == "unknown"
        assert ENDED in check.evidence

    @pytest.mark.parametrize("version", SOME)
    def test_a_rule_that_cannot_be_added_says_why(self, farm: Make, version: str) -> None:
        one = farm(WindowsHost(version))
        plan = one.plan()
        one.host.firewall_service = False
        result = one.engine.apply(one.deployment, plan, lambda _: None, None, Lease())
        (failure,) = [host.failure for host in result.hosts if host.host == "win1"]
        assert failure is not None
        assert "MpsSvc" in failure.why
        assert ENDED in failure.why
        one.host.firewall_service = True
        assert one.apply().ok

    @pytest.mark.parametrize("version", SOME)
    def test_a_rule_that_cannot_be_seen_is_taken_back_when_it_can_be(self, farm: Make, version: str) -> None:
        one = farm(WindowsHost(version))
        before = one.host.state()
        assert one.apply().ok
        one.host.firewall_service = False
        (plan,) = one.engine.teardown_plan(one.deployment).hosts
        assert [note for note in plan.notes if f"firewall-rule dsrwizard-{VIP}-tcp-80 could not be read" in note]
        one.teardown()
        assert not one.host.accepts(VIP)
        one.host.firewall_service = True
        assert one.teardown().ok
        assert one.host.state() == before


@pytest.mark.parametrize("version", SOME)
def test_an_address_conflict_in_the_log_is_told_with_its_number(version: str) -> None:
    """The old log numbers it with its severity in the upper bits: more than 32 bits hold."""
    host = set_up(version)
    host.events.append(Event(4199, VIP, "02:00:00:00:be:ef", 60))
    windows = look(host).windows
    assert windows is not None
    assert [one.event for one in windows.conflicts or ()] == [4199]


@pytest.mark.parametrize("name", ["lan [1]", "what? *", "tick`"])
def test_an_adapter_whose_name_would_be_a_pattern(farm: Make, name: str) -> None:
    """Only this adapter is looked at and changed, though another's name matches the pattern."""
    host = WindowsHost("2025")
    for number, called in enumerate((name.replace("[1]", "1").replace("*", "else").replace("`", ""), name)):
        adapter = fresh_loopback(30 + number, 40 + number, "2025", number)
        adapter.name, adapter.polls, adapter.addresses = called, 0, []
        host.adapters.append(adapter)
    one = farm(host, shop(vip_interface=name))
    before = host.state()
    assert one.apply().ok
    assert host.accepts(VIP)
    assert host.state()["adapters"][1] == before["adapters"][1]
    assert one.plan().steps == ()
    assert one.teardown().ok
    assert host.state() == before
