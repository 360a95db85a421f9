"""What PowerShell 7 cannot show of older ones: rules over a script's syntax tree, by what its oldest target has.

The 2008 dialect and the bootstrap run in PowerShell 2.0 on CLR 2 (.NET 2.0 to 3.5), the other dialect in 3.0 or later
on CLR 4. Commands and parameters are held twice: to Windows' own tables, and to the lists here, written by hand
from Microsoft's reference pages. What is in no list is refused until somebody has looked it up.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from dsrwizard.core.model.windows_facts import Dialect
from tests.windows.pwsh.process import walked
from tests.windows.pwsh.tables import names, parameter_sets

OLDEST: dict[Dialect, str] = {"2008": "2.0", "2012": "3.0"}
BOTH = {
    "add-type": {"typedefinition"},
    "get-wmiobject": {"class", "filter"},
    "new-object": {"comobject", "typename", "argumentlist"},
    "test-path": {"literalpath"},
    "get-itemproperty": {"literalpath"},
    "set-itemproperty": {"literalpath", "name", "value"},
    "get-childitem": {"literalpath"},
    "remove-item": {"literalpath"},
    "get-date": set(),
    "start-sleep": {"milliseconds"},
    "write-output": set(),
    "out-null": set(),
    "get-process": {"id"},
    "stop-process": {"id", "force"},
}
ALLOWED: dict[Dialect, dict[str, set[str]]] = {
    "2008": BOTH | {"get-eventlog": {"logname", "newest"}},
    "2012": BOTH
    | {
        "convertto-json": {"inputobject", "depth", "compress"},
        "get-winevent": {"filterhashtable", "maxevents"},
        "get-netadapter": {"includehidden"},
        "rename-netadapter": {"inputobject", "newname"},
        "get-netadapterbinding": {"name", "componentid", "allbindings", "includehidden"},
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
        "get-netneighbor": {"interfaceindex", "ipaddress"},
        "get-netroute": {"destinationprefix", "erroraction"},
        "get-dnsclient": {"interfaceindex"},
        "set-dnsclient": {"interfaceindex", "registerthisconnectionsaddress", "usesuffixwhenregistering"},
    },
}  # fmt: skip
COMMON = {"erroraction", "confirm"}
"""Parameters that every command has; the tables leave them out."""
PROGRAMS = {"netsh", "arp", "$appcmd", "$sectionread", "$found", "([scriptblock]::create($machinery))"}
"""Programs, and blocks of a script that are handed to a function."""
TYPES = {
    "string", "byte", "int", "int64", "bool", "version", "array", "collections.idictionary", "text.encoding", "console",
    "convert", "bitconverter", "intptr", "math", "environment", "security.principal.windowsidentity",
    "net.networkinformation.ipglobalproperties", "net.networkinformation.networkinterface", "dsrloopback",
    "dsrinterface", "management.automation.wildcardpattern", "scriptblock", "regex", "xml",
    "threading.abandonedmutexexception", "unauthorizedaccessexception", "io.file", "io.directory",
    "diagnostics.stopwatch",
}  # fmt: skip
STATICS = {
    ("bitconverter", "tostring", 1), ("console", "error", -1), ("console", "out", -1),
    ("convert", "tobase64string", 1), ("dsrinterface", "read", 2), ("dsrloopback", "bind", 1),
    ("dsrloopback", "register", 1), ("dsrloopback", "remove", 1), ("environment", "osversion", -1),
    ("intptr", "size", -1), ("management.automation.wildcardpattern", "escape", 1), ("math", "floor", 1),
    ("math", "pow", 2), ("net.networkinformation.ipglobalproperties", "getipglobalproperties", 0),
    ("net.networkinformation.networkinterface", "getallnetworkinterfaces", 0), ("regex", "unescape", 1),
    ("scriptblock", "create", 1), ("security.principal.windowsidentity", "getcurrent", 0),
    ("text.encoding", "utf8", -1), ("diagnostics.stopwatch", "gettimestamp", 0),
    ("diagnostics.stopwatch", "frequency", -1), ("io.directory", "createdirectory", 1),
    ("io.directory", "createdirectory", 2), ("io.directory", "delete", 2), ("io.directory", "exists", 1),
    ("io.directory", "getaccesscontrol", 1), ("io.directory", "getdirectories", 2), ("io.directory", "getfiles", 2),
    ("io.directory", "getfilesystementries", 1), ("io.file", "delete", 1), ("io.file", "exists", 1),
    ("io.file", "move", 2), ("io.file", "readalltext", 1), ("io.file", "writealltext", 2),
}  # fmt: skip
"""Static members and their arguments, -1 for a property: all are in CLR 2 (or are ours)."""
METHODS = {
    ("add", 1), ("addhours", 1), ("addseconds", 1), ("append", 1), ("blockallinboundtraffic", 1), ("contains", 1),
    ("firewallenabled", 1), ("getactivetcpconnections", 0), ("getactivetcplisteners", 0), ("getactiveudplisteners", 0),
    ("getattribute", 1), ("getbaseexception", 0), ("getbytes", 1), ("getipproperties", 0), ("gettype", 0),
    ("getvalue", 1), ("getvaluenames", 0), ("indexof", 1), ("isinrole", 1), ("item", 1), ("lastindexof", 1),
    ("put", 0), ("readtoend", 0), ("releasemutex", 0), ("remove", 1), ("replace", 2), ("selectnodes", 1),
    ("setdynamicdnsregistration", 2), ("settcpipnetbios", 1), ("substring", 1), ("substring", 2), ("tochararray", 0),
    ("tolower", 0), ("trim", 0), ("tostring", 0), ("tostring", 1), ("waitone", 2), ("write", 3), ("writeline", 1),
    ("connect", 0), ("create", 1), ("deletetask", 2), ("getfolder", 1), ("getsecuritydescriptorsddlform", 1),
    ("gettasks", 1), ("newtask", 1), ("registertaskdefinition", 7), ("run", 1), ("setsecuritydescriptorsddlform", 1),
    ("tofiletimeutc", 0), ("touniversaltime", 0),
}  # fmt: skip
"""Methods and their arguments: of CLR 2, COM and WMI. `foreach` and `where` of arrays came with PowerShell 4.0."""
OPERATORS = {
    "and", "band", "bor", "divide", "equals", "icontains", "ieq", "ige", "igt", "ilike", "ile", "ilt", "ine",
    "inotcontains", "inotlike", "ireplace", "is", "isplit", "join", "minus", "multiply", "not", "or", "plus",
    "plusequals",
}  # fmt: skip
"""Operators of PowerShell 2.0 that scripts use. `-in`, `-notin`, `-shl` and `-shr` came with 3.0, `??` with 7."""
TEXT_IS_RIGHT = {"security.principal.securityidentifier", "threading.mutex"}
"""Classes made of a text. For others a text may fit two enumerations, as 'Decompress' for a GZipStream does."""


def lint(script: str, dialect: Dialect) -> list[str]:
    """Everything that the oldest target would not take, or that nobody has looked up; each with its line."""
    found = [f"line {number}: not ASCII" for number, line in enumerate(script.splitlines(), 1) if not line.isascii()]
    tree = walked(script)
    found += [f"line {error.partition(':')[0]}: does not parse:{error.partition(':')[2]}" for error in tree["errors"]]
    functions = {node["name"].lower() for node in tree["nodes"] if node["kind"] == "function"}
    for node in tree["nodes"]:
        found += [f"line {node['line']}: {problem}" for problem in _problems(node, functions, dialect)]
    return found


def _problems(node: dict[str, Any], functions: set[str], dialect: Dialect) -> Iterator[str]:
    name = node["name"].lower()
    match node["kind"]:
        case "command":
            yield from _command(node, name, functions, dialect)
        case "type" if name.removesuffix("[]") not in TYPES:
            yield f"type [{node['name']}]"
        case "operator" if name not in OPERATORS:
            yield f"operator {node['name']}"
        case "construct":
            yield f"{node['name']} is not in the oldest PowerShell"
        case "variable" if name == "psitem" or name.startswith("using:"):
            yield f"variable {node['name']}"
        case "member":
            yield from _member(node, name)


def _member(node: dict[str, Any], name: str) -> Iterator[str]:
    arguments = node["arguments"]
    if node["conditional"]:
        yield "a null-conditional member"
    if node["type"] is not None and (node["type"].lower(), name, arguments) not in STATICS:
        yield f"[{node['type']}]::{node['name']} with {arguments} arguments"
    elif node["type"] is None and arguments >= 0 and (name, arguments) not in METHODS:
        yield f"method {node['name']} with {arguments} arguments"


def _command(node: dict[str, Any], name: str, functions: set[str], dialect: Dialect) -> Iterator[str]:
    if node["called"]:
        if name not in PROGRAMS:
            yield f"program {node['name']}"
        return
    if name in functions:
        return
    if name not in ALLOWED[dialect]:
        yield f"cmdlet {node['name']}"
        return
    oldest = OLDEST[dialect]
    if name not in {known.lower() for known in names(oldest)}:
        yield f"cmdlet {node['name']} is not in PowerShell {oldest}"
        return
    has = {one.name.lower() for only in parameter_sets(oldest, name) for one in only} | COMMON
    for parameter in node["parameters"]:
        if parameter.lower() not in ALLOWED[dialect][name] & has:
            yield f"{node['name']} has no parameter -{parameter.lower()}"
    if "ignore" in (text.lower() for text in node["constants"]):
        yield "-ErrorAction Ignore came with 3.0"
    if name == "new-object" and "argumentlist" in (one.lower() for one in node["parameters"]):
        made, *texts = node["constants"]
        if texts and made.lower() not in TEXT_IS_RIGHT:
            yield f"a text among the arguments of {made}: name the enumeration's member"
