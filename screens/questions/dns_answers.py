"""Answers of DNS that come while a question about host keys stands on the screen."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from textual.screen import Screen

from dsrwizard.core.model.in_dns import LONGEST, DnsSays
from dsrwizard.core.ports import HostKeyQuestion

_EVERY = 0.1
"""Seconds between two looks."""


class DnsAnswers:
    """Tells `heard` what has come, by the questions' places. Who has not answered in time is told as silent, and once
    more if an answer comes all the same: it may be that the key is an impostor's."""

    def __init__(
        self, screen: Screen[Any], questions: Sequence[HostKeyQuestion], heard: Callable[[dict[int, DnsSays]], None]
    ) -> None:
        self._open = {number: one.in_dns for number, one in enumerate(questions) if one.in_dns is not None}
        self._silent: set[int] = set()
        self._heard = heard
        self._over = time.monotonic() + LONGEST
        self._timer = screen.set_interval(_EVERY, self._look) if self._open else None

    def _look(self) -> None:
        said = {number: one.said() for number, one in self._open.items()}
        answers: dict[int, DnsSays] = {number: says for number, says in said.items() if says is not None}
        for number in answers:
            del self._open[number]
        if not self._open and self._timer is not None:
            self._timer.stop()
        if time.monotonic() > self._over:
            late = self._open.keys() - self._silent
            self._silent |= late
            answers |= dict.fromkeys(late, "silent")
        if answers:
            self._heard(answers)
