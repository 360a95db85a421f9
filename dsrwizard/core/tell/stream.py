"""The output of `watch --json`: the whole snapshot first, then a line for each change. Pure."""

from __future__ import annotations

from typing import Any

from dsrwizard.core.model.snapshot import DestinationRow, FarmFault, ServiceRow, Snapshot
from dsrwizard.core.model.steps import DIRECTOR

JsonLine = dict[str, Any]


class WatchLines:
    """Turns snapshots into lines. Each line has `type` and `at` (seconds since the epoch):

    - `snapshot`: everything, once: `deployment`, `problem`, `verdict` (as in `verify`), and each service with its
      real servers.
    - `change`: `host`, `vip`, `service`, `before` and `state` (for a real server the states of the live pane; for the
      service, whose host is the director, `present`, `missing`, `unknown`), `cause`, `message`.
    - `owner`: `vip`, `before` and `owner`: director, a real server's name, a stranger's MAC, or empty while unknown.
    - `weight`: `host`, `vip`, `service`, `before` and `weight`; null: not in IPVS.
    - `fault`: a verification has found something wrong with the director or the network, or no longer does: `host`,
      `vip`, `service`, `cause`, `message`, `state` (`there`, `gone`).
    - `clock`: the wall clock was set by `seconds`, negative: back. `at` of what follows is by the clock as it is now.
    - `verify`: a verification came to another `verdict` than the one `before`; `before` is empty: none had ended yet.
    - `problem`: looking failed, and `message` says why; empty: it works again.
    """

    def __init__(self) -> None:
        self.begun = False
        """Whether the whole picture was told."""
        self._problem = ""
        self._clock_set = 0.0
        self._verdict = ""
        self._faults: dict[tuple[str, str, str, str], FarmFault] = {}
        self._services: dict[tuple[str, str], ServiceRow] = {}
        self._rows: dict[tuple[str, str, str], DestinationRow] = {}

    @property
    def problem(self) -> str:
        """Why looking does not work now; empty: it does."""
        return self._problem

    def lines(self, snapshot: Snapshot) -> list[JsonLine]:
        """The lines that tell this snapshot after those before it; usually none."""
        found: list[JsonLine] = []
        if not self.begun:
            self.begun = True
            self._problem, self._clock_set = snapshot.problem, snapshot.clock_set
            self._verdict = snapshot.verdict
            found.append(_whole(snapshot))
            found += self._changed_faults(snapshot)
            for service in snapshot.services:
                self._services[service.vip, service.service] = service
                self._rows |= {(row.vip, row.service, row.server): row for row in service.rows}
            return found
        if snapshot.clock_set != self._clock_set:
            seconds = round(snapshot.clock_set - self._clock_set, 3)
            self._clock_set = snapshot.clock_set
            found.append({"type": "clock", "at": snapshot.at, "seconds": seconds})
        if snapshot.problem != self._problem:
            self._problem = snapshot.problem
            found.append({"type": "problem", "at": snapshot.at, "message": snapshot.problem})
        if snapshot.verdict != self._verdict:
            found.append({"type": "verify", "at": snapshot.at, "before": self._verdict, "verdict": snapshot.verdict})
            self._verdict = snapshot.verdict
        found += self._changed_faults(snapshot)
        for service in snapshot.services:
            found += self._service(service, snapshot.at)
        return found

    def _changed_faults(self, snapshot: Snapshot) -> list[JsonLine]:
        now = {(one.host, one.cause, one.vip, one.service): one for one in snapshot.faults}
        before, self._faults = self._faults, now
        return [
            *(_fault(snapshot.at, one, "gone") for key, one in before.items() if key not in now),
            *(_fault(snapshot.at, one, "there") for key, one in now.items() if key not in before),
        ]

    def _service(self, service: ServiceRow, at: float) -> list[JsonLine]:
        key = (service.vip, service.service)
        before = self._services.get(key)
        self._services[key] = service
        if before is service:
            return []
        found: list[JsonLine] = []
        was, now = _presence(before), _presence(service)
        if was != now:
            message = "The service is not in IPVS. Apply restores it." if now == "missing" else ""
            found.append(_change(at, DIRECTOR, service, was, now, "ipvs-missing" if now == "missing" else "", message))
        if before is not None and before.owner != service.owner and self._first_of(service):
            found.append(
                {"type": "owner", "at": at, "vip": service.vip, "before": before.owner, "owner": service.owner}
            )
        for row in service.rows:
            found += self._row(row, at)
        return found

    def _first_of(self, service: ServiceRow) -> bool:
        """Whether this is its VIP's first service: the owner is the VIP's, and told once."""
        return next(key for key in self._services if key[0] == service.vip) == (service.vip, service.service)

    def _row(self, row: DestinationRow, at: float) -> list[JsonLine]:
        key = (row.vip, row.service, row.server)
        before = self._rows.get(key)
        self._rows[key] = row
        if before is row:
            return []
        found: list[JsonLine] = []
        if before is None or (before.state, before.cause) != (row.state, row.cause):
            was = before.state if before else "unknown"
            found.append(_change(at, row.server, row, was, row.state, row.cause, row.message))
        if before is not None and before.weight != row.weight:
            about = {"host": row.server, "vip": row.vip, "service": row.service}
            found.append({"type": "weight", "at": at} | about | {"before": before.weight, "weight": row.weight})
        return found


def _change(
    at: float, host: str, where: ServiceRow | DestinationRow, before: str, state: str, cause: str, message: str
) -> JsonLine:
    return {
        "type": "change",
        "at": at,
        "host": host,
        "vip": where.vip,
        "service": where.service,
        "before": before,
        "state": state,
        "cause": cause,
        "message": message,
    }


def _fault(at: float, fault: FarmFault, state: str) -> JsonLine:
    return {
        "type": "fault",
        "at": at,
        "host": fault.host,
        "vip": fault.vip,
        "service": fault.service,
        "cause": fault.cause,
        "message": fault.message,
        "state": state,
    }


def _presence(service: ServiceRow | None) -> str:
    if service is None or service.present is None:
        return "unknown"
    return "present" if service.present else "missing"


def _whole(snapshot: Snapshot) -> JsonLine:
    return {
        "type": "snapshot",
        "at": snapshot.at,
        "deployment": snapshot.deployment,
        "problem": snapshot.problem,
        "verdict": snapshot.verdict,
        "services": [
            {
                "vip": service.vip,
                "service": service.service,
                "state": _presence(service),
                "owner": service.owner,
                "servers": [
                    {
                        "host": row.server,
                        "address": row.address,
                        "state": row.state,
                        "since": row.since,
                        "weight": row.weight,
                        "cause": row.cause,
                        "message": row.message,
                    }
                    for row in service.rows
                ],
            }
            for service in snapshot.services
        ],
    }
