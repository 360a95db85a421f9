"""Checks of TCP handshakes from both ends: client-like SYNs checked on the real server, and the clients' own.

Every real server is asked over the one connection it has, all side by side.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from dsrwizard.core.diagnosis.handshakes import ClientLike, PairKey, Traffic, Try, hanging, traffic
from dsrwizard.core.model.answers import Sent
from dsrwizard.core.model.doc_addresses import sources
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Connection, Failure, HalfOpenLook
from dsrwizard.core.model.values import canonical
from dsrwizard.core.ports import ProbeTarget, ServerPort, WirePort
from dsrwizard.engine.hosts import side_by_side

RESOLVE_SECONDS = 0.5
PAUSE_SECONDS = 1.05
"""Between two readings of the connection table, whose times are whole seconds."""


@dataclass(frozen=True)
class Inside:
    """The doors through which a verification looks into hosts: real servers with a login, by name, and the director's
    connection table where there is one."""

    servers: Mapping[str, ServerPort] = field(default_factory=dict)
    connections: Callable[[], Sequence[Connection]] | None = None


def try_client_like(
    interface: str,
    targets: Mapping[str, Sequence[ProbeTarget]],
    held: Sequence[str],
    wire: WirePort,
    inside: Inside,
    good: Callable[[ProbeTarget], bool],
) -> dict[str, ClientLike]:
    """One SYN from nowhere per target, and what became of it, per real server. `held`: addresses of hosts here, none of
    which may be taken for the sender's.

    A single frame may get lost on a healthy network, so what left no trace is tried once more, if `good` says that the
    plain VIP probe came through; it may wait for that.
    """
    found: dict[str, ClientLike] = {}

    def look(name: str, mine: Sequence[ProbeTarget]) -> Callable[[], ClientLike]:
        return lambda: _look(interface, mine, held, wire, inside.servers[name], good)

    def finished(name: str, what: ClientLike | Failure) -> None:
        if isinstance(what, Failure):
            what = ClientLike(problem=f"{what.what} {what.why}".strip(), next=what.next)
        found[name] = what

    work = [
        (name, look(name, tcp))
        for name, mine in targets.items()
        if name in inside.servers and (tcp := [one for one in mine if one.protocol == "tcp"])
    ]
    side_by_side(work, finished)
    return found


def _look(
    interface: str,
    targets: Sequence[ProbeTarget],
    held: Sequence[str],
    wire: WirePort,
    server: ServerPort,
    good: Callable[[ProbeTarget], bool],
) -> ClientLike:
    first = _try(interface, targets, held, wire, server)
    macs = {(sent.rip, sent.vip, sent.port): sent.mac for sent in first.sent if first.fate(sent) == "lost"}
    again = [
        msgspec.structs.replace(one, mac=macs[one.rip, canonical(one.vip), one.port])
        for one in targets
        if (one.rip, canonical(one.vip), one.port) in macs and good(one)
    ]
    if not again:
        return ClientLike(tries=(first,))
    return ClientLike(tries=(first, _try(interface, again, held, wire, server)))


def _try(
    interface: str, targets: Sequence[ProbeTarget], held: Sequence[str], wire: WirePort, server: ServerPort
) -> Try:
    senders = sources(secrets.randbits(128), held)
    families = {6 if ":" in target.vip else 4 for target in targets}
    sent: list[Sent] = []

    def ready() -> None:
        sent.extend(wire.offlink(interface, targets, senders, RESOLVE_SECONDS))

    look = server.half_open([senders[family] for family in sorted(families)], len(targets), ready)
    return Try(tuple(msgspec.structs.replace(one, vip=canonical(one.vip)) for one in sent), look)


def watch_traffic(
    rips: Mapping[str, Sequence[str]], inside: Inside, pause: float = PAUSE_SECONDS
) -> tuple[dict[PairKey, Traffic], str]:
    """Clients' connections through the real servers (`rips`: the RIPs of each, by its name), and why they could not be
    seen. Only where handshakes hang is looked for longer, and on the real servers they hang on. Nothing raises."""
    if inside.connections is None:
        return {}, ""
    try:
        tables = [inside.connections()]
        watched = {rip for rip, _, _ in hanging(tables[0])}
        names = [name for name, own in rips.items() if watched & {canonical(rip) for rip in own}]
        if not names:
            return traffic(tables, {}), ""
        time.sleep(pause)
        tables.append(inside.connections())
        time.sleep(pause)
        looks = _half_open({name: rips[name] for name in names}, inside)
        tables.append(inside.connections())
    except DsrError as error:
        return {}, f"{error.what} {error.why}".strip()
    return traffic(tables, looks), ""


def _half_open(rips: Mapping[str, Sequence[str]], inside: Inside) -> dict[str, HalfOpenLook]:
    """What is half-open on these real servers now, by RIP."""
    found: dict[str, HalfOpenLook] = {}

    def look(name: str) -> Callable[[], HalfOpenLook]:
        return lambda: inside.servers[name].half_open([], 0, lambda: None)

    def finished(name: str, what: HalfOpenLook | Failure) -> None:
        if isinstance(what, HalfOpenLook):
            found.update({canonical(rip): what for rip in rips[name]})

    side_by_side([(name, look(name)) for name in rips if name in inside.servers], finished)
    return found
