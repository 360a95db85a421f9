"""The Linux platform: kernel settings, packet filters, and what systemd or ifupdown sets again at the next start."""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.linux import filters, leaving, placed, second_director, settings, way_back
from dsrwizard.core.diagnosis.server_view import ServerView, Stopping
from dsrwizard.core.dialects.linux import close
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.facts import Route


class LinuxPlatform:
    """The platform of Linux real servers."""

    opens_rip = True

    def default_routes(self, view: ServerView) -> tuple[Route, ...]:
        """As `ip route` lists them: the preferred one first."""
        return view.facts.default_routes if view.facts else ()

    def way_back(self, view: ServerView, faults: Found, where: Where, family: int) -> Check | None:
        return way_back.doubt(view, faults, where, family)

    def ways(self, view: ServerView, family: int) -> list[tuple[str, str, Route | None]]:
        """To clients that were seen or named, otherwise to anywhere."""
        ways = [way for way in way_back.judged(view, family) if way.state in ("route", "none")]
        return [(way.vip, way.client if way.real else "", close.route_of(way)) for way in ways]

    def settings(self, view: ServerView, faults: Found) -> list[Check]:
        """`server.balancer`, `server.guard` and `server.announce`."""
        return [second_director.balancer(view, faults), settings.guard(view, faults), settings.announce(view, faults)]

    def after_clients(self, view: ServerView, faults: Found) -> list[Check]:
        return [settings.rp_filter(view, faults), settings.persistent(view, faults)]

    def leak_reason(self, view: ServerView, vip: Vip) -> tuple[str, str]:
        return settings.leak_reason(view, vip)

    def leak_fault(self, view: ServerView, vip: Vip) -> Fault:
        return settings.leak_fault(view, vip)

    def explained(
        self, view: ServerView, faults: Found, vip: Vip, service: Service, where: Where, probe: Probed, seen: str
    ) -> Check | None:
        """A Linux host that is reached answers or refuses, which says more than its facts; silence where its answers
        cannot arrive is explained by that."""
        if probe.signature != "silence":
            return None
        told = way_back.lost(view, vip.address)
        if told is None:
            return None
        message, evidence, fix = told
        fault = Fault(host=view.name, cause="gateway", family=vip.ip.version)
        return faults.fail(where, fault, message, f"{seen}; {evidence}", fix, shared=True)

    def passed_on(
        self, view: ServerView, faults: Found, vip: Vip, service: Service, where: Where, seen: str
    ) -> Check | None:
        return second_director.passed_on(view, faults, vip, service, where, seen)

    def translated(self, view: ServerView, vip: Vip) -> str:
        return placed.translated(view, vip)

    def vip_gone(self, view: ServerView, faults: Found, vip: Vip, where: Where, seen: str) -> Check | None:
        return None

    def misplaced(self, view: ServerView, faults: Found, vip: Vip, where: Where, seen: str) -> Check | None:
        return placed.misplaced(view, faults, vip, where, seen)

    def cluster_macs(self, view: ServerView) -> frozenset[str]:
        return frozenset()

    def not_listening(self, view: ServerView, faults: Found, vip: Vip, service: Service, where: Where) -> Check | None:
        return None

    def rules_seen(self, view: ServerView, vip: Vip, service: Service, source: str = "") -> str:
        return filters.rules_seen(view, vip, service, source)

    def stopping(self, view: ServerView, vip: Vip, service: Service, source: str = "") -> Stopping:
        return filters.stopping(view, vip, service, source)

    def echoes_stopped(self, view: ServerView, rip: str, size: int) -> bool:
        return filters.echoes_stopped(view, rip, size)

    def opening(self, view: ServerView, vip: Vip, service: Service, source: str = "") -> str:
        return filters.opening(view, vip, service, source)

    def replies_stopped(
        self,
        view: ServerView,
        faults: Found,
        vip: Vip,
        service: Service,
        where: Where,
        seen: str,
        clients: Sequence[str] = (),
    ) -> Check | None:
        return leaving.stopped(view, faults, vip, service, where, seen, clients)
