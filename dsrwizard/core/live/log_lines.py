"""The timeline's lines for changed states. A change that affects a whole host is one line, not a hundred."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from dsrwizard.core.live.findings import FaultKey
from dsrwizard.core.live.judge import Judged
from dsrwizard.core.live.readings import RowPlace
from dsrwizard.core.model.snapshot import STATE_WORDS, FarmFault, Happening, State
from dsrwizard.core.model.steps import DIRECTOR

SINGLE_LINES = 3
"""Up to as many services of a host get a line each."""


class StateChange(NamedTuple):
    """A place that was judged anew; its server is empty for the service itself. `before` empty: it is the first
    judgement."""

    place: RowPlace
    before: State | Literal[""]
    now: Judged


def state_lines(changes: Iterable[StateChange], at: float) -> list[Happening]:
    """A line for each change that is news. Coming to life from unknown is none, nor is what a whole service has."""
    groups: dict[tuple[str, str, str, str], list[StateChange]] = {}
    for change in changes:
        if _news(change):
            host = change.place[2] or DIRECTOR
            groups.setdefault((host, change.before, change.now.state, change.now.cause), []).append(change)
    lines = []
    for (host, _, _, _), alike in groups.items():
        if len(alike) <= SINGLE_LINES:
            lines += [_line(host, change, f"{change.place[0]} {change.place[1]}", at) for change in alike]
        else:
            lines.append(_line(host, alike[0], f"{len(alike)} services", at, many=True))
    return lines


def fault_lines(before: Mapping[FaultKey, FarmFault], now: Mapping[FaultKey, FarmFault], at: float) -> list[Happening]:
    """A line for each fault of the director or the network that a verification found and the one before it did not, and
    for each that is over."""
    came = [fault for key, fault in now.items() if key not in before]
    went = [fault for key, fault in before.items() if key not in now]
    return [
        *(_fault_line(one, one.since, f"verify: {one.message}", "up", "drifted") for one in came),
        *(_fault_line(one, at, f"verify no longer finds {one.cause or 'this'}: {one.message}", "drifted", "up")
          for one in went),
    ]  # fmt: skip


def _fault_line(fault: FarmFault, at: float, message: str, before: State, now: State) -> Happening:
    return Happening(
        at=at, host=fault.host, message=message, state=now, before=before, vip=fault.vip, service=fault.service,
        cause=fault.cause,
    )  # fmt: skip


def _news(change: StateChange) -> bool:
    before, now = change.before, change.now
    if now.shared:
        return False
    if not before:
        return now.state not in ("up", "unknown")
    if before == now.state:
        return bool(now.cause) and change.place[2] != ""
    return not (before == "unknown" and now.state == "up")


def _line(host: str, change: StateChange, what: str, at: float, *, many: bool = False) -> Happening:
    before, now = change.before, change.now
    was, word = (STATE_WORDS.get(one, one) for one in (before, now.state))
    step = f"{was} → {word}" if before and before != now.state else word
    return Happening(
        at=at, host=host, message=f"{what}: {step}. {now.message}".strip(), state=now.state, before=before,
        vip="" if many else change.place[0], service="" if many else change.place[1], cause=now.cause,
    )  # fmt: skip
