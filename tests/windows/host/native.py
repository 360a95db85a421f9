"""netsh, appcmd: what they do and their exit status. Their text is in no language a script could read."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from tests.windows.host.model import Address, Binding, Site
from tests.windows.pwsh import NotModelled

if TYPE_CHECKING:
    from tests.windows.host.machine import WindowsHost

GIBBERISH = ["Vorgang wurde 完了 abgeschlossen."]
DENIED = (1, ["Für den angeforderten Vorgang sind erhöhte Rechte erforderlich."])
Result = tuple[int, list[str]]


def native(host: WindowsHost, name: str, arguments: list[str]) -> Result:
    """Runs a program. Raises NotModelled for one, or a command line, that is not known."""
    program = name.lower().rpartition("\\")[2].removesuffix(".exe")
    if program == "appcmd":
        return _appcmd(host, arguments)
    if program == "netsh":
        return _netsh(host, arguments)
    if program == "arp":
        if len(arguments) == 2 and arguments[0] == "-a":
            return _arp(host, arguments[1])
        if arguments != ["-d", "*"]:
            raise NotModelled("arp " + " ".join(arguments))
        if not host.elevated:
            return DENIED
        host.neighbours.clear()
        return 0, []
    raise NotModelled(f"program {name}")


def _arp(host: WindowsHost, address: str) -> Result:
    """As a Windows in German prints it."""
    mac = host.neighbours.get(address)
    if not mac:
        return 1, ["Keine ARP-Einträge gefunden."]
    row = f"  {address:<21} {mac.replace(':', '-'):<21} dynamisch "
    head = f"Schnittstelle: {host.wire.addresses[0].address} --- 0x{host.wire.index:x}"
    return 0, ["", head, "  Internetadresse       Physische Adresse     Typ", row]


def _netsh(host: WindowsHost, words: list[str]) -> Result:
    match [word.lower() for word in words]:
        case ["interface", "ipv4" | "ipv6", "add", "address", "?"]:
            names = ["name", "address", "mask"] + (["skipassource"] if host.skip_as_source else [])
            return 1, [*GIBBERISH, *(f"      [[{one}=]<完了>]" for one in names)]
        case ["interface", ("ipv4" | "ipv6") as family, "add", "address", index, *rest]:
            return _add_address(host, int(family[-1]), int(index), rest)
        case ["interface", "ipv4" | "ipv6", "delete", "address", index, address]:
            return _delete_address(host, int(index), address)
        case ["interface", ("ipv4" | "ipv6") as family, "set", "interface", index, setting, "store=persistent"]:
            return _set_interface(host, int(family[-1]), int(index), setting)
        case ["http", ("add" | "delete") as verb, "iplisten", where]:
            return _iplisten(host, verb, where.removeprefix("ipaddress="))
        case ["http", ("add" | "delete") as verb, "sslcert", where, *rest]:
            return _sslcert(host, verb, where.removeprefix("ipport="), rest)
        case _:
            raise NotModelled("netsh " + " ".join(words))


def _add_address(host: WindowsHost, family: int, index: int, rest: list[str]) -> Result:
    if not host.elevated:
        return DENIED
    adapter = host.by_index(index)
    skip = "skipassource=true" in rest
    if skip and not host.skip_as_source:
        return 1, GIBBERISH
    rest = [word for word in rest if word not in ("skipassource=true", "store=persistent")]
    if family == 6:
        address, _, length = rest[0].partition("/")
        prefix = int(length)
    else:
        address, mask = rest
        prefix = sum(bin(int(part)).count("1") for part in mask.split("."))
    if any(other.holding(address) for other in [host.pseudo, *host.adapters]):
        return 1, GIBBERISH
    if family == 4 and adapter.rows[4].dhcp:
        adapter.rows[4].dhcp = False
        adapter.addresses = [one for one in adapter.addresses if not one.address.startswith("169.254.")]
    adapter.addresses.append(Address(str(ip_address(address)), prefix, skip))
    return 0, GIBBERISH


def _delete_address(host: WindowsHost, index: int, address: str) -> Result:
    if not host.elevated:
        return DENIED
    adapter = host.by_index(index)
    entry = adapter.holding(address)
    if entry is None:
        return 1, GIBBERISH
    adapter.addresses.remove(entry)
    return 0, GIBBERISH


def _set_interface(host: WindowsHost, family: int, index: int, setting: str) -> Result:
    if not host.elevated:
        return DENIED
    row = host.by_index(index).rows[family]
    name, _, value = setting.partition("=")
    able = {"enabled": True, "disabled": False}
    match name:
        case "weakhostreceive":
            row.weak_receive = able[value]
        case "weakhostsend":
            row.weak_send = able[value]
        case "dadtransmits":
            row.dad = int(value)
        case "routerdiscovery":
            row.router_discovery = {"disabled": 0, "enabled": 1, "dhcp": 2}[value]
        case "metric":
            row.automatic = value == "automatic"
            row.metric = 25 if row.automatic else int(value)
        case _:
            raise NotModelled(f"netsh set interface {setting}")
    return 0, GIBBERISH


def _iplisten(host: WindowsHost, verb: str, address: str) -> Result:
    if not host.elevated:
        return DENIED
    if (verb == "add") == (address in host.listen):
        return 1, GIBBERISH
    if verb == "add":
        host.listen.append(address)
    else:
        host.listen.remove(address)
    return 0, GIBBERISH


def _sslcert(host: WindowsHost, verb: str, endpoint: str, rest: list[str]) -> Result:
    if not host.elevated:
        return DENIED
    if (verb == "add") == (endpoint in host.certificates):
        return 1, GIBBERISH
    if verb == "delete":
        del host.certificates[endpoint]
        return 0, GIBBERISH
    given = dict(word.split("=", 1) for word in rest)
    if not {"certhash", "appid"} <= set(given) <= {"certhash", "appid", "certstorename"}:
        raise NotModelled("netsh http add sslcert " + " ".join(rest))
    if "certstorename" in given and not given["certstorename"]:
        return 1, GIBBERISH
    host.certificates[endpoint] = (given["certhash"].upper(), given["appid"], given.get("certstorename", "").upper())
    return 0, GIBBERISH


def _appcmd(host: WindowsHost, words: list[str]) -> Result:
    sites = host.sites or []
    if words[:2] == ["list", "site"] and words[-2:] == ["/config", "/xml"]:
        named = [word.removeprefix("/site.name:") for word in words[2:-2]]
        return 0, _xml([site for site in sites if not named or site.name == named[0]])
    if words[:2] == ["set", "site"] and len(words) == 4:
        return _set_site(host, words[2].removeprefix("/site.name:"), words[3])
    raise NotModelled("appcmd " + " ".join(words))


def _set_site(host: WindowsHost, name: str, binding: str) -> Result:
    if not host.elevated:
        return 5, GIBBERISH
    found = re.fullmatch(r"/([+-])bindings\.\[protocol='(\w+)',bindingInformation='([^']+)'\]", binding)
    site = next((one for one in host.sites or () if one.name == name), None)
    if found is None or site is None:
        return 1, GIBBERISH
    sign, protocol, information = found.groups()
    same = [one for one in site.bindings if (one.protocol, one.information) == (protocol, information)]
    if (sign == "+") == bool(same):
        return 183, GIBBERISH
    if sign == "+":
        site.bindings.append(Binding(protocol, information))
    else:
        site.bindings.remove(same[0])
    return 0, GIBBERISH


def _xml(sites: list[Site]) -> list[str]:
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<appcmd>"]
    for number, site in enumerate(sites, 1):
        joined = ",".join(f"{one.protocol}/{one.information}" for one in site.bindings)
        state = "Started" if site.started else "Stopped"
        lines.append(
            f'<SITE SITE.NAME={quoteattr(site.name)} SITE.ID="{number}" bindings={quoteattr(joined)} state="{state}">'
        )
        lines.append(f'<site name={quoteattr(site.name)} id="{number}"><bindings>')
        for one in site.bindings:
            more = ""
            if one.protocol == "https":
                more = f' sslFlags="{one.flags}" certificateHash="{one.certificate}" certificateStoreName="{one.store}"'
            lines.append(f'<binding protocol="{one.protocol}" bindingInformation={quoteattr(one.information)}{more} />')
        lines.append("</bindings></site></SITE>")
    return [*lines, "</appcmd>"]
