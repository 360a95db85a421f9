"""The check `client.servers`: which real servers answered the client host, and which connections bypassed IPVS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from functools import cached_property
from statistics import median

from dsrwizard.core.diagnosis import director_entry, sentences
from dsrwizard.core.diagnosis.balancing import strangers
from dsrwizard.core.diagnosis.client_mute import hung, mute, unheard
from dsrwizard.core.diagnosis.connection_match import ONE_SERVER
from dsrwizard.core.diagnosis.directors import elsewhere
from dsrwizard.core.diagnosis.evidence import Evidence, director_macs, mac
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.mismatch import known as mismatched
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.answers import Arrival
from dsrwizard.core.model.causes import STOPS, Cause
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.client_view import ClientVip, Passage, Tried
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.steps import CLIENT, DIRECTOR
from dsrwizard.core.model.values import canonical, endpoint

ABOUT_ONE: tuple[Cause, ...] = ("ipvs-differs", "ipvs-missing", "drained", "not-on-link", "director-neighbour")
"""Faults of the director's table that concern one real server."""

OF_ALL: tuple[Cause, ...] = ("spoof-filter", "firewall", "director-setting")
"""Faults at the director that keep its packets from every real server."""


class Served:
    """One service as the client host was served by it; `tries` is empty for UDP, and where nothing could be tried."""

    def __init__(
        self, evidence: Evidence, faults: Found, views: list[ServerView], vip: Vip, service: Service, seen: ClientVip
    ) -> None:
        self.evidence, self.faults, self.views = evidence, faults, views
        self.vip, self.service, self.seen = vip, service, seen
        self.target = endpoint(vip.address, service.port)
        self.tries = [one for one in seen.tries if one.port == service.port and one.result != "unknown"]
        self.passage = seen.passages.get(service.port) or Passage(problem="The director's table was not read.")
        self.expected: dict[str, ServerView] = {}
        """Real servers that should answer, by RIP."""
        self._known: dict[str, ServerView] = {}
        for view in views:
            rip = view.rip_for(vip)
            if rip is not None:
                self._known[canonical(rip)] = view
                if view.server.weight:
                    self.expected[canonical(rip)] = view

    def where(self, check: str, host: str = CLIENT) -> Where:
        return Where(check=check, host=host, vip=self.vip.address, service=self.service.label)

    def name(self, rip: str) -> str:
        return self._known[rip].name if rip in self._known else rip

    def of(self, rip: str) -> list[Tried]:
        """The connections that were given to a real server."""
        return [one for one in self.tries if self.passage.given.get(one.client_port) == rip]

    def given_to(self) -> str:
        """The names of the real servers that the director gave connections to."""
        return self._names(set(self.passage.given.values())) if self.passage.given else ""

    # -- who answered

    def checks(self) -> list[Check]:
        """`client.servers`: one for the service, and one for each real server that failed for no known reason."""
        return self._checks

    @cached_property
    def _checks(self) -> list[Check]:
        where = self.where("client.servers")
        if not self.expected:
            return [where.skipped(f"{self.target} has no server: the deployment drains all of them.")]
        astray = self.astray(where)
        if astray is not None:
            return [astray]
        return self._told(where) if self.passage.given else [self._untold(where)]

    def _untold(self, where: Where) -> Check:
        """The check where it is unknown which server it was."""
        message, seen = f"It is not known which servers answered {self.target}.", _figures("", self.tries)
        failed = [one for one in self.tries if one.result != "open"]
        if failed:
            fault = next(iter(self._ailing(self._known.values())), None) or self._of_director()
            if fault is not None:
                return where.follows(fault, f"{len(failed)} of {_connections(self.tries)} failed.", seen)
            if len(failed) < len(self.tries):
                return where.result(
                    "fail", f"{len(failed)} of {_connections(self.tries)} to {self.target} failed.", seen,
                    "Verify again. If it still fails, check the logs and the load of the real servers.",
                )  # fmt: skip
            return where.skipped(f"No connection to {self.target} was answered, so no server can be identified.", seen)
        if not self.evidence.deployment.director.in_kernel:
            return where.skipped(f"{message} {self.passage.problem}", seen)
        why = self.passage.problem or (
            "The director's table has no connections from the client host's address."
            if any(one.client_port for one in self.tries)
            else "The client host's tools do not show the ports of their connections."
        )
        return where.unknown(
            message, f"{why} {seen}", "Install python3 on the client host, and give it a path without NAT."
        )

    def _told(self, where: Where) -> list[Check]:
        given = set(self.passage.given.values())
        seen = "; ".join(_figures(self.name(rip), self.of(rip)) for rip in sorted(given, key=self.name))
        outside = self._outside(given, seen)
        if outside is not None:
            return [outside]
        explained: list[Fault] = []
        own: list[Check] = []
        silent = mute({rip: self.of(rip) for rip in given})
        for rip in sorted(given, key=self.name):
            failed = [one for one in self.of(rip) if one.result != "open"]
            if not failed and rip not in silent:
                continue
            fault = self._fault_of(rip)
            if fault is not None:
                explained.append(fault)
            elif not failed:
                where_there = self.where("client.servers", self.name(rip) if rip in self._known else DIRECTOR)
                told = _figures(self.name(rip), self.of(rip))
                own.append(hung(self.faults, where_there, self.service, self.of(rip), told, server=rip in self._known))
            else:
                own.append(self._failed(rip, failed))
        idle = [rip for rip in self.expected if rip not in given]
        if explained:
            return [where.follows(explained[0], f"{self._names(given)} of {self.target} were tested.", seen), *own]
        if own:
            return [where.skipped(f"The client host was sent to {self._names(given)} for {self.target}.", seen), *own]
        if not idle:
            talks = [view.talked(self.vip, self.service) for view in self.expected.values()]
            lives = any(one is not None and one.result in ("answered", "closed", "reset") for one in talks)
            unsaid = unheard(self.faults, where, self._all(), self.target, self.tries, seen, lives=lives)
            return [unsaid or where.passed(f"{self._all()} of {self.target} answered the client host.", seen)]
        if self._one_server():
            reason = (
                f"persistence keeps one client on one server for {self.service.persistence} s"
                if self.service.persistence
                else f"the scheduler {self.service.scheduler} gives one client one server"
            )
            return [where.passed(f"{self._names(given)} answered the client host for {self.target}; {reason}.", seen)]
        fault = next((found for rip in idle if (found := self._fault_of(rip))), None)
        if fault is not None and all(self._fault_of(rip) for rip in idle):
            return [where.follows(fault, f"{self._names(idle)} got none of {_connections(self.tries)}.", seen)]
        if self._in_turn():
            return [
                self.faults.doubt(
                    where.unknown(
                        f"{self._names(idle)} got none of {_connections(self.tries)} to {self.target}, though "
                        f"{self.service.scheduler} gives each server its turn: IPVS does not treat them alike.",
                        f"{seen}; scheduler {self.service.scheduler}",
                        "On the director: ipvsadm -Ln --thresholds, ipvsadm -Sn and ipvsadm -Lnc show what takes the "
                        "VIP's packets first (a firewall mark, persistence) or keeps a server out (a threshold).",
                    )
                )
            ]  # fmt: skip
        return [
            where.unknown(
                f"{self._names(idle)} got none of {_connections(self.tries)} to {self.target}, "
                "so the client host could not test them.",
                f"{seen}; scheduler {self.service.scheduler}",
                "Verify again when the load is more even. The VIP probes check each server meanwhile.",
            )
        ]  # fmt: skip

    def _outside(self, given: Set[str], seen: str) -> Check | None:
        """Where none of the servers that were given connections answered one: something between the farm and the
        clients does it, once for all. Where it was seen that clients' packets come in, it drops the replies."""
        views = [self._known[rip] for rip in sorted(given) if rip in self._known]
        if len(views) < len(given) or any(one.result != "silent" for rip in given for one in self.of(rip)):
            return None
        if any(self._fault_of(rip) for rip in given):
            return None
        if len(views) < len(self.expected) and len(views) == 1:
            return None  # the others were not tried: it may be this one's port
        fates = [view.fate(self.vip, self.service) for view in views]
        if "accepted" not in fates or not {"accepted", "unseen", "unsent"}.issuperset(fates):
            return self._nobody(views, seen) if len(views) > 1 else None
        return self.faults.fail(
            self.where("client.servers"), Fault(host=CLIENT, cause="spoof-filter", vip=self.vip.address),
            sentences.replies_lost_outside([view.name for view in views], self.vip.address),
            f"{seen}; IPVS passed the connections on, and a SYN with a client-like source was accepted on "
            f"{'each server' if set(fates) == {'accepted'} else 'those servers that could be looked at'}",
            sentences.REPLIES_OUTSIDE_FIX,
            shared=True,
        )  # fmt: skip

    def _nobody(self, views: Sequence[ServerView], seen: str) -> Check:
        """Where it could not be seen whether clients' packets come in at the servers, either."""
        names = ", ".join(view.name for view in views)
        return self.where("client.servers").result(
            "fail",
            f"None of the client host's connections to {self.target} was answered, though IPVS gave them to {names}: "
            "what all of them share takes the packets or the replies.",
            f"silent; {seen}",
            f"On a real server, while the client host connects: tcpdump -ni any host {self.vip.address} shows whether "
            "SYNs come in and answers leave.",
        )

    def _failed(self, rip: str, failed: Sequence[Tried]) -> Check:
        """Connections that the director gave to a server without any known fault."""
        name, tries = self.name(rip), self.of(rip)
        host = name if rip in self._known else DIRECTOR
        words = ", ".join(sorted({one.result for one in failed}))
        view = self._known.get(rip)
        # Where no other server was tried, what lies between looks the same.
        others = any(one.result == "open" for one in self.tries) or any(
            self._fault_of(other) for other in set(self.passage.given.values()) - {rip}
        )
        if words == "silent" and others and view is not None and view.fate(self.vip, self.service) == "accepted":
            return self.faults.fail(
                self.where("client.servers", host),
                Fault(host=host, cause="spoof-filter", vip=self.vip.address, service=self.service.label),
                f"{name} accepts clients' packets to {self.target}, but its answers do not reach the client host.",
                f"{_figures(name, tries)}; a SYN with a client-like source was accepted there",
                f"Let the network send frames with source {self.vip.address} from the port of {name} (switch, "
                "hypervisor, cloud), and check the path from there to clients.",
            )  # fmt: skip
        return self.where("client.servers", host).result(
            "fail",
            f"{name} was given {_connections(tries)} of the client host to {self.target} and left {len(failed)} "
            "unanswered.",
            f"{words}; {_figures(name, tries)}",
            f"Verify again; if it stays so, look at the load and the firewall of {name}, and at the way from {name} to "
            "the client.",
        )  # fmt: skip

    def _names(self, rips: Iterable[str]) -> str:
        return ", ".join(sorted(map(self.name, rips)))

    def _all(self) -> str:
        names = sorted(view.name for view in self.expected.values())
        return names[0] if len(names) == 1 else f"All {len(names)} servers"

    def _in_turn(self) -> bool:
        """Whether so many connections cannot have passed a server over by chance: it is the turn of each."""
        weights = {view.server.weight for view in self.expected.values()}
        return (
            self.service.scheduler in ("rr", "wrr")
            and len(weights) == 1
            and len(self.tries) >= 4.6 * len(self.expected)
        )

    def _one_server(self) -> bool:
        return self.service.persistence > 0 or self.service.scheduler in ONE_SERVER

    def _ailing(self, views: Iterable[ServerView]) -> Iterable[Fault]:
        for view in views:
            fault = self.faults.find(view.name, *STOPS, vip=self.vip.address, service=self.service.label)
            if fault is not None:
                yield fault

    def known_of(self, rip: str) -> Fault | None:
        """What is known to be wrong with one real server."""
        return self._fault_of(rip)

    def _fault_of(self, rip: str) -> Fault | None:
        """What is known to be wrong with one real server or with how the director treats it."""
        view = self._known.get(rip)
        if view is None:
            return next(
                (
                    fault for fault in self.faults.of(DIRECTOR)
                    if fault.server == rip and fault.touches(self.vip.address, self.service.label)
                ),
                None,
            )  # fmt: skip
        label, vip = self.service.label, self.vip.address
        return next(iter(self._ailing([view])), None) or next(
            (
                fault for fault in self.faults.of(DIRECTOR)
                if fault.touches(vip, label)
                and ((fault.cause in ABOUT_ONE and self._about(fault, view.name)) or fault.cause in OF_ALL)
            ),
            None,
        )  # fmt: skip

    @staticmethod
    def _about(fault: Fault, name: str) -> bool:
        """Whether it concerns this real server; a service that takes the packets first concerns all."""
        return fault.server == name or fault.server.startswith("mark ")

    def _of_director(self) -> Fault | None:
        """What is wrong with the VIP for every client."""
        return self.faults.find(
            DIRECTOR, "director-vip", "vip-as-source", "director-setting", "duplicate-vip", vip=self.vip.address
        ) or next(
            (
                fault for fault in self.faults.of(DIRECTOR)
                if fault.cause in ("ipvs-missing", "ipvs-differs", "drained")
                and fault.touches(self.vip.address, self.service.label)
            ),
            None,
        )  # fmt: skip

    # -- what did not pass the director

    def astray(self, where: Where) -> Check | None:
        """Connections of which the director has no entry although it would have one: somebody on the way sends them to
        another MAC. None: there are none, or what is known of the director explains it."""
        lost = [one for one in self.tries if one.client_port in self.passage.missing]
        if not lost or not self.passage.able:
            return None
        came = director_entry.came(self.evidence, self.vip, lost)
        if came:
            return self._lost_in_director(where, lost, came)
        known = self.faults.find(
            DIRECTOR, "director-vip", "duplicate-vip", "split-brain", "orphan-vip", "vip-as-source",
            vip=self.vip.address,
        )  # fmt: skip
        # A director that does not answer for the VIP, or lets nobody in, explains it before a table elsewhere does.
        known = known or director_entry.known_fault(self.faults, self.vip, self.service)
        known = known or self._thief(lost) or mismatched(self.faults, self.views, self.vip.address)
        answered = [one for one in lost if one.result in ("open", "refused")]
        evidence = f"{len(lost)} of {_connections(self.tries)} not in the director's table: " + ", ".join(
            sorted({one.result for one in lost})
        )
        if known is not None:
            return where.follows(known, f"connections to {self.target} did not pass through the director.", evidence)
        active = elsewhere(self.evidence, self.vip)
        if active:
            if answered or where.check == "client.servers":
                return where.skipped(
                    f"{active} is the active director for {self.vip.address}: its table has the connections to "
                    f"{self.target}.",
                    evidence,
                )
            return where.result(
                "fail", f"Connections to {self.target} are not answered, and {active} is the active director.",
                evidence, f"Look from there: run dsrwizard verify on {active}.",
            )  # fmt: skip
        if self.seen.on_link and mac(self.seen.neighbour) in self._rightful():
            return where.result(
                "fail", f"Connections to {self.target} leave the client host for the right MAC but do not reach IPVS.",
                evidence, "Look for a packet filter on the director or on the client host.",
            )  # fmt: skip
        owner = "the client host" if self.seen.on_link else "the upstream router"
        interface = self.evidence.deployment.director.interface
        if not self._stayed_away(lost):
            if where.check == "client.servers" and not answered:
                return where.skipped(f"No connection to {self.target} made an entry in the director's table.", evidence)
            return where.result(
                "fail",
                f"Connections to {self.target} made no entry in the director's table: they went to another machine, a "
                "filter stopped them, or the director did.",
                evidence,
                f"On the director, while the client host connects: tcpdump -eni {interface} host {self.vip.address} "
                "shows whether they arrive.",
            )
        if not answered and not self.seen.on_link and self.seen.ping == "answered":
            if where.check == "client.servers":
                return where.skipped(f"No connection to {self.target} reached the director.", evidence)
            return where.result(
                "fail",
                f"Connections to {self.target} do not reach the director, but pings do: {owner} has the right MAC, so "
                "a filter on the way stops the service.",
                evidence, f"Between the client host and the director: look for a filter of {self.service.label}.",
            )  # fmt: skip
        if answered:
            message = (
                f"Connections to {self.target} were answered, but bypassed the director: {owner} has the wrong MAC "
                f"for {self.vip.address}."
            )
        else:
            message = (
                f"Connections to {self.target} do not reach the director: most likely {owner} still has the wrong MAC "
                f"for {self.vip.address}, or a filter is in the path."
            )
        fault = Fault(host=CLIENT, cause="stale-arp", vip=self.vip.address)
        fix = f"On the director: arping -U -c 5 -I {interface} {self.vip.address}"
        seen = "none of them came in on the director's interface"
        return self.faults.fail(where, fault, message, f"{evidence}; {seen}" if self._heard() else evidence, fix)

    def _heard(self) -> bool:
        """Whether somebody listened on the director's interface meanwhile and would have heard everything."""
        arrivals = self.evidence.arrivals
        return arrivals is not None and not arrivals.problem and not arrivals.cut

    def _stayed_away(self, lost: Sequence[Tried]) -> bool:
        """Whether it is sure that these connections did not come to the director: it listened and none came in, or the
        client host sends to another MAC."""
        if self.seen.on_link and self.seen.neighbour and self._rightful():
            return mac(self.seen.neighbour) not in self._rightful()
        arrivals = self.evidence.arrivals
        if arrivals is None or not self._heard():
            return False
        vip, ports = canonical(self.vip.address), {one.client_port for one in lost}
        return not any(
            one.protocol == "tcp" and one.port == self.service.port and canonical(one.vip) == vip
            and one.client_port in ports
            for one in arrivals.seen
        )  # fmt: skip

    def _lost_in_director(self, where: Where, lost: Sequence[Tried], came: Sequence[Arrival]) -> Check:
        """What came in at the director and made no entry there: no neighbour's table is to blame."""
        message = (
            f"{len(lost)} of {_connections(self.tries)} to {self.target} came in at the director, but IPVS has no "
        )
        message += "entry of them."
        known = director_entry.known_fault(self.faults, self.vip, self.service)
        if known is not None:
            return where.follows(known, message, director_entry.told(came))
        if where.check == "client.servers" and all(one.result == "silent" for one in lost):
            return where.skipped(message, director_entry.told(came))  # client.connect says so
        return where.result(
            "fail", message, director_entry.told(came),
            "See the check director.entry: something on the director drops them before IPVS does its work.",
        )  # fmt: skip

    def _thief(self, lost: Sequence[Tried]) -> Fault | None:
        """The fault of a real server that draws the VIP's traffic to itself. One that serves the VIP well would have
        answered what it drew, so silence is not its doing."""
        silent = all(one.result == "silent" for one in lost)
        for view in self._known.values():
            fault = self.faults.find(view.name, "arp-leak", "arp-announce", vip=self.vip.address)
            if fault is None:
                continue
            well = view.good(self.vip, self.service) and not list(self._ailing([view]))
            if not (silent and well):
                return fault
        return None

    def _rightful(self) -> frozenset[str]:
        if not self.evidence.deployment.director.in_kernel:
            return frozenset(strangers(self.evidence, self.vip, self.views))
        return director_macs(self.evidence)


def _connections(tries: Sequence[Tried]) -> str:
    return f"{len(tries)} connection{'' if len(tries) == 1 else 's'}"


def _figures(name: str, tries: Sequence[Tried]) -> str:
    """`web1 2 of 2: connect 0.9/1.0/1.2 ms, first byte 1.9/2.1/2.3 ms` (least, median, most)."""
    answered = [one for one in tries if one.result == "open"]
    text = f"{name} {len(answered)} of {len(tries)}".strip()
    parts = []
    for word, times in (
        ("connect", [one.milliseconds for one in answered if one.milliseconds is not None]),
        ("first byte", [one.first_byte for one in answered if one.first_byte is not None]),
    ):
        if times:
            parts.append(f"{word} {min(times):.1f}/{median(times):.1f}/{max(times):.1f} ms")
    return f"{text}: {', '.join(parts)}" if parts else text
