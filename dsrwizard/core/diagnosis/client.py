"""The checks from the client host: its neighbour entry, ping and TCP to the VIP, who answers, and by which path."""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.diagnosis.balancing import strangers
from dsrwizard.core.diagnosis.bypass import bypass
from dsrwizard.core.diagnosis.client_answers import Served
from dsrwizard.core.diagnosis.client_large import sizes
from dsrwizard.core.diagnosis.directors import holder_macs
from dsrwizard.core.diagnosis.evidence import Evidence, director_macs, mac, own_macs
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.mismatch import known as mismatched
from dsrwizard.core.diagnosis.mismatch import mismatches
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.causes import FELT
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.client_view import ClientVip
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.products import PRODUCTS
from dsrwizard.core.model.steps import CLIENT, DIRECTOR
from dsrwizard.core.model.values import endpoint


def client(evidence: Evidence, faults: Found, views: list[ServerView], clean: bool) -> list[Check]:
    """`client.arp`, `client.ping`, `client.connect`, `client.servers`, `client.bypass`. Run last: what is known of all
    others explains them.

    `clean`: everything between the director and the servers was seen and is right.
    """
    client_view = evidence.client
    checks: list[Check] = []
    for vip in evidence.deployment.vips:
        if client_view is None:
            where = Where(check="client.connect", host=CLIENT, vip=vip.address)
            checks.append(where.skipped("The deployment names no client host, so nothing was tested from one."))
            continue
        seen = None if isinstance(client_view, Failure) else client_view.of(vip)
        if seen is None:
            what = (
                client_view
                if isinstance(client_view, Failure)
                else Failure(kind="answer", what="The client host did not answer.")
            )
            where = Where(check="client.connect", host=CLIENT, vip=vip.address)
            checks.append(
                where.unknown(f"{vip.address} could not be tested from the client host.", what.text, what.next)
            )
            continue
        checks += _Vip(evidence, faults, views, clean, vip, seen).checks()
    return checks


class _Vip:
    """One VIP seen from the client host."""

    def __init__(
        self, evidence: Evidence, faults: Found, views: list[ServerView], clean: bool, vip: Vip, seen: ClientVip
    ) -> None:
        self.evidence, self.faults, self.views, self.clean = evidence, faults, views, clean
        self.vip, self.seen = vip, seen

    def checks(self) -> list[Check]:
        arp = self._arp()
        connects: list[Check] = []
        through: list[Check] = []
        for service in self.vip.services:
            served = Served(self.evidence, self.faults, self.views, self.vip, service, self.seen)
            connects.append(self._connect(service, served))
            if service.protocol == "tcp" and served.tries:
                through += [*served.checks(), *sizes(served), bypass(served)]
        # After the connections: what never came to the director explains a silent ping, too.
        return [arp, self._ping(), *connects, *through]

    def _where(self, check: str, service: str = "") -> Where:
        return Where(check=check, host=CLIENT, vip=self.vip.address, service=service)

    def _arp(self) -> Check:
        where, found = self._where("client.arp"), mac(self.seen.neighbour)
        if self.seen.on_link is False:
            return where.skipped("The client host reaches the VIP through a router, so the router's ARP entry counts.")
        if not found:
            fault = self._felt()
            if fault:
                return where.follows(fault)
            return where.unknown(
                f"The client host has no neighbour entry for {self.vip.address}.", "",
                f"On the client: ip neigh show {self.vip.address}",
            )  # fmt: skip
        if found in self._rightful():
            director = self._director_of(found)
            return where.passed(
                f"The client host sends {self.vip.address} to the right MAC.",
                f"{found}, which is {director}" if director else found,
            )
        server = next((view for view in self.views if found in view.macs), None)
        known = (
            self.faults.find(server.name, "arp-leak", "arp-announce", vip=self.vip.address)
            if server
            else self.faults.find(DIRECTOR, "duplicate-vip", vip=self.vip.address)
            if found in strangers(self.evidence, self.vip, self.views)
            else None
        )
        told = (one.named for one in mismatches(self.evidence, self.views, self.vip.address))
        if known is None and found in told:
            known = mismatched(self.faults, self.views, self.vip.address)
        if known:
            return where.follows(known, f"the client host sends {self.vip.address} to {found}.")
        if not self._rightful():
            return where.unknown(
                f"Could not check whether {found} is right for {self.vip.address}.",
                "the director's own MAC is unknown",
            )
        owner = f", which is {server.name}" if server else ""
        if director := self._director_of(found):
            owner = f", which is {director} and does not hold it now"
        elif self.evidence.deployment.director.by_turns and server is None:
            owner = ", which no director answers with now"
        return self._stale(
            where, f"The client host still sends {self.vip.address} to {found}{owner}.",
            f"neighbour entry {found}; expected {', '.join(sorted(self._rightful()))}",
            f"On the client: ip neigh flush to {self.vip.address}",
        )  # fmt: skip

    def _ping(self) -> Check:
        where = self._where("client.ping")
        if self.seen.ping == "answered":
            took = "" if self.seen.milliseconds is None else f"{self.seen.milliseconds:.1f} ms"
            return where.passed(f"{self.vip.address} answers ping from the client host.", took)
        if self.seen.ping == "unknown":
            return where.unknown("The client host could not ping.", "", f"On the client: ping -c1 {self.vip.address}")
        if any(connected.result in ("open", "refused") for connected in self.seen.connects):
            return where.skipped(f"{self.vip.address} does not answer ping from the client host, but it answers TCP.")
        message = f"{self.vip.address} does not answer ping from the client host."
        fault = self._felt()
        if fault:
            return where.follows(fault, message, "no answer")
        # Ping may be filtered anywhere; what counts are the connections.
        if any(connected.result != "unknown" for connected in self.seen.connects):
            return where.skipped(f"{message} The connections tell more: see client.connect.", "no answer")
        return where.unknown(
            message, "no answer; nothing else could be tried from there",
            f"Open a service of {self.vip.address} from the client host.",
        )  # fmt: skip

    def _connect(self, service: Service, served: Served) -> Check:
        where = self._where("client.connect", service.label)
        target = endpoint(self.vip.address, service.port)
        if service.protocol == "udp":
            return where.skipped("UDP is not tested from the client host; see the VIP probes.")
        connected = self.seen.connect(service.port)
        if connected is None or connected.result == "unknown":
            why = connected.problem if connected else ""
            return where.unknown(
                f"{target} could not be tested from the client host.", why,
                "Install nc, python3 or curl on the client host.",
            )  # fmt: skip
        if connected.result == "open":
            took = "" if connected.milliseconds is None else f"{connected.milliseconds:.1f} ms"
            return where.passed(f"{target} accepts TCP from the client host.", took)
        astray = served.astray(where)
        if astray is not None:
            return astray
        servers = self.evidence.deployment.servers_of(self.vip)
        if not any(server.weight for server in servers) and not self._felt(service.label):
            return where.skipped(f"{target} has no server: the deployment drains all of them.")
        # What is found of the servers that the connections were given to explains this one.
        if served.tries and any(check.outcome == "fail" and not check.cause for check in served.checks()):
            return where.skipped(f"{target} does not accept TCP from the client host: see client.servers.")
        return self._unanswered(
            where, f"{target} does not accept TCP from the client host.", connected.result, served, service.label
        )

    def _unanswered(self, where: Where, message: str, seen: str, served: Served, service: str) -> Check:
        fault = self._felt(service)
        if fault:
            return where.follows(fault, message, seen)
        if self.clean and not self.evidence.deployment.director.in_kernel:
            product = PRODUCTS.get(self.evidence.deployment.director.engine)
            box = product.name if product else "load balancer"
            return where.result(
                "fail",
                f"{message} Nothing wrong was seen on the {box} and the servers. Its packets may not reach the {box} "
                "(a wrong MAC or a filter on the way), or it does not pass them on.", seen,
                f"On the {box}, while the client host connects, look whether packets to {self.vip.address} come in. "
                "On a real server, a capture shows whether they leave for it.",
            )  # fmt: skip
        if self.clean:
            given = served.given_to()
            what = (
                f"The director gave its connections to {given}: their replies, or these servers' own way, are in doubt."
                if given
                else "They may not reach the director (a wrong MAC or a filter on the way), or not pass it."
            )
            interface = self.evidence.deployment.director.interface
            return where.result(
                "fail", f"{message} Nothing wrong was seen on the director and the servers. {what}", seen,
                f"On the director, while the client host connects: tcpdump -eni {interface} host {self.vip.address} "
                "shows whether its packets arrive, from which MAC, and whether they leave for a real server.",
            )  # fmt: skip
        return where.result(
            "fail", message, seen,
            "First fix what failed or is unknown on the other hosts, then verify again.",
        )  # fmt: skip

    def _stale(self, where: Where, message: str, seen: str, fix: str) -> Check:
        return self.faults.fail(
            where, Fault(host=CLIENT, cause="stale-arp", vip=self.vip.address), message, seen, fix
        )  # fmt: skip

    def _felt(self, service: str = "") -> Fault | None:
        """The known fault that explains trouble at this VIP best."""
        hosts = {DIRECTOR, CLIENT, *(server.name for server in self.evidence.deployment.servers_of(self.vip))}
        felt: Sequence[Fault] = [
            fault for fault in self.faults.every
            if fault.cause in FELT and fault.host in hosts and fault.touches(self.vip.address, service)
        ]  # fmt: skip
        return min(felt, key=lambda fault: FELT.index(fault.cause), default=None)

    def _rightful(self) -> frozenset[str]:
        if not self.evidence.deployment.director.in_kernel:
            return frozenset(strangers(self.evidence, self.vip, self.views))
        return holder_macs(self.evidence, self.vip) or director_macs(self.evidence)

    def _director_of(self, found: str) -> str:
        """Which director has a MAC, in words; empty: none that is known."""
        if not self.evidence.deployment.director.by_turns:
            return ""
        return "this director" if found in own_macs(self.evidence) else self.evidence.peer_macs.get(found, "")
