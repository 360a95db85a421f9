"""The importer for ldirectord.cf: `virtual=` with its indented lines. Source: ldirectord(8)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.importers.common import Collector, Imported, lines_of, listed, not_taken
from dsrwizard.core.intake.importers.farm import Balanced, Behind, taken
from dsrwizard.core.intake.importers.ports import split_endpoint, well_known
from dsrwizard.core.intake.problems import shown
from dsrwizard.core.model.words import capital

_LINE = re.compile(r"(\s*)([A-Za-z][\w-]*)\s*=\s*(.*)$", re.ASCII)
_METHODS = {"gate": "dr", "masq": "nat", "ipip": "tun"}
_MOST_OF_A_RANGE = 1_000
_DEFAULT_SCHEDULER = "wrr"


@dataclass
class _Virtual:
    where: str
    place: str
    reals: list[tuple[str, str]] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)


def parse(text: str) -> Imported:
    """Imports the virtual services. Never raises."""
    found = Collector()
    virtuals: list[_Virtual] = []
    own: dict[str, None] = {}
    for number, line in lines_of(text, found):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        place = f"line {number}"
        match = _LINE.match(line.strip("\N{ZERO WIDTH NO-BREAK SPACE}"))
        if match is None:
            found.note(f"Line {number} was not understood.")
            continue
        keyword, value = match[2].lower(), re.sub(r"\s#.*$", "", match[3]).strip()
        if keyword in ("virtual", "virtual6"):
            virtuals.append(_Virtual(value.strip("\"'"), place))
        elif not match[1] or not virtuals:
            own[keyword] = None
        elif keyword in ("real", "real6"):
            virtuals[-1].reals.append((value, place))
        else:
            virtuals[-1].settings[keyword] = value.strip("\"'")
    services = [_service(one, found) for one in virtuals]
    if own:
        found.note(not_taken(listed(list(own)), "these are settings of ldirectord itself"))
    checks = {key: None for one in virtuals for key in one.settings if key not in _READ}
    if checks:
        found.note(
            not_taken(
                f"{listed(list(checks))} of the virtual services",
                "health checks and fallbacks are ldirectord's: dsrwizard proves servers and takes none out itself",
            )
        )
    return taken(services, found)


_READ = {"protocol", "scheduler", "persistent", "netmask"}


def _service(one: _Virtual, found: Collector) -> Balanced:
    protocol = one.settings.get("protocol", "").lower()
    persistence = one.settings.get("persistent", "")
    seconds = fields.whole_number(persistence)
    if persistence and seconds is None:
        found.note(not_taken(f"persistent={shown(persistence)} ({one.place})", "it is not a whole number"))
    netmask = one.settings.get("netmask", "")
    extras = [f"the netmask {shown(netmask)}"] if netmask not in ("", "255.255.255.255", "128") else []
    mark = one.where if one.where.isdigit() or protocol == "fwm" else ""
    host, written = split_endpoint(one.where)
    port = well_known(written)
    if written and port is None:
        found.note(f"The port {shown(written)} ({one.place}) is not known: write its number.")
    behind = tuple(each for value, place in one.reals for each in _reals(value, place, found))
    return Balanced(
        vip=host, protocol=protocol or "tcp", port=port or 0, mark=mark, place=one.place, behind=behind,
        scheduler=one.settings.get("scheduler", _DEFAULT_SCHEDULER), persistence=seconds or 0, extras=extras,
    )  # fmt: skip


def _reals(value: str, place: str, found: Collector) -> list[Behind]:
    """`address[->address][:port] gate|masq|ipip [weight] ["request", "receive"]`."""
    words = value.split('"', maxsplit=1)[0].replace(",", " ").split()
    if not words:
        found.note(f"{capital(place)} has no address after real=.")
        return []
    first, arrow, rest = words[0].partition("->")
    host, written = split_endpoint(rest if arrow else first)
    port = well_known(written) if written else None
    if written and port is None:
        found.note(f"The port {shown(written)} ({place}) is not known: write its number.")
        port = 0
    method = _METHODS.get(words[1].lower(), words[1].lower()) if len(words) > 1 else ""
    weight = fields.whole_number(words[2]) if len(words) > 2 else 1
    if weight is None:
        found.note(not_taken(f"the weight {shown(words[2])} ({place})", "it is not a whole number; 1 was set"))
        weight = 1
    return [
        Behind(address=address, port=port, weight=weight, method=method)
        for address in (_range(first.strip("[]"), host, place, found) if arrow else [host])
    ]


def _range(first: str, last: str, place: str, found: Collector) -> list[str]:
    low, high = fields.parsed(first), fields.parsed(last)
    if low is None or high is None or low.version != high.version or not 0 <= int(high) - int(low) < _MOST_OF_A_RANGE:
        found.note(
            not_taken(f"the range {shown(f'{first}->{last}')} ({place})", "it has no end, or too many addresses")
        )
        return []
    return [str(low + number) for number in range(int(high) - int(low) + 1)]
