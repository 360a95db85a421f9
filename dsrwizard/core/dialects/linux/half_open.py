"""The script that looks for half-open connections on a Linux real server, and the parser of what it prints.

POSIX sh, changes nothing. It reads the kernel's counters, says that it is ready, looks for connections from given
sources in small pauses, and reads the counters again: a SYN that reverse-path filtering drops leaves only a count
(field guide, section 2, probe E). Sections are marked with a nonce, as in `observe`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from dsrwizard.core.dialects.linux import values
from dsrwizard.core.dialects.linux.observe import sections
from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.errors import AnswerUnreadable
from dsrwizard.core.model.facts import HalfOpen, HalfOpenLook

REVERSE_PATH = "TcpExtIPReversePathFilter"
LISTEN_DROPS = "TcpExtListenDrops"
COOKIES = "TcpExtSyncookiesSent"
UNREACHABLE = "IcmpInDestUnreachs"
UNREACHABLE6 = "Icmp6InDestUnreachs"
COUNTERS = (REVERSE_PATH, LISTEN_DROPS, COOKIES, UNREACHABLE, UNREACHABLE6)
"""Named as `nstat` names them: the name of the table, then that of the counter."""
SECONDS = 1.5
"""How long is looked at most: a frame crosses its link in less than a millisecond, hosts are busy for longer."""

_PAUSE = 0.05
_MOST = 5000
"""Half-open connections listed; a backlog seldom holds more."""

_BEGIN = body(__package__, "half_open.sh")
_WAIT = body(__package__, "half_open_wait.sh")
_END = body(__package__, "half_open_end.sh")


def script(nonce: str, sources: Sequence[str], expected: int) -> str:
    """The script. `nonce` is unguessable text without spaces, `sources` are addresses, `expected` is how many
    connections from them are to be seen."""
    wait = "s ready\n"
    if sources:
        patterns = " ".join(f"-e '{pattern}'" for source in sources for pattern in _patterns(source))
        ticks = str(round(SECONDS * 100))
        wait = filled(_WAIT, {"@PATTERNS@": patterns, "__EXPECTED__": str(expected), "__TICKS__": ticks})
    begin = filled(_BEGIN, {"@NONCE@": nonce, "@PAUSE@": str(_PAUSE)})
    return begin + wait + filled(_END, {"@MOST@": str(_MOST)})


def is_ready(nonce: str, line: str) -> bool:
    """Whether this line of the script's output says that it has begun to look."""
    return line.strip() == f"==dsr:{nonce}:ready=="


def _patterns(source: str) -> Iterator[str]:
    """What a line about this source has in it: as `ss` writes it, alone or within IPv6, and as /proc does on machines
    of either byte order."""
    address = ip_address(source)
    if address.version == 4:
        yield f" {address}:"
        yield f":{address}]:"
    else:
        yield f"[{address}]:"
    yield f"{address.packed.hex().upper()}:"
    yield f"{_swapped(address.packed).hex().upper()}:"


def _swapped(packed: bytes) -> bytes:
    """Each word of 32 bits with its bytes the other way round."""
    return b"".join(packed[at : at + 4][::-1] for at in range(0, len(packed), 4))


def parse(host: str, nonce: str, text: str) -> HalfOpenLook:
    """What the script printed. Raises AnswerUnreadable where it did not run to its end."""
    found = sections(nonce, text)
    if "end" not in found:
        raise AnswerUnreadable(
            f"{host}: the look for half-open connections is incomplete.",
            "The script did not finish.",
            "Run it again; if it stays so, check the shell of that host.",
        )
    order = "big" if "".join(found.get("order", [])).strip() == "0100" else "little"
    return HalfOpenLook(
        before=dict(counters(found.get("before", []))),
        after=dict(counters(found.get("after", []))),
        seen=tuple(dict.fromkeys(sockets(found.get("seen", []), big=order == "big"))),
        waiting=tuple(dict.fromkeys(sockets(found.get("waiting", []), big=order == "big"))),
    )


def counters(lines: Iterable[str]) -> Iterator[tuple[str, int]]:
    """The counters of `COUNTERS` in /proc/net/netstat and snmp (a line of names, then one of values) and snmp6 (a name
    and a value)."""
    names: list[str] = []
    for line in lines:
        table, *fields = line.split() or [""]
        if table in COUNTERS and len(fields) == 1:
            pairs = [(table, fields[0])]
        elif fields and fields[0].isalpha():
            names = [table.rstrip(":") + field for field in fields]
            continue
        else:
            pairs = list(zip(names, fields, strict=False)) if names and names[0].startswith(table.rstrip(":")) else []
        for name, value in pairs:
            if name in COUNTERS and value.isascii() and value.isdigit() and len(value) <= 20:
                yield name, int(value)


def sockets(lines: Iterable[str], *, big: bool = sys.byteorder == "big") -> Iterator[HalfOpen]:
    """Lines of `ss -Hnt state syn-recv`, or of /proc/net/tcp brought into that form; others are passed over."""
    for line in lines:
        fields = line.split()
        if len(fields) < 4:
            continue
        local, peer = _endpoint(fields[2], big=big), _endpoint(fields[3], big=big)
        if local is not None and peer is not None:
            yield HalfOpen(vip=local[0], port=local[1], client=peer[0], client_port=peer[1])


def _endpoint(text: str, *, big: bool) -> tuple[str, int] | None:
    """`10.0.0.10:80`, `[::ffff:10.0.0.10]:80`, `[fe80::1%eth0]:80`, `[fe80::1]%eth0:80`, `0A00000A:0050`."""
    word, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isalnum()):
        return None
    try:
        if ":" not in word and "." not in word:
            address, number = _words(word, big=big), int(port, 16)
        else:
            address = ip_address(values.address(word.replace("[", "").replace("]", "")))
            number = values.port(port)
    except ValueError:
        return None
    if not 0 < number < 65_536:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address), number


def _words(text: str, *, big: bool) -> IPv4Address | IPv6Address:
    """An address as /proc/net/tcp writes it: hexadecimal words of 32 bits in the machine's byte order."""
    if len(text) not in (8, 32):
        raise ValueError(text)
    packed = bytes.fromhex(text)
    packed = packed if big else _swapped(packed)
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
