"""The fourth source: facts of the real servers against the deployment, by the diagnosis that verify uses.

Nobody is asked anything for it. A host that wants a password is left alone until the operator has logged in there by
another way, and one that refused a login for longer: refusals in a row lock accounts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import msgspec

from dsrwizard.core.diagnosis import Evidence, diagnose
from dsrwizard.core.diagnosis.directors import preempts_in
from dsrwizard.core.diagnosis.probe_verdict import judge
from dsrwizard.core.live.findings import Findings
from dsrwizard.core.live.last_seen import Heard
from dsrwizard.core.live.readings import RowPlace
from dsrwizard.core.model.answers import Owners
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import DirectorFacts, Failure, Observed, ServerFacts
from dsrwizard.core.model.keepalived import hosts_of
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.ports import WirePort
from dsrwizard.core.record.owed import deployed_since
from dsrwizard.engine.defects import apart, failure_of
from dsrwizard.engine.hosts import Hosts
from dsrwizard.engine.journal import Journal
from dsrwizard.engine.silent_asker import Quiet
from dsrwizard.engine.verify import among
from dsrwizard.engine.watch.board import Board
from dsrwizard.engine.watch.timepiece import SETTLES

AT_A_TIME = 8
"""Hosts looked at side by side: a look that nobody waits for must not crowd out what somebody does."""
PAIRS_AT_A_TIME = 1000
"""(Server, service) pairs in one diagnosis: a tenth of a second."""
RETRY_SECONDS = 60.0
REFUSED_SECONDS = 900.0
_CONNECTS = 64
LOOKED = "looked at"
_LOGIN_KINDS = frozenset({"login", "privilege", "key-unknown", "key-changed"})
NO_HURRY = _LOGIN_KINDS | {"asks"}
"""Failures that are not tried again at once, whatever this machine did meanwhile."""


class Drift:
    """Looks at the real servers from within. Used from one thread at a time, but for `reached` and `observed`."""

    def __init__(
        self, deployment: Deployment, hosts: Hosts, wire: WirePort, quiet: Quiet, board: Board, journal: Journal
    ) -> None:
        self._deployment = deployment
        self._hosts = hosts
        self._wire = wire
        self._quiet = quiet
        self._journal = journal
        self._board = board
        self._director: DirectorFacts | None = None
        self._held: dict[str, tuple[float, Failure]] = {}
        """Servers that are left alone → until when (seconds since the epoch), and why."""
        self._failed: dict[str, Failure] = {}

    def reached(self, names: Iterable[str]) -> None:
        """The operator's own doing has opened these hosts: they may be looked at again."""
        for name in names:
            self._held.pop(name, None)

    def observed(self) -> Observed:
        """The facts of all hosts that may be looked at, and why the others were not. From any thread."""
        servers = self._facts(hosts_of(self._deployment))
        failed = {name: why for name, why in self._failed.items() if name not in servers}
        try:
            return Observed(director=self._hosts.director.observe(self._deployment), servers=servers, failed=failed)
        except DsrError as problem:
            return Observed(servers=servers, failed={**failed, DIRECTOR: failure_of(problem)})

    def look(self, names: Collection[str] | None = None, known: Observed | None = None) -> None:
        """Looks at these servers, at all of them and the director without names. `known`: what was just seen of all."""
        began = self._board.clock()
        chosen = [one for one in self._deployment.servers if names is None or one.name in names]
        if known is not None:
            self._see_here(known.director)
        elif names is None or self._director is None:
            self._look_here()
        mine = {one.name for one in self._deployment.servers}
        facts_now = (
            self._facts(chosen)
            if known is None
            else {name: facts for name, facts in known.servers.items() if name in mine}
        )
        seen, macs, conflicts = apart(
            Observed(servers=facts_now), lambda seen: (seen, _macs(seen), _conflicts(seen)), LOOKED
        )
        facts = seen.servers
        self._failed |= seen.failed
        deployed = deployed_since(self._journal.entries()) if conflicts else {}
        heard = self._board.heard
        findings = self._board.findings
        for chunk in self._chunks(chosen):
            findings = self._diagnosed(chunk, facts, heard, findings, began, deployed)
        self._board.found(findings, macs, began if names is None else None)
        self._board.unseen("drift", self._unseen())

    # --- looking -------------------------------------------------------------------------------------------------

    def _look_here(self) -> None:
        if not self._deployment.director.in_kernel:
            return
        try:
            seen = self._hosts.director.observe(self._deployment)
        except DsrError:  # the counters tell what is wrong
            self._director = None
            return
        self._see_here(seen)

    def _see_here(self, seen: DirectorFacts | None) -> None:
        if seen is None or not self._deployment.director.in_kernel:
            self._director = None
            return
        # What IPVS is set to is compared at every reading; here it would be older.
        self._director = msgspec.structs.replace(seen, services=None, module_loaded=True, ipvs_problem="")

    def _facts(self, chosen: Sequence[RealServer]) -> dict[str, ServerFacts]:
        found: dict[str, ServerFacts] = {}
        now = self._board.clock()
        asked: dict[str, list[str]] = {}

        def piece(server: RealServer) -> Callable[[], ServerFacts]:
            def observe() -> ServerFacts:
                with self._quiet.quietly() as unasked:
                    asked[server.name] = unasked.questions
                    return self._hosts.port(server).observe(self._deployment, closely=True)

            return observe

        def finished(name: str, what: ServerFacts | Failure) -> None:
            if isinstance(what, ServerFacts):
                found[name] = what
                self._failed.pop(name, None)
                return
            self._failed[name] = what
            if asked.get(name):
                kinds = " and ".join(dict.fromkeys(asked[name]))
                what = Failure(kind="asks", what=f"it needs your input ({kinds})")
                self._failed[name], self._held[name] = what, (float("inf"), what)
            elif what.kind in _LOGIN_KINDS:
                self._held[name] = (now + REFUSED_SECONDS, what)
            else:
                settling = self._board.time.settling()  # the network comes back, and connections that died meanwhile
                self._held[name] = (now + (SETTLES if settling else RETRY_SECONDS), what)

        def look_at(able: Sequence[RealServer]) -> None:
            for start in range(0, len(able), AT_A_TIME):
                if not self._board.over:
                    _beside(((one.name, piece(one)) for one in able[start : start + AT_A_TIME]), finished)

        able = self._able(chosen, now)
        look_at(able)
        lost = [one for one in able if one.name in self._failed and self._failed[one.name].kind not in NO_HURRY]
        if lost and self._board.time.interrupted(now):  # it was this machine that did not listen
            look_at(lost)
        return found

    def _able(self, chosen: Sequence[RealServer], now: float) -> list[RealServer]:
        """Those that may be looked at."""
        gone = self._board.heard.gone
        return [
            one
            for one in chosen
            if one.connect != "manual" and one.address not in gone and self._held.get(one.name, (0.0, None))[0] <= now
        ]

    def _unseen(self) -> list[str]:
        """A sentence for all hosts that share a reason."""
        reasons: dict[str, list[str]] = {}
        for server in hosts_of(self._deployment):
            failure = self._failed.get(server.name)
            if server.connect == "manual":
                why = "set up by hand: seen on the network only; settings on the host are not checked."
                reasons.setdefault(why, []).append(server.name)
            elif failure is None:
                continue
            elif failure.kind == "asks":
                why = f"not checked on the host: {failure.what}. Verify once to log in."
                reasons.setdefault(why, []).append(server.name)
            else:
                said = failure.text.replace(server.name, "the host")
                reasons.setdefault(f"not checked on the host: {said}", []).append(server.name)
        return [_sentence(names, why) for why, names in reasons.items()]

    # --- diagnosing ----------------------------------------------------------------------------------------------

    def _chunks(self, chosen: Sequence[RealServer]) -> Iterable[Sequence[RealServer]]:
        services = sum(len(vip.services) for vip in self._deployment.vips) or 1
        size = max(1, PAIRS_AT_A_TIME // services)
        for start in range(0, len(chosen), size):
            yield chosen[start : start + size]
            time.sleep(0)  # whoever else wants to run goes first

    def _diagnosed(
        self,
        chunk: Sequence[RealServer],
        facts: dict[str, ServerFacts],
        heard: Heard,
        findings: Findings,
        began: float,
        deployed: Mapping[str, float],
    ) -> Findings:
        part = msgspec.structs.replace(self._deployment, servers=tuple(chunk), client=None)
        probes = [heard.probes[place][1] for one in chunk for place in self._places(one) if place in heard.probes]
        rips = {one.name: self._rips(one) for one in chunk}
        quiet = [rip for found in rips.values() for rip in found if rip in heard.gone]
        refused = [(p.rip, p.port) for p in probes if p.protocol == "tcp" and not p.good and p.rip not in heard.gone]
        evidence = Evidence.gathered(
            part,
            Observed(
                director=self._director,
                servers={one.name: facts[one.name] for one in chunk if one.name in facts},
                failed={one.name: self._failed[one.name] for one in chunk if one.name in self._failed},
            ),
            pings=self._wire.ping(quiet, 1.0) if quiet else {},
            connects=self._wire.connect(list(dict.fromkeys(refused))[:_CONNECTS], 1.0) if refused else (),
            owners={vip: found for vip, (_, found) in heard.owners.items()}
            | {rip: Owners(address=rip) for rip in quiet}
            | {p.rip: Owners(address=p.rip, macs=(p.mac,)) for p in probes if p.mac},
            probes=probes,
            deployed=deployed,
        )

        def concluded(seen: Observed) -> tuple[Observed, Findings]:
            report = diagnose(among(evidence, seen))
            names = [one.name for one in chunk if one.name in seen.servers or one.name not in seen.failed]
            consent = [
                place
                for one in chunk
                if one.name in seen.servers
                for place in self._places(one)
                if place in heard.probes
                and heard.probes[place][1].signature == "silence"
                and not judge(heard.probes[place][1], seen.servers[one.name])
            ]
            found = findings.with_look(names, report, part, began).with_consent(names, consent)
            if seen.director is None:
                return seen, found
            return seen, found.with_director(report, began, preempts_in(self._deployment, seen.director.keepalived))

        seen, found = apart(evidence.observed, concluded, LOOKED)
        self._failed |= {name: why for name, why in seen.failed.items() if name in facts}
        return found

    def _places(self, server: RealServer) -> list[RowPlace]:
        return [
            (vip.address, service.label, server.name)
            for vip in self._deployment.vips_of(server)
            if server.rip_for(vip) is not None
            for service in vip.services
        ]

    def _rips(self, server: RealServer) -> list[str]:
        rips = (server.rip_for(vip) for vip in self._deployment.vips_of(server))
        return list(dict.fromkeys(rip for rip in rips if rip is not None))


def _macs(observed: Observed) -> dict[str, str]:
    """MAC → the server that has it."""
    links = [(link, name) for name, facts in observed.servers.items() for link in facts.interfaces]
    return {link.mac.lower(): name for link, name in links if link.mac.strip("0:")}


def _conflicts(observed: Observed) -> bool:
    """Whether a system log tells of address conflicts, which is rare: then it matters since when VIPs are there."""
    return any(facts.windows is not None and bool(facts.windows.conflicts) for facts in observed.servers.values())


def _sentence(names: Sequence[str], why: str) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    verb, it = ("are", "them") if len(names) > 1 else ("is", "it")
    return f"{shown} {verb} {why.replace('{it}', it)}"


def _beside(
    work: Iterable[tuple[str, Callable[[], ServerFacts]]], finished: Callable[[str, ServerFacts | Failure], None]
) -> None:
    """As `side_by_side`, in threads that hold up no end of the program: a host may take its time to be reached."""
    found: dict[str, ServerFacts | Failure] = {}

    def run(name: str, piece: Callable[[], ServerFacts]) -> None:
        try:
            found[name] = piece()
        except Exception as problem:  # noqa: BLE001 - becomes a value, as in `side_by_side`
            found[name] = failure_of(problem)

    threads = [threading.Thread(target=run, args=one, name=f"drift-{one[0]}", daemon=True) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name, what in found.items():
        finished(name, what)
