"""Questions about unknown SSH keys, put together: every host is reached at about the same time."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock

from dsrwizard.core.model.in_dns import LONGEST as LONGEST_DNS
from dsrwizard.core.model.in_dns import DnsSays
from dsrwizard.core.ports import HostKeyQuestion

QUIET = 0.4
"""Seconds without another unknown key after which those that came are asked of."""
LONGEST = 3.0
"""Seconds of gathering at most."""


def in_dns(questions: tuple[HostKeyQuestion, ...]) -> list[DnsSays | None]:
    """What DNS says of each key, after `LONGEST_DNS` seconds for all of them at most. None: it was not asked, for a
    host that has no name."""
    for one in questions:  # all are asked before one is waited for
        if one.in_dns is not None:
            one.in_dns.said()
    over = time.monotonic() + LONGEST_DNS
    return [(one.in_dns.said(over - time.monotonic()) or "silent") if one.in_dns else None for one in questions]


class KeyGathering:
    """Threads wait in `accept` while one of them asks for all. `ask` gives the places of the keys that the operator
    accepts; `turn` is held meanwhile. `waits`: whether anybody is there to be asked."""

    def __init__(
        self,
        turn: Lock,
        ask: Callable[[tuple[HostKeyQuestion, ...]], frozenset[int]],
        waits: Callable[[], bool] = lambda: True,
    ) -> None:
        self._turn = turn
        self._ask = ask
        self._waits = waits
        self._state = Lock()
        self._open: list[tuple[HostKeyQuestion, Future[bool]]] = []

    def accept(self, question: HostKeyQuestion) -> bool:
        """Several hosts whose keys are unknown at the same time become one list."""
        mine: Future[bool] = Future()
        if question.in_dns is not None and self._waits():
            question.in_dns.said()  # DNS is asked while the others come
        with self._state:
            self._open.append((question, mine))
        with self._turn:
            if not mine.done():  # else it stood in the list of somebody who was first
                self._ask_all(self._gathered(question))
        return mine.result()

    def _gathered(self, question: HostKeyQuestion) -> list[tuple[HostKeyQuestion, Future[bool]]]:
        """The questions to put together: certificates are asked one by one, for each has a reason of its own."""
        began, seen = time.monotonic(), -1
        waits = not question.untrusted and self._waits()
        while waits and seen != len(self._open) and time.monotonic() - began < LONGEST:
            seen = len(self._open)
            time.sleep(QUIET)
        with self._state:
            mine = [one for one in self._open if one[0] is question or not (one[0].untrusted or question.untrusted)]
            self._open = [one for one in self._open if one not in mine]
        return mine

    def _ask_all(self, asked: list[tuple[HostKeyQuestion, Future[bool]]]) -> None:
        asked.sort(key=lambda one: (len(one[0].host), one[0].host))  # web2 before web10
        accepted: frozenset[int] = frozenset()
        try:
            accepted = self._ask(tuple(question for question, _ in asked))
        finally:
            for number, (_, future) in enumerate(asked):
                future.set_result(number in accepted)
