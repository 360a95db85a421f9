"""The connections of one real server, or of a whole service, out of the director's connection table. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from heapq import nsmallest
from ipaddress import ip_address

from dsrwizard.core.model.facts import Connection
from dsrwizard.core.model.shown import Shown

MOST_SHOWN = 200
"""Connections that are listed; the others are counted."""
_FIRST = ("SYN_RECV", "ESTABLISHED", "UDP")
"""States in which somebody waits for the server, or may use it: they are listed first, half-open ones before all, for
those show a fault."""


class ConnectionTable(Shown, frozen=True, kw_only=True):
    """What IPVS has in its table for one place. `at`: when it was read, seconds since the epoch."""

    at: float = 0.0
    problem: str = ""
    """Why it could not be read; then nothing else counts."""
    total: int = 0
    states: tuple[tuple[str, int], ...] = ()
    """How many are in each state, the most frequent first."""
    first: tuple[Connection, ...] = ()
    """`MOST_SHOWN` of them at most."""

    @property
    def more(self) -> int:
        """How many are not listed."""
        return self.total - len(self.first)


def table_of(
    found: Iterable[Connection], vip: str, service: str, addresses: Collection[str], at: float
) -> ConnectionTable:
    """The connections of a service (`tcp/80`) with these real servers' addresses: half-open ones first, then those in
    use, then the rest; of equals, those whose client was heard last."""
    protocol, _, port = service.partition("/")
    wanted = {str(ip_address(one)) for one in addresses}
    place = (str(ip_address(vip)), protocol, int(port))
    mine = [one for one in found if (one.vip, one.protocol, one.port) == place and one.address in wanted]
    states = Counter(one.state for one in mine)
    return ConnectionTable(
        at=at, total=len(mine), states=tuple(states.most_common()), first=tuple(nsmallest(MOST_SHOWN, mine, key=_order))
    )


def _order(one: Connection) -> tuple[int, int, str, int]:
    rank = _FIRST.index(one.state) if one.state in _FIRST else len(_FIRST)
    return rank, -one.expires, one.client, one.client_port
