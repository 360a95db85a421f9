"""The run of a plan: the director's own settings first, then the real servers wave by wave, those of one side by side,
each followed by its own destinations, probe and weights; what is no longer in the deployment goes last.

Every step is in the journal before it runs. A host that fails stops neither the director nor the others of its wave.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import msgspec

from dsrwizard.core.api import Patience
from dsrwizard.core.dialects.windows.commands import unseen
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.errors import AnswerUnreadable, CommandFailed, ConnectionLost, DsrError, LookError
from dsrwizard.core.model.events import Observer
from dsrwizard.core.model.facts import Failure, ServerFacts
from dsrwizard.core.model.keepalived import hosts_of
from dsrwizard.core.model.outcome import Outcome, RunResult
from dsrwizard.core.model.steps import DIRECTOR, Gate, HostPlan, Plan, Step
from dsrwizard.core.plan.order import leaves, newcomers
from dsrwizard.core.plan.plan import host_plan
from dsrwizard.core.plan.sending import addresses_of, sent_now, still_sent, taken, told
from dsrwizard.core.plan.waves import ORDINALS, names, of_host
from dsrwizard.core.ports import WirePort
from dsrwizard.engine.defects import Defect, blaming
from dsrwizard.engine.director_side import DirectorSide, place
from dsrwizard.engine.hosts import Hosts, side_by_side
from dsrwizard.engine.journal import Run
from dsrwizard.engine.server_watch import ServerWatch
from dsrwizard.engine.stopping import BoundedStop
from dsrwizard.engine.telling import Telling

ProveWave = Callable[[Sequence[str]], Mapping[str, str]]
"""Asks as a client does after a wave: real server (or another host) → what is wrong, in a sentence. Empty: proved."""


class Applier:
    """One run over one plan. `stop` set: what runs is finished, nothing new is begun, and a server that
    says nothing more is not waited for (`BoundedStop`).

    `facts` are the servers' as last observed; `leaving` are servers that are no longer in the deployment; `patience`
    says how long a removal waits for connections; `prove_wave` asks after a wave what its own probes do not.
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
        patience: Patience | None = None,
        prove_wave: ProveWave | None = None,
        revert_after: float = 0.0,
    ) -> None:
        self._revert_after = revert_after
        self._deployment = deployment
        self._servers = {server.name: server for server in (*leaving, *hosts_of(deployment))}
        self._hosts = hosts
        self._patience = patience or Patience()
        self.run = run
        self._stop = stop or threading.Event()
        self._facts = dict(facts or {})
        self._armed = {name for name, seen in self._facts.items() if seen.undo.armed is not None}
        """Servers that take this run's steps back by themselves unless they are told to keep them."""
        self._tell = Telling(deployment.name, run, watch)
        self._bounded = BoundedStop(hosts, self._stop, self._tell)
        self._director = DirectorSide(
            deployment, hosts=hosts, wire=wire, telling=self._tell, facts=self._facts, stop=self._stop,
            patience=self._patience, keep=self._keep,
        )  # fmt: skip
        self._prove_wave = prove_wave
        self._withdrawing = False
        self._ready = True
        """Whether the director can take destinations."""
        self._by_wave = False
        self._blocked = ""
        """Why no further wave is begun."""
        self._awaiting: list[Step] = []
        """VIPs that are put up with the first real server behind them that is proved."""
        self._putting_up = threading.Lock()

    # --- towards the deployment ----------------------------------------------------------------------------------

    def apply(self, plan: Plan) -> RunResult:
        """Guard, VIP, destination at weight 0, probe, weight: in this order for every server."""
        plan = self._changed_here(plan)
        self._tell.open(plan)
        self._by_wave = bool(plan.waves)
        director = of_host(plan, DIRECTOR)
        steps = [step for step in director.steps if not leaves(step)] if director else []
        served = {step.vip for step in steps if step.server}
        self._awaiting = [step for step in steps if step.awaits and step.vip in served]
        last = [step for step in steps if step.purpose == "persistence"]  # clients need none of it
        ground = [step for step in steps if not step.server and step not in (*self._awaiting, *last)]
        if director is not None:
            self._ready = self._director.carry_out(ground) if not director.problem else False
        for number, hosts in enumerate(in_waves(plan), 1):
            self._wave(plan, number, hosts)
        self._tell.skip(self._awaiting, "no real server behind it is proved")
        self._leave(plan)
        self._director.carry_out(last)
        return self._close(plan)

    def _changed_here(self, plan: Plan) -> Plan:
        """Without a load balancer that is set up by hand: it has notes alone, and nothing of it is looked at."""
        director = of_host(plan, DIRECTOR)
        if self._deployment.director.driven or director is None or director.steps or director.problem:
            return plan
        return msgspec.structs.replace(plan, hosts=tuple(host for host in plan.hosts if host is not director))

    def _wave(self, plan: Plan, number: int, hosts: Sequence[HostPlan]) -> None:
        if plan.waves and not self._blocked and not self._stop.is_set():
            self._tell.wave(number, len(plan.waves), plan.waves[number - 1].servers)
        director = of_host(plan, DIRECTOR)

        def work(host: HostPlan) -> None:
            on_director = [s for s in (director.steps if director else ()) if s.server == host.host and not leaves(s)]
            self._guarded(host.host, [s for s in host.steps if not leaves(s)], on_director, self._in_turn)
            self._say_if_armed(host.host)

        def finished(name: str, what: Failure | None) -> None:
            host = of_host(plan, name)
            if host is None or not any(map(leaves, host.steps)):  # what leaves a host is its last part
                self._ended(name, what)

        able = [host for host in hosts if not host.problem]
        for host in hosts:
            if host.problem:
                self._tell.skip([s for s in host.steps if not leaves(s)], "it cannot be planned")
                finished(host.host, None)
        side_by_side(((host.host, partial(work, host)) for host in able), finished)
        if number < len(plan.waves) and not self._blocked and not self._stop.is_set():
            self._judge_wave(plan, number)

    def _judge_wave(self, plan: Plan, number: int) -> None:
        """Whether the next wave may begin."""
        wave = plan.waves[number - 1].servers
        failed = [name for name in wave if not self._well(plan, name)]
        if not failed and self._prove_wave is not None:
            self._tell.said(DIRECTOR, f"Asking for {names(wave)} as a client does, before the next wave")
            for about, what in self._prove_wave(wave).items():
                name = about if about in self._tell.results else wave[0]
                self._unproved(name, what)
                self._tell.finished(name)
                failed.append(name)
        if failed:
            self._blocked = f"{names(failed)} failed in the {ORDINALS[number - 1]} wave"

    def _well(self, plan: Plan, name: str) -> bool:
        director = of_host(plan, DIRECTOR)
        behind = [s for s in (director.steps if director else ()) if s.server == name and not leaves(s)]
        fine = (Outcome.CHANGED, Outcome.UNCHANGED)
        return self._tell.host_result(name).outcome in fine and all(self._tell.outcome(s) in fine for s in behind)

    def _guarded(
        self,
        name: str,
        own: Sequence[Step],
        on_director: Sequence[Step],
        work: Callable[[str, Sequence[Step], Sequence[Step]], None],
    ) -> None:
        """All that is done about one server. Whatever goes wrong is its failure."""
        try:
            with blaming(name, "changed"):
                work(name, own, on_director)
        except Defect as defect:
            self._tell.fail(name, defect)
            left = [step for step in (*own, *on_director) if self._tell.outcome(step) is None]
            self._tell.skip(left, "dsrwizard itself failed")

    def _in_turn(self, name: str, own: Sequence[Step], on_director: Sequence[Step]) -> None:
        if self._blocked or self._stop.is_set():
            self._tell.skip((*own, *on_director), self._blocked or "stopped before it started")
            return
        if self._keeps_vip(name, own, self._ready):
            self._tell.skip(on_director, "the director still sends to it")
            return
        kept = not own or self._on_server(name, own, self._revert_after)
        if kept and not any(step.proof for step in on_director):
            kept = self._keep_what_took(name)
        if not kept:
            self._tell.skip(on_director, f"{name} is not ready")
            return
        if on_director and not self._ready:
            self._tell.skip(on_director, "the director is not ready")
            return
        if not own:
            self._clear_note(name)
            if not on_director:
                return
        weights = [step for step in on_director if step.phase == "weight"]
        fine = self._director.carry_out([step for step in on_director if step not in weights], self._ready)
        proofs = self._director.prove(self._gates(name)) if self._by_wave else {}
        self._director.carry_out(weights, fine, proofs)
        self._put_up(on_director)
        refused = {gate: one.refused for gate, one in proofs.items() if one.refused and not one.blind}
        if self._by_wave and refused and self._servers[name].connect != "manual":
            gate = next(iter(refused))
            self._unproved(name, f"the VIP does not answer through it in {place(gate)}: {refused[gate]}")

    def _say_if_armed(self, name: str) -> None:
        if not self._revert_after:
            self._keep(name)  # also what an earlier run left armed: never is never
        if name in self._armed:
            said = f"{name} is not proved, so it puts itself back {self._revert_after:.0f} s after its last step."
            self._tell.said(name, said)
            failure = self._tell.failures.get(name)
            if failure is not None:
                self._tell.failures[name] = msgspec.structs.replace(failure, next=f"{failure.next} {said}".strip())

    def _keep_what_took(self, name: str) -> bool:
        """Without a probe to wait for, what the look afterwards shows is the proof."""
        if name not in self._armed or self.took(name):
            return True
        refused = self._keep(name)
        if refused:
            self._tell.failures.setdefault(name, Failure(kind="held", what=f"{name}: {refused}"))
        return not refused

    def _keep(self, name: str) -> str:
        """Tells the server to keep what was changed; empty when it does, otherwise why not."""
        if name not in self._armed:
            return ""
        try:
            with self._bounded.wait(self._servers[name]):
                self._hosts.port(self._servers[name]).keep()
        except DsrError as problem:
            return " ".join(problem.lines())
        self._armed.discard(name)
        self._tell.kept(name)
        return ""

    def _clear_note(self, name: str) -> None:
        """What an undo has left on a server that this run changes nothing on: whoever changes it removes that, too."""
        seen = self._facts.get(name)
        if seen is None or not (seen.undo.reverted or seen.undo.ended) or name in self._armed:
            return
        try:
            with self._bounded.wait(self._servers[name]):
                self._hosts.port(self._servers[name]).clear_note()
        except DsrError as problem:
            self._tell.said(name, f"{name} keeps the note of its undo: {problem.what}")

    def _keeps_vip(self, name: str, own: Sequence[Step], ready: bool) -> bool:
        """Whether this host must keep the VIP that its steps would take; then they are left out."""
        still = self._still_sent(name, own, ready)
        if still:
            self._tell.failures[name] = Failure(
                kind="director", what=f"{name} keeps the VIP: {still}.",
                why="A server that gets clients and lacks the VIP drops what they send.",
                next="Fix the director, then run this again.",
            )  # fmt: skip
            self._tell.skip(own, "the director still sends to it")
        return bool(still)

    def _still_sent(self, name: str, own: Sequence[Step], ready: bool) -> str:
        """Why the VIP must stay; empty: the steps take none, or nothing is sent to the host. A load balancer that
        cannot be asked is left to the operator, whom the plan has told."""
        if not self._deployment.director.driven or all(taken(step) is None for step in own):
            return ""
        if not ready:
            return "the director's own steps did not all succeed, so it may still send clients there"
        try:
            services = self._hosts.director.services()
        except LookError:
            return ""  # no table, nothing is sent
        addresses = addresses_of(self._servers.get(name), self._facts.get(name))
        sent = still_sent(own, addresses, sent_now(services))
        return f"the director still sends clients there ({told(sent)})" if sent else ""

    def _gates(self, name: str) -> list[Gate]:
        """Every service that clients may be given through this server."""
        server = self._servers[name]
        if not server.weight:
            return []
        return [
            Gate(server=name, rip=rip, vip=vip.address, protocol=service.protocol, port=service.port)
            for vip in self._deployment.vips_of(server)
            if (rip := server.rip_for(vip)) is not None
            for service in vip.services
        ]

    def _put_up(self, on_director: Sequence[Step]) -> None:
        """The VIPs of which this server is the first that is proved. Before, the director would refuse every client,
        and take the VIP from whoever serves it today."""
        with self._putting_up:
            for step in [*self._awaiting]:
                behind = [one for one in on_director if one.vip == step.vip]
                if any(self._proved(one, behind) for one in behind):
                    self._awaiting.remove(step)
                    self._ready = self._director.carry_out((step,)) and self._ready

    def _proved(self, destination: Step, steps: Iterable[Step]) -> bool:
        """Whether a destination that a step made is proved: it has its weight, if it is to have one."""
        about = (destination.vip, destination.service, destination.server)
        weights = [one for one in steps if one.phase == "weight" and (one.vip, one.service, one.server) == about]
        return all(self._tell.outcome(one) is Outcome.CHANGED for one in (destination, *weights))

    def _unproved(self, name: str, what: str) -> None:
        self._tell.failures.setdefault(
            name,
            Failure(
                kind="proof", what=f"{name}: {what}",
                why="A wave is proved before the next one begins, so the servers after it were left alone.",
                next="Run verify to find the cause, fix it, then apply again; or take it back with teardown.",
            ),
        )  # fmt: skip

    # --- away from it --------------------------------------------------------------------------------------------

    def withdraw(self, plan: Plan) -> RunResult:
        """The other way round: the director stops sending, then the servers let go, then the ground is restored."""
        self._withdrawing = True
        self._tell.open(plan)
        director = of_host(plan, DIRECTOR)
        steps = director.steps if director else ()
        gone = self._director.carry_out([step for step in steps if step.phase != "prepare"])
        gone = gone and not (director and director.problem)
        own = {host.host: host.steps for host in plan.hosts if host.host != DIRECTOR}
        self._let_go(plan, own, gone)
        for name in [one for one in self._facts if one in self._servers and not own.get(one)]:
            self._clear_note(name)
        self._director.carry_out([step for step in steps if step.phase == "prepare"], ready=gone)
        return self._close(plan)

    def _leave(self, plan: Plan) -> None:
        """What is no longer in the deployment goes, once all that has come is proved."""
        leaving = {host.host: [step for step in host.steps if leaves(step)] for host in plan.hosts}
        leaving = {name: steps for name, steps in leaving.items() if steps}
        if not leaving:
            return
        kept = self._why_kept(plan)
        director = of_host(plan, DIRECTOR)
        steps = leaving.pop(DIRECTOR, [])
        if kept:
            self._tell.skip(steps, kept)
            for name, own in leaving.items():
                self._tell.skip(own, kept)
                self._ended(name, None)
            return
        gone = self._director.carry_out(steps) and not (director and director.problem)
        self._let_go(plan, leaving, gone)

    def _why_kept(self, plan: Plan) -> str:
        """Why nothing is taken away yet; empty: it may go."""
        if self._stop.is_set() or self._blocked:
            return self._blocked or "stopped before it"
        director = of_host(plan, DIRECTOR)
        steps = director.steps if director else ()
        late = [step.server for step in newcomers(plan) if not self._proved(step, steps)]
        missing = list(dict.fromkeys(late))
        verb = "is" if len(missing) == 1 else "are"
        return f"it stays until its replacement serves: {names(missing)} {verb} not proved" if missing else ""

    def _let_go(self, plan: Plan, steps: Mapping[str, Sequence[Step]], gone: bool) -> None:
        """The servers' part, side by side. `gone`: the director no longer sends to them."""

        def work(host: HostPlan) -> None:
            if host.problem:
                self._tell.skip(steps[host.host], "it cannot be planned")
                return
            self._guarded(host.host, steps[host.host], (), partial(self._without, gone))

        hosts = [host for host in plan.hosts if host.host in steps]
        side_by_side(((host.host, partial(work, host)) for host in hosts), self._ended)

    def _without(self, gone: bool, name: str, own: Sequence[Step], on_director: Sequence[Step]) -> None:
        if own and not gone and not self._stop.is_set():
            self._tell.failures[name] = Failure(
                kind="director", what="Left unchanged because the director still sends to it.",
                next="Fix the director, then run the teardown again.",
            )  # fmt: skip
            self._tell.skip(own, "the director still sends to it")
        elif self._stop.is_set():
            self._tell.skip(own, "stopped before it started")
        elif own and not self._keeps_vip(name, own, gone):
            self._on_server(name, own)

    # --- one server ----------------------------------------------------------------------------------------------

    def _on_server(self, name: str, steps: Sequence[Step], revert_after: float = 0.0) -> bool:
        server = self._servers[name]
        watch = ServerWatch(self._tell, server, self._armed)
        self.run.intend(server.address, *steps)
        try:
            with self._bounded.wait(server, lambda: watch.heard):
                facts = self._hosts.port(server).apply(steps, watch, revert_after)
        except DsrError as problem:
            self._tell.fail(name, problem)
            self._unreported([step for step in steps if step.id not in watch.reported], problem, watch.begun)
            return False
        for step in steps:
            if step.id not in watch.reported:
                self._tell.result(step, Outcome.UNKNOWN, "the host did not report it")
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
                self._tell.result(step, Outcome.UNKNOWN, "it failed and could not be fully undone")
            elif (
                isinstance(problem, Defect)
                or (isinstance(problem, AnswerUnreadable) and problem.begun)
                or (begun and not isinstance(problem, CommandFailed | ConnectionLost))
            ):
                self._tell.result(step, Outcome.UNKNOWN, "its result is not known; observe it again")
            elif isinstance(problem, ConnectionLost) and (begun or problem.begun):
                self._tell.result(step, Outcome.UNKNOWN, "the connection broke; observe it again")
            else:
                self._tell.result(step, Outcome.NOT_ATTEMPTED)

    def took(self, name: str) -> tuple[str, ...]:
        """Titles of the steps that are still needed though they reported success, as far as the look afterwards could
        see; empty: it took. Raises Defect."""
        facts = self._facts.get(name)
        try:
            server = self._deployment.server(name)
        except KeyError:
            return ()
        ran = {result.step for result in self._tell.results.get(name, ())}
        with blaming(name, "checked afterwards"):
            steps = host_plan(self._deployment, server, facts).steps if facts else ()
        return tuple(step.title for step in steps if step.id in ran and not all(map(unseen, step.changes)))

    # --- the end -------------------------------------------------------------------------------------------------

    def _close(self, plan: Plan) -> RunResult:
        if of_host(plan, DIRECTOR) is not None:
            self._director.save()
            self._ended(DIRECTOR, None)
        return self._tell.close(plan)

    def _ended(self, name: str, what: Failure | None) -> None:
        if isinstance(what, Failure):
            self._tell.failures.setdefault(name, what)
        changed = {step.outcome for step in self._tell.results[name]} == {Outcome.CHANGED}
        missing: tuple[str, ...] = ()
        try:
            if changed and name not in self._tell.failures and not self._withdrawing:
                missing = self.took(name)
        except Defect as defect:
            self._tell.fail(name, defect)
        if missing:
            self._tell.failures[name] = Failure(
                kind="took", what=f"{name}: it reported success, but these are still needed: {'; '.join(missing)}.",
                why="Something on that host changed them back immediately.",
                next="Look for another tool that manages that host.",
            )  # fmt: skip
        self._tell.finished(name)


def in_waves(plan: Plan) -> list[list[HostPlan]]:
    """The real servers by wave; those of no wave have nothing to do, and are told of with the first."""
    waves = [set(wave.servers) for wave in plan.waves] or [set()]
    named = set().union(*waves)
    servers = [host for host in plan.hosts if host.host != DIRECTOR]
    return [
        [host for host in servers if host.host in wave or (number == 0 and host.host not in named)]
        for number, wave in enumerate(waves)
    ]
