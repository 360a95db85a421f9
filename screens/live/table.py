"""The live table: one line per service and one per real server behind it, filtered or not; only visible lines are
drawn."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from textual import events

from dsrwizard.core.model.history import METRICS, Metric
from dsrwizard.core.model.snapshot import DestinationRow, ServiceRow, Snapshot
from screens.live.cells import STATES, faults, layout, server_parts, service_parts, share
from screens.live.order import worst
from screens.widgets.rows import ListRow, Rows

WHOLE = -1
"""Stands for the service itself, in place of a server's number."""


@dataclass(frozen=True)
class Wanted:
    """The table's filter: rows that contain all the words, or rows that are not up."""

    words: tuple[str, ...] = ()
    not_up: bool = False

    @classmethod
    def of(cls, text: str, not_up: bool) -> Wanted:
        """A filter from what the operator typed; case does not matter."""
        return cls(tuple(text.casefold().split()), not_up)

    def __bool__(self) -> bool:
        return bool(self.words) or self.not_up

    def server(self, row: DestinationRow) -> bool:
        """Whether this real server's line is shown."""
        if self.not_up and row.state == "up":
            return False
        if not self.words:
            return True
        shown = f"{row.vip} {row.service} {row.server} {row.address} {STATES[row.state][1]} {row.state} {row.cause}"
        shown = shown.casefold()
        return all(word in shown for word in self.words)

    def service(self, row: ServiceRow) -> bool:
        """Whether a service's line is shown although none of its servers is."""
        if self.not_up and not any(faults(row)):
            return False
        shown = f"{row.vip} {row.service} {row.scheduler} {row.owner}".casefold()
        return all(word in shown for word in self.words)


class LiveTable(Rows):
    """The table. Shows a snapshot; row keys are `VIP service` and `VIP service server`."""

    DEFAULT_CSS = """
    LiveTable { height: 1fr; scrollbar-gutter: stable; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.hint = "d drains a server: no new clients; existing ones stay. u restores it."
        self.snapshot: Snapshot | None = None
        self.old = False
        """Whether the numbers are out of date."""
        self.metric: Metric = METRICS[0]
        """The metric of the trend column."""
        self.untouched = True
        """Until the operator presses a key, the cursor is on the worst row, whichever that is."""
        self.wanted = Wanted()
        self.marked: tuple[str, ...] = ()
        """Servers that the operator has chosen together, in the order of choosing; in all their services."""
        self._starts: list[int] = []
        self._count = 0
        self._shape: tuple[int, ...] = ()
        self._picked: list[tuple[int, int]] = []
        """With a filter: the numbers of service and server of each line."""

    def show(self, snapshot: Snapshot) -> None:
        """Draws this snapshot; the cursor stays where it is."""
        key = self.key
        self.snapshot = snapshot
        if self.wanted:
            self._pick(snapshot)
            self.rows_changed(key)
            self._tell_moved()
            return
        shape = tuple(len(row.rows) for row in snapshot.services)
        if shape != self._shape:
            self._shape = shape
            self._reshape(snapshot)
            self.rows_changed(key)
        elif key and self.key != key and self.index_of(key) >= 0:  # rows have changed places
            self.rows_changed(key)
        else:
            self.refresh()
        if self.untouched and (found := worst(snapshot)) is not None:
            service, row = found
            worst_key = f"{service.vip} {service.service}" + (f" {row.server}" if row is not None else "")
            if worst_key != self.key:
                self.put_cursor(worst_key)
        self._tell_moved()

    def on_key(self) -> None:
        self.untouched = False

    def on_click(self, event: events.Click) -> None:
        self.untouched = False
        super().on_click(event)

    def want(self, wanted: Wanted) -> None:
        """Sets the filter."""
        if wanted == self.wanted:
            return
        key = self.key
        self.wanted = wanted
        self._picked, self._shape, self._count = [], (), 0
        if self.snapshot is not None:
            self.show(self.snapshot)
            self.put_cursor(key)

    def mark(self) -> None:
        """Chooses the server under the cursor together with others, or no longer; on a service's line, all servers of
        it that are shown."""
        found = self.chosen()
        if found is None:
            return
        service, row = found
        shown = [one for one in service.rows if not self.wanted or self.wanted.server(one)]
        names = [row.server] if row is not None else [one.server for one in shown]
        if all(name in self.marked for name in names):
            self.marked = tuple(name for name in self.marked if name not in names)
        else:
            self.marked = tuple(dict.fromkeys((*self.marked, *names)))
        self.refresh()
        if row is not None:
            self.action_move(1)

    def mark_none(self) -> None:
        self.marked = ()
        self.refresh()

    def _reshape(self, snapshot: Snapshot) -> None:
        self._starts, self._count = [], 0
        for service in snapshot.services:
            self._starts.append(self._count)
            self._count += 1 + len(service.rows)

    def _pick(self, snapshot: Snapshot) -> None:
        picked: list[tuple[int, int]] = []
        wanted = self.wanted
        for number, service in enumerate(snapshot.services):
            rows = [(number, place) for place, row in enumerate(service.rows) if wanted.server(row)]
            if rows or wanted.service(service):
                picked.append((number, WHOLE))
                picked += rows
        self._picked, self._count = picked, len(picked)

    @property
    def picked(self) -> int:
        """The number of real server lines shown, without the services' lines."""
        if self.wanted:
            return sum(place != WHOLE for _, place in self._picked)
        return self._count - len(self._starts)

    def chosen(self) -> tuple[ServiceRow, DestinationRow | None] | None:
        """The service under the cursor, with the server if the cursor is on one."""
        return self._find(self.cursor) if 0 <= self.cursor < self._count else None

    def _find(self, index: int) -> tuple[ServiceRow, DestinationRow | None]:
        assert self.snapshot is not None  # noqa: S101 - rows exist only with a snapshot
        if self.wanted:
            number, place = self._picked[index]
            service = self.snapshot.services[number]
            return service, service.rows[place] if place != WHOLE else None
        number = bisect_right(self._starts, index) - 1
        service = self.snapshot.services[number]
        offset = index - self._starts[number]
        return service, service.rows[offset - 1] if offset else None

    # What Rows asks.

    def row_count(self) -> int:
        return self._count or self._says_nothing

    @property
    def _says_nothing(self) -> int:
        """The line shown when no row matches the filter."""
        return int(bool(self.wanted) and self.snapshot is not None)

    def index_of(self, key: str) -> int:
        vip, _, rest = key.partition(" ")
        label, _, name = rest.partition(" ")
        if self.snapshot is None:
            return -1
        if self.wanted:
            for index in range(len(self._picked)):
                service, server = self._find(index)
                if service.vip == vip and service.service == label and (server.server if server else "") == name:
                    return index
            return -1
        for start, service in zip(self._starts, self.snapshot.services, strict=True):
            if service.vip == vip and service.service == label:
                if not name:
                    return start
                found = (number for number, row in enumerate(service.rows, start + 1) if row.server == name)
                return next(found, -1)
        return -1

    def row_at(self, index: int) -> ListRow:
        if not self._count:
            text = "No real server matches." if self.wanted.words else "Every real server is up."
            return ListRow("nothing", ((text, "dim" if self.wanted.words else "good"),), selectable=False)
        service, server = self._find(index)
        if server is None:
            line = self._line(service.vip, service.service)
            parts, key = service_parts(service, self.line_width, line), f"{service.vip} {service.service}"
        else:
            line = self._line(server.vip, server.service, server.server)
            parts = server_parts(server, layout(self.line_width), line, share(server, service, self.metric))
            key = f"{server.vip} {server.service} {server.server}"
        if self.old:
            parts = tuple((text, "old") for text, _ in parts)
        return ListRow(key, parts, marked=server is not None and server.server in self.marked)

    def _line(self, vip: str, service: str, server: str = "") -> tuple[float, ...]:
        return self.snapshot.history.line(self.metric, vip, service, server) if self.snapshot else ()
