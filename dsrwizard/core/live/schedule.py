"""The probe schedule: rounds over all pairs in slices, with room for pairs that are not well.

A farm that fits into a second's budget is probed whole every second. In a larger one half of each slice goes on with
the round, in an order in which neighbours are different servers, so that each server is asked something every second;
the other half is for pairs that are not well and for those of servers that just changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dsrwizard.core.model.snapshot import Round

BUDGET = 500
"""Packets a second."""
PACKETS_A_PROBE = 2
"""A SYN and the RST that ends it; a silent server is asked a second time."""

ProbePlace = tuple[str, str, str, int]
"""(RIP, VIP, protocol, port): what is probed once, whoever shares it."""


class Turns:
    """The slices of one farm. `pairs` in the order of the round."""

    def __init__(self, pairs: Iterable[ProbePlace], budget: int = BUDGET) -> None:
        self._pairs: Sequence[ProbePlace] = tuple(dict.fromkeys(pairs))
        self._slice = max(2, budget // PACKETS_A_PROBE)
        self._budget = budget
        self._next = 0
        self._began: float | None = None
        self._took: float | None = None
        self._soon: dict[ProbePlace, None] = {}

    def slice(self, at: float, sick: Callable[[], Iterable[ProbePlace]]) -> list[ProbePlace]:
        """The pairs to be probed in the second that begins `at`; `sick` gives those that are not well, in the order in
        which they were asked last."""
        if len(self._pairs) <= self._slice:
            self._next, self._began = 0, at
            return list(self._pairs)
        chosen: dict[ProbePlace, None] = {}
        for target in (*self._soon, *sick()):
            if len(chosen) >= self._slice // 2:
                break
            chosen[target] = None
            self._soon.pop(target, None)
        if self._next == 0 or self._began is None:
            self._began = at
        while len(chosen) < self._slice and self._next < len(self._pairs):
            chosen[self._pairs[self._next]] = None
            self._next += 1
        return list(chosen)

    def over(self, at: float) -> None:
        """The slice given last was probed."""
        if len(self._pairs) <= self._slice or self._next >= len(self._pairs):
            self._took = None if self._began is None else at - self._began
            self._next = 0

    def soon(self, targets: Iterable[ProbePlace]) -> None:
        """These are to be asked before it is their turn."""
        self._soon |= dict.fromkeys(targets)

    def all(self, at: float) -> list[ProbePlace]:
        """Every pair, as a whole round that begins `at`."""
        self._began, self._next = at, len(self._pairs)
        return list(self._pairs)

    def round(self) -> Round:
        """How far the round is."""
        return Round(
            pairs=len(self._pairs),
            done=self._next or (len(self._pairs) if self._took is not None else 0),
            seconds=self._took,
            budget=self._budget,
        )
