"""The importer for keepalived.conf: virtual servers by address, group or firewall mark, with their real servers.

As in keepalived, `#` and `!` begin a comment anywhere outside quotes, braces may stand on the next line, and `include`
takes glob patterns that are relative to the file they stand in. `$NAME=value` definitions are put in. Sources:
keepalived.conf(5), and keepalived's check_parser.c for defaults.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.importers.common import (
    LONGEST_LINE,
    MOST_CHARACTERS,
    Collector,
    Imported,
    Opener,
    is_list,
    listed,
    not_taken,
)
from dsrwizard.core.intake.importers.farm import Balanced, Behind, taken
from dsrwizard.core.intake.problems import shown

_DEFAULT_PERSISTENCE = 360
_DEPTH = 16
_MOST_FILES = 200
_MOST_BLOCKS = 50_000
_MOST_OF_A_GROUP = 1_000
_NESTED = 32
_METHODS = {"dr": "dr", "nat": "nat", "tun": "tun"}
_TOKEN = re.compile(r'"((?:[^"\\]|\\.)*)"?|([{}])|((?:[^\s"{}#!\\]|\\.)+)|([#!].*)|\s+|.')
_DEFINITION = re.compile(r"\$(\w{1,60})\s*=\s*(.*)$", re.ASCII)
_USE = re.compile(r"\$\{(\w{1,60})\}|\$(\w{1,60})", re.ASCII)
_CONDITION = re.compile(r"@\^?\S+\s+")
_INCLUDES = ("include", "includer", "includem", "includew", "includeb", "includea")
_CHECKS = re.compile(r"(TCP|HTTP|SSL|SMTP|DNS|MISC|BFD|PING|UDP|FILE)_(CHECK|GET)$", re.IGNORECASE)
_TAKEN = {"lb_algo", "lvs_sched", "lb_kind", "lvs_method", "protocol", "persistence_timeout", "real_server", "weight"}
_FLAGS = {"ops", "hashed", "flag-1", "flag-2", "flag-3", "sh-port", "sh-fallback", "mh-port", "mh-fallback"}


@dataclass
class _Block:
    """A line's words, and the lines between its braces."""

    words: list[str]
    place: str = ""
    inner: list[_Block] = field(default_factory=list)

    def first(self, *names: str) -> _Block | None:
        """The last one of these names: in keepalived a later line replaces an earlier one."""
        return next((one for one in reversed(self.inner) if one.words and one.words[0] in names), None)

    def word(self, *names: str) -> str:
        one = self.first(*names)
        return one.words[1] if one is not None and len(one.words) > 1 else ""

    def all(self, name: str) -> Iterator[_Block]:
        return (one for one in self.inner if one.words and one.words[0] == name)


def parse(text: str, name: str = "keepalived.conf", opener: Opener | None = None) -> Imported:
    """Imports the virtual servers; `name` is the file's path, which relative includes start from. Never raises."""
    found = Collector()
    root = _Reader(found, opener).read(text, name)
    if root is None:
        return found.refusal("Nothing was imported.")
    groups = {one.words[1]: one for one in root.all("virtual_server_group") if len(one.words) > 1}
    services: list[Balanced] = []
    for one in root.all("virtual_server"):
        services += _virtual_server(one, groups, found)
    interface = _told_of_vrrp(root, {told.vip for told in services}, found)
    _told_of_the_rest(root, found)
    result = taken(services, found)
    result.interface = interface
    return result


class _Reader:
    """Reads a file and those it includes as one tree."""

    def __init__(self, found: Collector, opener: Opener | None) -> None:
        self._found = found
        self._opener = opener
        self._values: dict[str, str] = {}
        self._files = 0
        self._characters = 0
        self._blocks = 0

    def read(self, text: str, name: str) -> _Block | None:
        root = _Block([])
        self._stack = [root]
        self._open_line: _Block | None = None
        if not self._take(text, name, main=True, reading=(name,)):
            return None
        if len(self._stack) > 1:
            self._found.note(f"A brace is not closed: {shown(' '.join(self._stack[-1].words))} was read to the end.")
        return root

    def _take(self, text: str, name: str, *, main: bool, reading: tuple[str, ...]) -> bool:
        self._characters += len(text)
        if self._characters > MOST_CHARACTERS and not main:
            self._found.note(
                f"With its includes this is larger than {MOST_CHARACTERS // 1_000_000} MB; the rest was left out."
            )
            return False
        if not is_list(text, self._found):
            return False
        file = "" if main else name.rpartition("/")[2]
        for number, line in enumerate(text.splitlines(), start=1):
            place = f"{shown(file)[1:-1]} line {number}" if file else f"line {number}"
            if len(line) > LONGEST_LINE:
                self._found.note(f"Line {number} was left out: it is longer than {LONGEST_LINE} characters.")
            else:
                self._line(line, place, name, reading)
        return True

    def _line(self, line: str, place: str, name: str, reading: tuple[str, ...]) -> None:
        stripped = line.strip("\N{ZERO WIDTH NO-BREAK SPACE} \t\r")
        condition = _CONDITION.match(stripped)
        if condition:
            self._found.note(not_taken(f"{place}", "it is only for some hosts or instances (@)"))
            return
        definition = _DEFINITION.match(stripped)
        if definition:
            value = definition[2].strip().strip('"')[:LONGEST_LINE]
            if value.endswith("\\") or not value:
                self._found.note(not_taken(f"the definition ${definition[1]} ({place})", "it has several lines"))
            elif len(self._values) < 1_000:
                self._values[definition[1]] = value
            return
        if "$" in stripped and self._values:
            stripped = _USE.sub(lambda use: self._values.get(use[1] or use[2], use[0]), stripped)[:LONGEST_LINE]
        self._tokens(stripped, place, name, reading)

    def _tokens(self, line: str, place: str, name: str, reading: tuple[str, ...]) -> None:
        current: _Block | None = None
        for match in _TOKEN.finditer(line):
            if match[4]:
                break
            if match[2] == "{":
                block = current or self._open_line
                if block is not None and len(self._stack) < _NESTED:
                    self._stack.append(block)
                self._open_line = current = None
            elif match[2] == "}":
                self._end(current, name, reading)
                current = self._open_line = None
                if len(self._stack) > 1:
                    self._stack.pop()
                else:
                    self._found.note(f"A brace too many ({place}).")
            elif match[1] is not None or match[3]:
                if current is None:
                    self._blocks += 1
                    current = _Block([], place)
                    if self._blocks <= _MOST_BLOCKS:
                        self._stack[-1].inner.append(current)
                    elif self._blocks == _MOST_BLOCKS + 1:
                        self._found.note("There are too many lines: the rest was left out.")
                current.words.append(match[1] if match[1] is not None else match[3])
        if current is not None:
            self._end(current, name, reading)
            self._open_line = current

    def _end(self, block: _Block | None, name: str, reading: tuple[str, ...]) -> None:
        """A line is whole: includes are followed at once, in their place."""
        if block is None or not block.words or block.words[0] not in _INCLUDES or len(block.words) < 2:
            return
        pattern = block.words[1]
        what = f"the include of {shown(pattern)} ({block.place})"
        if self._opener is None:
            self._found.note(not_taken(what, "only the text itself was given; give the path of its file"))
            return
        if len(reading) > _DEPTH:
            self._found.note(not_taken("some includes", "files include each other too deeply"))
            return
        if self._files >= _MOST_FILES:
            self._found.note(not_taken("some includes", f"there are more than {_MOST_FILES} files"))
            return
        try:
            opened = self._opener(pattern, name)
        except (OSError, ValueError) as error:
            self._found.note(not_taken(what, str(getattr(error, "strerror", "") or "it cannot be read")))
            return
        if not opened:
            self._found.note(not_taken(what, "there is no such file"))
        for path, text in opened:
            self._files += 1
            if path in reading:
                self._found.note(not_taken(what, "the file includes itself"))
            elif self._files > _MOST_FILES:
                self._found.note(not_taken("some includes", f"there are more than {_MOST_FILES} files"))
                return
            else:
                outer, self._open_line = self._open_line, None
                self._take(text, path, main=False, reading=(*reading, path))
                self._open_line = outer


def _virtual_server(one: _Block, groups: dict[str, _Block], found: Collector) -> list[Balanced]:
    words = one.words[1:]
    protocol = one.word("protocol").lower() or "tcp"
    scheduler = one.word("lb_algo", "lvs_sched")
    default = one.word("lb_kind", "lvs_method").lower()
    flags = [flag.words[0] for flag in one.inner if flag.words and flag.words[0] in _FLAGS]
    granularity = one.word("persistence_granularity")
    engine = one.word("persistence_engine")
    extras = [
        *(f"the flag {flag}" for flag in flags),
        *((f"persistence_granularity {shown(granularity)}",) if granularity else ()),
        *((f"persistence_engine {shown(engine)}",) if engine else ()),
    ]
    behind = tuple(_real_server(each, default, found) for each in one.all("real_server"))
    sorry = one.first("sorry_server")
    if sorry is not None:
        found.note(
            not_taken(
                f"the sorry_server {shown(' '.join(sorry.words[1:3]))} ({sorry.place})",
                "it serves only while all others are down, and a deployment has none",
            )
        )

    def made(vip: str = "", port: str = "", mark: str = "") -> Balanced:
        return Balanced(
            vip=vip, protocol=protocol, port=fields.whole_number(port) or 0, mark=mark, scheduler=scheduler,
            persistence=_persistence(one, found), behind=behind, place=one.place, extras=extras,
        )  # fmt: skip

    if words[:1] == ["fwmark"]:
        return [made(mark=" ".join(words[1:2]) or "?")]
    if words[:1] == ["group"]:
        group = groups.get(" ".join(words[1:2]))
        if group is None:
            found.note(not_taken(f"virtual_server {shown(' '.join(words))} ({one.place})", "there is no such group"))
            return []
        return [made(*entry) for line in group.inner for entry in _entries(line, found)]
    if not words:
        found.note(not_taken(f"a virtual_server ({one.place})", "it has no address"))
        return []
    return [made(words[0], " ".join(words[1:2]))]


def _entries(line: _Block, found: Collector) -> list[tuple[str, str, str]]:
    """A line of a group as (VIP, port, mark): an address, a range of addresses (`10.0.0.10-14`), or a firewall mark."""
    if not line.words:
        return []
    if line.words[0] == "fwmark":
        return [("", "", " ".join(line.words[1:2]) or "?")]
    head, dash, last = line.words[0].partition("-")
    port = " ".join(line.words[1:2])
    first = fields.parsed(head)
    if not dash or first is None:
        return [(line.words[0], port, "")]
    base = 10 if first.version == 4 else 16
    separator = "." if first.version == 4 else ":"
    try:
        low, high = int(head.rpartition(separator)[2], base), int(last, base)
    except ValueError:
        return [(line.words[0], port, "")]
    if not low <= high < low + _MOST_OF_A_GROUP:
        found.note(
            not_taken(f"the range {shown(line.words[0])} ({line.place})", "it has no end, or too many addresses")
        )
        return []
    return [(str(first + number), port, "") for number in range(high - low + 1)]


def _real_server(one: _Block, default: str, found: Collector) -> Behind:
    words = [*one.words[1:3], "", ""]
    method = one.word("lb_kind", "lvs_method").lower() or default
    weight = one.word("weight")
    number = fields.whole_number(weight)
    if weight and number is None:
        found.note(not_taken(f"the weight {shown(weight)} ({one.place})", "it is not a whole number; 1 was set"))
    thresholds = one.first("uthreshold", "lthreshold") is not None
    return Behind(
        address=words[0],
        port=fields.whole_number(words[1]) or None,  # 0, for groups of several ports: the service's
        weight=1 if number is None else number,
        method=_METHODS.get(method, method),
        thresholds=thresholds,
    )


def _persistence(one: _Block, found: Collector) -> int:
    told = one.first("persistence_timeout")
    if told is None:
        return _DEFAULT_PERSISTENCE if one.first("persistence_granularity") is not None else 0
    if len(told.words) < 2:
        return _DEFAULT_PERSISTENCE
    seconds = fields.whole_number(told.words[1])
    if seconds is None:
        found.note(not_taken(f"persistence_timeout {shown(told.words[1])} ({told.place})", "it is not a whole number"))
    return seconds or 0


def _told_of_vrrp(root: _Block, vips: set[str], found: Collector) -> str:
    """Notes for the VRRP part; the interface that most VIPs of the farm are on, or nothing."""
    served = {ip for vip in vips if (ip := fields.parsed(vip)) is not None}
    votes: dict[str, int] = {}
    for instance in root.all("vrrp_instance"):
        name = shown(" ".join(instance.words[1:2]))
        found.note(
            not_taken(
                f"vrrp_instance {name} ({instance.place})",
                "keepalived moves the VIPs between directors, and a deployment has one director",
            )
        )
        mine = instance.word("interface")
        for block in instance.inner:
            if block.words[:1] not in (["virtual_ipaddress"], ["virtual_ipaddress_excluded"]):
                continue
            for line in block.inner:
                ip = fields.parsed(line.words[0].partition("/")[0]) if line.words else None
                on = line.words[line.words.index("dev") + 1] if "dev" in line.words[:-1] else mine
                if ip in served:
                    votes[on] = votes.get(on, 0) + 1
                elif ip is not None:
                    found.note(
                        not_taken(
                            f"the address {ip} ({line.place})", "no virtual_server has it, and a VIP needs a service"
                        )
                    )
    best = max(votes, key=lambda each: votes[each], default="")
    return best if fields.interface_name(best) else ""


def _told_of_the_rest(root: _Block, found: Collector) -> None:
    """One note for health checks, one for other words of the virtual servers, one for other blocks."""
    checks: dict[str, None] = {}
    words: dict[str, None] = {}
    for one in root.all("virtual_server"):
        waiting = [*one.inner, *(each for real in one.all("real_server") for each in real.inner)]
        for line in waiting:
            word = line.words[0] if line.words else ""
            if _CHECKS.match(word):
                checks[word] = None
            elif word and word not in _TAKEN and word not in _FLAGS and not _told_apart(word):
                words[word] = None
    if checks:
        found.note(
            not_taken(
                f"health checks ({listed(list(checks))})",
                "dsrwizard proves servers by probes and takes none out itself",
            )
        )
    if words:
        found.note(not_taken(f"{listed(list(words))} of the virtual servers", "a deployment has no word for them"))
    known = {"virtual_server", "virtual_server_group", "vrrp_instance", *_INCLUDES}
    blocks = dict.fromkeys(one.words[0] for one in root.inner if one.words and one.words[0] not in known)
    if blocks:
        found.note(not_taken(listed(list(blocks)), "these are settings of keepalived itself"))


def _told_apart(word: str) -> bool:
    """Words that have a note of their own."""
    return word in (
        "sorry_server",
        "persistence_granularity",
        "persistence_engine",
        "uthreshold",
        "lthreshold",
        *_INCLUDES,
    )
