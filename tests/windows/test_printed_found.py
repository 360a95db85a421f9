"""No command of Windows stands in the product's sources or pages that these tests do not paste into a Windows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import msgspec
import pytest

from backends.winrm.problems import set_by_winrm
from dsrwizard.core.diagnosis import diagnose
from dsrwizard.core.dialects.windows.advice import WindowsAdvice, never_source, no_netbios
from dsrwizard.core.dialects.windows.profiles import admit_everywhere
from dsrwizard.core.model.deployment import Service
from dsrwizard.core.model.facts import Route
from tests.windows import pasting
from tests.windows import test_field_states as states
from tests.windows import test_printed_lines as lines
from tests.windows import test_printed_runbooks as books
from tests.windows.conftest import VIP, VIP6, shop
from tests.windows.diagnosed import evidence, look, set_up
from tests.windows.faults import FAULTS, carrier
from tests.windows.host import Event, Rule, WindowsHost
from tests.windows.pasting import in_cmd, in_powershell, said_to_type
from tests.windows.printed import COMMAND, ROOT, templates

ELSEWHERE = ("backends/", "screens/")
"""Before a login: `LOGIN` holds what is said there."""
PROSE = {
    "appcmd gave no list of them",
    "appcmd does not accept the names",
    "The certificate is copied for the VIP",
    "Wait until other programs end",
    "MaxMemoryPerShellMB",
    "The login has no administrator rights",
    "ipconfig shows where",
    "writes which filter drops the packets",
    "Server Core of 2008, before R2",
    "Where the list is not empty",
    "# to undo it, in that PowerShell",
    " (undo: ",
    "it shows them as SYN_RECEIVED",
    "in the adapter's IPv4 settings, DNS registration",
}
"""Sentences around a command; the command itself is in `SAID`."""
SENT = (
    "dsrwizard/core/dialects/windows/powershell.py",
    "dsrwizard/core/tell/rehearsal/",
    "dsrwizard/core/tell/prepare/",
)
"""Parts of scripts and of the block that prepares a server, which other tests run."""
SAID = (
    "netstat -an -p tcp", "netstat -an -p tcpv6", "netsh wfp show netevents", "netsh http show sslcert", "ipconfig",
    "ipconfig /all", f"netsh http add iplisten ipaddress={VIP}", f"netsh http delete iplisten ipaddress={VIP}",
    "winrm get winrm/config", """winrm set winrm/config/winrs '@{MaxMemoryPerShellMB="1024"}'""",
    "Restart-Service WinRM",
    r"reg add HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System /v LocalAccountTokenFilterPolicy "
    "/t REG_DWORD /d 1 /f",
)  # fmt: skip


OF_THEIR_OWN = {"windows-adapter, disabled", "windows-adapter, DHCP", "windows-adapter, gateway", "gateway, none"}
"""Faults whose fix before 2012 is no line of a review."""


@pytest.fixture
def pasted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that is pasted during the test."""
    found: list[str] = []

    def kept(paste: Callable[..., list[str]]) -> Callable[..., list[str]]:
        def run(host: WindowsHost, *typed: str, **more: object) -> list[str]:
            found.extend(typed)
            return paste(host, *typed, **more)

        return run

    for module in (pasting, lines, books, states):
        for name, paste in (("in_powershell", in_powershell), ("in_cmd", in_cmd)):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, kept(paste))
    monkeypatch.setitem(globals(), "in_powershell", kept(in_powershell))
    return found


def everything(version: str) -> Iterator[Callable[[], None]]:
    """The tests of what is printed for this version."""
    yield lambda: lines.test_the_review_typed_by_hand_leaves_nothing_to_do(version)
    yield lambda: lines.test_the_undo_typed_by_hand_leaves_the_host_as_it_was(version)
    yield lambda: lines.test_whatever_adapters_and_sites_are_called(version, "brackets")
    yield lambda: lines.test_whatever_the_loopback_adapter_is_called(version, "brackets")
    yield lambda: lines.test_what_shows_something_can_be_pasted_too(version)
    yield lambda: lines.test_a_rule_that_blocks_is_turned_off_by_its_name(version, "Block all")
    for name in FAULTS:
        if "2008" not in version or name in OF_THEIR_OWN:
            yield lambda name=name: lines.test_a_fix_mends_what_it_is_said_for(version, name, False)  # type: ignore[misc]
    yield lambda: states.test_load_balancing_that_still_runs_is_called_by_its_name(version, "multicast")
    yield lambda: books.test_read_out_it_makes_a_real_server(version, (VIP, VIP6))
    yield lambda: books.test_server_core_gets_its_adapter_by_the_block(version)
    yield lambda: seldom(version)


def seldom(version: str) -> None:
    """Advice for states that no fault of `FAULTS` makes."""
    deployment = shop(VIP, VIP6)
    host = set_up(version, deployment)
    host.events.append(Event(4199, "10.0.0.77", "02:00:00:00:00:77"))
    host.listeners.append(("udp", "0.0.0.0", 53))
    facts = look(host, deployment)
    advice = WindowsAdvice(deployment.servers[0], facts)
    system = "windows-2008" if "2008" in version else "windows-2012"
    unseen = msgspec.structs.replace(deployment.servers[0], system=system)
    nowhere = WindowsAdvice(unseen, None)
    udp, tcp, vip = Service(port=53, protocol="udp"), Service(port=80), deployment.vips[0]
    other = Route(gateway="10.0.0.1", interface=host.wire.name, family=4)
    for line in (
        advice.show_listeners(udp), advice.show_listeners(tcp), advice.show_gateway(4), advice.show_gateway(6),
        advice.show_kept(vip), advice.show_kept(deployment.vips[1]), advice.show_address(vip), advice.show_adapters(),
        advice.show_addresses(), advice.show_family(4), advice.set_gateway(4, "10.0.0.9", other),
    ):  # fmt: skip
        assert in_powershell(host, line) == [], line
    assert host.wire.gateways[-1] == "10.0.0.9"
    assert "10.0.0.1" not in host.wire.gateways
    for gateway in ("10.0.0.9", "fd00::1"):
        host.neighbours[gateway] = "00:00:0c:07:ac:0b"
        assert in_powershell(host, advice.forget_neighbour(gateway)) == []
    assert not {"10.0.0.9", "fd00::1"} & set(host.neighbours)
    host.wire.gateways = []
    assert in_powershell(host, nowhere.set_gateway(4, "10.0.0.1", None)) == []
    assert host.wire.gateways == ["10.0.0.1"]
    if "2008" not in version:
        assert in_powershell(host, never_source(vip)) == []
        host.sites = None
    windows = look(host, deployment).windows
    assert windows is not None
    adapter = windows.adapter("dsrwizard")
    assert adapter is not None
    carrier(host).netbios = 1
    assert in_powershell(host, no_netbios(adapter)) == []
    assert carrier(host).netbios == 2
    host.rules.append(Rule("gone", ports="80", addresses=VIP))
    blind = msgspec.structs.replace(facts, windows=msgspec.structs.replace(windows, sites=None))
    for check in diagnose(evidence(host, blind, deployment)).checks:
        line = said_to_type(check.fix)
        if check.outcome == "unknown" and check.fix.startswith("On win1: ") and not line.startswith("in "):
            assert in_powershell(host, line) == [], check.fix
    for line in (*SAID, admit_everywhere(5985)):
        if "wfp" not in line or version != "2008":
            assert in_powershell(host, line) == [], line


def test_no_command_is_printed_that_is_not_pasted(pasted: list[str]) -> None:
    for version in ("2008 R2", "2022"):
        for run in everything(version):
            run()
    books.test_read_out_it_makes_a_real_server("2003", (VIP, "10.0.0.11"))
    everywhere = "\n".join(pasted)
    missing = [
        f"{one.place}: {one.text}"
        for one in templates()
        if not one.place.startswith((*ELSEWHERE, *SENT))
        and not any(sentence in one.text for sentence in PROSE)
        and not one.pattern.search(everywhere)
    ]
    assert missing == []


@pytest.mark.parametrize("version", ["2008 R2", "2012", "2022"])
@pytest.mark.parametrize(
    ("where", "name", "value", "written"),
    [
        ("service/auth", "Basic", "true", ("Service\\AllowBasic", 1)),
        ("service/auth", "Kerberos", "true", ("Service\\AllowKerberos", 1)),
        ("winrs", "AllowRemoteShellAccess", "true", ("WinRS\\AllowRemoteShellAccess", 1)),
        ("winrs", "MaxShellsPerUser", "30", ("WinRS\\MaxShellsPerUser", 30)),
    ],
)
def test_what_sets_winrm_works_on_a_public_network_too(
    version: str, where: str, name: str, value: str, written: tuple[str, int]
) -> None:
    host = WindowsHost(version)
    said = set_by_winrm(where, name, value)
    line, _, policy = said.partition(" (if that is refused with 0x80338169")
    assert in_powershell(host, line) == []
    host.public = True
    assert in_powershell(host, line) != []
    typed = policy.partition("then: ")[2].removesuffix(")")
    for paste in (in_powershell, in_cmd):
        host.added.clear()
        assert paste(host, typed) == []
        assert [(key.endswith(written[0]), number) for key, number in host.added.items()] == [(True, written[1])]


def test_a_new_line_would_be_found() -> None:
    """What it looks for is in the sources under many names; one that nobody pastes is missed."""
    found = {one.text for one in templates()}
    assert len(found) > 80
    assert COMMAND.search("Restart-NetAdapter -Name 'x'")
    assert COMMAND.search("netsh winsock reset")
    assert not COMMAND.search("the network set of adapters")
    assert ROOT.joinpath("dsrwizard").is_dir()
    assert not any(re.match(r"tests/", one.place) for one in templates())


# -- pages

PAGES = sorted((ROOT / "dsrwizard" / "pages").glob("*.md"))


def of_windows(text: str) -> list[str]:
    """The indented lines of a page that hold a command of Windows."""
    found = [line.strip() for line in text.splitlines() if line.startswith("    ") and COMMAND.search(line)]
    return [line.partition("# Windows: ")[2] or line for line in found]


def test_the_pages_of_the_causes_have_lines_for_windows() -> None:
    assert sum(len(of_windows(page.read_text("utf-8"))) for page in PAGES) > 8


@pytest.mark.parametrize("version", ["2012", "2016", "2025"])
def test_the_lines_of_the_pages_run_as_pasted(version: str) -> None:
    """They name the adapters Ethernet and dsrwizard, and the VIP 10.0.0.10."""
    for page in PAGES:
        host = set_up(version)
        host.events.append(Event(4199, VIP, "02:00:00:00:00:77"))
        host.neighbours["10.0.0.1"] = "02:00:00:00:00:fe"
        for line in of_windows(page.read_text("utf-8")):
            assert in_powershell(host, line) == [], f"{page.name}: {line}"
