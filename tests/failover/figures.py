"""From what clients and watchers saw to the figures of the table. Pure. Times are seconds of the guest's clock."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SLOW = 0.5
"""Seconds: a connection that took longer had to ask again (TCP repeats a SYN after 1 s, RFC 6298 2.1)."""
STILL = 1.0
"""Seconds: a transfer that heard nothing for so long at the end is not kept."""


@dataclass(frozen=True)
class Connection:
    """One new connection. `seconds`: until it was answered, None: it was not; `wrong`: then why."""

    began: float
    seconds: float | None
    wrong: str = ""

    @property
    def good(self) -> bool:
        return self.seconds is not None and self.seconds <= SLOW


@dataclass(frozen=True)
class Transfer:
    """One transfer that should go on. `ended`: when, None: it did not."""

    heard: tuple[float, ...]
    ended: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Records:
    """All of one trial. `owners`: each answer by ARP about the VIP, as (when, MAC, whether it was an announcement).
    `held`: director → its news of the VIP, as (when, whether it came)."""

    new: tuple[Connection, ...]
    transfers: tuple[Transfer, ...]
    owners: tuple[tuple[float, str, bool], ...] = ()
    held: Mapping[str, tuple[tuple[float, bool], ...]] = field(default_factory=dict)

    @staticmethod
    def read(load: Mapping[str, Any], owners: Mapping[str, Any], held: Mapping[str, Any]) -> Records:
        """From the documents that the programs in the guest print."""
        return Records(
            tuple(Connection(began, seconds, wrong) for began, seconds, wrong in load["new"]),
            tuple(
                Transfer(tuple(one["heard"]), *((one["ended"][0], one["ended"][1]) if one["ended"] else ()))
                for one in load["transfers"]
            ),
            tuple((when, mac, loud) for when, mac, loud in owners.get("heard", ())),
            {name: tuple((when, came) for when, came in one["news"]) for name, one in held.items()},
        )


@dataclass(frozen=True)
class Seen:
    """What one event did, from it to the next.

    `outage`: the longest time in which no new connection was answered at once. `kept`: of `of` transfers. `two`:
    seconds in which two MACs answered for the VIP. `served`: whether new connections were answered again at the end.
    """

    new: int
    outage: float
    lost: int
    slow: int
    kept: int
    of: int
    two: float
    announced: int
    served: bool
    why: tuple[str, ...] = ()


def seen(records: Records, since: float, until: float) -> Seen:
    """The figures of what happened from `since` to `until`. The last second counts for transfers alone: a connection
    of then may have had no time for its answer."""
    new = [one for one in records.new if since - 0.1 <= one.began < until - STILL]
    there = [one for one in records.transfers if one.heard and one.heard[0] < since and not _over(one, since)]
    kept = [one for one in there if not _over(one, until) and any(until - STILL <= at <= until for at in one.heard)]
    owners = [one for one in records.owners if since <= one[0] < until]
    wrong = [one.wrong for one in new if one.seconds is None]
    wrong += [one.why for one in there if one not in kept]
    return Seen(
        new=len(new),
        outage=longest(new),
        lost=sum(one.seconds is None for one in new),
        slow=sum(one.seconds is not None and not one.good for one in new),
        kept=len(kept),
        of=len(there),
        two=two_owners([(when, mac) for when, mac, loud in owners if not loud]),
        announced=sum(loud for *_, loud in owners),
        served=any(one.good for one in new[-25:]),
        why=tuple(sorted({word for word in wrong if word})),
    )


def _over(transfer: Transfer, at: float) -> bool:
    return transfer.ended is not None and transfer.ended <= at


def longest(new: Sequence[Connection]) -> float:
    """The longest time from a connection that was not answered at once to the next that was."""
    worst, began = 0.0, None
    for one in new:
        if one.good:
            if began is not None:
                worst = max(worst, one.began - began)
            began = None
        elif began is None:
            began = one.began
    if began is not None and new:
        worst = max(worst, new[-1].began - began)
    return worst


def two_owners(owners: Collection[tuple[float, str]]) -> float:
    """Seconds, in tenths: that often the question was answered by two."""
    asked: dict[int, set[str]] = {}
    for when, mac in owners:
        asked.setdefault(int(when * 10), set()).add(mac)
    return sum(len(macs) > 1 for macs in asked.values()) / 10


def moved(records: Records, director: str, since: float, *, came: bool = True) -> float | None:
    """Seconds until the director's kernel had the VIP, or with `came` False: lost it; None: it did not."""
    news = records.held.get(director, ())
    return next((when - since for when, is_there in news if when >= since and is_there is came), None)
