"""Unfinished TCP handshakes, seen from both ends: input of the diagnosis.

Pure. Client-like SYNs and what became of them on the real server (field guide, section 2, probe E); clients' own
connections as the director counts them against half-open ones on the real server (probe D).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from dsrwizard.core.dialects.linux.half_open import COOKIES, LISTEN_DROPS, REVERSE_PATH, UNREACHABLE, UNREACHABLE6
from dsrwizard.core.model.answers import Sent
from dsrwizard.core.model.facts import Connection, HalfOpenLook

Fate = Literal["accepted", "filtered", "lost", "unsent", "unseen"]
"""Of a client-like SYN. `accepted`: the real server answered it; `filtered`: its reverse-path filter dropped it;
`lost`: neither; `unsent`: it never left; `unseen`: nobody could look."""

STUCK = 5
"""Handshakes that must hang before anything is concluded: a few hang on every farm, of clients that went away."""
TRIED = 2
"""Of these, how many clients must have tried during the look: what hangs from before a repair proves nothing."""
WAITING = "SYN_RECV"
_SHOWN = 64
_ANSWERED = frozenset({"ESTABLISHED", "FIN_WAIT", "TIME_WAIT", "CLOSE_WAIT", "LAST_ACK"})
"""States a connection reaches only when its client has had the SYN-ACK."""

PairKey = tuple[str, str, int]
"""RIP, VIP, TCP port; addresses in canonical form."""
_Client = tuple[str, int]


class Try(msgspec.Struct, frozen=True):
    """Client-like SYNs sent to one real server, and the look at it while they were on their way.

    `of_client`: their source is the client host's own address. Otherwise it is a documentation address, which many
    networks and hosts drop on purpose: that one of those was lost says nothing of clients.
    """

    sent: tuple[Sent, ...]
    look: HalfOpenLook
    of_client: bool = False

    def half_open(self, sent: Sent) -> bool:
        """Whether this very SYN was seen to be answered. Its source is no other's; a server that translates the VIP
        shows another destination."""
        return any((one.client, one.client_port) == (sent.source, sent.source_port) for one in self.look.seen)

    def fate(self, sent: Sent) -> Fate:
        """What became of one of its SYNs.

        Where the router has no way to the sender, its ICMP error ends the half-open connection before anybody can see
        it, and leaves two counts: one error received and one connection dropped for it (the kernel's tcp_req_err). A
        server that answers with a SYN cookie keeps nothing, and counts the cookie.
        """
        if sent.problem:
            return "unsent"
        if not self.look.shows(sent.vip):
            return "unseen"
        if self.half_open(sent):
            return "accepted"
        missing = sum(not other.problem and not self.half_open(other) for other in self.sent)
        unreachable = UNREACHABLE6 if ":" in sent.vip else UNREACHABLE
        dropped, errors = self.look.risen(LISTEN_DROPS) or 0, self.look.risen(unreachable) or 0
        if max(min(dropped, errors), self.look.risen(COOKIES) or 0) >= missing:
            return "accepted"
        if ":" not in sent.vip and (self.look.risen(REVERSE_PATH) or 0) > 0:
            return "filtered"
        return "lost"


class ClientLike(msgspec.Struct, frozen=True, kw_only=True):
    """The tries on one real server, the first with all its VIPs and services, others with those that got lost.
    `problem`: why nobody could look there; `next`: what to do about it."""

    tries: tuple[Try, ...] = ()
    problem: str = ""
    next: str = ""

    def last(self, vip: str, port: int) -> tuple[Sent, Try] | None:
        """The last SYN to this VIP and port, and its try."""
        for one in reversed(self.tries):
            for sent in one.sent:
                if (sent.vip, sent.port) == (vip, port):
                    return sent, one
        return None

    def fate(self, vip: str, port: int) -> Fate:
        found = self.last(vip, port)
        return "unseen" if found is None else found[1].fate(found[0])


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Clients' TCP connections to one VIP and port through one real server, while they were watched.

    `connections`: how many the director has; `answered`: addresses of clients that have had an answer, some of
    them, none where any other handshake is unfinished, for then they may have had it before something went wrong;
    `waiting`: whose handshake hung the whole time, `hung` the addresses of some of them; `tried`: of these, whose
    client sent a SYN meanwhile; `completed`: handshakes that ended well meanwhile; `arrived`: of all not finished in
    the end, how many are half-open on the real server, None where nobody looked there.
    """

    connections: int
    answered: tuple[str, ...] = ()
    waiting: int = 0
    hung: tuple[str, ...] = ()
    tried: int = 0
    completed: int = 0
    arrived: int | None = None

    @property
    def verdict(self) -> Literal["quiet", "fine", "return", "forward", "unseen", "unclear"]:
        """The 2×2: `return`: SYNs arrive and their answers do not; `forward`: SYNs do not arrive."""
        if not self.connections:
            return "quiet"
        if self.waiting < STUCK or self.tried < TRIED or self.completed:
            return "fine"
        if self.arrived is None:
            return "unseen"
        if self.arrived >= STUCK or 2 * self.arrived >= self.waiting:
            return "return"
        return "unclear" if self.arrived else "forward"


def hanging(connections: Iterable[Connection]) -> set[PairKey]:
    """Where enough handshakes are not finished to be watched."""
    counts: dict[PairKey, int] = {}
    for one in connections:
        if one.protocol == "tcp" and one.state == WAITING:
            counts[_key(one)] = counts.get(_key(one), 0) + 1
    return {key for key, count in counts.items() if count >= STUCK}


def traffic(tables: Sequence[Sequence[Connection]], looks: Mapping[str, HalfOpenLook]) -> dict[PairKey, Traffic]:
    """What the director's table tells: read once where nothing hangs, otherwise three times, the second at least one
    second after the first and another before the look at the real servers (`looks`, by RIP), the third after it.

    The kernel sets the time to live anew with every packet and counts it down in whole seconds: where it is no less
    than a second ago, the client has sent something.
    """
    *before, last = map(_by_key, tables)
    found = {key: Traffic(connections=len(entries), answered=_answered(entries)) for key, entries in last.items()}
    if len(before) < 2:
        return found
    first, middle = before
    for key, entries in last.items():
        earlier, then = first.get(key, {}), middle.get(key, {})
        unfinished = {who for who, one in entries.items() if one.state == WAITING}
        waiting = {who for who in unfinished if _state(then, who) == WAITING}
        tried = {who for who in waiting if who not in earlier or then[who].expires >= earlier[who].expires}
        answered = [who for who, one in entries.items() if one.state in _ANSWERED]
        look = looks.get(key[0])
        there = None
        if look is not None and look.shows(key[1]):
            # Not by the destination: a server may translate the VIP.
            there = {(one.client, one.client_port) for one in look.waiting}
        found[key] = Traffic(
            connections=len(entries),
            answered=_answered(entries),
            waiting=len(waiting),
            hung=tuple(dict.fromkeys(sorted(client for client, _ in waiting)))[:_SHOWN],
            tried=len(tried),
            completed=sum(_state(earlier, who) in ("", WAITING) for who in answered),
            arrived=None if there is None else len(unfinished & there),
        )
    return found


def _answered(entries: Mapping[_Client, Connection]) -> tuple[str, ...]:
    if any(one.state == WAITING for one in entries.values()):
        return ()
    clients = dict.fromkeys(client for (client, _), one in entries.items() if one.state in _ANSWERED)
    return tuple(clients)[:_SHOWN]


def _key(one: Connection) -> PairKey:
    return one.address, one.vip, one.port


def _by_key(connections: Iterable[Connection]) -> dict[PairKey, dict[_Client, Connection]]:
    found: dict[PairKey, dict[_Client, Connection]] = {}
    for one in connections:
        if one.protocol == "tcp":
            found.setdefault(_key(one), {})[one.client, one.client_port] = one
    return found


def _state(entries: Mapping[_Client, Connection], who: _Client) -> str:
    return entries[who].state if who in entries else ""
