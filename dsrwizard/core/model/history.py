"""The rates of the last minute, for trend lines: one column of numbers per reading and metric.

A column is a flat array over all places, so that ten thousand real servers cost an append per reading and a line is
only put together for the rows somebody looks at.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import Literal

Metric = Literal["connections", "packets", "bytes"]
METRICS: tuple[Metric, ...] = ("connections", "packets", "bytes")

Place = tuple[str, str, str]
"""(VIP, service label, server name); the server is empty for the service's own totals."""

NOTHING = float("nan")
"""No rate could be formed at that moment."""


class History:
    """Immutable: `with_column` gives the next one. `length` readings at most are kept."""

    __slots__ = ("_columns", "_index", "_length")

    def __init__(
        self,
        index: Mapping[Place, int] | None = None,
        columns: Mapping[Metric, tuple[array[float], ...]] | None = None,
        length: int = 60,
    ) -> None:
        self._index = index or {}
        self._columns = columns or dict.fromkeys(METRICS, ())
        self._length = length

    def with_column(self, places: Mapping[Place, int], column: Mapping[Metric, array[float]]) -> History:
        """The history with one reading more. Where the places differ from those so far, it begins anew."""
        kept = self._columns if places == self._index else dict.fromkeys(METRICS, ())
        fresh = {metric: (*kept[metric], column[metric])[-self._length :] for metric in METRICS}
        return History(places, fresh, self._length)

    def line(self, metric: Metric, vip: str, service: str, server: str = "") -> tuple[float, ...]:
        """Rates per second, oldest first; readings that gave none are left out."""
        place = self._index.get((vip, service, server))
        if place is None:
            return ()
        return tuple(value for column in self._columns[metric] if (value := column[place]) == value)
