"""The run of a plan: the director's own settings first, then all real servers side by side, each followed by its own
destinations, probe and weights.

Every step is in the journal before it runs. A host that fails stops neither the others nor the director.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence
from functools import partial

import msgspec

from dsrwizard.core.diagnosis.probe_verdict import judge
from dsrwizard.core.dialects.windows.commands import unseen
from dsrwizard.core.model.changes import DestinationChange
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.errors import AnswerUnreadable, CommandFailed, ConnectionLost, DsrError, LookError
from dsrwizard.core.model.events import (
    Event,
    HostFinished,
    HostSaid,
    HostStarted,
    Observer,
    RevertArmed,
    RevertOff,
    StepFinished,
    StepStarted,
)
from dsrwizard.core.model.facts import Failure, ServerFacts
from dsrwizard.core.model.outcome import HostResult, Outcome, RunResult, StepResult
from dsrwizard.core.model.steps import DIRECTOR, Gate, HostPlan, Plan, Step
from dsrwizard.core.plan.plan import host_plan
from dsrwizard.core.plan.sending import addresses_of, sent_now, still_sent, taken, told
from dsrwizard.core.ports import ProbeTarget, WirePort
from dsrwizard.engine.defects import Defect, blaming, failure_of
from dsrwizard.engine.hosts import Hosts, side_by_side
from dsrwizard.engine.journal import Run

PROBE_TRIES = 3


class Applier:
    """One run over one plan. `stop` set: what runs is finished, nothing new is begun.

    `facts` are the servers' as last observed; `leaving` are servers that are no longer in the deployment.
    `revert_after`: see `ServerPort.apply`; taking back arms nothing.
    """

    def __init__(
        self,
        deployment: Deployment,
        *,
        hosts: Hosts,
        wire: WirePort,
        run: Run,
        watch: Observer,
        stop: threading.Event | None = None,
        facts: dict[str, ServerFacts] | None = None,
        leaving: Sequence[RealServer] = (),
        revert_after: float = 0.0,
    ) -> None:
        self._revert_after = revert_after
        self._armed: set[str] = set()
        """Servers that take this run's steps back by themselves unless they are told to keep them."""
        self._deployment = deployment
        self._servers = {server.name: server for server in (*leaving, *deployment.servers)}
        self._hosts = hosts
        self._wire = wire
        self.run = run
        self._watch = watch
        self._stop = stop or threading.Event()
        self._facts = dict(facts or {})
        self._armed |= {name for name, seen in self._facts.items() if seen.undo.armed is not None}
        self._began = time.monotonic()
        self._results: dict[str, list[StepResult]] = {}
        self._failures: dict[str, Failure] = {}
        self._numbers: dict[str, int] = {}
        self._totals: dict[str, int] = {}
        self._director = threading.Lock()
        self._withdrawing = False

    def apply(self, plan: Plan) -> RunResult:
        """Guard, VIP, destination at weight 0, probe, weight: in this order for every server."""
        plans = {host.host: host for host in plan.hosts}
        director = plans.get(DIRECTOR)
        self._open(plan)
        steps = director.steps if director else ()
        last = [step for step in steps if step.purpose == "persistence"]  # clients need none of it
        ground = [step for step in steps if not step.server and step not in last]
        ready = self._on_director(ground) if director and not director.problem else director is None
        per_server = {name: [step for step in steps if step.server == name] for name in plans}

        def work(host: HostPlan) -> None:
            self._server(host, per_server[host.host], ready)

        servers = [host for host in plan.hosts if host.host != DIRECTOR]
        side_by_side(((host.host, partial(work, host)) for host in servers), self._ended)
        self._on_director(last)
        return self._close(plan)

    def withdraw(self, plan: Plan) -> RunResult:
        """The other way round: the director stops sending, then the servers let go, then the ground is restored."""
        self._withdrawing = True
        plans = {host.host: host for host in plan.hosts}
        director = plans.get(DIRECTOR)
        self._open(plan)
        steps = director.steps if director else ()
        gone = self._on_director([step for step in steps if step.phase != "prepare"])
        gone = gone and not (director and director.problem)

        def work(host: HostPlan) -> None:
            self._server(host, (), True, wait_for_director=not gone)

        servers = [host for host in plan.hosts if host.host != DIRECTOR]
        side_by_side(((host.host, partial(work, host)) for host in servers), self._ended)
        self._on_director([step for step in steps if step.phase == "prepare"], ready=gone)
        return self._close(plan)

    # --- one server ----------------------------------------------------------------------------------------------

    def _server(
        self, host: HostPlan, on_director: Sequence[Step], ready: bool, wait_for_director: bool = False
    ) -> None:
        """All that is done about one server. Whatever goes wrong is its failure."""
        try:
            with blaming(host.host, "changed"):
                self._in_turn(host, on_director, ready, wait_for_director)
        except Defect as defect:
            self._fail(host.host, defect)
            told = {one.step for results in (host.host, DIRECTOR) for one in self._results.get(results, ())}
            left = [step for step in (*host.steps, *on_director) if step.id not in told]
            self._skip(left, "dsrwizard itself failed")

    def _in_turn(self, host: HostPlan, on_director: Sequence[Step], ready: bool, wait_for_director: bool) -> None:
        self._turn(host, on_director, ready, wait_for_director)
        if not self._revert_after and not self._withdrawing:
            self._keep(host.host)  # also what an earlier run left armed: never is never
        if host.host in self._armed and not self._withdrawing:
            told = f"{host.host} is not proved, so it puts itself back {self._revert_after:.0f} s after its last step."
            self._said(host.host, told)
            failure = self._failures.get(host.host)
            if failure is not None:
                self._failures[host.host] = msgspec.structs.replace(failure, why=f"{failure.why} {told}".strip())

    def _turn(self, host: HostPlan, on_director: Sequence[Step], ready: bool, wait_for_director: bool) -> None:
        name = host.host
        if host.problem:
            self._skip(host.steps, "it cannot be planned")
            return
        if wait_for_director and host.steps:
            self._failures[name] = Failure(
                kind="director", what="Left unchanged because the director still sends to it.",
                next="Fix the director, then run the teardown again.",
            )  # fmt: skip
            self._skip(host.steps, "the director still sends to it")
            return
        if self._stop.is_set():
            self._skip((*host.steps, *on_director), "stopped before it started")
            return
        still = self._still_sent(host, ready)
        if still:
            self._failures[name] = Failure(
                kind="director", what=f"{name} keeps the VIP: {still}.",
                why="A server that gets clients and lacks the VIP drops what they send.",
                next="Fix the director, then run this again.",
            )  # fmt: skip
            self._skip((*host.steps, *on_director), "the director still sends to it")
            return
        if host.steps and not self._on_server(name, host.steps):
            self._skip(on_director, f"{name} is not ready")
            return
        if not any(step.proof for step in on_director) and not self._keep_what_took(name):
            self._skip(on_director, f"{name} is not ready")
            return
        if on_director:
            if not ready:
                self._skip(on_director, "the director is not ready")
                return
            self._on_director(on_director)

    def _keep_what_took(self, name: str) -> bool:
        """Without a probe to wait for, what the look afterwards shows is the proof."""
        if name not in self._armed or self.took(name):
            return True
        refused = self._keep(name)
        if refused:
            self._failures.setdefault(name, Failure(kind="held", what=f"{name}: {refused}"))
        return not refused

    def _keep(self, name: str) -> str:
        """Tells the server to keep what was changed; empty when it does, otherwise why not."""
        if name not in self._armed:
            return ""
        try:
            self._hosts.port(self._servers[name]).keep()
        except DsrError as problem:
            return " ".join(problem.lines())
        self._armed.discard(name)
        self._emit(RevertOff(host=name, at=self._now()))
        return ""

    def _still_sent(self, host: HostPlan, ready: bool) -> str:
        """Why this host must keep the VIP that its steps would take; empty: they take none, or nothing is sent to it. A
        load balancer that cannot be asked is left to the operator, whom the plan has told."""
        if self._deployment.director.engine != "netlink" or all(taken(step) is None for step in host.steps):
            return ""
        if not ready:
            return "the director's own steps did not all succeed, so it may still send clients there"
        try:
            services = self._hosts.director.services()
        except LookError:
            return ""  # no table, nothing is sent
        addresses = addresses_of(self._servers.get(host.host), self._facts.get(host.host))
        sent = still_sent(host.steps, addresses, sent_now(services))
        return f"the director still sends clients there ({told(sent)})" if sent else ""

    def _on_server(self, name: str, steps: Sequence[Step]) -> bool:
        server = self._servers[name]
        watch = _ServerWatch(self, name)
        self.run.intend(server.address, *steps)
        try:
            after = 0.0 if self._withdrawing else self._revert_after
            facts = self._hosts.port(server).apply(steps, watch, after)
        except DsrError as problem:
            self._fail(name, problem)
            self._unreported([step for step in steps if step.id not in watch.reported], problem, watch.begun)
            return False
        for step in steps:
            if step.id not in watch.reported:
                self._result(step, Outcome.UNKNOWN, "the host did not report it")
        if facts is not None:
            self._facts[name] = facts
        else:
            self._facts.pop(name, None)  # what was seen before the steps says nothing of what they did
        return True

    def _unreported(self, steps: Sequence[Step], problem: DsrError, begun: bool) -> None:
        """What became of the steps the host told nothing about. Only a step that failed proves that those after it did
        not run; otherwise, once the script was sent, each of them may have."""
        for number, step in enumerate(steps):
            if problem.halfway and number == 0:
                self._result(step, Outcome.UNKNOWN, "it failed and could not be fully undone")
            elif (
                isinstance(problem, Defect)
                or (isinstance(problem, AnswerUnreadable) and problem.begun)
                or (begun and not isinstance(problem, CommandFailed | ConnectionLost))
            ):
                self._result(step, Outcome.UNKNOWN, "its result is not known; observe it again")
            elif isinstance(problem, ConnectionLost) and (begun or problem.begun):
                self._result(step, Outcome.UNKNOWN, "the connection broke; observe it again")
            else:
                self._result(step, Outcome.NOT_ATTEMPTED)

    def took(self, name: str) -> tuple[str, ...]:
        """Titles of the steps that are still needed though they reported success, as far as the look afterwards could
        see; empty: it took. Raises Defect."""
        facts = self._facts.get(name)
        try:
            server = self._deployment.server(name)
        except KeyError:
            return ()
        ran = {result.step for result in self._results.get(name, ())}
        with blaming(name, "checked afterwards"):
            steps = host_plan(self._deployment, server, facts).steps if facts else ()
        return tuple(step.title for step in steps if step.id in ran and not all(map(unseen, step.changes)))

    # --- the director --------------------------------------------------------------------------------------------

    def _on_director(self, steps: Sequence[Step], ready: bool = True) -> bool:
        """True when all of them worked; a step held back by its proof is no failure of the director."""
        fine = ready
        for step in steps:
            if not fine or self._stop.is_set():
                self._skip((step,), "stopped before it" if fine else "an earlier step failed")
                continue
            refused = (self._prove(step.proof) or self._keep(step.proof.server)) if step.proof is not None else ""
            if refused and step.proof is not None:
                self._hold(step, step.proof, refused)
                continue
            fine = self._change_director(step)
        return fine and not self._stop.is_set()

    def _hold(self, step: Step, proof: Gate, refused: str) -> None:
        where = f"{proof.vip} {proof.protocol}/{proof.port}"
        self._result(step, Outcome.HELD, refused)
        self._failures.setdefault(
            proof.server,
            Failure(
                kind="held",
                what=f"{proof.server} stays at weight {_weight(step)} in {where}: {refused}",
                why="A server gets clients only after the VIP has answered through it.",
                next="Run verify to find the cause, fix it, then apply again.",
            ),
        )

    def _change_director(self, step: Step) -> bool:
        self._started(DIRECTOR, step)
        self.run.intend("local", step)
        try:
            with self._director:  # one machine: one step at a time
                self._hosts.director.apply(step)
        except DsrError as problem:
            self._result(step, Outcome.UNKNOWN if problem.halfway else Outcome.FAILED, str(problem))
            self._fail(DIRECTOR, problem)
            return False
        self._result(step, Outcome.CHANGED)
        return True

    def _prove(self, proof: Gate) -> str:
        """Empty when the VIP answers through this server, otherwise what was seen instead."""
        service = self._deployment.service(proof.vip, proof.protocol, proof.port)
        target = ProbeTarget.of(proof.rip, proof.vip, service)
        refused = ""
        for _ in range(PROBE_TRIES):
            (answer,) = self._wire.probe(self._deployment.director.interface, [target])
            refused = judge(answer, self._facts.get(proof.server))
            if not refused or answer.signature == "unknown" or self._stop.is_set():
                break
        return refused

    # --- telling -------------------------------------------------------------------------------------------------

    def _open(self, plan: Plan) -> None:
        for host in plan.hosts:
            self._results[host.host] = []
            self._totals[host.host] = len(host.steps)
            self._emit(HostStarted(host=host.host, at=self._now(), steps=len(host.steps)))
            if host.problem:
                self._failures[host.host] = host.failure or Failure(kind="plan", what=host.problem)

    def _close(self, plan: Plan) -> RunResult:
        for host in plan.hosts:
            if host.host == DIRECTOR:
                self._save()
                self._ended(DIRECTOR, None)
        hosts = tuple(self._host_result(host.host) for host in plan.hosts)
        result = RunResult(deployment=self._deployment.name, hosts=hosts)
        self.run.end(result.ok)
        return result

    def _save(self) -> None:
        """What a boot of the director brings back is what this run leaves."""
        try:
            with self._director:
                self._hosts.director.save(self._deployment)
        except DsrError as problem:
            self._fail(DIRECTOR, problem)

    def _ended(self, name: str, what: Failure | None) -> None:
        if isinstance(what, Failure):
            self._failures.setdefault(name, what)
        changed = {step.outcome for step in self._results[name]} == {Outcome.CHANGED}
        missing: tuple[str, ...] = ()
        try:
            if changed and name not in self._failures and not self._withdrawing:
                missing = self.took(name)
        except Defect as defect:
            self._fail(name, defect)
        if missing:
            self._failures[name] = Failure(
                kind="took", what=f"{name}: it reported success, but these are still needed: {'; '.join(missing)}.",
                why="Something on that host changed them back immediately.",
                next="Look for another tool that manages that host.",
            )  # fmt: skip
        self._emit(HostFinished(host=name, at=self._now(), result=self._host_result(name)))

    def _host_result(self, name: str) -> HostResult:
        steps = tuple(self._results.get(name, ()))
        outcomes = {step.outcome for step in steps}
        failure = self._failures.get(name)
        if Outcome.UNKNOWN in outcomes:
            outcome = Outcome.UNKNOWN
        elif failure is not None:
            outcome = Outcome.HELD if failure.kind == "held" else Outcome.FAILED
        elif Outcome.NOT_ATTEMPTED in outcomes:
            outcome = Outcome.NOT_ATTEMPTED
        else:
            outcome = Outcome.CHANGED if Outcome.CHANGED in outcomes else Outcome.UNCHANGED
        return HostResult(host=name, outcome=outcome, steps=steps, failure=failure)

    def _skip(self, steps: Sequence[Step], why: str) -> None:
        for step in steps:
            self._note(step, StepResult(host=step.host, step=step.id, outcome=Outcome.NOT_ATTEMPTED, detail=why))

    def _fail(self, name: str, problem: DsrError) -> None:
        self._failures[name] = failure_of(problem)
        for line in "\n".join(problem.lines()).split("\n"):
            self._said(name, line)

    def _result(self, step: Step, outcome: Outcome, detail: str = "") -> None:
        self.run.result(step.host, step.id, outcome, detail)
        self._note(step, StepResult(host=step.host, step=step.id, outcome=outcome, detail=detail))

    def _note(self, step: Step, result: StepResult) -> None:
        self._results.setdefault(step.host, []).append(result)
        self._emit(StepFinished(host=step.host, at=self._now(), result=result))

    def _started(self, host: str, step: Step) -> None:
        number = self._numbers.get(host, 0) + 1
        self._numbers[host] = number
        self._emit(
            StepStarted(
                host=host, at=self._now(), step=step.id, title=step.title, number=number, of=self._totals.get(host, 0)
            )
        )

    def _made(self, host: str, step: Step, name: str, device: str, guid: str) -> None:
        self.run.made(self._servers[host].address, step, name, device, guid)

    def _arm(self, host: str, seconds: float) -> None:
        self._armed.add(host)
        self._emit(RevertArmed(host=host, at=self._now(), seconds=seconds))

    def _said(self, host: str, line: str) -> None:
        self._emit(HostSaid(host=host, at=self._now(), line=line))

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _emit(self, event: Event) -> None:
        with contextlib.suppress(Exception):  # a broken onlooker must not stop an apply half-way
            self._watch(event)


class _ServerWatch:
    """What one server tells of its steps: booked as it comes, for the run's result and for whoever watches the run.

    `begun`: a step has started. `reported`: ids of the steps whose end is known.
    """

    def __init__(self, applier: Applier, host: str) -> None:
        self._applier = applier
        self._host = host
        self.begun = False
        self.reported: set[str] = set()

    def started(self, step: Step) -> None:
        self.begun = True
        self._applier._started(self._host, step)

    def said(self, text: str) -> None:
        self._applier._said(self._host, text)

    def made(self, step: Step, name: str, device: str, guid: str) -> None:
        self._applier._made(self._host, step, name, device, guid)

    def armed(self, seconds: float) -> None:
        self._applier._arm(self._host, seconds)

    def finished(self, step: Step, worked: bool, said: str) -> None:
        if step.id in self.reported:
            return
        self.reported.add(step.id)
        if worked:
            self._applier._result(step, Outcome.CHANGED)
        else:
            self._applier._result(step, Outcome.FAILED, said)


def _weight(step: Step) -> int:
    """The weight a step that was held back leaves in place."""
    return next((c.old.weight for c in step.changes if isinstance(c, DestinationChange) and c.old is not None), 0)
