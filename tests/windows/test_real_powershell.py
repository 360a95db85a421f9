"""What a script meets on a modelled host is what it would meet on Windows: binding, types, errors, programs."""

from __future__ import annotations

import pytest

from tests.windows.host import WindowsHost
from tests.windows.pwsh import NotModelled
from tests.windows.pwsh.tables import Parameter, parameter_sets

HEAD = "$ErrorActionPreference = 'Stop'\n"


def said(script: str, version: str = "2022") -> tuple[int, list[str], str]:
    """Exit status, lines of output, errors in one text."""
    status, out, err = WindowsHost(version).run(HEAD + script)
    return status, out, " ".join(err)


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("Get-NetAdapter -Nmae Ethernet", "parameter name 'Nmae'"),
        ("Get-NetAdapter -Name Ethernet -InterfaceDescription x", "Parameter set cannot be resolved"),
        ("New-NetIPAddress -InterfaceIndex 12 -IPAddress 10.0.0.10 -PrefixLength 300", "'PrefixLength'"),
        ("Set-NetIPInterface -InterfaceIndex 12 -AddressFamily IPv5 -WeakHostReceive Enabled", "IPv5"),
        ("Set-NetIPInterface -InterfaceIndex 12 -AddressFamily IPv4 -WeakHostReceive On", "On"),
        ("Get-NetIPAddress -InterfaceIndex twelve", "'InterfaceIndex'"),
        ("Rename-NetAdapter -NewName x", "mandatory parameters: Name"),
        ("New-Object -TypeName IO.Compression.GZipStream -ArgumentList @((New-Object IO.MemoryStream), 'Decompress')",
         "ambiguous overloads"),
        ("[int](4294967295 + 1)", "Int32"),
        ("Get-NetIPAddress -IPAddress 10.0.0.99", "No matching MSFT_NetIPAddress"),
        ("[DsrLoopback]::Bind(1)", "Unable to find type"),
    ],
)  # fmt: skip
def test_what_windows_refuses_is_refused_in_its_words(script: str, why: str) -> None:
    status, _, error = said(script)
    assert status == 1
    assert why in error


@pytest.mark.parametrize(
    ("version", "script"),
    [
        ("2008 R2", "Get-NetAdapter"),
        ("2008 R2", "ConvertTo-Json -InputObject @{}"),
        ("2012", "Get-FileHash -LiteralPath x"),
        ("2022", "Remove-Alias x"),
        ("2022", "Get-Uptime"),
    ],
)
def test_a_command_that_this_windows_has_not_is_not_there(version: str, script: str) -> None:
    status, _, error = said(script, version)
    assert status == 1
    assert f"'{script.split(maxsplit=1)[0]}' is not recognized" in error


def test_an_error_is_quiet_where_the_script_says_so() -> None:
    assert said("Get-NetIPAddress -IPAddress 10.0.0.99 -ErrorAction SilentlyContinue\n'on'") == (0, ["on"], "")
    assert said("try { Get-NetIPAddress -IPAddress 10.0.0.99 } catch { 'caught' }") == (0, ["caught"], "")


def test_the_status_is_the_scripts_own() -> None:
    assert said("'one'\nexit 7\n'two'") == (7, ["one"], "")
    assert said("throw 'no'") == (1, [], "no")


def test_a_script_finds_nothing_of_the_one_before() -> None:
    assert said("$left = 'something'\nfunction Get-Left { $left }\nGet-Left")[1] == ["something"]
    status, _, error = said("Get-Left")
    assert status == 1
    assert "'Get-Left' is not recognized" in error
    assert said('"[$left]"')[1] == ["[]"]


def test_what_the_model_does_not_know_ends_the_test_though_the_script_goes_on() -> None:
    with pytest.raises(NotModelled, match="property Speed"):
        WindowsHost().run("try { (Get-NetAdapter).Speed } catch { 'caught' }")
    with pytest.raises(NotModelled, match="COM object"):
        WindowsHost().run("New-Object -ComObject Shell.Application")


def test_a_program_gets_its_words_as_the_c_runtime_splits_them() -> None:
    with pytest.raises(NotModelled, match=r"^netsh interface one two three \\four$"):
        WindowsHost().run(r"& 'netsh' 'interface' @('one', 'two three') '\four'")
    with pytest.raises(NotModelled, match=r'^netsh name="a b"$'):
        WindowsHost().run("& 'netsh' 'name=\\\"a b\\\"'")


def test_the_version_is_that_of_the_host() -> None:
    assert said('"$($PSVersionTable.PSVersion)"', "2008 R2")[1] == ["2.0"]
    assert said('"$($PSVersionTable.PSVersion) $([Environment]::OSVersion.Version)"', "2012 R2")[1] == ["4.0 6.3.9600"]


def test_sets_of_parameters_are_told_apart() -> None:
    first, second, third = parameter_sets("5.1", "Get-NetAdapter")
    assert first[0] == Parameter("Name", "string[]", mandatory=False, position=0)
    assert (second[0].name, second[0].mandatory, second[0].position) == ("InterfaceDescription", True, -1)
    assert third[0].name == "InterfaceIndex"
    assert [[one.name for one in only] for only in parameter_sets("2.0", "Start-Sleep")] == [
        ["Seconds"], ["Milliseconds"],
    ]  # fmt: skip
