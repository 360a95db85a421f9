"""Every PowerShell script as text: it parses, is plain ASCII and keeps to what its oldest target has
(`tests.windows.lint`), and its C# compiles as C# 2."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from dsrwizard.core.dialects.windows import apply, half_open, observe, powershell, revert
from dsrwizard.core.dialects.windows.commands import quoted
from dsrwizard.core.model.changes import AddressChange, Change, CommandSet, LinkChange, WindowsChange
from dsrwizard.core.model.steps import Step
from dsrwizard.core.model.windows_facts import Dialect
from tests.windows.lint import lint
from tests.windows.pwsh.process import errors_of, walked


def changes(system: CommandSet) -> tuple[Change, ...]:
    """One of each kind."""
    items = (
        ("weak-receive", "{6C3B0A4E-7B1F-4E52-9A44-0D5B4A1F7D01}/4", "Disabled", "Enabled"),
        ("weak-send", "dsrwizard/4", None, "Enabled"),
        ("metric", "dsrwizard/4", "automatic", "254"),
        ("dad", "dsrwizard/4", None, "0"),
        ("router-discovery", "dsrwizard/6", None, "Disabled"),
        ("binding", "dsrwizard/ms_server", "Enabled", "Disabled"),
        ("dns-registration", "dsrwizard", "true,false", "false,false"),
        ("netbios", "dsrwizard", "0", "2"),
        ("firewall-rule", "dsrwizard-10.0.0.10-tcp-80", None, "tcp 80 10.0.0.10"),
        ("site-binding", "O'Brien's site|http|10.0.0.10:80:", None, "present"),
        ("listen-address", "10.0.0.10", None, "present"),
        ("certificate", "10.0.0.10:443", None, "AB {4dc3e181-e14b-4a21-b022-59fc669b0914} MY"),
    )  # fmt: skip
    return (
        LinkChange(interface="dsrwizard", old=False, new=True, system=system),
        AddressChange(interface="dsrwizard", address="10.0.0.10", prefix=32, old=False, new=True, system=system),
        *(WindowsChange(item=item, key=key, old=old, new=new, system=system) for item, key, old, new in items),  # type: ignore[arg-type]
    )


def step(system: CommandSet) -> Step:
    return Step(id="all", host="win1", phase="vip", title="All", why="", changes=changes(system))


def pieces(dialect: Dialect) -> str:
    """The looking script as one generation runs it, without the other's half."""
    generation = powershell.GENERATIONS[dialect]
    return powershell.prelude("n") + powershell.file("facts.ps1") + generation.json + generation.facts


def armed(dialect: Dialect) -> str:
    """What is sent where the host is to put itself back, with the text that it hands on to its task at its place."""
    system: CommandSet = "windows-2008" if dialect == "2008" else "windows-2012"
    machinery = apply.machinery("n", [step(system)], reached="10.0.0.101", system=system)
    script = apply.apply_script(
        "n", [step(system)], reached="10.0.0.101", system=system, afterwards="", revert_after=60
    )  # fmt: skip
    handed_on = quoted(machinery)
    assert handed_on in script
    return machinery + script.replace(handed_on, "''")


def task(dialect: Dialect) -> str:
    system: CommandSet = "windows-2008" if dialect == "2008" else "windows-2012"
    machinery = apply.machinery("n", [step(system)], reached="10.0.0.101", system=system)
    return revert.task_script(machinery, 12, 60)


SCRIPTS: dict[str, tuple[Dialect, str]] = {
    "look 2012": ("2012", pieces("2012")),
    "look 2008": ("2008", pieces("2008")),
    "apply 2012": (
        "2012",
        apply.apply_script("n", [step("windows-2012")], reached="10.0.0.101", system="windows-2012", afterwards=""),
    ),
    "armed 2012": ("2012", armed("2012")),
    "task 2012": ("2012", task("2012")),
    "keep": ("2008", revert.keep_script("n")),
    "clear": ("2008", revert.clear_script("n")),
    "half-open 2012": ("2012", half_open.script("n", ["192.0.2.7"], 1, legacy=False)),
    "half-open 2008": ("2008", half_open.script("n", ["192.0.2.7"], 1, legacy=True)),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_keeps_to_its_generation(name: str) -> None:
    dialect, script = SCRIPTS[name]
    assert lint(script, dialect) == []


@pytest.mark.parametrize("which", ["plain", "armed", "task"])
def test_the_applying_script_of_2008_too(which: str) -> None:
    """Its dispatcher names a function for bindings, which this generation never plans."""
    changed = tuple(change for change in changes("windows-2008") if getattr(change, "item", "") != "binding")
    one = Step(id="all", host="win1", phase="vip", title="All", why="", changes=changed)
    plain = apply.apply_script("n", [one], reached="10.0.0.101", system="windows-2008", afterwards="")
    script = {"plain": plain, "armed": armed("2008"), "task": task("2008")}[which]
    assert {problem.partition(": ")[2] for problem in lint(script, "2008")} == {
        "cmdlet Read-Component",
        "cmdlet Write-Component",
    }


def test_the_whole_looking_script_parses_with_both_generations_in_it() -> None:
    assert errors_of(observe.observe_script("n")) == []


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("Get-NetIPAddress -InterfaceIndex", "Get-NetIpAdress -InterfaceIndex", "cmdlet Get-NetIpAdress"),
        ("-WeakHostReceive $after", "-WeakHostReceiving $after", "no parameter -weakhostreceiving"),
        ("& 'netsh'", "& 'devcon'", "program devcon"),
        ("[Convert]", "[Konvert]", "type [Konvert]"),
        ("'refused: this adapter", "'refus\u00e9: this adapter", "not ASCII"),
        ("function Find-Index {", "function Find-Index {{", "does not parse"),
        ("return 'Disabled'", "return 'Disabled", "does not parse"),
        ("-WeakHostReceive $after", "-PolicyStore $after", "no parameter -policystore"),
        ("$ErrorActionPreference = 'Stop'", "$x = 1 -in @(1)", "operator Iin"),
        ("$ErrorActionPreference = 'Stop'", "$x = 1 -shl 2", "operator Shl"),
        ("$ErrorActionPreference = 'Stop'", "$x = $null ?? 1", "operator QuestionQuestion"),
        ("$ErrorActionPreference = 'Stop'", "$x = [pscustomobject]@{ a = 1 }", "type [pscustomobject]"),
        ("$ErrorActionPreference = 'Stop'", "$x = [ordered]@{ a = 1 }", "type [ordered]"),
        ("$ErrorActionPreference = 'Stop'", "$x = [string]::IsNullOrWhiteSpace('')", "[string]::IsNullOrWhiteSpace"),
        ("$ErrorActionPreference = 'Stop'", "$x = [Convert]::ToBase64String(@(1), 1)", "ToBase64String with 2"),
        ("$ErrorActionPreference = 'Stop'", "$x = @(1).ForEach({ $_ })", "method ForEach"),
        ("$ErrorActionPreference = 'Stop'", "$x = ${y}?.Name", "null-conditional"),
        ("$ErrorActionPreference = 'Stop'", "$x = $true ? 1 : 2", "TernaryExpression"),
        ("$ErrorActionPreference = 'Stop'", "Get-Date && Get-Date", "PipelineChain"),
        ("$ErrorActionPreference = 'Stop'", "class Own { }", "TypeDefinition"),
        ("$ErrorActionPreference = 'Stop'", "$x = $PSItem", "variable PSItem"),
        ("$ErrorActionPreference = 'Stop'", "Get-NetRoute -DestinationPrefix x -ErrorAction Ignore", "Ignore came"),
        (
            "$ErrorActionPreference = 'Stop'",
            "$x = New-Object -TypeName IO.Compression.GZipStream -ArgumentList @($s, 'Decompress')",
            "a text among the arguments of IO.Compression.GZipStream",
        ),
    ],
)
def test_the_lint_sees_what_it_is_for(old: str, new: str, says: str) -> None:
    dialect, script = SCRIPTS["apply 2012"]
    assert old in script
    assert any(says in problem for problem in lint(script.replace(old, new, 1), dialect))


@pytest.mark.parametrize("word", ["ConvertTo-Json -InputObject $x", "Get-NetIPAddress", "Get-CimInstance -ClassName X"])
def test_the_lint_keeps_what_came_later_out_of_the_old_dialect(word: str) -> None:
    assert lint(f"{pieces('2008')}\n{word}\n", "2008")


@pytest.mark.parametrize("source", [powershell.LOOPBACK, powershell.INTERFACE], ids=["DsrLoopback", "DsrInterface"])
def test_the_c_sharp_compiles_as_c_sharp_2(source: str, tmp_path: Path) -> None:
    compiler = shutil.which("mcs")
    assert compiler, "mcs is missing: make packages installs it"
    (tmp_path / "one.cs").write_text(source)
    ran = subprocess.run(
        [compiler, "-target:library", "-langversion:ISO-2", "-warnaserror", f"-out:{tmp_path / 'one.dll'}", "one.cs"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr + ran.stdout
    ran = subprocess.run(
        [compiler, "-target:library", "-langversion:ISO-2", f"-out:{tmp_path / 'two.dll'}", "two.cs"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode != 0


def test_names_with_quotes_stay_names() -> None:
    """A site's name is data: it must not end the string it stands in."""
    script = SCRIPTS["apply 2012"][1]
    assert "'O''Brien''s site|http|10.0.0.10:80:'" in script
    evil = WindowsChange(item="listen-address", key="1'; Remove-Item C:\\ #\u2019", old=None, new="present")
    one = Step(id="all", host="win1", phase="vip", title="All", why="", changes=(evil,))
    text = apply.apply_script("n", [one], reached="10.0.0.101", system="windows-2012", afterwards="")
    commands = {node["name"] for node in walked(text)["nodes"] if node["kind"] == "command"}
    assert "Write-Setting" in commands or len(commands) > 10
    assert "Remove-Item" not in commands
