"""States that guides and incidents leave behind on a Windows server: each has one cause, a fix that runs as pasted on
that Windows, and is well after it."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable

import msgspec
import pytest

from dsrwizard.core.diagnosis import diagnose
from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.model.answers import Owners
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.plan.mend import mending
from dsrwizard.core.plan.plan import host_plan
from tests.unit.diagnosed import faults, find, only
from tests.windows.conftest import VIP, VIP6, shop
from tests.windows.diagnosed import BALANCER, evidence, look, set_up, verify
from tests.windows.faults import carrier, on_nic
from tests.windows.host import Adapter, Address, Event, Site, WindowsHost
from tests.windows.host.model import DUPLICATE, Binding, Row, nic
from tests.windows.pasting import in_powershell, said_to_type
from tests.windows.test_printed_lines import VERSIONS

pytestmark = pytest.mark.long

BOTH = shop(VIP, VIP6)
NLB = {"unicast": "02:bf:0a:00:00:0a", "multicast": "03:bf:0a:00:00:0a", "igmp": "01:00:5e:7f:00:0a"}
Change = Callable[[Evidence], Evidence]


def judged(
    host: WindowsHost, deployment: Deployment, change: Change = lambda seen: seen, *, wire: bool = True
) -> Evidence:
    return change(evidence(host, look(host, deployment), deployment, wire=wire))


def mended_by_its_line(host: WindowsHost, deployment: Deployment, failed: Check) -> None:
    """Pastes the fix; then all is well, and the VIP is where the deployment wants it."""
    line = said_to_type(failed.fix)
    assert in_powershell(host, line) == [], line
    assert faults(verify(host, deployment)) == []
    for vip in deployment.vips:
        assert [one.name for one in host.holds(vip.address)] == ["dsrwizard"]


def second(host: WindowsHost, name: str, address: Address) -> Adapter:
    one = nic("10.0.0.201", mac="02:00:0a:00:02:65")
    one.name, one.number, one.index = name, 8, 14
    one.guid, one.pnp = "{6C3B0A4E-7B1F-4E52-9A44-0D5B4A1F7D02}", one.pnp + "2"
    one.addresses, one.gateways, one.rows = [address], [], {4: Row(metric=25), 6: Row(metric=25, dad=1)}
    host.adapters.append(one)
    for adapter in host.adapters:
        if adapter.loopback:
            adapter.addresses = [entry for entry in adapter.addresses if entry.address != address.address]
    return one


# -- the VIP on an adapter of the network


@pytest.mark.parametrize("wire", [True, False], ids=["heard", "by the facts"])
@pytest.mark.parametrize("prefix", [24, 25, 32])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_vip_on_the_nic_is_one_fault_whatever_its_mask(version: str, prefix: int, wire: bool) -> None:
    if prefix != 24 and version not in ("2008 R2", "2022"):
        return
    host = set_up(version)
    on_nic(host)
    host.wire.addresses[-1].prefix = prefix
    report = diagnose(judged(host, shop(), wire=wire))
    assert faults(report) == [("arp-leak", "win1")]
    mended_by_its_line(host, shop(), only(report))


@pytest.mark.parametrize("version", ["2008", "2008 R2", "2012", "2019"])
def test_of_several_vips_each_is_named(version: str) -> None:
    host = set_up(version, BOTH)
    for address, prefix in ((VIP, 24), (VIP6, 64)):
        entry = carrier(host).holding(address)
        assert entry is not None
        carrier(host).addresses.remove(entry)
        host.wire.addresses.append(Address(address, prefix))
    failed = diagnose(judged(host, BOTH)).failures
    assert [(one.cause, one.vip) for one in failed] == [("arp-leak", VIP), ("arp-leak", VIP6)]
    for one in failed:
        assert in_powershell(host, said_to_type(one.fix)) == []
    assert faults(verify(host, BOTH)) == []


@pytest.mark.parametrize("version", ["2008", "2008 R2", "2012", "2025"])
def test_the_plan_says_how_to_take_it_off_in_this_windows_own_words(version: str) -> None:
    host = set_up(version)
    on_nic(host)
    host.wire.addresses[-1].prefix = 24
    host.wire.name = "LAN [1] $x"
    problem = host_plan(shop(), shop().servers[0], look(host)).problem
    line = problem.partition("Remove it by hand: ")[2]
    assert in_powershell(host, line) == [], line
    assert host.wire.holding(VIP) is None
    plan = host_plan(shop(), shop().servers[0], look(host))
    assert (plan.problem, [step.id for step in plan.steps]) == ("", [f"vip {VIP}"])


@pytest.mark.parametrize("version", ["2008", "2012", "2022"])
def test_an_old_nic_that_came_back_with_the_vip(version: str) -> None:
    """An update enables a NIC that was disabled years ago and holds the VIP."""
    host = set_up(version)
    old = second(host, "Local Area Connection 9", Address(VIP, 24))

    def heard(seen: Evidence) -> Evidence:
        return msgspec.structs.replace(seen, owners={**seen.owners, VIP: Owners(address=VIP, macs=(BALANCER, old.mac))})

    report = diagnose(judged(host, shop(), heard))
    assert faults(report) == [("arp-leak", "win1")]
    assert "Local Area Connection 9" in only(report).evidence
    assert "Local Area Connection 9" in only(report).fix
    mended_by_its_line(host, shop(), only(report))
    assert old.holding(VIP) is None


@pytest.mark.parametrize("version", ["2012", "2022"])
def test_a_nic_that_is_still_disabled_answers_nobody(version: str) -> None:
    """The same before the update: the VIP is nowhere in use, and cannot be added a second time."""
    host = set_up(version)
    second(host, "Old", Address(VIP, 24)).up = False
    report = diagnose(judged(host, shop()))
    assert faults(report) == [("vip-missing", "win1")]
    assert "disabled" in only(report).message
    mended_by_its_line(host, shop(), only(report))


# -- a duplicate


@pytest.mark.parametrize("wire", [True, False], ids=["heard", "by the facts"])
@pytest.mark.parametrize("days", [0, 3])
@pytest.mark.parametrize("version", ["2012", "2016", "2019", "2025"])
def test_a_vip_that_windows_gave_up_is_a_conflict_and_leaks_nowhere(version: str, days: int, wire: bool) -> None:
    """The event is gone from what is read of the log; the address still says it."""
    host = set_up(version)
    on_nic(host)
    host.wire.addresses[-1].prefix, host.wire.addresses[-1].state = 24, DUPLICATE
    host.events.append(Event(4199, VIP, BALANCER, days * 86400 + 60))
    report = diagnose(judged(host, shop(), wire=wire))
    assert faults(report) == [("address-conflict", "win1")]
    failed = only(report)
    assert "duplicate" in failed.evidence
    assert (BALANCER in failed.evidence) is (days == 0)
    assert "answers ARP" not in host_plan(shop(), shop().servers[0], look(host)).problem
    assert "another host has it" in host_plan(shop(), shop().servers[0], look(host)).problem
    mended_by_its_line(host, shop(), failed)


def test_a_duplicate_on_the_loopback_is_set_anew_there() -> None:
    host = set_up("2022", BOTH)
    entry = carrier(host).holding(VIP6)
    assert entry is not None
    entry.state = DUPLICATE
    report = diagnose(judged(host, BOTH))
    assert [(one.cause, one.vip) for one in report.failures] == [("address-conflict", VIP6)]
    line = said_to_type(only(report).fix)
    assert in_powershell(host, line) == []
    assert faults(verify(host, BOTH)) == []


def test_of_a_conflict_long_past_nothing_is_said() -> None:
    host = set_up("2019")
    host.events.append(Event(4199, VIP, BALANCER, 3 * 86400))
    assert faults(verify(host)) == []


# -- Network Load Balancing


@pytest.mark.parametrize("kind", NLB)
@pytest.mark.parametrize("version", ["2008 R2", "2012", "2016", "2022"])
def test_load_balancing_that_still_runs_is_called_by_its_name(version: str, kind: str) -> None:
    """Moved from NLB to a balancer; NLB is still bound, and the VIP is its cluster's address."""
    host = set_up(version)
    on_nic(host)
    host.wire.addresses[-1].prefix = 24
    host.wire.bindings["ms_wlbs"] = True
    if kind == "unicast":
        host.wire.mac = NLB[kind]  # the adapter itself takes it

    def heard(seen: Evidence) -> Evidence:
        owners = Owners(address=VIP, macs=(BALANCER, NLB[kind]))
        return msgspec.structs.replace(seen, owners={**seen.owners, VIP: owners})

    report = diagnose(judged(host, shop(), heard))
    assert faults(report) == [("arp-leak", "win1")]
    failed = only(report)
    assert "Network Load Balancing still runs on Ethernet" in failed.evidence
    assert find(report, "arp.audit", "win1").outcome == "fail"
    mended_by_its_line(host, shop(), failed)
    if version != "2008 R2":
        assert host.wire.bindings["ms_wlbs"] is False
    else:
        assert "clear Network Load Balancing in the properties of Ethernet" in failed.fix


def test_a_mac_of_load_balancing_without_a_login_is_a_stranger_with_a_name() -> None:
    seen = evidence(set_up("2022"), None)
    owners = Owners(address=VIP, macs=(BALANCER, NLB["multicast"]))
    report = diagnose(msgspec.structs.replace(seen, owners={**seen.owners, VIP: owners}))
    failed = next(one for one in report.failures if one.cause == "duplicate-vip")
    assert "Network Load Balancing" in failed.fix


def test_the_mac_of_another_cluster_is_not_taken_for_this_one() -> None:
    host = set_up("2022")
    on_nic(host)

    def heard(seen: Evidence) -> Evidence:
        macs = (BALANCER, host.wire.mac, "03:bf:0a:00:00:63")
        return msgspec.structs.replace(seen, owners={**seen.owners, VIP: Owners(address=VIP, macs=macs)})

    report = diagnose(judged(host, shop(), heard))
    assert {one.cause for one in report.failures} == {"arp-leak", "duplicate-vip"}
    leak = next(one for one in report.failures if one.cause == "arp-leak")
    assert "Load Balancing" not in leak.evidence + leak.fix


# -- sites


@pytest.mark.parametrize("address", ["10.0.0.101", "10.0.0.102"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_site_bound_to_one_address_gets_the_vip_by_the_line(version: str, address: str) -> None:
    host = set_up(version)
    host.listeners = [one for one in host.listeners if one[2] != 80]
    host.sites = [Site("Tom & Jerry's", [Binding("http", f"{address}:80:")])]
    host.sites.append(Site("Cash & Carry $5", [Binding("http", f"{address}:80:www.shop.example")]))
    failed = only(diagnose(judged(host, shop())))
    assert failed.cause == "site-binding"
    assert "in IIS Manager, add a binding for 10.0.0.10 to Tom & Jerry's" in failed.fix
    line = said_to_type(failed.fix)
    assert in_powershell(host, line) == [], line
    assert [one.information for one in host.sites[1].bindings][1:] == [f"{VIP}:80:www.shop.example"]


@pytest.mark.parametrize("version", ["2008 R2", "2022"])
def test_http_sys_that_reads_its_list_at_its_start_is_told(version: str) -> None:
    host = set_up(version)
    host.listeners = [one for one in host.listeners if one[2] != 80]
    host.sites = [Site("Default Web Site", [Binding("http", "*:80:")])]
    host.listen = ["10.0.0.101"]
    failed = only(diagnose(judged(host, shop())))
    assert "only when it starts" in failed.fix
    assert any("only when it starts" in note for note in host_plan(shop(), shop().servers[0], look(host)).notes)
    assert in_powershell(host, said_to_type(failed.fix)) == []
    assert VIP in host.listen


# -- what is so by nature


@pytest.mark.parametrize("version", ["2008 R2", "2016", "2025"])
def test_a_server_that_calls_the_farm_reaches_itself_and_the_plan_says_so(version: str) -> None:
    host = WindowsHost(version)
    host.sites = [Site("Shop", [Binding("http", "*:80:")])]
    plan = host_plan(shop(), shop().servers[0], look(host))
    (note,) = [note for note in plan.notes if "reaches itself" in note]
    assert re.search(r"401\.1", note)
    assert not re.search(r"\bmend\b", note)
    assert faults(verify(set_up(version))) == []


def test_without_a_site_of_iis_nothing_is_said_of_its_login() -> None:
    plan = host_plan(shop(), shop().servers[0], look(WindowsHost("2022")))
    assert not [note for note in plan.notes if "reaches itself" in note]


# -- mending


@pytest.mark.parametrize("make", [on_nic, lambda host: second(host, "Old", Address(VIP, 24))], ids=["nic", "old nic"])
@pytest.mark.parametrize("version", ["2008 R2", "2022"])
def test_what_it_did_not_put_there_mend_leaves_and_says_the_line(
    version: str, make: Callable[[WindowsHost], object]
) -> None:
    host = set_up(version)
    make(host)
    seen = judged(host, shop())
    report = diagnose(seen)
    (cure,) = mending(shop(), seen.observed, report.failures).cures
    assert cure.steps == ()
    broken = copy.deepcopy(host)
    line = cure.by_hand.partition("Remove it by hand: ")[2]
    assert in_powershell(broken, line) == [], cure.by_hand
    assert broken.holds(VIP) == []
