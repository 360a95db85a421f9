"""One step of a runbook: what to type or click, why, how to see that it took, and how to undo it."""

from __future__ import annotations

from typing import ClassVar

from dsrwizard.core.model.shown import Shown

COMPARED = "balancer.text"
"""What proves a step by the text that was copied from a box, and not by packets."""


class RunbookStep(Shown, frozen=True, kw_only=True):
    """`commands` are typed as they stand; `hand` is what is clicked where there is no command. `check` says how to see
    that the step took, `undo` takes it back; `see` and `back` say the same where there is nothing to type. `core`: what
    is typed instead where there are no windows to click in, and how to take that back. `proves`: the check of
    `dsrwizard verify` that shows it from outside; `vip`, `service` and `server` where only that one's check does,
    `every` where each service of each VIP must answer."""

    SEVERAL_LINES: ClassVar = frozenset({"commands", "check", "undo", "core"})

    title: str
    why: str
    hand: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    check: tuple[str, ...] = ()
    undo: tuple[str, ...] = ()
    core: tuple[str, ...] = ()
    see: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    proves: str = ""
    vip: str = ""
    service: str = ""
    server: str = ""
    every: bool = False
