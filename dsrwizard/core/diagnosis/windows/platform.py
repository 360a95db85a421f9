"""The Windows platform: adapters, the weak-host model, the firewall, IIS and http.sys."""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.reach import swallowed
from dsrwizard.core.diagnosis.server_faults import rip_only, service_down
from dsrwizard.core.diagnosis.server_view import ServerView, Stopping
from dsrwizard.core.diagnosis.windows import health_check, placed, served, settings, way_back
from dsrwizard.core.diagnosis.windows.looked import looked
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.facts import Route


class WindowsPlatform:
    """The platform of Windows real servers."""

    opens_rip = False
    """Its firewall refuses nothing, and our rule lets in clients of the VIP alone."""

    def default_routes(self, view: ServerView) -> tuple[Route, ...]:
        """By their metrics; those of adapters that lead nowhere never."""
        return way_back.default_routes(view)

    def ways(self, view: ServerView, family: int) -> list[tuple[str, str, Route | None]]:
        """Windows is not asked: its routes do not depend on the source."""
        return []

    def way_back(self, view: ServerView, faults: Found, where: Where, family: int) -> Check | None:
        return way_back.doubt(view, faults, where, family)

    def settings(self, view: ServerView, faults: Found) -> list[Check]:
        return [*looked(view), *settings.settings(view, faults)]

    def after_clients(self, view: ServerView, faults: Found) -> list[Check]:
        where = Where(check="server.rp_filter", host=view.name)
        skipped = where.skipped("Windows does not filter by the way back; what it has is the weak-host model.")
        return [skipped, *health_check.health_checks(view), served.persistent(view, faults)]

    def leak_reason(self, view: ServerView, vip: Vip) -> tuple[str, str]:
        return placed.leak_reason(view, vip)

    def leak_fault(self, view: ServerView, vip: Vip) -> Fault:
        """One for each VIP: each is on an adapter of its own."""
        return Fault(host=view.name, cause="arp-leak", vip=vip.address)

    def explained(
        self, view: ServerView, faults: Found, vip: Vip, service: Service, where: Where, probe: Probed, seen: str
    ) -> Check | None:
        """The firewall of Windows answers nobody, whatever is wrong: only the facts tell."""
        if view.facts is None:
            return None
        if probe.signature == "silence" and view.held(vip) == "prefix" and swallowed(view):
            return None
        fault = settings.explained(view, faults, vip, service, where, seen)
        if fault is not None or probe.signature != "silence":
            return fault
        match view.listening(vip, service):
            case "elsewhere":
                return rip_only(view, faults, vip, service, where, seen)
            case "nowhere":
                return service_down(view, faults, service, where, seen)
            case _:
                return None

    def passed_on(
        self, view: ServerView, faults: Found, vip: Vip, service: Service, where: Where, seen: str
    ) -> Check | None:
        return None

    def translated(self, view: ServerView, vip: Vip) -> str:
        return ""

    def vip_gone(self, view: ServerView, faults: Found, vip: Vip, where: Where, seen: str) -> Check | None:
        return settings.vip_gone(view, faults, vip, where, seen)

    def misplaced(self, view: ServerView, faults: Found, vip: Vip, where: Where, seen: str) -> Check | None:
        return placed.misplaced(view, faults, vip, where, seen)

    def cluster_macs(self, view: ServerView) -> frozenset[str]:
        return placed.cluster_macs(view)

    def not_listening(self, view: ServerView, faults: Found, vip: Vip, service: Service, where: Where) -> Check | None:
        return served.site_fault(view, faults, vip, service, where, "")

    def rules_seen(self, view: ServerView, vip: Vip, service: Service, source: str = "") -> str:
        return served.rules_seen(view, vip, service)

    def stopping(self, view: ServerView, vip: Vip, service: Service, source: str = "") -> Stopping:
        """Its firewall drops whatever no rule admits."""
        return "stops" if view.facts is not None else "unknown"

    def echoes_stopped(self, view: ServerView, rip: str, size: int) -> bool:
        return True

    def opening(self, view: ServerView, vip: Vip, service: Service, source: str = "") -> str:
        return served.opening(view, vip, service)

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
        """Rules of Windows for what leaves are not read."""
        return None
