"""The importer for plain lists and CSV tables.

A list has one server per line, `name address [weight]`, `address [weight]` or a host name alone, with spaces, tabs,
commas or semicolons between; `#` begins a comment. Lines of /etc/hosts are understood too: `address name alias …`. The
first line of a table names its columns, in any order.
"""

from __future__ import annotations

import csv
import re

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import DraftServer
from dsrwizard.core.intake.importers.common import MAX_SERVERS, Collector, Imported, bare, lines_of, name_for
from dsrwizard.core.intake.problems import shown

COLUMNS = {
    "name": "name",
    "host": "name",
    "hostname": "name",
    "server": "name",
    "address": "address",
    "ip": "address",
    "ip address": "address",
    "ip_address": "address",
    "ipv4": "address",
    "rip": "address",
    "address6": "address6",
    "ipv6": "address6",
    "ip6": "address6",
    "weight": "weight",
    "connect": "connect",
    "user": "user",
    "username": "user",
    "login": "user",
    "port": "port",
    "ssh port": "port",
    "ssh_port": "port",
    "identity_file": "identity_file",
    "key": "identity_file",
    "winrm": "winrm",
    "auth": "auth",
    "dns_name": "dns_name",
    "dns name": "dns_name",
    "fqdn": "dns_name",
    "ca_file": "ca_file",
    "kerberos_service": "kerberos_service",
    "vip_interface": "vip_interface",
    "interface": "vip_interface",
    "vips": "vips",
}
"""Columns of a table, as people name them, and the field each is."""


def parse(text: str) -> Imported:
    """Imports the servers of a list or a table. Never raises; anything not understood becomes a note with its line."""
    found = Collector()
    lines = [(number, _without_comment(line)) for number, line in lines_of(text, found)]
    lines = [(number, line.strip("\N{ZERO WIDTH NO-BREAK SPACE} ")) for number, line in lines]
    lines = [(number, line) for number, line in lines if line.strip()]
    columns = _columns(lines[0][1], found) if lines else None
    for number, line in lines[1:] if columns else lines:
        if found.full:
            found.note(f"Only the first {MAX_SERVERS} servers were imported.")
            break
        if columns:
            _row(number, _cells(line), columns, found)
        else:
            _entry(number, line, found)
    return found.imported()


def has_header(line: str) -> bool:
    """Whether a line names the columns of a table."""
    names = [cell.lower() for cell in _cells(line)]
    known = {COLUMNS[name] for name in names if name in COLUMNS}
    return len(names) > 1 and bool(known & {"address", "address6", "name"}) and len(known) > 1


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*$", "", line)


def _cells(line: str) -> list[str]:
    """The cells of a line, with any of the usual separators."""
    for separator in (",", ";", "\t"):
        if separator in line:
            try:
                return [bare(cell) for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])]
            except csv.Error:
                return [bare(cell) for cell in line.split(separator)]
    return [bare(cell) for cell in line.split()]


def _columns(line: str, found: Collector) -> list[str] | None:
    if not has_header(line):
        return None
    names = _cells(line)
    for name in names:
        if name and name.lower() not in COLUMNS:
            found.note(f"The column {shown(name)} was not imported: dsrwizard has no such field.")
    return [COLUMNS.get(name.lower(), "") for name in names]


def _row(number: int, cells: list[str], columns: list[str], found: Collector) -> None:
    values: dict[str, str] = {}
    for column, cell in zip(columns, cells, strict=False):
        if column and cell:
            values.setdefault(column, cell)
    vips = re.split(r"[\s|]+", values.pop("vips", "").strip())
    name, address = values.pop("name", ""), values.pop("address", "")
    if not name and not address:
        found.note(f"Line {number} has neither a name nor an address.")
        return
    if len(cells) > len(columns):
        found.note(f"Line {number} has more cells than the first line has columns.")
    server = DraftServer(name=name or name_for(address), address=address or name, vips=[v for v in vips if v] or None)
    for field, value in values.items():
        setattr(server, field, value)
    found.add(server)


def _entry(number: int, line: str, found: Collector) -> None:
    words = [bare(word) for word in re.split(r"[\s,;]+", line) if bare(word)]
    addresses = [word for word in words if _address_like(word)]
    weights = [word for word in words if fields.whole_number(word) is not None]
    names = [word for word in words if word not in addresses and word not in weights]
    first, second = addresses[:1], addresses[1:2]
    if second and fields.parsed(second[0]) is not None and ":" not in second[0] and first and ":" in first[0]:
        first, second = second, first
    like_etc_hosts = bool(words) and words[0] in addresses and not weights
    too_much = (len(names) > 1 and not like_etc_hosts) or len(addresses) > 2 or len(weights) > 1
    if too_much or not (names or addresses) or (second and ":" not in second[0]):
        found.note(f"Line {number} was not understood. Write: name address [weight].")
        return
    address = first[0] if first else names[0]
    server = DraftServer(name=names[0] if names else name_for(address), address=address)
    if second:
        server.address6 = second[0]
    if weights:
        server.weight = weights[0]
    found.add(server)


def _address_like(word: str) -> bool:
    """Whether this is an address or was meant as one; validation then says what is wrong with it."""
    head = word.partition("/")[0].strip("[]")
    return fields.parsed(head) is not None or re.fullmatch(r"[0-9]+(\.[0-9]+){2,}(:[0-9]+)?", head) is not None
