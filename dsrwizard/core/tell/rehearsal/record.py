"""What a rehearsal saw, as it is printed, written as JSON, and kept until the server has restarted."""

from __future__ import annotations

from typing import ClassVar, Literal

from dsrwizard.core.model.facts import ServerFacts
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.model.windows_facts import WindowsFacts

Stage = Literal["look", "set-up", "restart", "undo"]
Agreement = Literal["as-expected", "differs", "unknown"]


class Look(Shown, frozen=True, kw_only=True):
    """One look at the server and how long it took, in seconds."""

    seconds: float
    facts: ServerFacts

    @property
    def windows(self) -> WindowsFacts:
        """Raises ValueError where the server is no Windows."""
        if self.facts.windows is None:
            raise ValueError(f"{self.facts.host} is no Windows")
        return self.facts.windows


class Expectation(Shown, frozen=True, kw_only=True):
    """One thing that dsrwizard expects of Windows, and what this server showed."""

    stage: Stage
    id: str
    expected: str
    agreement: Agreement
    seen: str = ""


class Timing(Shown, frozen=True, kw_only=True):
    what: str
    seconds: float


class Rehearsal(Shown, frozen=True, kw_only=True):
    """`before` is the server as the rehearsal found it. `complete`: everything made was taken back again. `problems`
    are the failures of the server in words."""

    SEVERAL_LINES: ClassVar = frozenset({"problems"})

    dsrwizard: str
    login: str
    before: ServerFacts
    set_up: ServerFacts | None = None
    findings: tuple[Expectation, ...] = ()
    timings: tuple[Timing, ...] = ()
    problems: tuple[str, ...] = ()
    complete: bool = False

    @property
    def differing(self) -> tuple[Expectation, ...]:
        return tuple(finding for finding in self.findings if finding.agreement == "differs")
