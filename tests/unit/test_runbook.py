"""Runbooks as the person in front of the server reads them: the right commands, with their own addresses."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from dsrwizard.cli.main import run
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, System, Vip
from dsrwizard.core.tell.runbook import Runbook, html, markdown, proof_of, runbook, text

SYSTEMS: tuple[System, ...] = get_args(System)
SHOP = Deployment(
    name="shop",
    director=Director(interface="eth0"),
    vips=(
        Vip(address="10.0.0.10", services=(Service(port=80), Service(protocol="udp", port=53))),
        Vip(address="fd00::10", services=(Service(port=443),)),
    ),
    servers=(
        RealServer(name="old1", address="10.0.0.103", address6="fd00::103", connect="manual", system="windows-2003"),
        RealServer(name="web1", address="10.0.0.101", address6="fd00::101"),
    ),
)


def book(system: System) -> Runbook:
    return runbook(SHOP, SHOP.servers[0], system)


def commands(made: Runbook) -> str:
    return "\n".join(line for step in made.steps for line in step.commands)


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_command_names_the_deployments_own_addresses(system: System) -> None:
    everything = text(book(system))
    assert "10.0.0.10" in commands(book(system))
    assert "10.0.0.103" in everything
    assert not re.search(r"<[A-Za-z ]+>|\bVIP_?ADDRESS\b|x\.x\.x\.x", everything)
    for step in book(system).steps:
        assert step.check or step.proves, f"{step.title}: how does one see that it took?"
        assert step.why


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_vendors_mistakes_are_not_repeated(system: System) -> None:
    """Field guide, section 6."""
    everything = text(book(system)).lower()
    for mistake in ("weakhostsendsend", "/etc/sysctls.conf", "255.255.255.0\n", "/24", "disable the firewall"):
        assert mistake not in everything
    assert "/32" in everything or "255.255.255.255" in everything


def test_each_generation_gets_its_own_way() -> None:
    assert "weakhostreceive=enabled weakhostsend=enabled" in commands(book("windows-2008"))
    assert "-WeakHostReceive Enabled -WeakHostSend Enabled" in commands(book("windows-2012"))
    oldest = text(book("windows-2003"))
    assert "weakhost" not in oldest.lower()
    assert "254" in oldest
    assert "IPv6 VIPs are not possible" in oldest
    assert "fd00::10" not in commands(book("windows-2003"))
    linux = commands(book("linux"))
    assert linux.index("arp_ignore=1") < linux.index("ip addr add 10.0.0.10/32 dev lo")
    assert "fd00::10/128 dev lo nodad preferred_lft 0" in linux


def test_ipv4_alone_lets_ipv6_be_unbound() -> None:
    four = Deployment(name="a", director=SHOP.director, vips=SHOP.vips[:1], servers=SHOP.servers)
    assert "ms_tcpip6" in commands(runbook(four, four.servers[0], "windows-2012"))
    assert "ms_tcpip6" not in commands(book("windows-2012"))


def test_the_system_of_the_file_picks_the_runbook() -> None:
    assert runbook(SHOP, SHOP.servers[0]).system == "windows-2003"
    assert runbook(SHOP, SHOP.servers[1]).system == "linux"


@pytest.mark.parametrize("system", SYSTEMS)
def test_markdown_keeps_commands_in_fences_and_steps_as_tasks(system: System) -> None:
    made = book(system)
    written = markdown(made)
    assert written.count("- [ ] done") == len(made.steps)
    assert written.count("```") % 2 == 0
    fenced = "\n".join(part for number, part in enumerate(written.split("```")) if number % 2)
    for step in made.steps:
        for command in step.commands:
            assert command in fenced
    assert written == markdown(book(system))


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_page_needs_nothing_else_and_shows_commands_as_they_are_typed(system: System) -> None:
    made = book(system)
    page = _Page()
    page.feed(html(made))
    assert not [tag for tag, more in page.tags if tag in ("script", "link", "img") or "src" in more or "href" in more]
    boxes = [more for tag, more in page.tags if tag == "input" and more.get("type") == "checkbox"]
    assert len(boxes) == len(made.steps)
    shown = "".join(page.text)
    for step in made.steps:
        for command in step.commands:
            assert command in shown


def test_a_name_that_looks_like_html_stays_text() -> None:
    evil = RealServer(name="web1", address="10.0.0.101", connect="manual", vip_interface="a<b>&c")
    made = runbook(Deployment(name="x", director=SHOP.director, vips=SHOP.vips[:1], servers=(evil,)), evil, "linux")
    assert "<b>" not in html(made)


class TestTheCommand:
    @pytest.fixture
    def file(self, tmp_path: Path) -> str:
        path = tmp_path / "shop.toml"
        path.write_text(dumps(SHOP))
        return str(path)

    def test_prints_the_servers_that_are_set_up_by_hand(self, file: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["runbook", file]) == 0
        said = capsys.readouterr().out
        assert said.startswith("old1 (10.0.0.103) as a real server of shop: Windows Server 2003")
        assert "web1" not in said

    def test_writes_a_file_of_the_form(self, file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        target = tmp_path / "out" / "old1.html"
        assert run(["runbook", file, "--format", "html", "--output", str(target)]) == 0
        assert target.read_text().startswith("<!doctype html>")
        assert str(target) in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--host", "web9"], "Its servers: old1, web1"),
            (["--system", "windows-95"], "windows-2012"),
            (["--format", "pdf"], "--format"),
            (["--output", "/proc/nowhere/a.txt"], "cannot be written"),
        ],
    )
    def test_refuses_with_what_to_write_instead(
        self, file: str, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(["runbook", file, *arguments]) in (2, 3)
        assert says in capsys.readouterr().err


def audited(*checks: tuple[str, str, str]) -> Report:
    """(check, host, outcome) of the VIP 10.0.0.10."""
    found = tuple(
        Check(check=check, host=host, outcome=outcome, vip="10.0.0.10", service="tcp/80", message="")  # type: ignore[arg-type]
        for check, host, outcome in checks
    )
    return Report(deployment="shop", verdict="unknown", checks=found)


@pytest.mark.parametrize(
    ("checks", "outcome"),
    [
        ([("arp.audit", "director", "pass"), ("vip.probe", "web1", "pass")], "proved"),
        ([("arp.audit", "director", "pass"), ("vip.probe", "web1", "fail")], "open"),
        ([("arp.audit", "director", "unknown"), ("vip.probe", "web1", "pass")], "open"),
        ([("vip.probe", "web1", "pass")], "open"),
        ([("arp.audit", "web1", "fail"), ("vip.probe", "web1", "pass")], "failed"),
        ([("arp.audit", "web2", "fail"), ("vip.probe", "web1", "pass")], "proved"),
        ([("arp.audit", "director", "fail"), ("vip.probe", "web1", "pass")], "open"),
    ],
    ids=["silent", "no VIP", "not heard", "not asked", "leaks", "another leaks", "a stranger answers"],
)
def test_silence_proves_the_guard_only_where_the_vip_is_and_all_answers_are_known(
    checks: list[tuple[str, str, str]], outcome: str
) -> None:
    one_vip = msgspec.structs.replace(SHOP, vips=SHOP.vips[:1])
    server = one_vip.servers[1]
    guard = runbook(one_vip, server, "linux").steps[0]
    assert guard.proves == "arp.audit"
    assert proof_of(guard, one_vip, server, audited(*checks)).outcome == outcome


def test_what_says_nothing_about_a_server_proves_nothing_of_it() -> None:
    server = SHOP.servers[1]
    for step in runbook(SHOP, server, "windows-2012").steps:
        assert proof_of(step, SHOP, server, None).outcome == "open"
        assert proof_of(step, SHOP, server, audited(("vip.probe", "old1", "pass"))).outcome == "open"
