"""The right to change hosts: the locks of this machine, and with the first look those of the real servers, too.

The servers' locks tell runs of other machines: two directors that share a server, two operators who change the same
servers from their own machines. All of them are taken with the look that the plan is made from, or none is.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import msgspec

from dsrwizard.core.api import Leased
from dsrwizard.core.model.errors import Locked
from dsrwizard.core.model.facts import Observed
from dsrwizard.core.model.steps import Plan
from dsrwizard.core.plan.again import PlanChanged, nothing_new
from dsrwizard.engine.hosts import HeldByOthers, Hosts
from dsrwizard.engine.locks import Holder, Lease, Locks, locked_there

T = TypeVar("T")
_PAUSE = (0.3, 1.0)
"""Seconds between tries for the servers' locks, by chance: two runs that began together do not meet again and again."""
_TOGETHER = 10.0
"""Seconds between the beginnings of two runs of which each may have some of the servers that the other wants. Both
would give up; so each tries twice more."""
_MORE_TRIES = 2
_LONGEST = 4_000
_decoder = msgspec.json.Decoder(Holder)


class Leases:
    """The leases of an engine, one for a deployment at a time."""

    def __init__(self, locks: Locks) -> None:
        self.locks = locks
        self._running: dict[str, _Servers] = {}

    @contextmanager
    def hold(
        self, verb: str, deployment: str, *, wait: float = 0.0, waiting: Callable[[Locked], None] | None = None
    ) -> Iterator[Lease]:
        """As `Locks.hold`. A weight changes the director alone, and no server is locked for it."""
        end = time.monotonic() + wait
        with self.locks.hold(verb, deployment, wait=wait, waiting=waiting) as lease:
            if verb == "weight" or lease.holder is None:
                yield lease
                return
            servers = self._running[deployment] = _Servers(lease.holder, end, waiting)
            try:
                yield lease
            except KeyboardInterrupt:  # not let go: a run may go on in its thread until this program is gone
                raise
            except BaseException:
                servers.let_go()
                raise
            else:
                servers.let_go()
            finally:
                del self._running[deployment]

    @contextmanager
    def agreed(
        self, verb: str, deployment: str, lease: Leased | None, shown: Plan,
        fresh: Callable[[], tuple[Plan, Observed | None]],
    ) -> Iterator[Plan]:  # fmt: skip
        """The plan to carry out: as it was shown where it was made under the lease, otherwise the one of now. Raises
        Locked and PlanChanged."""
        if lease is not None:
            yield shown
            return
        with self.hold(verb, deployment):
            now, observed = fresh()
            if not nothing_new(shown, now):
                raise PlanChanged(now, observed)
            yield now

    def looked(self, deployment: str, hosts: Hosts, look: Callable[[str], T]) -> T:
        """The look of a run under its lease, with the servers locked; of whoever has none, a look. `look` is given the
        line about the run for `Hosts.observe`. Raises Locked."""
        servers = self._running.get(deployment)
        return look("") if servers is None else servers.looked(hosts, look)


class _Servers:
    """The real servers' locks of one lease. `end`: until when it waits for them, by the monotonic clock."""

    def __init__(self, me: Holder, end: float, waiting: Callable[[Locked], None] | None) -> None:
        self._me, self._end, self._waiting = me, end, waiting
        self._line = msgspec.json.encode(msgspec.structs.replace(me, journal="")).decode()
        self._hosts: Hosts | None = None
        self._held = False
        """From then on a connection that has to be opened again takes its lock again, and a host fails alone."""

    def looked(self, hosts: Hosts, look: Callable[[str], T]) -> T:
        if self._held:
            return look("")
        more = _MORE_TRIES
        self._hosts = hosts
        while True:
            try:
                found = look(self._line)
                self._held = True
                return found
            except HeldByOthers as held:
                self.let_go()
                problem, holder = _problem(held.holders)
            if time.monotonic() >= self._end:
                if not more or holder is None or abs(holder.since - self._me.since) > _TOGETHER:
                    raise problem
                more -= 1
            elif self._waiting is not None:
                self._waiting(problem)
                self._waiting = None
            time.sleep(random.uniform(*_PAUSE))  # noqa: S311 - no secret

    def let_go(self) -> None:
        if self._hosts is not None:
            self._hosts.let_go(self._line)


def _problem(holders: Mapping[str, str]) -> tuple[Locked, Holder | None]:
    """What is told of the first of them."""
    host, text = next(iter(holders.items()))
    try:
        holder = _decoder.decode(text[:_LONGEST])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        holder = None
    return locked_there(holder, host), holder
