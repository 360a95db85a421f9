"""appcmd, arp and the like: what they do and their exit status. Their text is in no language a script could read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from tests.windows.host.model import Binding, Site
from tests.windows.host.netsh import DENIED, DONE, GIBBERISH, REFUSED, Result, netsh
from tests.windows.pwsh import NotModelled

if TYPE_CHECKING:
    from tests.windows.host.machine import WindowsHost


def native(host: WindowsHost, name: str, arguments: list[str]) -> Result:
    """Runs a program. Raises NotModelled for one, or a command line, that is not known."""
    program = name.lower().rpartition("\\")[2].removesuffix(".exe")
    if program == "appcmd":
        return _appcmd(host, arguments)
    if program == "netsh":
        return netsh(host, arguments)
    if program == "arp":
        if len(arguments) == 2 and arguments[0] == "-a":
            return _arp(host, arguments[1])
        if arguments[:1] == ["-d"] and len(arguments) == 2 and arguments[1] != "*":
            return (0, []) if host.elevated and host.neighbours.pop(arguments[1], "") else DENIED
        if arguments != ["-d", "*"]:
            raise NotModelled("arp " + " ".join(arguments))
        if not host.elevated:
            return DENIED
        host.neighbours = {address: mac for address, mac in host.neighbours.items() if ":" in address}
        return 0, []
    if program == "winrm":
        return _winrm(host, arguments)
    if program == "reg":
        return _reg(host, arguments)
    if program in ("ipconfig", "netstat", "findstr"):  # they show what is there, and change nothing
        return 0, GIBBERISH
    raise NotModelled(f"program {name}")


def _arp(host: WindowsHost, address: str) -> Result:
    """As a Windows in German prints it."""
    mac = host.neighbours.get(address)
    if not mac:
        return 1, ["Keine ARP-Einträge gefunden."]
    row = f"  {address:<21} {mac.replace(':', '-'):<21} dynamisch "
    head = f"Schnittstelle: {host.wire.addresses[0].address} --- 0x{host.wire.index:x}"
    return 0, ["", head, "  Internetadresse       Physische Adresse     Typ", row]


def _winrm(host: WindowsHost, words: list[str]) -> Result:
    """Reads always; changes nothing while a network is Public (0x80338169)."""
    if words[:1] == ["quickconfig"] or (words[:1] == ["set"] and len(words) == 3 and words[2][:2] == "@{"):
        return DENIED if not host.elevated else REFUSED if host.public else DONE
    if words[0] in ("get", "enumerate") and len(words) == 2:
        return DONE
    raise NotModelled("winrm " + " ".join(words))


def _reg(host: WindowsHost, words: list[str]) -> Result:
    match words:
        case ["add", key, "/v", name, "/t", "REG_DWORD", "/d", number, "/f"] if key.startswith("HKLM\\"):
            host.added[f"{key}\\{name}"] = int(number)
            return DONE
        case _:
            raise NotModelled("reg " + " ".join(words))


def _appcmd(host: WindowsHost, words: list[str]) -> Result:
    sites = host.sites or []
    if words[:2] == ["list", "site"] and words[-2:] == ["/config", "/xml"]:
        named = [word.removeprefix("/site.name:") for word in words[2:-2]]
        return 0, _xml([site for site in sites if not named or site.name == named[0]])
    if words[:2] == ["list", "site"] and len(words) == 2:
        return 0, GIBBERISH
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
