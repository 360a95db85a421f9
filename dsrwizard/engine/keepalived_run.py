"""The run of a plan where keepalived balances: the real servers first, each proved; then the directors, the one that
serves last, each looked at before the next is touched.

keepalived is the only one who writes VIP and table: what was not proved stands in its files with weight 0.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec

from dsrwizard.core.dialects.keepalived.reading import weights_in
from dsrwizard.core.model.changes import DestinationState, FileChange, ServiceKey, ServiceState
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Destination, DirectorFacts, Failure, ServerFacts, VirtualService
from dsrwizard.core.model.guarding import DestinationPlace
from dsrwizard.core.model.keepalived import KeepalivedFacts, TableService, is_services_file, peers_of, services_of
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Plan, Step
from dsrwizard.core.plan.keepalived import KEEPALIVED_STEP, SETTLE_SECONDS
from dsrwizard.core.plan.keepalived_proof import nobody_behind, unfinished, without
from dsrwizard.core.plan.order import leaves
from dsrwizard.engine.apply import Applier, in_waves
from dsrwizard.engine.defects import blaming
from dsrwizard.engine.draining import DestinationKey, Drain

LOOK_SECONDS = 15.0
"""How long keepalived may take to bring its table up to its files."""
_PAUSE = 0.5
_MARGIN = 10.0


class KeepalivedApplier(Applier):
    """One run over one plan on directors with keepalived."""

    def apply(self, plan: Plan) -> RunResult:
        """Real servers, proof, standby director, look, serving director, look; what leaves goes once it is drained."""
        self._tell.open(plan)
        self._by_wave = bool(plan.waves)
        directors = self._of_directors(plan)
        if not any(self._serves(host.host) for host in directors):
            self._prove_wave = None  # nobody has the VIPs yet, so only its own probes can prove a wave
        farm = msgspec.structs.replace(plan, hosts=tuple(host for host in plan.hosts if host not in directors))
        for number, hosts in enumerate(in_waves(farm), 1):
            self._wave(farm, number, hosts)
        coming = {host.host: [step for step in host.steps if not leaves(step)] for host in directors}
        held = self._not_proved() if any(coming.values()) and not self._stop.is_set() else []
        fine = self._one_by_one(directors, coming, held)
        changed = any(step.id == KEEPALIVED_STEP for steps in coming.values() for step in steps)
        if changed and not self._tell.failures.keys() & {host.host for host in directors}:
            fine = self._somebody_serves() and fine
        self._go(plan, directors, fine=fine)
        for host in directors:
            if host.host != DIRECTOR:
                self._ended(host.host, None)
        return self._close(plan)

    def withdraw(self, plan: Plan) -> RunResult:
        """The directors stop sending, the one that serves last; then the servers let go; then the ground goes."""
        self._withdrawing = True
        self._tell.open(plan)
        directors = sorted(self._of_directors(plan), key=lambda host: self._serves(host.host))
        own = {host.host: host.steps for host in plan.hosts if host not in directors}
        gone = not any(host.problem for host in directors)
        for host in directors:
            steps = [step for step in host.steps if step.phase != "prepare"]
            gone = self._put(host.host, steps, ready=gone)
            if steps and gone:
                self._forgotten(host.host)
        self._let_go(plan, own, gone)
        for host in directors:
            self._put(host.host, [step for step in host.steps if step.phase == "prepare"], ready=gone)
            if host.host != DIRECTOR:
                self._ended(host.host, None)
        return self._close(plan)

    def _forgotten(self, name: str) -> None:
        """Waits until a keepalived that goes on has taken the services away: it reads its files in its own time."""
        keys = {(str(vip.ip), service.protocol, service.port) for vip, service in services_of(self._deployment)}

        def left() -> str:
            seen = self._seen(name)
            table = seen.table or () if seen is not None else ()
            return ", ".join(one.address for one in table if (one.address, one.protocol, one.port) in keys)

        self._until(left, LOOK_SECONDS)

    def _of_directors(self, plan: Plan) -> list[HostPlan]:
        """In the plan's order."""
        names = {DIRECTOR, *(peer.name for peer in peers_of(self._deployment))}
        return [host for host in plan.hosts if host.host in names]

    # --- proof -------------------------------------------------------------------------------------------------------

    def _not_proved(self) -> list[DestinationPlace]:
        """Destinations whose server does not answer for the VIP. What it changed on it is kept where it does."""
        gates = [gate for server in self._deployment.servers for gate in self._gates(server.name)]
        held: list[DestinationPlace] = []
        for gate, proof in self._director.prove(gates).items():
            place = DestinationPlace(gate.vip, f"{gate.protocol}/{gate.port}", gate.server)
            refused = proof.refused or self._keep(gate.server)
            if not refused:
                continue
            held.append(place)
            self._tell.failures.setdefault(
                gate.server,
                Failure(
                    kind="held", what=f"{gate.server} stays at weight 0 in {gate.vip} {place.service}: {refused}",
                    why="A server gets clients only after the VIP has answered through it.",
                    next="Run verify to find the cause, fix it, then apply again.",
                ),
            )  # fmt: skip
        return held

    # --- the directors -----------------------------------------------------------------------------------------------

    def _one_by_one(
        self, directors: Sequence[HostPlan], coming: dict[str, list[Step]], held: Sequence[DestinationPlace]
    ) -> bool:
        """Whether all of them have what they are to have. After one that has not, the others are left alone; one that
        cannot be asked at all, as a dead one, keeps nobody from changing the one that serves."""
        fine, why, silent = True, "", False
        for host in directors:
            steps = coming[host.host]
            if host.failure is not None:
                silent = True
                self._tell.skip(steps, "it cannot be asked")
                continue
            if host.problem:
                fine, why = False, f"{host.host} is not ready"
                self._tell.skip(steps, "it cannot be planned")
                continue
            if not fine or self._stop.is_set() or self._blocked:
                self._tell.skip(steps, why or self._blocked or "stopped before it")
                fine = False
                continue
            if not steps:
                continue
            mine = [without(step, self._deployment, held) if step.id == KEEPALIVED_STEP else step for step in steps]
            empty = list(dict.fromkeys(label for step in mine for label in nobody_behind(step)))
            if empty:
                self._nobody(host.host, mine, empty)
                fine, why = False, f"{host.host} is not ready"
                continue
            fine = self._put(host.host, mine) and self._settled(host.host)
            why = f"{host.host} is not ready"
        return fine and not silent

    def _nobody(self, name: str, steps: Sequence[Step], services: Sequence[str]) -> None:
        """No real server of a service is proved, so keepalived would refuse it."""
        self._tell.skip(steps, "no real server is proved")
        self._tell.failures[name] = Failure(
            kind="held", what=f"{name} was left as it is: no real server of {', '.join(services)} is proved.",
            why="keepalived refuses a service whose real servers all have weight 0.",
            next="Run verify to find the cause, fix it, then apply again.",
        )  # fmt: skip

    def _put(self, name: str, steps: Sequence[Step], *, ready: bool = True) -> bool:
        if not steps:
            return ready
        if name == DIRECTOR:
            return self._director.carry_out(steps, ready)
        if not ready or self._stop.is_set():
            self._tell.skip(steps, "an earlier step failed" if not ready else "stopped before it")
            return False
        with blaming(name, "changed"):
            return self._on_server(name, steps)

    def _settled(self, name: str) -> bool:
        """Waits until the table of a director has the deployment."""
        lacks = self._until(lambda: unfinished(self._deployment, self._seen(name)), LOOK_SECONDS)
        return self._took(
            name, f"keepalived has read its files, and yet {lacks}" if lacks else "",
            "The other director was not touched after that.",
            "Look into the log of keepalived there, then apply again.",
        )  # fmt: skip

    def _took(self, name: str, missing: str, why: str, then: str) -> bool:
        """Whether a director has what its steps made. `missing`: what it lacks, which is told; empty: nothing."""
        if missing:
            what = f"{name}: {missing}."
            self._tell.failures[name] = Failure(kind="took", what=what, why=why, next=then)
        return not missing

    def _somebody_serves(self) -> bool:
        """Waits until the directors have agreed on who has the VIPs."""
        names = [DIRECTOR, *(peer.name for peer in peers_of(self._deployment))]

        def nobody() -> str:
            facts = [self._facts_of(name) for name in names]
            links = [link for one in facts if one is not None for link in one.interfaces]
            missing = [vip.address for vip in self._deployment.vips if not any(link.has(vip.address) for link in links)]
            return ", ".join(missing)

        missing = self._until(nobody, SETTLE_SECONDS + _MARGIN)
        if missing:
            self._tell.failures[DIRECTOR] = Failure(
                kind="took", what=f"keepalived runs, and no director has taken {missing}.",
                why="VRRP found no holder within the time it needs.",
                next="Look into the log of keepalived; another VRRP router with the same router_id is a usual cause.",
            )  # fmt: skip
        return not missing

    def _until(self, lacks: Callable[[], str], seconds: float) -> str:
        """Asks again until nothing is lacking; what still is."""
        ends = time.monotonic() + seconds
        while True:
            found = lacks()
            if not found or time.monotonic() > ends or self._stop.wait(_PAUSE):
                return found

    def _facts_of(self, name: str) -> DirectorFacts | ServerFacts | None:
        try:
            if name == DIRECTOR:
                return self._hosts.director.observe(self._deployment)
            return self._hosts.port(self._servers[name]).observe(self._deployment)
        except DsrError:
            return None

    def _seen(self, name: str) -> KeepalivedFacts | None:
        facts = self._facts_of(name)
        return facts.keepalived if facts is not None else None

    def _serves(self, name: str) -> bool:
        facts = self._facts_of(name)
        links = facts.interfaces if facts is not None else ()
        return any(link.has(vip.address) for link in links for vip in self._deployment.vips)

    # --- what leaves -------------------------------------------------------------------------------------------------

    def _go(self, plan: Plan, directors: Sequence[HostPlan], *, fine: bool) -> None:
        """Destinations that get no new clients go from the files once they have no connections; then their servers are
        restored."""
        leaving = {host.host: [step for step in host.steps if leaves(step)] for host in plan.hosts}
        leaving = {name: steps for name, steps in leaving.items() if steps}
        if not leaving:
            return
        mine = {host.host: leaving.pop(host.host) for host in directors if host.host in leaving}
        why = "" if fine else "the directors are not ready"
        why = "stopped before it" if self._stop.is_set() else why
        if not why:
            self._drain([step for steps in mine.values() for step in steps])
        gone = not why
        for name, steps in mine.items():
            if why:
                self._tell.skip(steps, why)
            else:
                gone = self._put(name, steps, ready=gone) and (gone and self._settled(name))
        if why:
            for name, steps in leaving.items():
                self._tell.skip(steps, why)
                self._ended(name, None)
            return
        self._let_go(plan, leaving, gone)

    def _drain(self, steps: Sequence[Step]) -> None:
        leaving: dict[DestinationKey, Step] = {}
        for step in steps:
            for change in step.changes:
                if not isinstance(change, FileChange) or not is_services_file(change.path) or change.old is None:
                    continue
                stay = weights_in(change.new.content) if change.new is not None else {}
                for label, rip in weights_in(change.old.content).keys() - stay.keys():
                    vip, _, service = label.partition(" ")
                    protocol, _, port = service.partition("/")
                    leaving[vip, protocol, int(port), rip, int(port)] = step
        if leaving:
            Drain(leaving, self._tables, self._tell.draining, self._patience, self._stop).wait()

    def _tables(self) -> list[VirtualService]:
        """The services of all directors: connections are with whoever served them."""
        found = list(self._hosts.director.services())
        for peer in peers_of(self._deployment):
            seen = self._seen(peer.name)
            found += [_virtual(one) for one in (seen.table or () if seen is not None else ())]
        return found


def _virtual(found: TableService) -> VirtualService:
    return VirtualService(
        key=ServiceKey(address=found.address, protocol="udp" if found.protocol == "udp" else "tcp", port=found.port),
        state=ServiceState(scheduler=found.scheduler, persistence=found.persistence),
        destinations=tuple(
            Destination(
                address=one.address, port=one.port, active=one.active,
                state=DestinationState(weight=one.weight, method=one.method),
            )
            for one in found.entries
        ),
    )  # fmt: skip
