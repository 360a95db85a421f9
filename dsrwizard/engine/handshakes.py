"""Checks of TCP handshakes from both ends: client-like SYNs checked on the real server, and the clients' own.

Every real server is asked over the one connection it has, all side by side.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network

import msgspec

from dsrwizard.core.diagnosis.handshakes import WAITING, ClientLike, Fate, PairKey, Traffic, Try, hanging, traffic
from dsrwizard.core.model.answers import Arrival, Sent
from dsrwizard.core.model.director_facts import DirectorLook
from dsrwizard.core.model.doc_addresses import is_documentation, sources
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Connection, Failure, HalfOpenLook
from dsrwizard.core.model.guarding import Holdings
from dsrwizard.core.model.values import canonical
from dsrwizard.core.ports import DirectorPort, ProbeTarget, ServerPort, WirePort
from dsrwizard.engine.hosts import side_by_side

RESOLVE_SECONDS = 0.5
_LOST: tuple[Fate, ...] = ("lost",)
_AGAIN = 2
"""SYNs from the client host's address until one is believed to be lost."""
PAUSE_SECONDS = 1.05
"""Between two readings of the connection table, whose times are whole seconds."""
MOST_SEEN = 2000
"""Connections of which clients are taken."""


@dataclass(frozen=True)
class Inside:
    """The doors through which a verification looks into hosts: real servers with a login, by name, and the director's
    connection table where there is one."""

    servers: Mapping[str, ServerPort] = field(default_factory=dict)
    connections: Callable[[], Sequence[Connection]] | None = None
    director: Callable[[Sequence[Arrival]], DirectorLook] | None = None
    """A look at the director's own path, for these packets that came in (none: those of a client elsewhere)."""
    kept: frozenset[str] = frozenset()
    """The director's settings that the journal says are ours."""
    holdings: Callable[[], Holdings] | None = None
    """Which VIPs this director has at this moment."""


def recent_clients(director: DirectorPort) -> list[str]:
    """Clients that IPVS has finished handshakes or datagrams of, one of each network, the latest first; none where it
    cannot be read. Senders that cannot be clients are left out: anybody can write such a source."""
    try:
        table = sorted(director.connections(), key=lambda one: -one.expires)[:MOST_SEEN]
    except DsrError:
        return []
    table = [one for one in table if one.state != WAITING and not is_documentation(one.client)]
    networks: dict[object, str] = {}
    for one in table:
        networks.setdefault(ip_network(f"{one.client}/{48 if ':' in one.client else 16}", strict=False), one.client)
    return list(networks.values())


def try_client_like(
    interface: str,
    targets: Mapping[str, Sequence[ProbeTarget]],
    held: Sequence[str],
    wire: WirePort,
    inside: Inside,
    good: Callable[[ProbeTarget], bool],
    client: Callable[[], Mapping[int, str]] = dict,
) -> dict[str, ClientLike]:
    """One SYN from nowhere per target, and what became of it, per real server. `held`: addresses of hosts here, none of
    which may be taken for the sender's.

    What was not accepted is tried again, if `good` says that the plain VIP probe came through; it may wait for that.
    `client` gives the client host's address per family (4, 6) as far as there is one, and may wait, too: its SYN is
    what a real client sends, and the host itself answers what comes back with a RST. Who is not asked to be part of
    this, such as real clients, is never taken for the sender.
    """
    found: dict[str, ClientLike] = {}

    def look(name: str, mine: Sequence[ProbeTarget]) -> Callable[[], ClientLike]:
        return lambda: _look(interface, mine, held, wire, inside.servers[name], good, client)

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
    client: Callable[[], Mapping[int, str]],
) -> ClientLike:
    tries = [_try(interface, targets, held, wire, server)]
    again = _missed(tries[0], targets, good)
    own = client() if again else {}
    of_client = [one for one in again if (6 if ":" in one.vip else 4) in own]
    others = [one for one in _missed(tries[0], targets, good, _LOST) if one not in of_client]
    # A single frame may get lost on a healthy network.
    for _ in range(_AGAIN):
        of_client = _missed(tries[-1], of_client, good) if tries[-1].of_client else of_client
        if not of_client:
            break
        told = _try(interface, of_client, held, wire, server, own, _senders(tries))
        if all(sent.problem for sent in told.sent):
            others += of_client
            break
        tries.append(told)
    if others:
        tries.append(_try(interface, others, held, wire, server, used=_senders(tries)))
    return ClientLike(tries=tuple(tries))


def _senders(tries: Sequence[Try]) -> set[str]:
    """What no next try may come from: it could not be told from an earlier one."""
    return {sent.source for one in tries for sent in one.sent}


def _missed(
    one: Try,
    targets: Sequence[ProbeTarget],
    good: Callable[[ProbeTarget], bool],
    fates: Collection[Fate] = ("lost", "filtered"),
) -> list[ProbeTarget]:
    """Those of the targets that left no trace, or were filtered by their way back, with the MACs they went to."""
    macs = {(sent.rip, sent.vip, sent.port): sent.mac for sent in one.sent if one.fate(sent) in fates}
    return [
        msgspec.structs.replace(target, mac=macs[target.rip, canonical(target.vip), target.port])
        for target in targets
        if (target.rip, canonical(target.vip), target.port) in macs and good(target)
    ]


def _try(
    interface: str,
    targets: Sequence[ProbeTarget],
    held: Sequence[str],
    wire: WirePort,
    server: ServerPort,
    client: Mapping[int, str] | None = None,
    used: Collection[str] = (),
) -> Try:
    senders = {**sources(secrets.randbits(128), held, used), **(client or {})}
    families = {6 if ":" in target.vip else 4 for target in targets}
    sent: list[Sent] = []

    def ready() -> None:
        sent.extend(wire.offlink(interface, targets, senders, RESOLVE_SECONDS))

    look = server.half_open([senders[family] for family in sorted(families)], len(targets), ready)
    return Try(tuple(msgspec.structs.replace(one, vip=canonical(one.vip)) for one in sent), look, client is not None)


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
