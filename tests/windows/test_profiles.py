"""What reaches a Windows server's own address: the login, and a load balancer's health check, by firewall profile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dsrwizard.core.diagnosis import diagnose
from dsrwizard.core.model.answers import Connected
from dsrwizard.core.model.checks import Check
from dsrwizard.core.plan.plan import host_plan
from tests.unit.diagnosed import faults
from tests.windows.conftest import VIP, Farm, shop
from tests.windows.diagnosed import SOME, evidence, look, set_up
from tests.windows.host import Binding, Rule, Site, WindowsHost

RIP, IIS = "10.0.0.101", "{4dc3e181-e14b-4a21-b022-59fc669b0914}"
Make = Callable[..., Farm]


def plan(host: WindowsHost) -> tuple[str, str]:
    """The problem and the notes of the plan for the host."""
    deployment = shop()
    made = host_plan(deployment, deployment.servers[0], look(host))
    return made.problem, " ".join(made.notes)


class TestOneProfile:
    """Server 2008 has one profile for all its networks; the loopback adapter's network makes it Public."""

    def host(self, *rules: Rule, version: str = "2008") -> WindowsHost:
        host = WindowsHost(version)
        host.rules = list(rules)
        return host

    def test_an_apply_that_would_lock_itself_out_is_refused(self, farm: Make) -> None:
        host = self.host(Rule("WinRM (GPO)", ports="5986", profiles=1), Rule("Site (GPO)", ports="80", profiles=1))
        before = host.state()
        problem, _ = plan(host)
        assert "the login would be lost" in problem
        assert "localport=5986" in problem
        assert "opens port 5986 on every network" in problem
        result = farm(host).apply()
        assert not result.ok
        assert host.state() == before
        assert host.lets_in(RIP, 5986)

    def test_the_command_that_the_refusal_gives_lets_the_apply_through(self, farm: Make) -> None:
        host = self.host(Rule("WinRM (GPO)", ports="5986", profiles=1))
        problem, _ = plan(host)
        command = problem.partition("then plan again: ")[2].partition(" (This")[0]
        assert host.run(f"{command}\nexit $LASTEXITCODE")[0] == 0
        one = farm(host)
        assert one.apply().ok
        assert host.accepts(VIP)
        assert host.lets_in(RIP, 5986)

    @pytest.mark.parametrize("profiles", [4, 5, 7, 0x7FFFFFFF])
    def test_a_rule_that_holds_on_public_is_enough(self, farm: Make, profiles: int) -> None:
        host = self.host(Rule("WinRM", ports="5985,5986", profiles=profiles))
        assert plan(host)[0] == ""
        assert farm(host).apply().ok
        assert host.lets_in(RIP, 5986)

    def test_a_host_that_is_public_already_is_set_up(self) -> None:
        host = self.host(Rule("WinRM", ports="5986", profiles=4))
        host.network_profile = 4
        assert plan(host)[0] == ""

    def test_a_firewall_that_is_off_on_public_loses_nothing(self) -> None:
        host = self.host(Rule("WinRM", ports="5986", profiles=1))
        host.profiles[4] = False
        assert plan(host)[0] == ""

    def test_a_port_of_the_service_that_stops_counting_is_noted(self) -> None:
        host = self.host(Rule("WinRM", ports="5986"), Rule("Site", ports="80", profiles=1))
        problem, notes = plan(host)
        assert problem == ""
        assert "port 80 of 10.0.0.101 stop counting" in notes

    @pytest.mark.parametrize("version", ["2008 R2", "2012", "2025"])
    def test_later_windows_has_a_profile_for_each_network(self, farm: Make, version: str) -> None:
        host = self.host(Rule("WinRM", ports="5986", profiles=1), version=version)
        assert plan(host)[0] == ""
        assert farm(host).apply().ok
        assert host.lets_in(RIP, 5986)

    def test_what_is_there_already_is_left_in_peace(self, farm: Make) -> None:
        host = self.host(Rule("WinRM", ports="5986"))
        one = farm(host)
        assert one.apply().ok
        host.rules[0].profiles = 1  # the policy came later: there is nothing to add any more
        assert one.plan().hosts[0].problem == ""


@pytest.mark.parametrize("version", ["2008 R2", "2025"])
def test_the_plan_says_that_a_check_of_the_own_address_is_shut_out(version: str) -> None:
    host = WindowsHost(version)
    assert "port 80, and the plan opens the VIP only" in plan(host)[1]
    host.rules.append(Rule("World Wide Web Services (HTTP Traffic-In)", ports="80", profiles=1))
    assert "opens the VIP only" not in plan(host)[1]
    host.network_profile = 4
    assert "opens the VIP only" in plan(host)[1]


def checked(host: WindowsHost, port: int = 80) -> Check | None:
    """`server.health_check` of a host that is set up and whose VIP is served."""
    deployment = shop(ports=(port,))
    seen = evidence(host, look(host, deployment), deployment)
    result = "open" if host.lets_in(RIP, port) else "silent"
    seen.connects[(RIP, port)] = Connected(address=RIP, port=port, result=result)  # type: ignore[arg-type]
    report = diagnose(seen)
    assert faults(report) == []
    found = [check for check in report.checks if check.check == "server.health_check"]
    assert len(found) <= 1
    return found[0] if found else None


@pytest.mark.parametrize("version", SOME)
def test_a_network_that_fell_to_public_is_told(version: str) -> None:
    host = set_up(version)
    host.rules.append(Rule("Site", ports="80", profiles=1))
    passed = checked(host)
    assert passed is not None
    assert passed.outcome == "pass"
    host.network_profile = 4
    check = checked(host)
    assert check is not None
    assert check.outcome == "unknown"
    assert "takes win1 out" in check.message
    assert "rule “Site” is for Domain" in check.evidence
    assert "Public" in check.evidence
    status, _, said = host.run(check.fix.partition("on win1: ")[2].partition(" (undo")[0])
    assert (status, said) == (0, [])
    again = checked(host)
    assert again is not None
    assert again.outcome == "pass"


@pytest.mark.parametrize("version", SOME)
@pytest.mark.parametrize("host_names", [["www.shop.example"], ["www.shop.example", "shop.example"]])
def test_sites_that_answer_to_names_only_are_told(version: str, host_names: list[str]) -> None:
    host = set_up(version)
    host.listeners = [one for one in host.listeners if one[2] != 80]
    host.sites = [Site("Shop", [Binding("http", f"*:80:{name}") for name in host_names])]
    check = checked(host)
    assert check is not None
    assert check.outcome == "unknown"
    assert all(name in check.fix for name in host_names)
    host.sites[0].bindings.append(Binding("http", "*:80:"))
    after = checked(host)
    assert after is None or "by address" not in after.message


@pytest.mark.parametrize("version", ["2012", "2025"])
@pytest.mark.parametrize("fallback", ["", "0.0.0.0:443", "10.0.0.10:443"])
def test_certificates_by_name_only_are_told(version: str, fallback: str) -> None:
    host = set_up(version, shop(ports=(443,)))
    host.sites = [Site("Shop", [Binding("https", "*:443:www.shop.example", "AB" * 20, "MY", 1)])]
    if fallback:
        host.certificates[fallback] = ("AB" * 20, IIS, "MY")
    check = checked(host, 443)
    told = check is not None and "by host name only (SNI)" in check.message
    assert told == (not fallback)
    if told and check is not None:
        assert check.outcome == "unknown"
        assert "www.shop.example" in check.fix
