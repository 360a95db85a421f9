"""The commands of each Windows with their parameter sets, as Windows itself lists them, and functions made of them.

`commands.json` holds, for PowerShell 2.0 (Windows Server 2008 R2), 3.0 (2012), 4.0 (2012 R2) and 5.1 (2016 and later),
the names of all commands and the parameter sets of those that scripts or the model name. It comes from the command
tables of PSScriptAnalyzer (MIT licence); for the modules Microsoft.WSMan.Management and PKI, which those lack from 3.0
on, from their reference pages. The sets of a command stand one after the other: a new one begins where the
order positional, mandatory, optional falls back, or where a name comes again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_PARAMETER = re.compile(
    r"\[\[-(?P<optional_position>\w+)\] <(?P<type1>[^>]+)>\]"
    r"|\[-(?P<position>\w+)\] <(?P<type2>[^>]+)>"
    r"|\[-(?P<optional>\w+)(?: <(?P<type3>[^>]+)>)?\]"
    r"|-(?P<mandatory>\w+)(?: <(?P<type4>[^>]+)>)?"
)
_TYPES = {
    "string": "string", "int": "int", "int32": "int", "uint32": "uint32", "uint16": "uint16", "byte": "byte",
    "bool": "bool", "long": "long", "int64": "long", "timespan": "timespan", "datetime": "datetime",
    "hashtable": "hashtable", "idictionary": "Collections.IDictionary", "addressfamily": "DsrWindows.AddressFamily",
    "weakhostreceive": "DsrWindows.Able", "weakhostsend": "DsrWindows.Able", "dhcp": "DsrWindows.Able",
    "automaticmetric": "DsrWindows.Able", "routerdiscovery": "DsrWindows.RouterDiscovery",
}  # fmt: skip


@dataclass(frozen=True)
class Parameter:
    """`type` as PowerShell writes it; empty: a switch. `position` -1: none."""

    name: str
    type: str
    mandatory: bool
    position: int


Sets = tuple[tuple[Parameter, ...], ...]


_WSMAN = (
    "[-OptionSet <Hashtable>] [-Port <Int32>] [-SessionOption <SessionOption>] [-UseSSL] [-Credential <PSCredential>]"
    " [-Authentication <AuthenticationMechanism>] [-CertificateThumbprint <String>]"
)
_APART = {
    "get-process": (
        "[[-Name] <string[]>] [-ComputerName <string[]>] [-Module] [-FileVersionInfo]",
        "-Id <int[]> [-ComputerName <string[]>] [-Module] [-FileVersionInfo]",
        "-InputObject <Process[]> [-ComputerName <string[]>] [-Module] [-FileVersionInfo]",
    ),
    "start-sleep": ("[-Seconds] <int>", "-Milliseconds <int>"),
    "get-wsmaninstance": (
        f"[-ResourceURI] <Uri> [-ApplicationName <String>] [-ComputerName <String>] [-ConnectionURI <Uri>]"
        f" [-Dialect <Uri>] [-Fragment <String>] [-SelectorSet <Hashtable>] {_WSMAN}",
        f"[-ResourceURI] <Uri> -Enumerate [-ApplicationName <String>] [-BasePropertiesOnly] [-ComputerName <String>]"
        f" [-ConnectionURI <Uri>] [-Dialect <Uri>] [-Filter <String>] [-Associations] [-ReturnType <String>] [-Shallow]"
        f" {_WSMAN}",
    ),
}
"""Commands whose sets the order of the parameters does not tell apart."""


@cache
def _document() -> dict[str, dict[str, str | None]]:
    found: dict[str, dict[str, str | None]] = json.loads((Path(__file__).parent / "commands.json").read_text())
    return found


def names(version: str) -> frozenset[str]:
    """Every command of this version."""
    return frozenset(_document()[version])


@cache
def parameter_sets(version: str, command: str) -> Sets:
    """Raises KeyError for a command that this version has not, or whose sets are not in the table."""
    known = {name.lower(): text for name, text in _document()[version].items()}
    text = known[command.lower()]
    if text is None:
        raise KeyError(f"the parameters of {command} are not in commands.json")
    return tuple(one for part in _APART.get(command.lower(), (text,)) for one in _parsed(part))


def _parsed(text: str) -> Sets:
    sets: list[list[Parameter]] = [[]]
    last = 0
    for match in _PARAMETER.finditer(text):
        given = match.groupdict()
        positional = given["optional_position"] or given["position"]
        name = positional or given["optional"] or given["mandatory"]
        mandatory = bool(given["position"] or given["mandatory"])
        rank = 0 if positional else 1 if mandatory else 2
        if rank < last or any(one.name == name for one in sets[-1]):
            sets.append([])
        last = rank
        kind = next((given[f"type{n}"] for n in range(1, 5) if given[f"type{n}"]), "")
        position = sum(one.position >= 0 for one in sets[-1]) if positional else -1
        sets[-1].append(Parameter(name, kind, mandatory, position))
    return tuple(tuple(one) for one in sets)


def function(version: str, command: str) -> str:
    """The body of a function that binds as this command does and asks the host."""
    sets = parameter_sets(version, command)
    asks = any(one.name == "Confirm" for only in sets for one in only)
    parts: dict[str, list[str]] = {}
    kinds: dict[str, str] = {}
    for number, only in enumerate(sets):
        for one in only:
            if one.name in ("WhatIf", "Confirm"):
                continue
            place = f", Position={one.position}" if one.position >= 0 else ""
            needed = ", Mandatory=$true" if one.mandatory else ""
            needed += ", ValueFromPipeline=$true" if one.name == "InputObject" else ""
            parts.setdefault(one.name, []).append(f"[Parameter(ParameterSetName='s{number}'{needed}{place})]")
            kinds[one.name] = _known(one.type)
    listed = ",\n".join(f"{' '.join(marks)} [{kinds[name]}] ${name}" for name, marks in parts.items())
    should = ", SupportsShouldProcess=$true" if asks else ""
    head = f"[CmdletBinding(DefaultParameterSetName='s0'{should})]"
    return f"{head}\nparam(\n{listed}\n)\n{body('cmdlet').replace('@NAME@', command)}"


def _known(type_: str) -> str:
    """The type as this PowerShell knows it; those that it does not are taken as they come."""
    if not type_:
        return "switch"
    many = type_.endswith("[]")
    single = _TYPES.get(type_.lower().removesuffix("[]"), "object")
    return f"{single}[]" if many else single


@cache
def body(name: str) -> str:
    """A function's text, by the name of its file."""
    return (Path(__file__).parent / "functions" / f"{name}.ps1").read_text()
