"""The sign by which BIRD announces the VIPs of a deployment, as its guard holds it: a dummy interface.

BIRD's routes go through that interface, so they are there while it is up (`core.dialects.bird`). A guard that is
stopped takes it down. Where it was killed, its unit does (systemd.service(5), ExecStopPost=). A boot brings none back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dsrwizard.core.guard.announcing import Fitness, after_round, unfit
from dsrwizard.core.guard.policy import Said
from dsrwizard.core.model.bird import sign_of
from dsrwizard.core.model.changes import ServiceKey
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import VirtualService
from dsrwizard.core.model.guarding import DestinationPlace
from dsrwizard.core.ports import DirectorPort
from dsrwizard.engine.defects import failure_of

_FAILED = "The IPVS table of this machine cannot be read."


class Announcement:
    """That of one deployment; it does nothing where there is no BGP. `tell` gets a sentence for each change."""

    def __init__(self, deployment: Deployment, director: DirectorPort, tell: Callable[[str], None]) -> None:
        self._deployment, self._director, self._tell = deployment, director, tell
        self._wanted = deployment.director.bgp is not None
        self._fitness = Fitness()
        self._shown: bool | None = None
        """Whether the sign is up; None: not known."""
        self._here: frozenset[str] | None = None

    @property
    def announces(self) -> bool | None:
        """Whether BIRD is told to announce; None: this deployment has no BGP, or nothing is known."""
        return self._shown if self._wanted else None

    @property
    def why(self) -> str:
        """Why it is not announced, or will not be in a moment; empty: nothing is wrong."""
        return self._fitness.why

    def look(self) -> None:
        """Which of the VIPs this machine has."""
        if not self._wanted:
            return
        facts = self._director.observe(self._deployment)
        self._here = frozenset(
            vip.address
            for vip in self._deployment.vips
            if any(interface.has(vip.address) for interface in facts.interfaces)
        )

    def round(
        self, said: Mapping[DestinationPlace, Said], table: Mapping[ServiceKey, VirtualService]
    ) -> tuple[str, ...]:
        """After a round of the guard; what an operator should know."""
        return self._after(unfit(self._deployment, said, table, self._here)) if self._wanted else ()

    def failed(self) -> tuple[str, ...]:
        """After a round that could not be carried out."""
        return self._after(_FAILED) if self._wanted else ()

    def end(self) -> None:
        """Nobody watches any more: nothing is announced."""
        if self._wanted:
            self._show(up=False)

    def _after(self, why: str) -> tuple[str, ...]:
        before, self._fitness = self._fitness, after_round(self._fitness, why)
        problem = self._show(up=self._fitness.announces)
        if not problem and before.announces != self._fitness.announces:
            self._tell("The VIPs are announced." if self._fitness.announces else f"The VIPs are withdrawn. {why}")
        alarms = [problem] if problem else []
        if not self._fitness.announces and self._fitness.why:
            alarms.append(f"The VIPs are not announced here. {self._fitness.why}")
        return tuple(alarms)

    def _show(self, *, up: bool) -> str:
        """Sets the sign, each time anew: somebody may have taken it away. Returns why it could not be set."""
        try:
            self._director.sign(sign_of(self._deployment.name), up=up)
        except DsrError as problem:
            self._shown = None
            return f"The VIPs cannot be {'announced' if up else 'withdrawn'}. {failure_of(problem).text}"
        self._shown = up
        return ""
