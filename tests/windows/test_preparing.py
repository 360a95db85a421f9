"""The blocks that make a Windows server reachable: run as pasted, on each version as it is installed."""

from __future__ import annotations

import hashlib
import re
from datetime import timedelta
from pathlib import Path

import pytest

from dsrwizard.core.tell.prepare import PREPARATIONS, preparation
from tests.windows.host import WindowsHost
from tests.windows.host.model import Rule
from tests.windows.host.winrm import OwnCertificate
from tests.windows.lint import lint

ROOT = Path(__file__).parents[2]
MODERN = ["2012", "2012 R2", "2016", "2019", "2022", "2025"]
OLD = ["2008", "2008 R2"]
NAME = "WIN1.corp.example"


def prepared(host: WindowsHost, system: str) -> str:
    status, out, err = host.run(preparation(system).block)
    assert (status, err) == (0, []), err
    return "\n".join(out)


def modern(version: str = "2022") -> WindowsHost:
    host = WindowsHost(version=version)
    host.winrm.domain = "corp.example"
    return host


@pytest.mark.parametrize("version", MODERN)
def test_a_modern_server_gets_https_for_its_own_network_alone(version: str) -> None:
    host = modern(version)
    host.winrm.runs = host.winrm.automatic = False
    text = prepared(host, "windows-2012")
    (certificate,) = host.winrm.certificates
    assert host.winrm.listeners["HTTPS"] == (
        "*", {"Hostname": NAME, "CertificateThumbprint": certificate.thumbprint},
    )  # fmt: skip
    assert host.winrm.runs
    assert host.winrm.automatic
    assert [(one.ports, one.remote, one.direction, one.action, one.enabled) for one in ours(host)] == [
        ("5986", "LocalSubnet", 1, 1, True)
    ]
    assert hashlib.sha256(certificate.raw).hexdigest().upper() in text, "what dsrwizard will show, to compare"
    assert f'dns_name = "{NAME}"' in text


@pytest.mark.parametrize("version", OLD)
def test_an_old_server_gets_the_listener_it_lacks(version: str) -> None:
    host = WindowsHost(version=version)
    assert host.winrm.listeners == {}
    assert 'winrm = "http"' in prepared(host, "windows-2008")
    assert host.winrm.listeners == {"HTTP": ("*", {"Port": "5985"})}
    assert host.winrm.runs
    assert host.winrm.automatic
    assert [(one.ports, one.remote) for one in ours(host)] == [("5985", "LocalSubnet")]


def ours(host: WindowsHost) -> list[Rule]:
    return [rule for rule in host.rules if rule.name.startswith("dsrwizard WinRM")]


@pytest.mark.parametrize(("version", "system"), [("2022", "windows-2012"), ("2008 R2", "windows-2008")])
def test_pasted_twice_nothing_is_made_twice(version: str, system: str) -> None:
    host = WindowsHost(version=version)
    first = prepared(host, system)
    before = (len(host.rules), len(host.winrm.certificates), dict(host.winrm.listeners))
    assert prepared(host, system) == first
    assert (len(host.rules), len(host.winrm.certificates), dict(host.winrm.listeners)) == before


@pytest.mark.parametrize("version", MODERN)
def test_a_certificate_of_the_companys_authority_is_taken_before_one_that_signed_itself(version: str) -> None:
    host = modern(version)
    good = OwnCertificate(NAME, issuer="CN=Corp CA")
    host.winrm.certificates = [
        OwnCertificate(NAME),
        OwnCertificate("web.corp.example", issuer="CN=Corp CA"),
        OwnCertificate(NAME, issuer="CN=Lost Key CA", key=False),
        OwnCertificate(NAME, issuer="CN=Client CA", usages=("1.3.6.1.5.5.7.3.2",)),
        OwnCertificate(NAME, issuer="CN=Old CA", ends=host.now - timedelta(days=1)),
        good,
    ]
    prepared(host, "windows-2012")
    assert host.winrm.listeners["HTTPS"][1]["CertificateThumbprint"] == good.thumbprint
    assert len(host.winrm.certificates) == 6, "none was made"


def test_a_listener_with_a_certificate_that_is_over_gets_the_new_one() -> None:
    host = modern()
    over = OwnCertificate(NAME, ends=host.now - timedelta(days=1))
    host.winrm.certificates = [over]
    host.winrm.listeners["HTTPS"] = ("10.0.0.101", {"Hostname": NAME, "CertificateThumbprint": over.thumbprint})
    prepared(host, "windows-2012")
    address, values = host.winrm.listeners["HTTPS"]
    assert address == "10.0.0.101"
    assert values["CertificateThumbprint"] == host.winrm.certificates[1].thumbprint


@pytest.mark.parametrize("one", PREPARATIONS, ids=lambda one: one.system)
def test_a_block_is_one_statement_that_every_console_takes(one: object) -> None:
    """A console without PSReadLine runs what it has at an empty line, and takes `else` on a line of its own for a
    command."""
    block = one.block  # type: ignore[attr-defined]
    assert block.startswith("& {\n")
    assert block.endswith("\n}\n")
    assert "\n\n" not in block
    assert not re.search(r"^\s*(else|catch)\b", block, re.M)
    assert "\t" not in block, "a tab completes"


NOT_SENT = {
    "Where-Object", "ForEach-Object", "Set-Service", "Start-Service", "New-SelfSignedCertificate",
    "Get-WSManInstance", "Set-WSManInstance", "New-WSManInstance",
}  # fmt: skip
"""Commands of the blocks that no script of ours uses; the tables have them, and the model binds by these."""


@pytest.mark.parametrize(("system", "dialect"), [("windows-2008", "2008"), ("windows-2012", "2012")])
def test_a_block_keeps_to_what_its_oldest_target_has(system: str, dialect: str) -> None:
    problems = {problem.partition(": ")[2] for problem in lint(preparation(system).block, dialect)}  # type: ignore[arg-type]
    known = {f"cmdlet {name}" for name in NOT_SENT}
    whole = {one for one in problems if one.startswith("program {")}  # the block itself, called by its `&`
    sha = {
        "type [Security.Cryptography.SHA256]",
        "[Security.Cryptography.SHA256]::Create with 0 arguments",
        "method ComputeHash with 1 arguments",
    }
    assert problems - known - whole <= sha, "a SHA-256 can be made from .NET 1.1 on"


def test_the_page_shows_the_blocks_as_they_are() -> None:
    page = (ROOT / "docs" / "windows-prepare.md").read_text()
    fenced = re.findall(r"```powershell\n(.*?)```", page, re.S)
    assert fenced == [one.block for one in PREPARATIONS]
