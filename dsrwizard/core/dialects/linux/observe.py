"""The one script that observes a Linux host, and the parser of what it prints.

The script is POSIX sh, changes nothing, and starts as few programs as it can: they are what it costs. One grep reads
all small files; dash's `read` would not do, for it takes a byte at a time and the kernel answers only the first. Every
section begins with a marker line that holds a nonce, so that nothing a host prints can pass for a section.
"""

from __future__ import annotations

import base64
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any

from dsrwizard.core.dialects.linux import close, packet_filter, routes, values
from dsrwizard.core.dialects.linux.look_at_files import look_at_files
from dsrwizard.core.dialects.linux.revert import PLACES
from dsrwizard.core.dialects.linux.values import Impossible, reading
from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.dialects.undo import undo_of
from dsrwizard.core.model.changes import FileState
from dsrwizard.core.model.deployment import Vip
from dsrwizard.core.model.doc_addresses import SOMEWHERE
from dsrwizard.core.model.errors import AnswerUnreadable
from dsrwizard.core.model.facts import Interface, InterfaceAddress, Listener, Persistence, ServerFacts
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.values import machine_id

MOST_CLIENTS = 4
"""Clients that each VIP's way back is asked for: each is a program to start."""
_LINE = 200
"""Characters of a text that is only shown: the names of the host, its system, its kernel and its programs. `Shown`
facts make them harmless."""

_SCRIPT = body(__package__, "observe.sh")
_WAYS = body(__package__, "observe_ways.sh")
_WHOLE = body(__package__, "observe_whole.sh")


def observe_script(
    nonce: str,
    files: Iterable[str],
    *,
    brief: bool = False,
    closely: bool = False,
    vips: Iterable[Vip] = (),
    clients: Iterable[str] = (),
    rips: Iterable[str] = (),
    folders: Iterable[str] = (),
    places: Sequence[str] = PLACES,
) -> str:
    """The script. `files` are the paths a step may write, `folders` those it may make; `places`: see
    `core.dialects.linux.revert`; `nonce` is unguessable text without spaces. `brief` leaves out what no step
    changes: routes and listeners. `closely` also names the programs behind the listeners, for which ss looks at every
    process of the host, says what filters packets, and takes the close look. For each of `vips` it asks which way
    replies from there to `clients` take, addresses of either family. `rips`: the server's own addresses."""
    whole = "" if brief else filled(_WHOLE, {"@PROCESSES@": "-p" if closely else ""})
    vips = tuple(vips)
    if closely and not brief:
        near = (*(vip.address for vip in vips), *rips)
        whole += packet_filter.filter_script(near) + close.script(vip.address for vip in vips)
    holes = {
        "@NONCE@": nonce,
        "@WHOLE@": whole,
        "@WAYS@": _asked(vips, clients, closely),
        "@LOOK_AT_FILES@": look_at_files(files, folders),
        "@PLACES@": " ".join(map(shlex.quote, places)),
    }
    return filled(_SCRIPT, holes)


def _asked(vips: Iterable[Vip], clients: Iterable[str], closely: bool) -> str:
    """The lines that ask for the way back from each VIP."""
    known = list(dict.fromkeys(ip_address(client) for client in clients))
    lines = []
    for vip in vips:
        service = next(iter(vip.services), None)
        protocol, port = (service.protocol, service.port) if service else ("tcp", 80)
        family = vip.ip.version
        targets = [one for one in known if one.version == family][:MOST_CLIENTS]
        for target in (*targets, SOMEWHERE[family]):
            lines.append(f"way -{family} {vip.ip} {target} {protocol} {port}")
    return filled(_WAYS, {"@ASKED@": "\n".join(lines), "@CLOSE@": "yes" if closely else "no"}) if lines else ""


def parse(host: str, nonce: str, text: str) -> ServerFacts:
    """The facts in what the script printed. Raises AnswerUnreadable, naming the part that could not be read."""
    found = sections(nonce, text)
    if "end" not in found:
        raise AnswerUnreadable(
            f"{host}: the host's answer is cut short.",
            "The observing script did not run to its end.",
            "Run it again; if it stays so, look at the shell and the disk space of that host.",
        )
    texts = [(path, text) for path, colon, text in (line.partition(":") for line in found.get("texts", [])) if colon]
    modes = {path: mode for mode, _, path in (line.partition(" ") for line in found.get("modes", []))}
    with reading(host, "its default routes", "ip -j route show default"):
        default_routes = (
            *routes.default_routes(_joined(found, "route4"), 4),
            *routes.default_routes(_joined(found, "route6"), 6),
        )
    with reading(host, "its kernel settings", "sysctl net.ipv4.conf"):
        sysctls = dict(_sysctls(found.get("texts", [])))
    with reading(host, "its listening sockets", "ss -lntu"):
        listeners = _listeners(found.get("listeners", []))
    with reading(host, "the way its replies take", "ip -j route get"):
        looked = close.parse(found, systemd=_first(found, "systemd") == "yes")
        ways = close.chosen(looked.ways if looked is not None else tuple(close.ways(found)))
    return ServerFacts(
        host=host,
        os=_os(texts),
        hostname=_text(texts, "/proc/sys/kernel/hostname"),
        kernel=_text(texts, "/proc/sys/kernel/osrelease"),
        machine=machine_id(_text(texts, "/etc/machine-id")),
        boot_id=_boot_id(_text(texts, "/proc/sys/kernel/random/boot_id")),
        privileged=_first(found, "root") == "yes",
        interfaces=interfaces(host, _joined(found, "addr")),
        default_routes=default_routes,
        sysctls=sysctls,
        listeners=listeners,
        persistence=_persistence(_first(found, "systemd") == "yes", texts),
        folders=folders_seen(found.get("folders", [])),
        undo=undo_of(found.get("undo", [])),
        networkmanager=_first(found, "networkmanager") == "yes",
        ways=ways,
        linux=looked,
        files={
            name[5:]: file_of(host, name[5:], lines, modes.get(name[5:], ""))
            for name, lines in found.items()
            if name.startswith("file:/")
        },
    )


def folders_seen(lines: Iterable[str]) -> dict[str, bool]:
    """Lines `yes PATH` and `no PATH`."""
    return {path: word == "yes" for word, _, path in (line.partition(" ") for line in lines) if path}


def _text(texts: Iterable[tuple[str, str]], path: str) -> str:
    """The first line of a file that grep printed."""
    return next((text.strip()[:_LINE] for name, text in texts if name == path), "")


_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _boot_id(text: str) -> str:
    """The kernel's random/boot_id, a UUID (Documentation/admin-guide/sysctl/kernel). Empty for anything else."""
    return text if _UUID.fullmatch(text) else ""


def _os(texts: Iterable[tuple[str, str]]) -> str:
    """PRETTY_NAME of os-release(5): a shell assignment, quoted or not."""
    for path, text in texts:
        if path == "/etc/os-release" and text.startswith("PRETTY_NAME="):
            try:
                return " ".join(shlex.split(text.partition("=")[2][:_LINE]))
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


def _joined(found: dict[str, list[str]], name: str) -> str:
    return "\n".join(found.get(name, ()))


def interfaces(host: str, text: str) -> tuple[Interface, ...]:
    """`ip -j -d addr show` as interfaces. Raises AnswerUnreadable; it says so where the host's `ip` knows no JSON."""
    with reading(host, "its interfaces", "ip -j addr show"):
        try:
            links = values.document(text)
        except Impossible:
            raise
        except ValueError:
            raise AnswerUnreadable(
                f"{host}: the interfaces could not be read.",
                "`ip -j addr` does not answer in JSON there; iproute2 does since release 4.13.",
                "Install or update the package iproute2 on that host.",
            ) from None
        found = tuple(_interface(link) for link in values.objects(links) if "ifname" in link)
        if sum(len(interface.addresses) for interface in found) > values.MOST:
            raise Impossible(f"list of fewer than {values.MOST:,} addresses", links)
        return found


def _interface(link: Mapping[str, Any]) -> Interface:
    return Interface(
        name=values.interface(link.get("ifname")),
        mac=_mac(link),
        up="UP" in values.words(link, "flags"),
        kind=values.word(values.part(link, "linkinfo"), "info_kind")[:_LINE],
        addresses=tuple(
            InterfaceAddress(
                address=(local := values.address(entry["local"])),
                prefix=values.prefix(entry.get("prefixlen"), local),
                scope=values.word(entry, "scope", "global")[:_LINE],
                tentative=bool(entry.get("tentative") or entry.get("dadfailed")),
            )
            for entry in values.objects(link.get("addr_info", []))
            if "local" in entry
        ),
    )


def _mac(link: Mapping[str, Any]) -> str:
    """Of Ethernet and what passes for it. A tunnel has an IP address there, InfiniBand twenty bytes: no MAC by which a
    frame of the director's network is known."""
    return values.mac(link.get("address")) if link.get("link_type") == "ether" else ""


_CONF = "/proc/sys/net/ipv4/conf/"
_CONF6 = "/proc/sys/net/ipv6/conf/"
_FORWARD = "/proc/sys/net/ipv4/ip_forward"


def _sysctls(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        path, _, value = line.rpartition(":")
        if path.startswith(_CONF):
            values.interface(path.removeprefix(_CONF).rpartition("/")[0])
        elif path != _FORWARD and not path.startswith(_CONF6):
            continue
        yield sysctl_key(path), values.setting(value.strip())


def sysctl_key(path: str) -> str:
    """`/proc/sys/net/ipv4/conf/eth0.5/rp_filter` as `net.ipv4.conf.eth0/5.rp_filter` (sysctl(8): a dot within a name
    is written as a slash)."""
    return path.removeprefix("/proc/sys/").translate(str.maketrans("./", "/."))


def _listeners(lines: Sequence[str]) -> tuple[Listener, ...] | None:
    return tuple(parse_listeners(lines[1:])) if lines[:1] == ["ss"] else None


_QUEUED = re.compile(r"(tcp|udp)\s+(?:LISTEN|UNCONN)\s+([0-9]{1,9})\s+([0-9]{1,9})\s+(\S+):(\S+)\s")


def parse_listeners(lines: Iterable[str]) -> Iterable[Listener]:
    """Lines of `ss -H -l -t -u -n -p` (with or without `-p`); lines of another form are passed over: a program may have
    a line break in its name, and what follows it is no socket. Raises Impossible for a port or address that is none."""
    for line in lines:
        match = _QUEUED.match(line + " ")
        if match is None or match[5] == "*":
            continue
        process = line[match.end() - 1 :].partition('users:(("')[2].partition('"')[0]
        yield Listener(
            protocol="tcp" if match[1] == "tcp" else "udp",
            address=_bare(match[4]),
            port=values.port(match[5]),
            process=process[:_LINE],
            waiting=int(match[2]) if match[1] == "tcp" else 0,
            room=int(match[3]) if match[1] == "tcp" else 0,
        )


def _bare(text: str) -> str:
    """`[fe80::1]%eth0` as `fe80::1`, an IPv4 address within IPv6 (`[::ffff:10.0.0.1]`) as IPv4, `*` as itself."""
    word = text.partition("%")[0].strip("[]")
    if word in ("", "*"):
        return "*"
    address = ip_address(values.address(word))
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


_SOURCES = re.compile(r"\s*source(-directory)?\s+/etc/network/interfaces\.d")


def _persistence(systemd: bool, texts: Iterable[tuple[str, str]]) -> Persistence:
    """systemd where it runs; ifupdown where interfaces(5) reads the directory we write to."""
    if systemd:
        return "systemd"
    reads = any(path == "/etc/network/interfaces" and _SOURCES.match(text) for path, text in texts)
    return "ifupdown" if reads else "none"


_MODE = re.compile(r"[0-7]{1,4}")


def file_of(host: str, path: str, lines: list[str], mode: str) -> FileState | None:
    """A file as the script prints it. Raises AnswerUnreadable."""
    if not lines or lines[0] == "none":
        return None
    kind, _, rest = lines[0].partition(" ")
    try:
        if kind == "link":
            return FileState(target=rest)
        content = base64.b64decode("".join(lines[1:]), validate=True).decode()
        if kind != "file" or not _MODE.fullmatch(mode):
            raise ValueError(mode)
        return FileState(content=content, mode=int(mode, 8))
    except ValueError:
        raise AnswerUnreadable(
            f"{host}: {one_line(path, _LINE)} could not be read as text.",
            "dsrwizard restores files byte for byte and so must be able to read what is there.",
            "Move that file away and run again.",
        ) from None
