"""The importer for tables: CSV of any dialect, with or without a line that names the columns.

The dialect is found over the whole file: the separator is the one that gives the first lines the same number of cells
and names known columns. Quoted cells may hold separators and line ends.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import DraftServer
from dsrwizard.core.intake.importers.common import (
    LONGEST_LINE,
    MAX_SERVERS,
    Collector,
    bare,
    name_for,
    not_taken,
)
from dsrwizard.core.intake.importers.ports import NUMBERS
from dsrwizard.core.intake.problems import shown

_COLUMNS = {
    "name": "name hostname host server servername vmname vm machine computername computer node nodename device "
    "realserver rechnername rechner nom nombre serveur",
    "address": "address ip ipaddress ipaddr ipv4 ipv4address rip realserverip serverip hostip privateip primaryip "
    "ipadresse ipv4adresse adresse adresseip direccion direccionip ansiblehost primaryip4 ip4 ip4address ipv4addr "
    "mgmtip managementip lanip serveraddress hostaddress",
    "address6": "address6 ipv6 ip6 ipv6address ipv6addr ipv6adresse rip6",
    "weight": "weight gewicht gewichtung poids peso ratio",
    "connect": "connect connection",
    "user": "user username login loginname sshuser ansibleuser benutzer",
    "port": "sshport winrmport",
    "anyport": "port",
    "identity_file": "identityfile key keyfile sshkey privatekey",
    "winrm": "winrm",
    "auth": "auth",
    "dns_name": "dnsname fqdn",
    "ca_file": "cafile",
    "kerberos_service": "kerberosservice",
    "vip_interface": "vipinterface interface",
    "vips": "vips",
}
COLUMNS = {word: field for field, words in _COLUMNS.items() for word in words.split()}
"""Columns of a table, as people name them (lower case, letters and digits alone), and the field each is."""
_SEPARATORS = (",", ";", "\t", "|")
_FIRST = 12
"""Lines within which the one with the names of the columns stands: some have a title above."""
_SNIFFED = 300
"""Characters of each of them that are enough to find a separator."""
_HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", re.ASCII)
_CONNECTION_PORTS = {"22", "2222", "5985", "5986"}
_SECRET = re.compile(r"pass|secret|token|kennwort|contrase", re.IGNORECASE)


@dataclass(frozen=True)
class Table:
    """The cells of a text with the numbers of their lines; `columns` is empty where no line names them."""

    rows: list[tuple[int, list[str]]]
    columns: list[str]
    names: list[str]


def table(text: str) -> Table | None:
    """The text as a table; None if it is none: no separator gives its lines the same number of cells."""
    best: tuple[int, int, Table] | None = None
    for separator in dict.fromkeys([*_SEPARATORS, *_sniffed(text)]):
        if separator not in text:
            continue
        rows = list(_rows(text, separator))
        head = next((at for at, (_, cells) in enumerate(rows[:_FIRST]) if is_header(cells)), None)
        if head is None and separator not in _SEPARATORS:
            continue  # a list may have as many colons in each line
        if head is not None:
            names = rows[head][1]
            found = Table(rows[head + 1 :], [COLUMNS.get(_plain(name), "") for name in names], names)
            score = (2, sum(map(bool, found.columns)))
        else:
            counts = Counter(len(cells) for _, cells in rows)
            width, often = max(counts.items(), key=lambda each: each[1], default=(0, 0))
            if width < 2 or often * 10 < len(rows) * 8:
                continue
            found, score = Table(rows, [], []), (1, often)
        if best is None or score > best[:2]:
            best = (*score, found)
    return best[2] if best else None


def _sniffed(text: str) -> list[str]:
    """The separator that the first lines suggest, where it is a sign that few tables have: `^`, `~`, `:`."""
    first = "\n".join(line[:_SNIFFED] for line in text.splitlines()[:_FIRST])
    try:
        found = csv.Sniffer().sniff(first).delimiter
    except csv.Error:
        return []
    return [] if found.isalnum() or found.isspace() or found in "._-/\"'#" else [found]


def is_header(cells: Sequence[str]) -> bool:
    """Whether these cells name the columns of a table: an address or a name among at least two known ones."""
    known = {COLUMNS[word] for word in map(_plain, cells) if word in COLUMNS}
    return len(cells) > 1 and len(known) > 1 and bool(known & {"address", "address6", "name"})


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower()[:LONGEST_LINE])


def _rows(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that have any cell; comments and Excel's `sep=` line are left out."""
    quote = "'" if text.count("'") > text.count('"') and re.search(rf"(^|{re.escape(separator)})'", text, re.M) else '"'
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, quotechar=quote, skipinitialspace=True)
    begin = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:  # a cell that is too large
            begin = reader.line_num + 1
            continue
        cells = [" ".join(bare(cell.strip("\N{ZERO WIDTH NO-BREAK SPACE}")).split()) for cell in cells]
        first = cells[0] if cells else ""
        rule = all(re.fullmatch(r"[-:=+ ]*", cell) for cell in cells)  # the line under the head of a drawn table
        if not rule and not first.startswith(("#", ";", "//")) and not re.fullmatch(r"sep=.?", first.lower()):
            yield begin, cells
        begin = reader.line_num + 1


def take(told: Table, found: Collector) -> None:
    """Imports the servers of a table."""
    columns = told.columns
    for name, column in zip(told.names, columns, strict=True):
        if name and not column:
            secret = "passwords are not imported: dsrwizard asks for them" if _SECRET.search(name) else ""
            found.note(not_taken(f"the column {shown(name)}", secret or "dsrwizard has no such field"))
    for number, cells in told.rows:
        if found.full:
            found.note(f"Only the first {MAX_SERVERS} servers were imported.")
            return
        if columns:
            _row(number, cells, columns, found)
        else:
            _unnamed(number, cells, found)


def _row(number: int, cells: list[str], columns: list[str], found: Collector) -> None:
    values: dict[str, str] = {}
    for column, cell in zip(columns, cells, strict=False):
        if column and cell:
            values.setdefault(column, cell)
    if any(cells[len(columns) :]):
        found.note(f"Line {number} has more cells than there are columns.")
    vips = re.split(r"[\s|,;]+", values.pop("vips", "").strip())
    name, address = values.pop("name", ""), values.pop("address", "")
    if not name and not address:
        found.note(f"Line {number} has neither a name nor an address.")
        return
    any_port = values.pop("anyport", "")
    if any_port and "port" not in values:
        if any_port in _CONNECTION_PORTS or not _service_port(any_port):
            values["port"] = any_port
        else:
            found.note(not_taken(f"the port {shown(any_port)} (line {number})", PORT_OF_A_SERVICE))
    if "weight" in values:
        values["weight"] = weight_of(values["weight"], number, found)
    server = DraftServer(name=name or name_for(address), address=address or name, vips=[v for v in vips if v] or None)
    if name and name_for(name) != name:
        server.name = name_for(name) or name_for(address)
        found.note(f"Line {number}: the name {shown(name)} was imported as {shown(server.name)}.")
    for field, value in values.items():
        setattr(server, field, value)
    _split_addresses(server, number, found)
    if unusable(server.address):
        found.note(not_taken(f"{shown(server.address)} (line {number})", unusable(server.address)))
        return
    found.add(server)


def _split_addresses(server: DraftServer, number: int, found: Collector) -> None:
    """A cell may hold addresses of both families, and their prefix lengths."""
    words = [word for word in re.split(r"[\s,;|]+", server.address) if word]
    plain = [_without_prefix(word) for word in words]
    parsed = [ip for word in plain if (ip := fields.parsed(word)) is not None]
    if not parsed or len(parsed) != len(words):
        return
    if plain != words:
        found.note("Prefix lengths of addresses were not imported: a real server has none here.")
    first = next((ip for ip in parsed if ip.version == 4), parsed[0])
    second = next((ip for ip in parsed if ip.version != first.version), None)
    server.address = plain[parsed.index(first)]
    if second is not None and not server.address6:
        server.address6 = plain[parsed.index(second)]
    for ip, word in zip(parsed, plain, strict=True):
        if ip not in (first, second):
            found.note(not_taken(f"{word} (line {number})", "a server has one address of each family"))


def _without_prefix(word: str) -> str:
    head, slash, prefix = word.partition("/")
    return head if slash and prefix.isdigit() and fields.parsed(head) is not None else word


def _unnamed(number: int, cells: list[str], found: Collector) -> None:
    """A row of a table without names of columns: its address, its name, and a weight where it cannot be a port."""
    comment = next((at for at, cell in enumerate(cells) if re.search(r"\s#", cell)), None)
    if comment is not None:
        cells = [*cells[:comment], re.sub(r"\s+#.*$", "", cells[comment])]
    cells = [_without_prefix(cell) for cell in cells]
    addresses = [cell for cell in cells if fields.parsed(cell) is not None]
    rest = [cell for cell in cells if cell and cell not in addresses]
    numbers = [cell for cell in rest if re.fullmatch(r"[0-9]+([.,][0-9]+)?", cell)]
    names = [cell for cell in rest if cell not in numbers and _HOST.fullmatch(cell)]
    versions = [":" in address for address in addresses]
    if not addresses or len(addresses) > 2 or len(set(versions)) != len(versions) or len(numbers) > 1:
        found.note(f"Line {number} was not understood. Name the columns in the first line, for example: name;address.")
        return
    addresses.sort(key=lambda address: ":" in address)
    if unusable(addresses[0]):
        found.note(not_taken(f"{shown(addresses[0])} (line {number})", unusable(addresses[0])))
        return
    name = names[0] if names else ""
    for cell in rest:
        if cell != name and cell not in numbers:
            found.note(not_taken(f"{shown(cell)} (line {number})", "no column says what it is"))
    found.add(
        DraftServer(
            name=name_for(name or addresses[0]),
            address=addresses[0],
            address6=addresses[1] if len(addresses) > 1 else "",
            weight=number_given(numbers[0], number, found) if numbers else "1",
        )
    )


PORT_OF_A_SERVICE = "a service has its port at the VIP, and direct routing cannot change it"


def _service_port(text: str) -> bool:
    number = fields.whole_number(text)
    return number is not None and number in NUMBERS


def weight_of(text: str, number: int, found: Collector) -> str:
    """A weight of a table: `2,0` and `2.0` are 2; another fraction is none that IPVS has."""
    match = re.fullmatch(r"\s*([0-9]{1,9})(?:[.,]([0-9]{1,2}))?\s*%?\s*", text)
    if match is None:
        return text
    if match[2] and int(match[2]):
        found.note(
            not_taken(
                f"the weight {shown(text)} (line {number})",
                "weights are whole numbers; 1 was set: multiply all of them by ten or a hundred",
            )
        )
        return "1"
    return match[1]


def number_given(text: str, number: int, found: Collector) -> str:
    """The weight that a bare number means, with a note unless it is small: it may as well be a port."""
    whole = fields.whole_number(text)
    if whole is None:
        return weight_of(text, number, found)
    if whole in NUMBERS or whole >= 1024:
        found.note(
            not_taken(f"{whole} (line {number})", "it may be a port; weight 1 was set. For a weight write weight=…")
        )
        return "1"
    if whole > 10:
        found.note(f"Line {number}: {whole} was taken as the weight.")
    return str(whole)


def unusable(text: str) -> str:
    """Why this is no address of a real server (loopback, multicast, …), as a clause; empty: it may be."""
    ip = fields.parsed(text)
    if ip is None:
        return ""
    if ip.is_loopback:
        return "it is a loopback address"
    if ip.is_multicast:
        return "it is a multicast address"
    if ip.is_unspecified or ip.is_reserved:
        return "it is not the address of a host"
    if ip.is_link_local:
        return "it is a link-local address"
    return ""
