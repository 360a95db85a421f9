"""Looks at Windows servers as people have them: adapters that are disabled or hidden, rules without number,
certificates with more to them, logs full of other things."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from dsrwizard.core.diagnosis import diagnose
from dsrwizard.core.model.facts import ServerFacts
from dsrwizard.core.model.windows_facts import WindowsFacts
from dsrwizard.core.plan.plan import host_plan
from tests.unit.diagnosed import faults, find
from tests.windows.conftest import VIP, VIP6, Farm, ModelConnector, shop
from tests.windows.diagnosed import SOME, evidence, look, port, set_up, verify
from tests.windows.faults import carrier
from tests.windows.host import Address, Binding, Event, Rule, Site, WindowsHost

pytestmark = pytest.mark.long

Make = Callable[..., Farm]
IIS = "{4dc3e181-e14b-4a21-b022-59fc669b0914}"


def seen(host: WindowsHost) -> WindowsFacts:
    windows = look(host).windows
    assert windows is not None
    return windows


def steps(facts: ServerFacts, ports: tuple[int, ...] = (80,)) -> list[str]:
    deployment = shop(ports=ports)
    return [step.purpose for step in host_plan(deployment, deployment.servers[0], facts).steps]


class TestAdapters:
    @pytest.mark.parametrize("version", SOME)
    def test_a_disabled_loopback_is_named_and_the_rest_is_seen(self, version: str) -> None:
        host = set_up(version)
        adapter = carrier(host)
        adapter.disabled, adapter.up = True, False
        assert {one.name for one in seen(host).adapters} == {"Ethernet", adapter.name, "pseudo"}
        assert faults(verify(host)) == [("windows-adapter", "win1")]
        plan = host_plan(shop(), shop().servers[0], look(host))
        assert [note for note in plan.notes if f"{adapter.name} is disabled" in note]

    def test_what_is_bound_to_a_hidden_adapter_is_seen(self) -> None:
        host = set_up("2025")
        carrier(host).hidden = True
        (own,) = [one for one in seen(host).adapters if one.loopback]
        assert own.bindings is not None
        assert own.unknown == {}

    def test_a_filters_row_with_the_same_component_is_no_adapter(self) -> None:
        host = set_up("2025")
        row = copy.deepcopy(carrier(host))
        row.name, row.index, row.filter, row.addresses, row.rows = "dsrwizard-WFP-0000", 77, True, [], {}
        host.adapters.append(row)
        assert [one.name for one in seen(host).loopbacks] == ["dsrwizard"]

    @pytest.mark.parametrize("version", SOME)
    def test_without_an_address_dns_and_netbios_are_told_by_the_registry(self, version: str) -> None:
        host = set_up(version)
        adapter = carrier(host)
        adapter.addresses, adapter.netbios, adapter.register = [], 1, True
        (own,) = [one for one in seen(host).adapters if one.loopback]
        assert (own.netbios, own.dns_registration) == (1, True)


class TestFirewall:
    WMI = Rule("WMI (TCP-In)", application=r"C:\Windows\system32\svchost.exe", service="winmgmt")

    @pytest.mark.parametrize("version", SOME)
    def test_the_rule_of_wmi_lets_no_clients_in(self, version: str) -> None:
        host = set_up(version)
        host.rules = [copy.copy(self.WMI)]
        assert faults(verify(host)) == [("firewall", "win1")]
        assert faults(verify(host, wire=False)) == [("firewall", "win1")]
        assert steps(look(host)) == ["firewall"]

    @pytest.mark.parametrize("version", SOME)
    def test_a_rule_for_a_program_may_let_clients_in_and_may_not(self, version: str) -> None:
        host = set_up(version)
        host.rules = [Rule("nginx", application=r"C:\nginx\nginx.exe")]
        check = find(verify(host, wire=False), "server.firewall", "win1")
        assert check.outcome == "unknown"
        assert r"C:\nginx\nginx.exe" in check.evidence
        assert steps(look(host)) == ["firewall"]
        assert faults(verify(host)) == [("firewall", "win1")]

    @pytest.mark.parametrize("version", SOME)
    def test_a_rule_that_blocks_one_client_blocks_not_the_vip(self, version: str) -> None:
        host = set_up(version)
        host.rules.append(Rule("no crawler", ports="80", action=0, remote="192.0.2.7"))
        assert faults(verify(host, wire=False)) == []

    @pytest.mark.parametrize("version", SOME)
    def test_more_rules_than_can_be_read_are_said_and_our_own_is_asked_for(self, version: str) -> None:
        host = set_up(version)
        host.rules = [Rule(f"session {n}", application="x.exe") for n in range(400)] + host.rules
        host.rule_seconds = 0.1
        windows = seen(host)
        assert windows.rules is None
        assert "too many to read in 20 s" in windows.unknown["firewall-rules"]
        assert [one.name for one in windows.own_rules or ()] == [f"dsrwizard-{VIP}-tcp-80"]
        assert windows.sites is not None
        assert windows.conflicts == ()
        assert steps(look(host)) == []
        report = diagnose(evidence(host, look(host), wire=False))
        assert faults(report) == []
        assert "too many" in find(report, "server.firewall", "win1").evidence
        host.rules = [one for one in host.rules if one.group != "dsrwizard"]
        assert steps(look(host)) == ["firewall"]

    def test_rules_of_store_applications_and_single_users_are_passed_over(self) -> None:
        host = set_up("2025")
        host.rules += [Rule("app", package="S-1-15-2-1"), Rule("user", owner="S-1-5-21-1")]
        assert not {"app", "user"} & {one.name for one in seen(host).rules or ()}


class TestHttpSys:
    @pytest.mark.parametrize("version", SOME)
    def test_a_certificate_without_a_store_name_is_in_my(self, version: str) -> None:
        host = WindowsHost(version)
        host.certificates = {"10.0.0.101:443": ("AB" * 20, IIS, "")}
        assert seen(host).certificates == {"10.0.0.101:443": f"{'AB' * 20} {IIS} MY"}

    @pytest.mark.parametrize("version", SOME)
    def test_what_a_copied_certificate_lacks_is_told(self, version: str) -> None:
        host = WindowsHost(version)
        host.listeners = []
        host.sites = [Site("Secure", [Binding("https", "10.0.0.101:443:", "ab" * 20, "MY")])]
        host.certificates = {"10.0.0.101:443": ("AB" * 20, IIS, "MY")}
        host.certificate_values = {"10.0.0.101:443": {"DefaultFlags": 2, "DefaultSslCtlStoreName": "Customers"}}
        deployment = shop(ports=(443,))
        plan = host_plan(deployment, deployment.servers[0], look(host, deployment))
        (note,) = [note for note in plan.notes if "certificate is copied" in note]
        assert "client certificates are asked for" in note
        assert "Customers" in note

    @pytest.mark.parametrize("version", SOME)
    def test_certificates_by_name_and_the_central_store_are_facts(self, version: str) -> None:
        host = WindowsHost(version)
        host.sni_certificates = {"shop.example:443": ("AB" * 20, IIS, "MY")}
        host.central_store = ["443"]
        windows = seen(host)
        assert windows.sni_certificates == {"shop.example:443": f"{'AB' * 20} {IIS} MY"}
        assert windows.central_store == ("443",)

    @pytest.mark.parametrize("version", SOME)
    @pytest.mark.parametrize("listen", [["0.0.0.0"], ["0.0.0.0", "::"], ["10.0.0.101", "0.0.0.0"]])
    @pytest.mark.parametrize("binding", ["*:80:", "0.0.0.0:80:"])
    def test_all_addresses_are_all_addresses(self, version: str, listen: list[str], binding: str) -> None:
        host = set_up(version)
        host.listeners = [one for one in host.listeners if one[2] != 80]
        host.sites, host.listen = [Site("Web", [Binding("http", binding)])], listen
        assert steps(look(host)) == []
        assert faults(verify(host)) == []
        assert faults(verify(host, wire=False)) == []

    def test_all_addresses_of_the_other_family_are_not_the_vips(self) -> None:
        host = set_up("2025")
        host.listeners = [one for one in host.listeners if one[2] != 80]
        host.sites, host.listen = [Site("Web", [Binding("http", "*:80:")])], ["::"]
        assert steps(look(host)) == ["sites"]


class TestLog:
    @pytest.mark.parametrize("version", SOME)
    def test_events_of_others_are_no_conflicts(self, version: str) -> None:
        host = set_up(version)
        host.events = [Event(4199, VIP, "", 60, source="Application Popup"), Event(4201, "10.0.0.1", "", 60)]
        host.events += [Event(7036, "", "", float(n), source="Service Control Manager") for n in range(50)]
        host.events.append(Event(4198, VIP, "02:00:00:00:be:ef", 90))
        assert [(one.event, one.address) for one in seen(host).conflicts or ()] == [(4198, VIP)]

    @pytest.mark.parametrize("version", SOME)
    def test_a_log_that_cannot_be_read_is_not_a_log_without_conflicts(self, version: str) -> None:
        host = set_up(version)
        host.log_problem = "Der Ereignisprotokolldienst ist nicht verfügbar."
        assert seen(host).conflicts is None
        check = find(verify(host), "server.conflict", "win1")
        assert check.outcome == "unknown"
        assert host.log_problem in check.evidence


@pytest.mark.parametrize("version", SOME)
def test_verify_tells_what_could_not_be_read_and_passes(version: str) -> None:
    host = set_up(version)
    assert not [one for one in verify(host).checks if one.check == "server.look"]
    host.log_problem = "Der Ereignisprotokolldienst ist nicht verfügbar."
    report = verify(host)
    check = find(report, "server.look", "win1")
    assert (check.outcome, report.verdict) == ("unknown", "pass")
    assert f"the system log: {host.log_problem}" in check.evidence


class TestPolicies:
    def test_usb_lists_of_a_baseline_forbid_no_adapter(self, farm: Make) -> None:
        host = WindowsHost("2022")
        host.policies = {"DenyDeviceIDs": 1, "DenyDeviceClasses": 1}
        host.policy_lists = {"DenyDeviceIDs": ["USB\\Class_08"], "DenyDeviceClasses": [IIS]}
        assert farm(host).apply().ok

    @pytest.mark.parametrize("version", SOME)
    def test_a_list_that_names_it_does(self, version: str) -> None:
        host = WindowsHost(version)
        host.policies = {"DenyDeviceIDs": 1, "DenyDeviceIDsRetroactive": 1}
        host.policy_lists = {"DenyDeviceIDs": ["USB\\Class_08", "*MSLOOP"]}
        windows = seen(host)
        assert (windows.restricted, windows.restricted_retroactively) == ("DenyDeviceIDs", True)


def test_listeners_of_ipv6_are_not_known_on_the_oldest_dotnet() -> None:
    host = WindowsHost("2008 R2")
    host.wire.addresses.append(Address("fd00::101", 64))
    host.listeners.append(("tcp", "::", 80))
    facts = look(host, shop(VIP6))
    assert facts.listeners_unknown(6)
    assert not facts.listeners_unknown(4)
    report = diagnose(evidence(host, facts, shop(VIP6), wire=False))
    assert find(report, "server.listener", "win1").outcome == "unknown"


@pytest.mark.parametrize(("version", "families"), [("2008 R2", (4,)), ("2025", (4, 6))])
def test_connections_of_ipv6_are_not_known_there_either(version: str, families: tuple[int, ...]) -> None:
    host = WindowsHost(version)
    host.half_open = [("10.0.0.10", 80, "192.0.2.1", 4000), ("fd00::10", 80, "2001:db8::1", 4000)]
    server = port(host, shop())
    server.observe(shop())
    found = server.half_open([], 0, lambda: None)
    assert found.families == families
    assert {one.vip for one in found.waiting if found.shows(one.vip)} == {"10.0.0.10", "fd00::10"} - (
        set() if 6 in families else {"fd00::10"}
    )


class _Deaf(ModelConnector):
    """Frames of facts after an apply are lost; what the host said on its standard error is not."""

    def run(self, script: str, **options: object):  # type: ignore[no-untyped-def]
        answer = super().run(script, **options)  # type: ignore[arg-type]
        if "$steps = @()" not in script:
            return answer
        lines = [line for line in answer.stdout.split("\n") if len(line) < 2_000]
        return type(answer)(status=1, stdout="\n".join(lines), stderr="System.OutOfMemoryException")


@pytest.mark.parametrize("section", ["get-dnsclient", "get-netipinterface"])
def test_a_setting_that_cannot_be_seen_afterwards_is_not_told_as_changed_back(farm: Make, section: str) -> None:
    one = farm(WindowsHost("2025"))
    run = one.connector.run

    def blinded(script: str, **options: object):  # type: ignore[no-untyped-def]
        head, look, tail = script.partition("Read-Section 'system'")
        if "$steps = @()" not in script or not look:
            return run(script, **options)  # type: ignore[arg-type]
        broken = f"function {section} {{ throw 'Access is denied.' }}\n"
        return run(head + broken + look + tail, **options)  # type: ignore[arg-type]

    one.connector.run = blinded  # type: ignore[method-assign]
    result = one.apply()
    assert [host.failure for host in result.hosts] == [None] * len(result.hosts)


@pytest.mark.parametrize("version", SOME)
def test_a_look_that_fails_after_the_steps_is_not_told_as_steps_that_did_not_last(farm: Make, version: str) -> None:
    one = farm(WindowsHost(version))
    one.connector = _Deaf(one.host)
    said: list[str] = []
    result = one.engine.apply(one.deployment, one.plan(), lambda event: said.append(str(getattr(event, "line", ""))))
    assert [host.failure for host in result.hosts] == [None] * len(result.hosts)
    assert result.ok
    assert one.host.accepts(VIP)
    assert [line for line in said if "look afterwards failed" in line and "ran out of memory" in line]
