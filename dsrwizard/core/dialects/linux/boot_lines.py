"""Lines of boot files that set an address or the ARP guard: ifupdown, networkd, NetworkManager, netplan, shell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_SYSCTL = r"net[./]ipv4[./]conf[./]([^\s=\"']+?)[./]{name}\s*=\s*[\"']?(\d{{1,6}})"
_ECHO = r"echo\s+[\"']?(\d{{1,6}})[\"']?\s*>+\s*[\"']?/proc/sys/net/ipv4/conf/([^/\s]+)/{name}\b"
_SHELL = r"(?:\b(?:ip|\S*/ip)\s+(?:-\S+\s+)*a(?:ddr|ddress)?\s+(?:a|add|r|replace|change)\b|\bifconfig\b)"


def sets_guard(line: str, name: str) -> list[tuple[str, int]]:
    """(interface, value) of what a line sets a setting of the guard to, by sysctl or by the file of the kernel, when
    the host starts: what a unit or a stanza does at its end does not count."""
    if re.match(r"\s*(#|ExecStop|(pre-|post-)?down\s)", line):
        return []
    told = [(match[1], int(match[2])) for match in re.finditer(_SYSCTL.format(name=name), line)]
    return told + [(match[2], int(match[1])) for match in re.finditer(_ECHO.format(name=name), line)]


def sets_address(path: str, lines: Sequence[str], address: str) -> bool:
    """Whether a file sets an address at boot with the whole prefix, on a loopback or dummy interface as far as it says
    on which."""
    kept = [line for line in lines if not line.lstrip().startswith(("#", ";"))]
    if path.startswith("/etc/network/interfaces"):
        return _by_ifupdown(kept, address)
    if path.endswith(".network"):
        names = [word for line in kept if re.match(r"\s*Name\s*=", line) for word in line.partition("=")[2].split()]
        return _named(kept, r"\s*Address\s*=", address) and all(map(_silent, names))
    if path.endswith(("/rc.local", ".service")):
        return any(_by_shell(line, address) for line in kept)
    if "system-connections" in path:
        names = [line.partition("=")[2].strip() for line in kept if line.startswith("interface-name=")]
        return _named(kept, r"\s*address\d*\s*=", address) and all(map(_silent, names))
    if path.startswith("/etc/netplan/"):
        return any(_whole(line, address) for line in kept)
    if path.startswith("/etc/sysconfig/"):
        text = "\n".join(kept).replace('"', "").replace("'", "")
        here = re.search(rf"^IPADDR\w*={re.escape(address)}(/\d+)?$", text, re.MULTILINE)
        narrow = re.search(r"^(NETMASK\w*=255\.255\.255\.255|PREFIX\w*=32)$", text, re.MULTILINE)
        off = re.search(r"^ONBOOT=no$", text, re.MULTILINE | re.IGNORECASE)
        return here is not None and narrow is not None and off is None
    return False


def _silent(name: str) -> bool:
    return bool(re.match(r"(lo|dummy|vip|ipvs|dsr)", name))


def _named(lines: Iterable[str], key: str, address: str) -> bool:
    return any(re.match(key, line) and _whole(line, address) for line in lines)


def _whole(line: str, address: str) -> bool:
    """Whether a line names the address with its whole prefix."""
    return re.search(rf"(?<![\w.:]){re.escape(address)}/{128 if ':' in address else 32}(?!\d)", line) is not None


def _by_shell(line: str, address: str) -> bool:
    """`ip addr add 10.0.0.10/32 dev lo` (without a prefix: the whole one), `ifconfig lo:0 10.0.0.10 netmask …`."""
    if not re.search(_SHELL, line) or not re.search(rf"(?<![\w.:/]){re.escape(address)}(?![\w.:])", line):
        return False
    device = re.search(r"\bdev\s+(\S+)|\bifconfig\s+(\S+)", line)
    on = (device[1] or device[2]).strip("'\";") if device else ""
    if not _silent(on):
        return False
    if "ifconfig" in line:
        return bool(re.search(r"netmask\s+(255\.255\.255\.255|0x?f{8})|/32", line))
    return _whole(line, address) or not re.search(rf"{re.escape(address)}/", line)


def _by_ifupdown(lines: Sequence[str], address: str) -> bool:
    """A stanza of an interface that is brought up at boot (interfaces(5))."""
    started = {word for line in lines if re.match(r"\s*(auto|allow-\w+)\s", line) for word in line.split()[1:]}
    name, here, narrow = "", False, False
    for line in [*lines, "iface"]:
        words = line.split() or [""]
        if words[0] in ("iface", "auto", "source", "mapping") or words[0].startswith("allow-"):
            if here and narrow and name in started and _silent(name):
                return True
            name, here, narrow = (words[1] if words[0] == "iface" and len(words) > 1 else ""), False, False
        elif words[0] == "address" and len(words) > 1:
            here = words[1].partition("/")[0] == address
            narrow = narrow or _whole(words[1], address)
        elif words[0] == "netmask" and len(words) > 1:
            narrow = words[1] in ("255.255.255.255", "32", "128")
        elif words[0] in ("up", "post-up", "pre-up") and name in started and _by_shell(line, address):
            return True
    return False
