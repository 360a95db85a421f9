"""The one script that observes a Linux host, and the parser of what it prints.

The script is POSIX sh, changes nothing, and starts as few programs as it can: they are what it costs. One grep reads
all small files; dash's `read` would not do, for it takes a byte at a time and the kernel answers only the first. Every
section begins with a marker line that holds a nonce, so that nothing a host prints can pass for a section.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import shlex
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any, Literal

from dsrwizard.core.changes import FileState
from dsrwizard.core.errors import AnswerUnreadable
from dsrwizard.core.facts import Interface, InterfaceAddress, Listener, Persistence, Route, ServerFacts
from dsrwizard.core.linux import packet_filter
from dsrwizard.core.nowhere import SOMEWHERE

_MALFORMED = (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError)
"""What JSON of another shape raises on its way into facts."""

_SCRIPT = r"""
m='==dsr:@NONCE@'
s() { printf '\n%s:%s==\n' "$m" "$1"; }
s begin
s texts
grep -s . /proc/sys/kernel/hostname /proc/sys/kernel/osrelease /proc/sys/kernel/random/boot_id /etc/os-release \
  /etc/network/interfaces /proc/sys/net/ipv4/conf/*/arp_ignore /proc/sys/net/ipv4/conf/*/arp_announce \
  /proc/sys/net/ipv4/conf/*/rp_filter /proc/sys/net/ipv4/ip_forward
s root; if [ -w /proc/sys/net/ipv4/conf/all/arp_ignore ]; then echo yes; else echo no; fi
s systemd; if [ -d /run/systemd/system ]; then echo yes; else echo no; fi
s addr; ip -j -d addr show
@WHOLE@
@WAYS@
set --
for f in @FILES@; do if [ -f "$f" ] && [ ! -L "$f" ]; then set -- "$@" "$f"; fi; done
s modes; [ $# = 0 ] || stat -c '%a %n' "$@"
for f in @FILES@; do
  s "file:$f"
  if [ -L "$f" ]; then printf 'link '; readlink "$f"
  elif [ -f "$f" ]; then echo file; base64 "$f" || echo '?'
  else echo none; fi
done
s end
"""
_WAYS = r"""
way() { s "way:$2"; ip -j "$1" route get "$3" from "$2" 2>&1; }
@ASKED@
"""
_WHOLE = r"""
s route4; ip -j -4 route show default
s route6; ip -j -6 route show default 2>/dev/null
s listeners; if command -v ss >/dev/null; then echo ss; ss -H -l -t -u -n @PROCESSES@; else echo none; fi
"""


def observe_script(
    nonce: str, files: Iterable[str], *, brief: bool = False, closely: bool = False, vips: Iterable[str] = ()
) -> str:
    """The script. `files` are the paths a step may write; `nonce` is unguessable text without spaces. `brief` leaves
    out what no step changes: routes and listeners. `closely` also names the programs behind the listeners, for which ss
    looks at every process of the host, and says what filters packets. For each of `vips` it asks which way replies from
    there to clients take."""
    paths = " ".join(shlex.quote(path) for path in files) or "''"
    whole = "" if brief else _WHOLE + (packet_filter.SCRIPT if closely else "")
    script = _SCRIPT.replace("@WHOLE@", whole).replace("@PROCESSES@", "-p" if closely else "")
    return script.replace("@WAYS@", _asked(vips)).replace("@NONCE@", nonce).replace("@FILES@", paths)


def _asked(vips: Iterable[str]) -> str:
    """The lines that ask for the way back from each VIP."""
    asked = [ip_address(vip) for vip in vips]
    lines = [f"way -{vip.version} {vip} {SOMEWHERE[vip.version]}" for vip in asked]
    return _WAYS.replace("@ASKED@", "\n".join(lines)) if lines else ""


def parse(host: str, nonce: str, text: str) -> ServerFacts:
    """The facts in what the script printed. Raises AnswerUnreadable, naming the part that could not be read."""
    found = sections(nonce, text)
    if "end" not in found:
        raise AnswerUnreadable(
            f"{host}: the host's answer is cut short.",
            "The observing script did not run to its end.",
            "Run it again; if it stays so, look at the shell and the disk space of that host.",
        )
    listeners = found.get("listeners", [])
    texts = [(path, text) for path, colon, text in (line.partition(":") for line in found.get("texts", [])) if colon]
    modes = {path: mode for mode, _, path in (line.partition(" ") for line in found.get("modes", []))}
    return ServerFacts(
        host=host,
        os=_os(texts),
        hostname=_text(texts, "/proc/sys/kernel/hostname"),
        kernel=_text(texts, "/proc/sys/kernel/osrelease"),
        boot_id=_text(texts, "/proc/sys/kernel/random/boot_id"),
        privileged=_first(found, "root") == "yes",
        interfaces=interfaces(host, "\n".join(found.get("addr", []))),
        default_routes=(*_routes(found, "route4", 4), *_routes(found, "route6", 6)),
        sysctls=dict(_sysctls(found.get("texts", []))),
        listeners=tuple(parse_listeners(listeners[1:])) if listeners[:1] == ["ss"] else None,
        persistence=_persistence(_first(found, "systemd") == "yes", texts),
        filters=packet_filter.parse_filters(found),
        ways={
            name[4:]: way
            for name, lines in found.items()
            if name.startswith("way:") and (way := _way("\n".join(lines))) != ""
        },
        files={
            name[5:]: _file(host, name[5:], lines, modes.get(name[5:], ""))
            for name, lines in found.items()
            if name.startswith("file:/")
        },
    )


def _text(texts: Iterable[tuple[str, str]], path: str) -> str:
    """The first line of a file that grep printed."""
    return next((text.strip() for name, text in texts if name == path), "")


def _os(texts: Iterable[tuple[str, str]]) -> str:
    """PRETTY_NAME of os-release(5): a shell assignment, quoted or not."""
    for path, text in texts:
        if path == "/etc/os-release" and text.startswith("PRETTY_NAME="):
            try:
                return " ".join(shlex.split(text.partition("=")[2]))
            except ValueError:
                return ""
    return ""


def sections(nonce: str, text: str) -> dict[str, list[str]]:
    """What was printed between the markers that hold the nonce, by their names; without empty lines."""
    found: dict[str, list[str]] = {}
    current: list[str] | None = None
    opening = f"==dsr:{nonce}:"
    for line in text.replace("\r\n", "\n").split("\n"):  # splitlines() would part JSON at U+2028 and the like
        if line.startswith(opening) and line.endswith("=="):
            current = found.setdefault(line[len(opening) : -2], [])
        elif current is not None and line.strip():
            current.append(line)
    return found


def _first(found: dict[str, list[str]], name: str) -> str:
    lines = found.get(name) or [""]
    return lines[0].strip()


def interfaces(host: str, text: str) -> tuple[Interface, ...]:
    """`ip -j -d addr show` as interfaces. Raises AnswerUnreadable where the host's `ip` knows no JSON."""
    try:
        return tuple(_interface(link) for link in json.loads(text) if link.get("ifname"))
    except _MALFORMED as problem:
        raise AnswerUnreadable(
            f"{host}: the interfaces could not be read.",
            "`ip -j addr` does not answer in JSON there; iproute2 does since release 4.13.",
            "Install or update the package iproute2 on that host.",
        ) from problem


def _interface(link: dict[str, Any]) -> Interface:
    return Interface(
        name=str(link["ifname"]),
        mac=str(link.get("address", "")) if link.get("link_type") != "loopback" else "",
        up="UP" in link.get("flags", []),
        kind=str(link.get("linkinfo", {}).get("info_kind", "")),
        addresses=tuple(
            InterfaceAddress(
                address=str(ip_address(entry["local"])),
                prefix=int(entry["prefixlen"]),
                scope=str(entry.get("scope", "global")),
                tentative=bool(entry.get("tentative") or entry.get("dadfailed")),
            )
            for entry in link.get("addr_info", [])
            if "local" in entry
        ),
    )


def _routes(found: dict[str, list[str]], name: str, family: Literal[4, 6]) -> Sequence[Route]:
    """Default routes; one without a gateway (a point-to-point link) has an empty one, several next hops are several."""
    try:
        routes = json.loads("\n".join(found.get(name, [])) or "[]")
        return [
            Route(gateway=str(hop.get("gateway", "")), interface=str(hop.get("dev", "")), family=family)
            for route in routes
            for hop in route.get("nexthops", [route])
        ]
    except _MALFORMED:
        return []


def _way(text: str) -> Route | Literal[""] | None:
    """`ip -j route get … from VIP`: the route; None where it says that there is none; empty where it says something
    else, such as that the host has no such address."""
    if "unreachable" in text:
        return None
    try:
        (route,) = json.loads(text)
        if route.get("type", "unicast") != "unicast":
            return None
        family: Literal[4, 6] = 6 if ":" in str(route["dst"]) else 4
        return Route(gateway=str(route.get("gateway", "")), interface=str(route["dev"]), family=family)
    except _MALFORMED:
        return ""


_NUMBER = re.compile(r"-?[0-9]{1,10}")


def _sysctls(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        path, _, value = line.rpartition(":")
        if path.startswith("/proc/sys/") and _NUMBER.fullmatch(value.strip()):
            yield key_of(path), value.strip()


def key_of(path: str) -> str:
    """`/proc/sys/net/ipv4/conf/eth0.5/rp_filter` as `net.ipv4.conf.eth0/5.rp_filter` (sysctl(8): a dot within a name
    is written as a slash)."""
    return path.removeprefix("/proc/sys/").translate(str.maketrans("./", "/."))


def parse_listeners(lines: Iterable[str]) -> Iterable[Listener]:
    """Lines of `ss -H -l -t -u -n -p` (with or without `-p`); lines of another form are passed over."""
    for line in lines:
        fields = line.split()
        if len(fields) < 5 or fields[0] not in ("tcp", "udp"):
            continue
        address, _, port = fields[4].rpartition(":")
        bare = _bare(address)
        if bare is None or not _NUMBER.fullmatch(port):
            continue
        process = line.partition('users:(("')[2].partition('"')[0]
        yield Listener(protocol="tcp" if fields[0] == "tcp" else "udp", address=bare, port=int(port), process=process)


def _bare(text: str) -> str | None:
    """`[fe80::1]%eth0` as `fe80::1`, an IPv4 address within IPv6 (`[::ffff:10.0.0.1]`) as IPv4; None: no address."""
    word = text.partition("%")[0].strip("[]")
    if word in ("", "*"):
        return "*"
    try:
        address = ip_address(word)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


_SOURCES = re.compile(r"\s*source(-directory)?\s+/etc/network/interfaces\.d")


def _persistence(systemd: bool, texts: Iterable[tuple[str, str]]) -> Persistence:
    """systemd where it runs; ifupdown where interfaces(5) reads the directory we write to."""
    if systemd:
        return "systemd"
    reads = any(path == "/etc/network/interfaces" and _SOURCES.match(text) for path, text in texts)
    return "ifupdown" if reads else "none"


def _file(host: str, path: str, lines: list[str], mode: str) -> FileState | None:
    if not lines or lines[0] == "none":
        return None
    kind, _, rest = lines[0].partition(" ")
    try:
        if kind == "link":
            return FileState(target=rest)
        content = base64.b64decode("".join(lines[1:]), validate=True).decode()
        return FileState(content=content, mode=int(mode, 8))
    except (ValueError, binascii.Error) as problem:
        raise AnswerUnreadable(
            f"{host}: {path} could not be read as text.",
            "dsrwizard restores files byte for byte and so must be able to read what is there.",
            "Move that file away and run again.",
        ) from problem
