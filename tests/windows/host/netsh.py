"""netsh: what it does, on the Windows that has the command, and its exit status. Its text is in no language that a
script could read. Syntax: Microsoft, "Netsh Command Reference" and "Netsh Technical Reference"."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from tests.windows.host.model import Adapter, Address, Row, Rule
from tests.windows.pwsh import NotModelled, PowerShellError

if TYPE_CHECKING:
    from tests.windows.host.machine import WindowsHost

Result = tuple[int, list[str]]
GIBBERISH = ["Vorgang wurde 完了 abgeschlossen."]
DENIED: Result = (1, ["Für den angeforderten Vorgang sind erhöhte Rechte erforderlich."])
REFUSED: Result = (1, GIBBERISH)
DONE: Result = (0, GIBBERISH)
ABLE = {"enabled": True, "disabled": False}
PROTOCOLS = {"TCP": 6, "UDP": 17}


def netsh(host: WindowsHost, words: list[str]) -> Result:
    """Runs `netsh` with these words. Raises NotModelled for a command line that is not known."""
    lower = [word.lower() for word in words]
    if "show" in lower[:4]:
        return _show(host, lower)
    if lower[2:] == ["add", "address", "?"]:
        known = ["name", "address", "mask"] + (["skipassource"] if host.skip_as_source else [])
        return 1, [*GIBBERISH, *(f"      [[{one}=]<完了>]" for one in known)]
    if not host.elevated:
        return DENIED
    match lower[0]:
        case "interface":
            return _interface(host, words, lower)
        case "advfirewall" if host.version != "2003":
            return _advfirewall(host, words, lower)
        case "firewall" if host.version == "2003":
            return _old_firewall(host, words, lower)
        case "http" if host.version != "2003":
            return _http(host, words, lower)
        case _:
            return REFUSED if lower[0] in ("advfirewall", "firewall", "http") else _unknown(words)


def _unknown(words: list[str]) -> Result:
    raise NotModelled("netsh " + " ".join(words))


def _show(host: WindowsHost, lower: list[str]) -> Result:
    """What shows something and changes nothing; where an adapter is named, it has to be there."""
    match lower:
        case ["interface", "ipv4" | "ipv6", "show", *_] if host.version == "2003":
            return REFUSED
        case ["interface", "ipv4", "show", "addresses", *rest] if not any("=" in one for one in rest):
            return _named_or_all(host, rest)
        case ["interface", "ipv4", "show", "ipaddresses", *rest] | ["interface", "ipv6", "show", "addresses", *rest]:
            return _named_or_all(host, [one for one in rest if one not in ("store=persistent", "level=verbose")])
        case ["interface", "ipv4" | "ipv6", "show", "interface" | "interfaces", *rest]:
            return _named_or_all(host, [one for one in rest if one != "level=verbose"])
        case ["interface", "ipv4" | "ipv6", "show", "route" | "neighbors"]:
            return DONE
        case ["http", "show", "iplisten" | "sslcert"]:
            return DONE
        case ["advfirewall", "show", "allprofiles"] | ["advfirewall", "firewall", "show", "rule", "name=all", "dir=in"]:
            return DONE if host.version != "2003" else REFUSED
        case ["advfirewall", "firewall", "show", "rule", name] if host.version != "2003":
            wanted = name.removeprefix("name=")
            return DONE if any(rule.name.lower() == wanted for rule in host.rules) else REFUSED
        case ["wfp", "show", "netevents"]:
            return DONE if host.version not in ("2003", "2008") else REFUSED
        case ["firewall", "show", "portopening"]:
            return DONE
        case _:
            return _unknown(lower)


def _named_or_all(host: WindowsHost, rest: list[str]) -> Result:
    if not rest:
        return DONE
    return DONE if len(rest) == 1 and _adapter(host, rest[0]) is not None else REFUSED


def _adapter(host: WindowsHost, text: str) -> Adapter | None:
    """By name in any case, or by number."""
    wanted = text.removeprefix("name=").removeprefix("interface=")
    for adapter in [*host.adapters, host.pseudo]:
        if adapter.name.lower() == wanted.lower():
            return adapter
    if wanted.isdecimal():
        try:
            return host.by_index(int(wanted))
        except PowerShellError:
            return None
    return None


def _interface(host: WindowsHost, words: list[str], lower: list[str]) -> Result:
    if lower[1:3] == ["set", "interface"]:
        return _set_adapter(host, words[3:])
    family = {"ipv4": 4, "ipv6": 6, "ip": 4}.get(lower[1], 0)
    if not family:
        return _unknown(words)
    if (lower[1] == "ip") != (host.version == "2003"):
        return REFUSED
    if lower[2:4] == ["delete", "neighbors"] and len(lower) == 4:
        host.neighbours = {one: mac for one, mac in host.neighbours.items() if (":" in one) != (family == 6)}
        return DONE
    if lower[2:4] == ["delete", "neighbors"] and len(lower) == 6:
        known = _adapter(host, words[4]) is not None and host.neighbours.pop(lower[5], "")
        return DONE if known else REFUSED
    if len(words) > 4 and lower[3] == "route":
        return _route(host, family, lower[2], words[4:])
    adapter = _adapter(host, words[4]) if len(words) > 4 else None
    if adapter is None:
        return REFUSED
    match lower[2:4]:
        case ["add", "address"]:
            return _add_address(host, adapter, family, words[5:])
        case ["set", "address"] if family == 4:
            return _set_address(host, adapter, words[5:])
        case ["delete", "address"] if len(words) == 6:
            return _delete_address(adapter, words[5].removeprefix("addr="))
        case ["set", "interface"] if words[5:]:
            return _set_row(adapter.rows[family], lower[5:])
        case _:
            return _unknown(words)


def _route(host: WindowsHost, family: int, verb: str, words: list[str]) -> Result:
    everything = {4: "0.0.0.0/0", 6: "::/0"}[family]
    if len(words) != 3 or words[0] != everything:
        return _unknown(words)
    adapter = _adapter(host, words[1])
    if adapter is None or (verb == "add") == (words[2] in adapter.gateways):
        return REFUSED
    if verb == "add":
        adapter.gateways.append(words[2])
    else:
        adapter.gateways.remove(words[2])
    return DONE


def _set_adapter(host: WindowsHost, words: list[str]) -> Result:
    given = dict(word.split("=", 1) for word in words)
    adapter = _adapter(host, given.pop("name", ""))
    if adapter is None:
        return REFUSED
    for key, value in given.items():
        match key.lower():
            case "newname":
                if any(other.name.lower() == value.lower() for other in host.adapters):
                    return REFUSED
                adapter.name = value
            case "admin":
                adapter.up = ABLE[value.lower()]
            case _:
                return _unknown(words)
    return DONE


def _add_address(host: WindowsHost, adapter: Adapter, family: int, rest: list[str]) -> Result:
    skip = "skipassource=true" in rest
    if skip and not host.skip_as_source:
        return REFUSED
    rest = [word for word in rest if word not in ("skipassource=true", "store=persistent")]
    if family == 6:
        address, _, length = rest[0].partition("/")
        prefix = int(length)
    else:
        address, mask = (word.removeprefix("addr=").removeprefix("mask=") for word in rest)
        prefix = sum(bin(int(part)).count("1") for part in mask.split("."))
    return _added(host, adapter, Address(str(ip_address(address)), prefix, skip))


def _added(host: WindowsHost, adapter: Adapter, address: Address) -> Result:
    if any(other.holding(address.address) for other in [host.pseudo, *host.adapters]):
        return REFUSED
    family = 6 if ":" in address.address else 4
    if family == 4 and adapter.rows[4].dhcp:
        adapter.rows[4].dhcp = False
        adapter.addresses = [one for one in adapter.addresses if not one.address.startswith("169.254.")]
    adapter.addresses.append(address)
    return DONE


def _set_address(host: WindowsHost, adapter: Adapter, rest: list[str]) -> Result:
    """Makes it static with this address alone."""
    kind, address, mask = (word.rpartition("=")[2] for word in rest)
    if kind != "static":
        return _unknown(rest)
    kept = list(adapter.addresses)
    adapter.addresses = [one for one in adapter.addresses if ":" in one.address]
    ended = _added(host, adapter, Address(address, sum(bin(int(part)).count("1") for part in mask.split("."))))
    if ended is REFUSED:
        adapter.addresses = kept
    adapter.rows[4].dhcp = False
    return ended


def _delete_address(adapter: Adapter, address: str) -> Result:
    entry = adapter.holding(address)
    if entry is None:
        return REFUSED
    adapter.addresses.remove(entry)
    return DONE


def _set_row(row: Row, settings: list[str]) -> Result:
    for setting in settings:
        name, _, value = setting.partition("=")
        match name:
            case "weakhostreceive":
                row.weak_receive = ABLE[value]
            case "weakhostsend":
                row.weak_send = ABLE[value]
            case "dadtransmits":
                row.dad = int(value)
            case "routerdiscovery":
                row.router_discovery = {"disabled": 0, "enabled": 1, "dhcp": 2}[value]
            case "metric":
                row.automatic = value == "automatic"
                row.metric = 25 if row.automatic else int(value)
            case "store" if value == "persistent":
                pass
            case _:
                return REFUSED
    return DONE


# -- the firewall


def _advfirewall(host: WindowsHost, words: list[str], lower: list[str]) -> Result:
    match lower:
        case ["advfirewall", "set", "allprofiles", "firewallpolicy", policy]:
            if policy not in ("blockinbound,allowoutbound", "blockinboundalways,allowoutbound"):
                return REFUSED
            host.block_all = policy.startswith("blockinboundalways")
            return DONE
        case ["advfirewall", "set", "allprofiles", "firewallpolicy", *_]:
            return REFUSED
        case ["advfirewall", "firewall", ("add" | "delete" | "set") as verb, "rule", *_]:
            return _rule(host, verb, words[4:])
        case _:
            return _unknown(words)


def _rule(host: WindowsHost, verb: str, words: list[str]) -> Result:
    given = {key.lower(): value for key, _, value in (word.partition("=") for word in words)}
    name = given.pop("name", "")
    found = [rule for rule in host.rules if rule.name.lower() == name.lower()]
    if verb == "delete":
        host.rules = [rule for rule in host.rules if rule not in found]
        return DONE if found else REFUSED
    if verb == "set":
        if given != {"dir": "in", "new": "", "enable": "no"}:
            return _unknown(words)
        for rule in found if name.lower() != "all" else host.rules:
            rule.enabled = False
        return DONE if found else REFUSED
    wanted = {"dir", "action", "protocol", "localip", "localport", "profile"}
    given.setdefault("localip", "any")
    if set(given) != wanted or (given["dir"], given["action"], given["profile"]) != ("in", "allow", "any"):
        return _unknown(words)
    where = "*" if given["localip"] == "any" else str(ip_address(given["localip"]))
    host.rules.append(Rule(name, PROTOCOLS[given["protocol"]], given["localport"], where))
    return DONE


def _old_firewall(host: WindowsHost, words: list[str], lower: list[str]) -> Result:
    """Of Windows XP and Server 2003."""
    given = {key.lower(): value for key, _, value in (word.partition("=") for word in words[3:])}
    if lower[1:3] == ["set", "portopening"] and (given.get("mode"), given.get("profile")) == ("ENABLE", "ALL"):
        host.rules.append(Rule(given["name"], PROTOCOLS[given["protocol"]], given["port"]))
        return DONE
    if lower[1:3] == ["delete", "portopening"]:
        wanted = (PROTOCOLS[given["protocol"]], given["port"])
        found = [one for one in host.rules if (one.protocol, one.ports) == wanted]
        host.rules = [one for one in host.rules if one not in found]
        return DONE if found else REFUSED
    return _unknown(words)


# -- http.sys


def _http(host: WindowsHost, words: list[str], lower: list[str]) -> Result:
    match lower:
        case ["http", ("add" | "delete") as verb, "iplisten", where]:
            return _iplisten(host, verb, where.removeprefix("ipaddress="))
        case ["http", ("add" | "delete") as verb, "sslcert", where, *_]:
            return _sslcert(host, verb, where.removeprefix("ipport="), words[4:])
        case _:
            return _unknown(words)


def _iplisten(host: WindowsHost, verb: str, address: str) -> Result:
    ip_address(address)
    if (verb == "add") == (address in host.listen):
        return REFUSED
    if verb == "add":
        host.listen.append(address)
    else:
        host.listen.remove(address)
    return DONE


def _sslcert(host: WindowsHost, verb: str, endpoint: str, rest: list[str]) -> Result:
    if (verb == "add") == (endpoint in host.certificates):
        return REFUSED
    if verb == "delete":
        del host.certificates[endpoint]
        return DONE
    if not all("=" in word for word in rest):
        return REFUSED
    given = dict(word.split("=", 1) for word in rest)
    if not {"certhash", "appid"} <= set(given) <= {"certhash", "appid", "certstorename"}:
        return _unknown(["http", "add", "sslcert", *rest])
    if "certstorename" in given and not given["certstorename"]:
        return REFUSED
    if not (given["appid"].startswith("{") and given["appid"].endswith("}")):
        return REFUSED
    host.certificates[endpoint] = (given["certhash"].upper(), given["appid"], given.get("certstorename", "").upper())
    return DONE
