"""The importer for what `ipvsadm` prints: `-Sn`, which is also the input of `ipvsadm -R`, and `-Ln`.

Scripts of `ipvsadm` commands are read like the first, and /proc/net/ip_vs, which prints addresses and ports in
hexadecimal, like the second. Source: ipvsadm(8).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.importers.common import Collector, Imported, lines_of, not_taken
from dsrwizard.core.intake.importers.farm import Balanced, Behind, taken
from dsrwizard.core.intake.importers.ports import split_endpoint, well_known
from dsrwizard.core.intake.problems import shown

_DEFAULT_PERSISTENCE = 300
# Blanks, and no \s: from each of many empty lines it would go on to the end.
_PROGRAM_WORDS = r"[ \t]*(?:sudo[ \t]+)?(?:/?[\w./-]{0,200}/)?ipvsadm[ \t]+"
SAVED = re.compile(rf"^(?:{_PROGRAM_WORDS}|[ \t]*)(?:-A|--add-service)[ \t]+\S", re.MULTILINE)
LISTED = re.compile(
    r"^IP Virtual Server version |^[ \t]*Prot[ \t]+LocalAddress:Port|"
    r"^[ \t]*(?:TCP|UDP|FWM|SCTP)[ \t]+\S+[ \t]+[a-z]+\b[^\n]*\n[ \t]*->[ \t]",
    re.MULTILINE,
)
CONNECTIONS = re.compile(r"^IPVS connection entries|^[ \t]*pro[ \t]+expire[ \t]+state[ \t]+source", re.MULTILINE | re.I)
_PROGRAM = re.compile(_PROGRAM_WORDS)
_SERVICE = {"-t": "tcp", "--tcp-service": "tcp", "-u": "udp", "--udp-service": "udp", "--sctp-service": "sctp"}
_METHODS = {
    "-g": "dr", "--gatewaying": "dr", "-m": "nat", "--masquerading": "nat", "-i": "tun", "--ipip": "tun",
}  # fmt: skip
_WITH_VALUE = {
    "-t", "--tcp-service", "-u", "--udp-service", "--sctp-service", "-f", "--fwmark-service", "-s", "--scheduler",
    "-r", "--real-server", "-w", "--weight", "-M", "--netmask", "-x", "--u-threshold", "-y", "--l-threshold", "-b",
    "--sched-flags", "--pe", "--tun-type", "--tun-port", "--tun-nocsum",
}  # fmt: skip
_FORWARD = {"route": "dr", "masq": "nat", "tunnel": "tun", "local": "local", "bypass": "local"}
_HEX4 = re.compile(r"([0-9A-F]{8}):([0-9A-F]{4})$", re.ASCII)
_HEX6 = re.compile(r"\[([0-9a-fA-F:]+)\]:([0-9A-F]{4})$", re.ASCII)


@dataclass
class _Entry:
    """A service as it is being read."""

    endpoint: str
    protocol: str
    place: str
    mark: str = ""
    scheduler: str = ""
    persistence: int = 0
    behind: list[Behind] = field(default_factory=list)
    extras: list[str] = field(default_factory=list)


def parse(text: str) -> Imported:
    """Imports the services. Never raises."""
    found = Collector()
    if CONNECTIONS.search(text[:10_000]):
        return found.refusal(
            "This is the list of connections (ipvsadm -Lc), which has no services. Import the output of `ipvsadm -Sn`."
        )
    entries = _saved(text, found) if SAVED.search(text) else _listed(text, found)
    if entries is None:
        return found.refusal(
            "This list has counters instead of schedulers and forwarding methods (--stats, --rate or another "
            "option). Import the output of `ipvsadm -Sn`."
        )
    return taken([_balanced(entry, found) for entry in entries], found)


def _balanced(entry: _Entry, found: Collector) -> Balanced:
    host, written = split_endpoint(entry.endpoint)
    port = _port(written, entry.place, found)
    if not entry.mark and fields.parsed(host) is None and "$" not in host:
        found.note(f"{shown(host)} ({entry.place}) is a name: `ipvsadm -Sn` prints addresses and numbers.")
    return Balanced(
        vip=host, protocol=entry.protocol, port=port, mark=entry.mark, scheduler=entry.scheduler,
        persistence=entry.persistence, behind=tuple(entry.behind), place=entry.place, extras=tuple(entry.extras),
    )  # fmt: skip


def _port(written: str, place: str, found: Collector) -> int:
    number = well_known(written)
    if written and number is None:
        found.note(f"The port {shown(written)} ({place}) is not known: `ipvsadm -Sn` prints numbers.")
    return number or 0


# --- ipvsadm -Sn


def _saved(text: str, found: Collector) -> list[_Entry]:
    entries: dict[tuple[str, str], _Entry] = {}
    for number, line in lines_of(text, found):
        program = _PROGRAM.match(line)
        rest = line[program.end() :] if program else line.strip()
        if not rest.startswith("-"):
            if rest and not rest.startswith("#") and not program:
                found.note(f"Line {number} is no command of ipvsadm: it was not read.")
            continue
        try:
            words = shlex.split(rest, comments=True)
        except ValueError:
            found.note(f"Line {number} was not understood.")
            continue
        command, options = words[0], _options(words[1:])
        key = next(((kind, options[kind]) for kind in (*_SERVICE, "-f", "--fwmark-service") if kind in options), None)
        if command not in ("-A", "--add-service", "-a", "--add-server", "-E", "--edit-service", "-e", "--edit-server"):
            if command not in ("-C", "--clear", "-Z", "--zero"):
                found.note(not_taken(f"{shown(command)} (line {number})", "it adds neither a service nor a server"))
            continue
        if key is None:
            found.note(f"Line {number} names no service.")
            continue
        kind = (_SERVICE.get(key[0], "mark"), key[1])
        if command in ("-A", "--add-service", "-E", "--edit-service"):
            entries[kind] = _new(kind, options, f"line {number}", found)
        elif kind in entries:
            entries[kind].behind.append(_destination(options, number, found))
        else:
            found.note(f"Line {number}: there is no service {shown(key[1])} above.")
    return list(entries.values())


def _options(words: Sequence[str]) -> dict[str, str]:
    """The options with their values; one without a value has an empty text."""
    options: dict[str, str] = {}
    at = 0
    while at < len(words):
        word, equals, value = words[at].partition("=") if words[at].startswith("--") else (words[at], "", "")
        following = words[at + 1] if at + 1 < len(words) else ""
        if equals:
            options[word] = value
        elif word in _WITH_VALUE or (word in ("-p", "--persistent") and following and not following.startswith("-")):
            options[word] = following
            at += 1
        elif re.fullmatch(r"-[tufrswpMxyb][^-].*", word):  # -w3
            options[word[:2]] = word[2:]
        else:
            options[word] = ""
        at += 1
    return options


def _given(options: dict[str, str], *names: str) -> str | None:
    return next((options[name] for name in names if name in options), None)


def _new(kind: tuple[str, str], options: dict[str, str], place: str, found: Collector) -> _Entry:
    mark = kind[1] if kind[0] == "mark" else ""
    protocol = "tcp" if mark else kind[0]
    entry = _Entry(kind[1], protocol, place, mark=mark, scheduler=_given(options, "-s", "--scheduler") or "wlc")
    persistent = _given(options, "-p", "--persistent")
    if persistent is not None:
        seconds = _DEFAULT_PERSISTENCE if persistent == "" else fields.whole_number(persistent)
        if seconds is None:
            found.note(not_taken(f"the persistence {shown(persistent)} ({place})", "it is not a whole number"))
        entry.persistence = seconds or 0
    netmask = _given(options, "-M", "--netmask")
    if netmask not in (None, "255.255.255.255", "128"):
        entry.extras.append(f"the netmask {shown(netmask)}")
    for names, words in ((("-o", "--ops"), "one-packet scheduling"), (("-b", "--sched-flags"), "the scheduler's flags"),
                         (("--pe",), "the persistence engine")):  # fmt: skip
        if _given(options, *names) is not None:
            entry.extras.append(words)
    return entry


def _destination(options: dict[str, str], number: int, found: Collector) -> Behind:
    place = f"line {number}"
    host, written = split_endpoint(_given(options, "-r", "--real-server") or "")
    weight = _given(options, "-w", "--weight")
    share = 1 if weight is None else fields.whole_number(weight)
    if share is None:
        found.note(not_taken(f"the weight {shown(weight)} ({place})", "it is not a whole number; 1 was set"))
    method = next((name for option, name in _METHODS.items() if option in options), "dr")  # -g is the default
    limits = (_given(options, "-x", "--u-threshold"), _given(options, "-y", "--l-threshold"))
    return Behind(
        address=host, port=_port(written, place, found) if written else None, weight=1 if share is None else share,
        method=method, thresholds=any(limit not in (None, "0") for limit in limits),
    )  # fmt: skip


# --- ipvsadm -Ln


def _listed(text: str, found: Collector) -> list[_Entry] | None:
    """None: the list has no schedulers."""
    entries: list[_Entry] = []
    hexadecimal = False
    for number, line in lines_of(text, found):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "Prot":
            if "Scheduler" not in line:
                return None
            continue
        if words[0] == "IP" or words[:2] == ["->", "RemoteAddress:Port"]:
            continue
        if words[0] in ("TCP", "UDP", "SCTP", "FWM") and len(words) > 2:
            hexadecimal = hexadecimal or _HEX4.match(words[1]) is not None
            entries.append(_service_line(words, number, found, hexadecimal=hexadecimal))
        elif words[0] == "->" and len(words) > 3 and entries:
            entries[-1].behind.append(_destination_line(words, number, found, hexadecimal=hexadecimal))
        else:
            found.note(f"Line {number} was not understood.")
    return entries


def _service_line(words: list[str], number: int, found: Collector, *, hexadecimal: bool) -> _Entry:
    place = f"line {number}"
    endpoint = _plain(words[1]) if hexadecimal else words[1]
    entry = _Entry(endpoint, words[0].lower(), place, mark=words[1] if words[0] == "FWM" else "")
    rest = words[2:]
    if rest and rest[0] in ("IPv6", "IPv4") and len(rest) > 1:  # FWM 1 IPv6 rr
        rest = rest[1:]
    entry.scheduler, at = rest[0], 1
    while at < len(rest):
        word, value = rest[at].lower(), rest[at + 1] if at + 1 < len(rest) else ""
        if word == "persistent":
            if hexadecimal:
                found.note(not_taken(f"the persistence ({place})", "the kernel prints it in ticks of unknown length"))
            else:
                entry.persistence = fields.whole_number(value) or 0
            at += 1
        elif word in ("mask", "pe"):
            if value.lower() not in ("255.255.255.255", "ffffffff", "128"):
                entry.extras.append(f"the {'netmask' if word == 'mask' else 'persistence engine'} {shown(value)}")
            at += 1
        elif hexadecimal and re.fullmatch("[0-9a-f]{8}", word):
            if word != "ffffffff":
                entry.extras.append(f"the netmask {shown(word)}")
        else:
            entry.extras.append("one-packet scheduling" if word == "ops" else f"the flags {shown(rest[at])}")
        at += 1
    return entry


def _destination_line(words: list[str], number: int, found: Collector, *, hexadecimal: bool) -> Behind:
    place = f"line {number}"
    host, written = split_endpoint(_plain(words[1]) if hexadecimal else words[1])
    method = _FORWARD.get(words[2].lower(), words[2].lower())
    weight = fields.whole_number(words[3])
    if weight is None:
        found.note(not_taken(f"the weight {shown(words[3])} ({place})", "it is not a whole number; 1 was set"))
    if fields.parsed(host) is None:
        found.note(f"{shown(host)} ({place}) is a name: `ipvsadm -Sn` prints addresses and numbers.")
    return Behind(
        address=host, port=_port(written, place, found) if written else None, method=method,
        weight=1 if weight is None else weight,
    )  # fmt: skip


def _plain(endpoint: str) -> str:
    """An endpoint of /proc/net/ip_vs as people write it."""
    match = _HEX4.match(endpoint)
    if match:
        return f"{IPv4Address(int(match[1], 16))}:{int(match[2], 16)}"
    match = _HEX6.match(endpoint)
    return f"[{match[1]}]:{int(match[2], 16)}" if match else endpoint
