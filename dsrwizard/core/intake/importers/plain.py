"""The importer for plain lists, /etc/hosts and tables.

A list has one server per line: `name address [weight]`, `address [weight]`, `user@host:port` or a host name alone, with
spaces, tabs, commas or semicolons between; `#` begins a comment, and a line may begin with a bullet. Lines of
/etc/hosts are understood too: `address name alias …`. A text is no list unless most of its lines are understood.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import DraftServer
from dsrwizard.core.intake.importers.common import MAX_SERVERS, Collector, Imported, bare, lines_of, name_for, not_taken
from dsrwizard.core.intake.importers.ports import NUMBERS
from dsrwizard.core.intake.importers.table import PORT_OF_A_SERVICE, is_header, number_given, table, take, unusable
from dsrwizard.core.intake.problems import shown

_COMMENTED = re.compile(r"[ \t]*(?:[;!]|//|--|REM\b|rem\b)")
_BULLET = re.compile(r"\s*(?:[-*•–+]|[0-9]{1,3}[.)])\s+")
_HEADING = re.compile(r"\[([^\[\]\s]+)\]$")
_LOGIN = re.compile(r"(?:ssh://)?([^\s@:/]+)@(\[[0-9A-Fa-f:.]+\]|[^\s@:\[\]]+)(?::([0-9]{1,5}))?/?$", re.ASCII)
_KEYWORDS = {
    "address", "allow", "backend", "bind", "broadcast", "deny", "domain", "frontend", "from", "gateway", "global",
    "inet", "inet6", "interface", "ip", "listen", "nameserver", "netmask", "network", "peer", "real", "real_server",
    "route", "search", "server", "servers", "to", "upstream", "via", "vip", "virtual", "virtual_server",
}  # fmt: skip
"""Words that settings begin with, and no server is called."""
_SSH_URL = re.compile(r"\bssh://")
_ENDPOINT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s@:\[\]]+):([0-9]{1,5})$", re.ASCII)
_HOST = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252}[A-Za-z0-9_])?", re.ASCII)
_SYNTAX = re.compile(r"[{}<>=$()|\\]|->|://")
"""What no list has: most files of settings have some of it on every line."""
_WEIGHT = re.compile(r"(?:weight|w)\s*[=:]\s*([0-9]+)$", re.IGNORECASE | re.ASCII)
_VIP_NAME = re.compile(r"(^|[-_.])vip[0-9]*([-_.]|$)", re.IGNORECASE)
_HOSTS_LINE = re.compile(r"\s*([0-9A-Fa-f.:]+(?:%\w+)?)\s+([A-Za-z0-9_][\w.-]*)(?:\s|$)", re.ASCII)


def parse(text: str, vips: Sequence[str] = (), choice: str = "") -> Imported:
    """Imports the servers of a list or a table. Never raises; anything not understood becomes a note with its line.

    `vips`: addresses that are no real servers. `choice`: names or patterns of names; empty is all.
    """
    found = Collector()
    lines = [(number, _without_comment(line)) for number, line in lines_of(text, found)]
    lines = [(number, line.strip("\N{ZERO WIDTH NO-BREAK SPACE} \t")) for number, line in lines]
    lines = [(number, line) for number, line in lines if line.strip()]
    told = table("\n".join(line for line in text.splitlines() if len(line) < 4_000)) if lines else None
    if told is not None and (told.columns or _mostly_addresses(told.rows)):
        take(told, found)
        understood = wanted = 1
    elif lines and is_header(lines[0][1].split()):
        _named_by_spaces(lines, found)
        understood = wanted = 1
    else:
        wanted, understood = len(lines), 0
        for number, line in lines:
            if found.full:
                found.note(f"Only the first {MAX_SERVERS} servers were imported.")
                break
            understood += _entry(number, line, found)
    if wanted and understood * 2 <= wanted:
        return found.refusal("This is no list of servers: most of its lines were not understood.")
    result = found.imported()
    _without_vips(result, vips)
    _chosen(result, choice)
    result.refused = not result.servers
    return result


def is_plausible(text: str) -> bool:
    """Whether most of the lines are entries of a list, or rows of a table."""
    found = Collector()
    told = table(text)
    if told is not None and _mostly_addresses(told.rows):
        return True
    lines = [_without_comment(line).strip() for line in text.splitlines()[:2_000]]
    lines = [line for line in lines if line]
    return bool(lines) and sum(_entry(1, line, found) for line in lines) * 2 > len(lines)


def is_hosts_file(text: str) -> bool:
    """Whether this is /etc/hosts: every line is an address and a name, and this machine is among them."""
    lines = [line for line in map(_without_comment, text.splitlines()[:2_000]) if line.strip()]
    matches = [_HOSTS_LINE.match(line) for line in lines]
    addresses = [fields.parsed(match[1]) for match in matches if match]
    return (
        len(addresses) * 2 > len(lines)
        and all(address is not None for address in addresses)
        and any(address is not None and address.is_loopback for address in addresses)
    )


def names_of(text: str) -> dict[str, str]:
    """The first name of each address of /etc/hosts: names for servers that are known by their addresses."""
    names: dict[str, str] = {}
    for line in text[:1_000_000].splitlines():
        match = _HOSTS_LINE.match(_without_comment(line))
        ip = fields.parsed(match[1]) if match else None
        if match and ip is not None:
            names.setdefault(str(ip), match[2])
    return names


def addresses_of(text: str) -> dict[str, list[str]]:
    """Each name of /etc/hosts, in lower case, with its addresses."""
    addresses: dict[str, list[str]] = {}
    for line in text[:1_000_000].splitlines():
        address, *names = _without_comment(line).split() or [""]
        if fields.parsed(address) is not None:
            for name in names:
                addresses.setdefault(name.lower(), []).append(address)
    return addresses


def _without_comment(line: str) -> str:
    """The line without its comment. A server whose line is commented out, however that is written, is none."""
    return "" if _COMMENTED.match(line) else re.sub(r"(^|\s)#.*$", "", line)


def _mostly_addresses(rows: Sequence[tuple[int, list[str]]]) -> bool:
    """Whether the rows of a table without a header have an address in a cell of its own."""
    having = sum(any(fields.parsed(cell.partition("/")[0]) is not None for cell in cells) for _, cells in rows)
    return having * 2 > len(rows)


def _named_by_spaces(lines: Sequence[tuple[int, str]], found: Collector) -> None:
    """A table whose columns are apart by spaces alone."""
    told = table("\n".join("\t".join(line.split()) for _, line in lines))
    if told is not None:
        numbers = [number for number, _ in lines[1:]]
        rows = [(number, cells) for number, (_, cells) in zip(numbers, told.rows, strict=False)]
        take(type(told)(rows, told.columns, told.names), found)


def _entry(number: int, line: str, found: Collector) -> bool:
    """Takes a line; False: it is no entry of a list, which a note says."""
    heading = _HEADING.match(line)
    if heading:
        found.note(f"Line {number}: {shown(line)} was read as a heading.")
        return True
    line = _BULLET.sub("", line, count=1)
    words = [bare(word) for word in re.split(r"[\s,;]+", line) if bare(word)]
    given = next((match[1] for word in words if (match := _WEIGHT.match(word))), "")
    words = [word for word in words if not _WEIGHT.match(word)]
    if (line.endswith(";") and " " in line) or _SYNTAX.search(_SSH_URL.sub("", " ".join(words))):
        found.note(f"Line {number} was not understood. Write: name address [weight].")
        return False
    logins = [word for word in words if _LOGIN.match(word)]
    if len(logins) == 1:
        return _login(number, [word for word in words if word not in logins], logins[0], given, found)
    addresses = [word for word in words if _address_like(word)]
    weights = [word for word in words if fields.whole_number(word) is not None]
    names = [word for word in words if word not in addresses and word not in weights]
    first, second = addresses[:1], addresses[1:2]
    if second and fields.parsed(second[0]) is not None and ":" not in second[0] and first and ":" in first[0]:
        first, second = second, first
    like_etc_hosts = bool(words) and words[0] in addresses and not weights
    too_much = (len(names) > 1 and not like_etc_hosts) or len(addresses) > 2 or len(weights) > 1
    odd = any(not _HOST.fullmatch(name) for name in names) or any(name.lower() in _KEYWORDS for name in names[:1])
    odd = odd or (not addresses and bool(weights))
    if too_much or odd or not (names or addresses) or (second and ":" not in second[0]):
        found.note(f"Line {number} was not understood. Write: name address [weight].")
        return False
    address = _without_port(first[0], number, found) if first else names[0]
    why = unusable(address) or next((why for name in names if (why := _own_name(name))), "")
    if why:
        found.note(not_taken(f"{shown(address)} (line {number})", why))
        return True
    server = DraftServer(name=names[0] if names else name_for(address), address=address)
    if second:
        server.address6 = second[0]
    server.weight = given or (number_given(weights[0], number, found) if weights else "1")
    found.add(server)
    return True


def _own_name(name: str) -> str:
    """Why a name of a list is no real server's."""
    if name.lower() in fields.RESERVED_NAMES:
        return f"{name} is not a real server"
    return "by its name it is a VIP" if _VIP_NAME.search(name) else ""


def _login(number: int, words: list[str], login: str, given: str, found: Collector) -> bool:
    """`user@host:port`, with a name before it or an address after it."""
    match = _LOGIN.match(login)
    if match is None or len(words) > 1 or not all(_HOST.fullmatch(word) or _address_like(word) for word in words):
        found.note(f"Line {number} was not understood. Write: name address [weight].")
        return False
    host = match[2].strip("[]")
    apart = words[0] if words and _address_like(words[0]) else ""
    name = words[0] if words and not apart else host
    server = DraftServer(name=name_for(name), address=apart or host, user=match[1], weight=given or "1")
    server.port = "" if match[3] in (None, "22") else match[3]
    found.add(server)
    return True


def _without_port(word: str, number: int, found: Collector) -> str:
    """The address of `10.0.0.101:80`: that port is a service's, or a connection's."""
    match = _ENDPOINT.match(word)
    if match is None or fields.parsed(word) is not None or fields.parsed(match[1].strip("[]")) is None:
        return word
    port = int(match[2])
    why = PORT_OF_A_SERVICE if port in NUMBERS else "it is not known whose port it is. For SSH write user@address:port"
    found.note(not_taken(f"the port {port} (line {number})", why))
    return match[1].strip("[]")


def _address_like(word: str) -> bool:
    """Whether this is an address or was meant as one; validation then says what is wrong with it."""
    head = word.partition("/")[0]
    match = _ENDPOINT.match(head)
    if match and fields.parsed(match[1].strip("[]")) is not None:
        return True
    head = head.strip("[]")
    return fields.parsed(head) is not None or re.fullmatch(r"[0-9]+(\.[0-9]+){2,}(:[0-9]+)?", head) is not None


def _without_vips(result: Imported, vips: Sequence[str]) -> None:
    known = {fields.parsed(vip) for vip in vips} - {None}
    for server in [one for one in result.servers if fields.parsed(one.address) in known]:
        result.servers.remove(server)
        result.notes.append(not_taken(f"{shown(server.name)} {server.address}", "that is the VIP"))


def _chosen(result: Imported, choice: str) -> None:
    patterns = choice.lower().replace(",", " ").split()
    if not patterns:
        return
    before = len(result.servers)
    result.servers = [one for one in result.servers if any(fnmatchcase(one.name.lower(), each) for each in patterns)]
    if before and not result.servers:
        result.notes.append(f"No server of the list matches {shown(choice.strip())}.")
