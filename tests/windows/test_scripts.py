"""Every PowerShell script as text: it parses, is plain ASCII, keeps to what its generation of Windows knows, and its C#
compiles as C# 2. The allowlists are written by hand from Microsoft's reference pages, not from the model."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from dsrwizard.core.dialects.windows import apply, half_open, observe, powershell
from dsrwizard.core.model.changes import AddressChange, Change, CommandSet, LinkChange, WindowsChange
from dsrwizard.core.model.steps import Step
from dsrwizard.core.model.windows_facts import Dialect

PARSER = Parser(Language(tree_sitter_powershell.language()))
BOTH = {
    "add-type": {"typedefinition"},
    "get-wmiobject": {"class", "filter"},
    "new-object": {"comobject", "typename", "argumentlist"},
    "test-path": {"literalpath"},
    "get-itemproperty": {"literalpath"},
    "set-itemproperty": {"literalpath", "name", "value"},
    "get-childitem": {"literalpath"},
    "get-date": set(),
    "start-sleep": {"milliseconds"},
    "write-output": set(),
    "out-null": set(),
}
ALLOWED: dict[Dialect, dict[str, set[str]]] = {
    "2008": BOTH | {"get-eventlog": {"logname", "source", "after", "erroraction"}},
    "2012": BOTH
    | {
        "convertto-json": {"inputobject", "depth", "compress"},
        "get-winevent": {"filterhashtable", "erroraction"},
        "get-netadapter": {"includehidden"},
        "rename-netadapter": {"inputobject", "newname"},
        "get-netadapterbinding": {"name", "componentid", "allbindings"},
        "enable-netadapterbinding": {"name", "componentid"},
        "disable-netadapterbinding": {"name", "componentid"},
        "get-netipaddress": {"interfaceindex", "ipaddress", "policystore", "erroraction"},
        "new-netipaddress": {"interfaceindex", "ipaddress", "prefixlength", "skipassource"},
        "remove-netipaddress": {"interfaceindex", "ipaddress", "confirm"},
        "get-netipinterface": {"interfaceindex", "addressfamily", "erroraction"},
        "set-netipinterface": {
            "interfaceindex", "addressfamily", "dhcp", "weakhostreceive", "weakhostsend", "dadtransmits",
            "routerdiscovery", "interfacemetric", "automaticmetric",
        },
        "get-netroute": {"destinationprefix", "erroraction"},
        "get-dnsclient": {"interfaceindex"},
        "set-dnsclient": {"interfaceindex", "registerthisconnectionsaddress", "usesuffixwhenregistering"},
    },
}  # fmt: skip
PROGRAMS = {"netsh", "arp", "$appcmd"}
TYPES = {
    "string", "int", "int64", "bool", "version", "array", "collections.idictionary", "text.encoding", "console",
    "convert", "bitconverter", "intptr", "math", "environment", "security.principal.windowsidentity",
    "net.networkinformation.ipglobalproperties", "net.networkinformation.networkinterface", "dsrloopback",
    "dsrinterface", "management.automation.wildcardpattern", "io.compression.compressionmode", "xml",
}  # fmt: skip
FORBIDDEN_2008 = (
    "convertto-json",
    "get-ciminstance",
    "pscustomobject",
    "ordered",
    " -in ",
    "$psitem",
    "-netip",
    "netadapter",
)
"""What PowerShell 2.0 on Windows Server 2008 does not have."""


def nodes(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from nodes(child)


def words(node: Node | None) -> str:
    return node.text.decode() if node is not None and node.text is not None else ""


def lint(script: str, dialect: Dialect) -> list[str]:
    """Everything that this generation would not take, or that nobody has looked up."""
    found = [f"line {number}: not ASCII" for number, line in enumerate(script.splitlines(), 1) if not line.isascii()]
    root = PARSER.parse(script.encode()).root_node
    functions = {words(node.child(1)).lower() for node in nodes(root) if node.type == "function_statement"}
    for node in nodes(root):
        where = f"line {node.start_point[0] + 1}"
        if node.type == "ERROR" or node.is_missing:
            found.append(f"{where}: does not parse: {words(node)[:40]}")
        elif node.type == "command":
            found += [f"{where}: {problem}" for problem in _command(node, functions, dialect)]
        elif node.type == "type_literal" and words(node)[1:-1].lower() not in TYPES:
            found.append(f"{where}: type {words(node)}")
    if dialect == "2008":
        text = "".join(script.lower().split("add-type")[0])
        found += [f"{word.strip()} is not in PowerShell 2.0" for word in FORBIDDEN_2008 if word in text]
    return found


def _command(node: Node, functions: set[str], dialect: Dialect) -> Iterator[str]:
    head = node.named_children[0]
    if head.type == "command_invokation_operator":
        program = words(node.named_children[1]).strip("'")
        if program not in PROGRAMS:
            yield f"program {program}"
        return
    name = words(head).lower()
    if name in functions:
        return
    if name not in ALLOWED[dialect]:
        yield f"cmdlet {words(head)}"
        return
    for element in nodes(node):
        if element.type == "command_parameter" and _owner(element) == node:
            parameter = words(element)[1:].rstrip(":").lower()
            if parameter not in ALLOWED[dialect][name]:
                yield f"{words(head)} has no parameter -{parameter}"


def _owner(node: Node) -> Node:
    while node.type != "command":
        assert node.parent is not None
        node = node.parent
    return node


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


SCRIPTS: dict[str, tuple[Dialect, str]] = {
    "look 2012": ("2012", pieces("2012")),
    "look 2008": ("2008", pieces("2008")),
    "apply 2012": (
        "2012",
        apply.apply_script("n", [step("windows-2012")], reached="10.0.0.101", system="windows-2012", afterwards=""),
    ),
    "half-open 2012": ("2012", half_open.script("n", ["192.0.2.7"], 1, legacy=False)),
    "half-open 2008": ("2008", half_open.script("n", ["192.0.2.7"], 1, legacy=True)),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_keeps_to_its_generation(name: str) -> None:
    dialect, script = SCRIPTS[name]
    assert lint(script, dialect) == []


def test_the_applying_script_of_2008_too() -> None:
    """Its dispatcher names a function for bindings, which this generation never plans."""
    changed = tuple(change for change in changes("windows-2008") if getattr(change, "item", "") != "binding")
    one = Step(id="all", host="win1", phase="vip", title="All", why="", changes=changed)
    script = apply.apply_script("n", [one], reached="10.0.0.101", system="windows-2008", afterwards="")
    assert {problem.partition(": ")[2] for problem in lint(script, "2008")} == {
        "cmdlet Read-Component",
        "cmdlet Write-Component",
    }


def test_the_whole_looking_script_parses_with_both_generations_in_it() -> None:
    root = PARSER.parse(observe.observe_script("n").encode()).root_node
    assert not [node for node in nodes(root) if node.type == "ERROR" or node.is_missing]


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
    root = PARSER.parse(text.encode()).root_node
    assert not [node for node in nodes(root) if node.type == "command" and "Remove-Item" in words(node)[:12]]
