"""The names of what the lab can make: `CAUSE[:VARIANT]@HOST[/VIP[/SERVICE]]`."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace

from backends.lab import network
from backends.lab.faults import FAULTS
from backends.lab.healthy import HEALTHY_SETTINGS
from backends.lab.making import STRANGER, LabFault, Made
from backends.lab.variants import VARIANTS
from dsrwizard.core.model.errors import UsageError

ALL: tuple[LabFault, ...] = (*FAULTS, *VARIANTS, *HEALTHY_SETTINGS)
CAUSES = tuple(dict.fromkeys(fault.cause for fault in FAULTS))
KINDS = tuple(dict.fromkeys(fault.kind for fault in ALL))


def parse(text: str) -> Made:
    """The fault named `CAUSE[:VARIANT]@HOST[/VIP[/SERVICE]]`; the host may be the one to be made wrong or the one
    `verify` will blame.

    Raises `UsageError` with what is meant, as far as that can be guessed, and what there is.
    """
    cause, separator, place = text.strip().partition("@")
    host, slash, narrowed = place.partition("/")
    if cause not in KINDS:
        begun = [kind for kind in KINDS if kind.startswith(f"{cause.partition(':')[0]}:")] if cause else []
        known = begun or CAUSES
        raise UsageError(f"The lab cannot make the fault {cause!r}.", _perhaps(cause, KINDS), _list("Faults", known))
    fitting = [fault for fault in ALL if fault.kind == cause]
    hosts = tuple(host for fault in fitting for host in fault.hosts)
    offer = f"Write {_either([f'{cause}@{name}' for name in hosts])}."
    if not separator or not host:
        raise UsageError(f"The fault {cause!r} needs a host.", "", offer)
    for fault in fitting:
        if host in fault.hosts:
            return _narrowed(Made(fault, host), narrowed) if slash else Made(fault, host)
    for fault in fitting:
        if host == fault.blamed and len(fault.hosts) == 1:
            return _narrowed(Made(fault, fault.hosts[0]), narrowed) if slash else Made(fault, fault.hosts[0])
    known = (*(one.name for one in network.HOSTS), STRANGER)
    if host not in known:
        raise UsageError(f"The lab has no host {host!r}.", _perhaps(host, known), offer)
    raise UsageError(f"{cause} makes no sense on {host}.", fitting[0].why, offer)


def _narrowed(made: Made, text: str) -> Made:
    """The same on one VIP, or on one service of it: `10.0.0.11/tcp/8080`; a fault of services takes the VIP's first."""
    vip, slash, service = text.partition("/")
    if not made.fault.narrow:
        raise UsageError(f"{made.name} affects the whole host, not one VIP.", "", f"Write {made.name}.")
    offered = network.SERVICES
    if vip not in offered:
        raise UsageError(f"The lab has no VIP {vip!r}.", _perhaps(vip, tuple(offered)), f"Write {_either([*offered])}.")
    if made.fault.narrow == "vip":
        if slash:
            raise UsageError(f"{made.name} affects a whole VIP, not one service.", "", f"Write {made.name}/{vip}.")
        return replace(made, vip=vip)
    services = [f"{protocol}/{port}" for protocol, port in offered[vip]]
    if slash and service not in services:
        raise UsageError(
            f"The lab serves no {service!r} on {vip}.", _perhaps(service, services), f"Write {_either(services)}."
        )
    return replace(made, vip=vip, service=service or services[0])


def parse_all(texts: Sequence[str]) -> list[Made]:
    """All of them; raises `UsageError` for the first that is none, and for one named twice."""
    found: list[Made] = []
    for text in texts:
        made = parse(text)
        if made in found:
            raise UsageError(f"{made.name} is named twice.", "", "Name each fault once.")
        found.append(made)
    return found


def _perhaps(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {near[0]}?" if near else ""


def _list(what: str, words: Sequence[str]) -> str:
    return f"{what}: {', '.join(words)}."


def _either(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
