"""A check's result and the report of all of them (docs/commands.md)."""

from __future__ import annotations

from typing import Literal

from dsrwizard.core.model.shown import Shown
from dsrwizard.core.model.snapshot import Bypass

CheckOutcome = Literal["pass", "fail", "unknown", "skipped"]
Verdict = Literal["pass", "fail", "unknown"]


class Check(Shown, frozen=True, kw_only=True):
    """One question with its outcome. In JSON every key is always there."""

    check: str
    outcome: CheckOutcome
    host: str
    vip: str = ""
    service: str = ""
    cause: str = ""
    message: str
    evidence: str = ""
    fix: str = ""
    consequence_of: str = ""
    """The cause this is only a consequence of; then it is no fault of its own."""
    server: str = ""
    """The real server that a check of the director's is about; empty where it is about none or `host` says it."""


class Report(Shown, frozen=True, kw_only=True):
    """All checks of one verification, in the order a packet travels."""

    deployment: str
    verdict: Verdict
    checks: tuple[Check, ...]
    bypass: Bypass | None = None
    """None: no client host was asked, or it could not be proved that replies bypass the director."""

    not_seen: tuple[str, ...] = ()
    """What matters to clients and was not looked at, in sentences: the limits of the verdict."""

    @property
    def failures(self) -> tuple[Check, ...]:
        return tuple(check for check in self.checks if check.outcome == "fail")
