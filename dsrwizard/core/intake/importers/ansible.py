"""The importer for Ansible inventories, INI or YAML: hosts of a group, with their connection variables.

Variables count as in Ansible: the host's own before its groups', a group's before its parents', `all` last. Templates
are not evaluated and passwords are not imported; a note says so. Source: Ansible's user guide, "How to build your
inventory".
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from fnmatch import fnmatchcase

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import DraftServer
from dsrwizard.core.intake.importers.ansible_ini import parse_ini, split_port
from dsrwizard.core.intake.importers.ansible_yaml import looks_like_yaml, parse_yaml
from dsrwizard.core.intake.importers.common import Collector, Imported, listed, name_for
from dsrwizard.core.intake.importers.inventory import CONNECTION, SECRET, VARIABLES, Inventory
from dsrwizard.core.intake.problems import shown

_CONNECTIONS = {
    "winrm": "winrm",
    "psrp": "winrm",
    "ssh": "ssh",
    "smart": "ssh",
    "paramiko": "ssh",
    "paramiko_ssh": "ssh",
}
_WINRM_PORTS = {"5985", "5986"}
_METHODS = {"plaintext": "basic", "ssl": "basic", "negotiate": "ntlm"}
"""Names of pywinrm and pypsrp for what dsrwizard calls otherwise."""
_FLAGS_WITH_VALUE = frozenset("BbcDEeFIiJLlmOopQRSWw")
"""Options of ssh(1) that take a value."""


def parse(text: str, group: str = "all") -> Imported:
    """Imports the hosts of a group, of several (`web,mail`), or those that match a pattern (`web*`). Never raises."""
    found = Collector()
    inventory = _inventory(text, found)
    if inventory.odd and ("ansible_" not in text or inventory.odd >= len(inventory.hosts("all"))):
        return found.refusal("This is no inventory of Ansible: it has lines that none has. Nothing was imported.")
    for host in _chosen(inventory, group, found):
        _take(host, inventory.variables(host), found)
    found.tell("dsrwizard does not use these variables")
    shared: dict[str, list[str]] = {}
    for server in found.imported().servers:
        shared.setdefault(server.address, []).append(server.name)
    for address, names in shared.items():
        if len(names) > 1:
            found.note(f"{listed(names)} have the same address {shown(address)[1:-1]}: keep one of them.")
    return found.imported()


def groups(text: str) -> list[str]:
    """The groups with hosts, in order of appearance, `all` first. Empty: no inventory."""
    inventory = _inventory(text, Collector())
    return [name for name in inventory.groups if inventory.hosts(name)]


def _inventory(text: str, found: Collector) -> Inventory:
    return parse_yaml(text, found) if looks_like_yaml(text) else parse_ini(text, found)


def _chosen(inventory: Inventory, group: str, found: Collector) -> list[str]:
    chosen: dict[str, None] = {}
    for word in group.replace(",", " ").split() or ["all"]:
        if word in inventory.groups:
            hosts = inventory.hosts(word)
        else:
            hosts = [host for host in inventory.hosts("all") if fnmatchcase(host, word)]
        if not hosts:
            found.note(f"The inventory has no hosts in {shown(word)}.")
        chosen.update(dict.fromkeys(hosts))
    return list(chosen)


def _take(host: str, variables: Mapping[str, str], found: Collector) -> None:
    alias, port = split_port(host)
    if variables.get(CONNECTION) == "local":
        found.note(f"{shown(host)} is this machine (ansible_connection=local): it was not imported.")
        return
    values = {"address": alias, "port": port}
    for field, names in VARIABLES.items():
        name = next((name for name in names if variables.get(name)), None)
        if name is None:
            continue
        if field == "jump":
            values[field] = " ".join(variables[name] for name in names if name in variables)
        elif "{{" in variables[name]:
            found.note(f"{shown(host)}: {name} is a template; enter its value by hand.")
        else:
            values[field] = variables[name]
    if SECRET in variables:
        found.note("Passwords in the inventory were not imported: dsrwizard asks for them and stores none.")
    connect = _connection(host, variables, values, found)
    if values.get("jump"):
        _arguments(host, values["jump"], found)
    _privilege(host, values, connect, found)
    server = DraftServer(
        name=name_for(alias),
        address=values["address"],
        user=values.get("user", ""),
        port="" if values["port"] == "22" else values["port"],
        identity_file=values.get("identity_file", ""),
        connect=connect,
    )
    if connect == "winrm" and server.identity_file:
        server.identity_file = ""
        found.not_taken_of("the private key", host, "WinRM uses a password or a ticket")
    for field, value in _windows(host, alias, values, found).items() if connect == "winrm" else ():
        setattr(server, field, value)
    found.add(server)


def _connection(host: str, variables: Mapping[str, str], values: Mapping[str, str], found: Collector) -> str:
    """`ssh` or `winrm`: as it is written, or as ports and variables of WinRM say where it is not."""
    written = variables.get(CONNECTION, "").rpartition(".")[2]  # ansible.builtin.ssh
    if written in _CONNECTIONS:
        return _CONNECTIONS[written]
    if written:
        found.not_taken_of(f"the connection {shown(written)}", host, "dsrwizard has SSH and WinRM; SSH was set")
        return "ssh"
    if values["port"] in _WINRM_PORTS or any(values.get(key) for key in ("winrm", "auth", "validation")):
        found.note(
            "Hosts with ports or variables of WinRM were imported as WinRM, though none says ansible_connection."
        )
        return "winrm"
    return "ssh"


def _arguments(host: str, arguments: str, found: Collector) -> None:
    """What ssh would get on its command line. Values of commands are not shown: they may hold a secret."""
    instead = "write it into ~/.ssh/config under the server's address, where dsrwizard reads it"
    try:
        words = shlex.split(arguments.replace('\\"', '"'))
    except ValueError:
        found.not_taken_of("the arguments for ssh", host, f"they were not understood; {instead}")
        return
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if len(word) < 2 or word[0] != "-":
            continue
        flag, value = word[1], word[2:]
        if not value and flag in _FLAGS_WITH_VALUE and at < len(words):
            value = words[at]
            at += 1
        keyword, _, setting = re.sub(r"[\s=]+", "=", value.strip(), count=1).partition("=")
        if flag == "J" or (flag == "o" and keyword.lower() == "proxyjump"):
            jump = shown(value if flag == "J" else setting)[1:-1]
            found.not_taken_of(f"ProxyJump {jump}", host, f"a server has no jump host; {instead}")
        elif flag == "o" and keyword.lower() == "proxycommand":
            found.not_taken_of("ProxyCommand", host, f"a file brings no commands; {instead}")
        elif flag == "o":
            found.not_taken_of(
                f"the ssh option {shown(keyword)[1:-1]}", host, f"a server has no options for ssh; {instead}"
            )
        else:
            found.not_taken_of(f"the argument -{flag} of ssh", host, f"a server has no arguments for ssh; {instead}")


def _privilege(host: str, values: Mapping[str, str], connect: str, found: Collector) -> None:
    method, user = values.get("become", ""), values.get("become_user", "")
    if connect == "ssh" and method not in ("", "sudo"):
        found.not_taken_of(f"ansible_become_method {shown(method)[1:-1]}", host, "dsrwizard becomes root by sudo")
    if connect == "ssh" and user not in ("", "root"):
        found.not_taken_of(f"ansible_become_user {shown(user)[1:-1]}", host, "dsrwizard works as root")


def _windows(host: str, alias: str, values: Mapping[str, str], found: Collector) -> dict[str, str]:
    """The WinRM settings: how it is reached, and the name that certificate and Kerberos know it by: where the address
    is given apart, the host's own name if it is a full one."""
    mine: dict[str, str] = {}
    scheme = values.get("winrm", "").lower()
    if scheme in ("http", "https"):
        mine["winrm"] = scheme
    elif values["port"] == "5985":
        mine["winrm"] = "http"  # as Ansible reads it
    if scheme not in ("", "http", "https"):
        found.not_taken_of(f"the scheme {shown(scheme)}", host, "WinRM has http and https")
    if values.get("validation", "").lower() == "ignore":
        found.not_taken_of(
            "the certificate validation “ignore”", host, "dsrwizard asks about a certificate it cannot check"
        )
    ca_file = values.get("ca_file", "")
    if ca_file and fields.ca_file(ca_file) is None and mine.get("winrm") != "http":
        mine["ca_file"] = ca_file
    ways = [way.strip().lower() for way in values.get("auth", "").split(",") if way.strip()]
    ways = [_METHODS.get(way, way) for way in ways]
    way = next((way for way in ways if fields.auth(way) is None), "")
    if way:
        mine["auth"] = way
    elif ways:
        found.note(f"{shown(host)}: the login method {shown(ways[0])} is not one of dsrwizard's; ntlm was set.")
    service = values.get("kerberos_service", "").upper()
    if service and way == "kerberos" and fields.kerberos_service(service) is None:
        mine["kerberos_service"] = service
    name = values.get("dns_name", "")
    if not name and "." in alias and values["address"] != alias:
        name = alias
    if name and fields.dns_name(name) is None:
        mine["dns_name"] = name
    return mine
