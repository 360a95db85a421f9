"""The runbooks of Windows, typed line by line as a stranger reads them out: into PowerShell from 2012 on, at a prompt
of cmd.exe before."""

from __future__ import annotations

import msgspec
import pytest

from dsrwizard.core.model.deployment import Deployment, System
from dsrwizard.core.plan.plan import host_plan
from dsrwizard.core.tell.runbook.book import Runbook, runbook
from dsrwizard.core.tell.runbook.writing import html, markdown, text
from tests.windows.conftest import VIP, VIP6, shop
from tests.windows.diagnosed import look
from tests.windows.host import Address, WindowsHost
from tests.windows.pasting import in_cmd, in_powershell

SYSTEMS: dict[str, System] = {
    "2003": "windows-2003", "2008": "windows-2008", "2008 R2": "windows-2008", "2012": "windows-2012",
    "2012 R2": "windows-2012", "2016": "windows-2012", "2022": "windows-2012", "2025": "windows-2012",
}  # fmt: skip
FIRST = {"windows-2012": "Ethernet 2"}
"""What Windows calls the new adapter first, where the first is `Ethernet`."""


def farm(*vips: str, connect: str = "manual", system: System = "windows-2012", name: str = "lo") -> Deployment:
    deployment = shop(*vips, ports=(80, 443))
    server = msgspec.structs.replace(deployment.servers[0], connect=connect, system=system, vip_interface=name)
    return msgspec.structs.replace(deployment, servers=(server,))


def ready(version: str) -> WindowsHost:
    host = WindowsHost(version)
    host.wire.addresses.append(Address("fd00::101", 64))
    if SYSTEMS[version] != "windows-2012":
        host.wire.name = "Local Area Connection"
    host.listeners = [("tcp", one, port) for one in ("0.0.0.0", "::") for port in (80, 443)]
    return host


def with_adapter(host: WindowsHost) -> None:
    """What the first step's clicks do."""
    host.bind(host.register("BYHAND"))
    host.adapters[-1].name = FIRST.get(SYSTEMS[host.version], "Local Area Connection 2")
    host.adapters[-1].polls = 0


def clicked(host: WindowsHost) -> None:
    """What the runbooks of before 2012 do in windows: bindings, DNS, NetBIOS, and the metric on 2003."""
    adapter = host.adapters[-1]
    adapter.register, adapter.netbios = False, 2
    adapter.bindings = {one: one.startswith("ms_tcpip") for one in adapter.bindings}
    adapter.rows[4].metric, adapter.rows[4].automatic = 254, False


def typed(host: WindowsHost, *lines: str) -> list[str]:
    """Into the shell that the runbook names."""
    return in_powershell(host, *lines) if SYSTEMS[host.version] == "windows-2012" else in_cmd(host, *lines)


def book_of(version: str, *vips: str) -> Runbook:
    deployment = farm(*vips, system=SYSTEMS[version])
    return runbook(deployment, deployment.servers[0])


@pytest.mark.parametrize("vips", [(VIP,), (VIP, "10.0.0.11"), (VIP, VIP6), (VIP6,)], ids=str)
@pytest.mark.parametrize("version", SYSTEMS)
def test_read_out_it_makes_a_real_server(version: str, vips: tuple[str, ...]) -> None:
    host, book = ready(version), book_of(version, *vips)
    before = host.state()
    with_adapter(host)
    for step in book.steps:
        assert typed(host, *step.commands) == [], step.title
        if step.title.startswith("Unbind") and step.hand:
            clicked(host)
        assert typed(host, *step.check) == [], step.title
    wanted = [vip for vip in vips if version != "2003" or ":" not in vip]
    for vip in wanted:
        assert [one.name for one in host.holds(vip)] == ["dsr"], vip
        assert host.accepts(vip) or version == "2003", vip  # which takes them by any adapter
        assert host.adapters[-1].holding(vip).prefix == (128 if ":" in vip else 32)  # type: ignore[union-attr]
        assert all(host.admits(vip, "tcp", port) for port in (80, 443)), vip
    assert (host.adapters[-1].netbios, host.adapters[-1].register) == (2, False)
    for step in reversed(book.steps):
        assert typed(host, *step.undo) == [], step.title
    host.remove(host.adapters[-1].pnp)
    assert host.state() == before


@pytest.mark.parametrize("version", [version for version in SYSTEMS if version != "2003"])
def test_dsrwizard_finds_nothing_to_do_after_it(version: str) -> None:
    """Logged in afterwards, with the adapter that the runbook made."""
    host = ready(version)
    with_adapter(host)
    for step in book_of(version, VIP, VIP6).steps:
        typed(host, *step.commands)
        if step.title.startswith("Unbind") and step.hand:
            clicked(host)
    known = farm(VIP, VIP6, connect="winrm", name="dsr")
    steps = host_plan(known, known.servers[0], look(host, known)).steps
    assert steps == (), [step.changes for step in steps]


@pytest.mark.parametrize("version", ["2008 R2", "2012", "2012 R2", "2016", "2025"])
def test_server_core_gets_its_adapter_by_the_block(version: str) -> None:
    host = ready(version)
    before = host.state()
    step = book_of(version, VIP).steps[0]
    block, undo = step.core
    assert in_powershell(host, block) == []
    (adapter,) = (one for one in host.adapters if one.loopback)
    assert adapter.name == "dsr"
    line = undo.rpartition(": ")[2].replace("$id", f"'{adapter.pnp}'")
    assert in_powershell(host, block.partition("$id =")[0] + line) == []
    assert host.state() == before


@pytest.mark.parametrize("system", ["windows-2008", "windows-2012"])
def test_every_form_of_the_runbook_has_the_block_whole(system: System) -> None:
    book = runbook(farm(VIP), farm(VIP).servers[0], system)
    block = book.steps[0].core[0]
    assert block in markdown(book)
    for form in (text(book), html(book)):
        for line in ("Add-Type -TypeDefinition ", "public static class DsrLoopback", "[DsrLoopback]::Bind($id)"):
            assert line in form.replace("&#x27;", "'")
    assert any("Server Core" in line for line in book.steps[0].hand)


def test_the_block_can_be_pasted_as_the_plain_text_has_it() -> None:
    """There it is indented."""
    form = text(book_of("2022", VIP))
    block = form[form.index("Add-Type") : form.index("# to undo it")]
    assert "\n     using System.ComponentModel;" in block
    host = ready("2022")
    assert in_powershell(host, block) == []
    assert [one.name for one in host.adapters if one.loopback] == ["dsr"]
