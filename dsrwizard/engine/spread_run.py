"""The run of a plan where several directors announce the VIPs by BGP: the real servers first, each proved; then the
directors, those beside this one first, each looked at before the next is touched, so that a table that does not take
is in one place alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.facts import DirectorFacts, ServerFacts, VirtualService
from dsrwizard.core.model.guarding import DestinationPlace
from dsrwizard.core.model.outcome import Outcome, RunResult
from dsrwizard.core.model.steps import DIRECTOR, Gate, Plan, Step
from dsrwizard.core.plan.order import leaves
from dsrwizard.core.plan.spread import not_taken
from dsrwizard.core.plan.standing import as_director
from dsrwizard.engine.apply import Applier
from dsrwizard.engine.director_side import GateProof
from dsrwizard.engine.draining import Drain, removed
from dsrwizard.engine.keepalived_run import LOOK_SECONDS, KeepalivedApplier


class SpreadApplier(KeepalivedApplier):
    """One run over one plan on directors that share the clients by BGP. Each step of a director that has a proof runs
    there with the proof that was made here: the VIP answers through that real server."""

    _gated: Sequence[Step] = ()
    _steps_of: Mapping[str, Sequence[Step]] = {}
    _proofs: Mapping[Gate, GateProof] = {}

    def apply(self, plan: Plan) -> RunResult:
        self._steps_of = {host.host: host.steps for host in self._of_directors(plan)}
        steps = [step for mine in self._steps_of.values() for step in mine if not leaves(step)]
        self._gated = [step for step in steps if step.proof is not None]
        if any(step.phase == "destination" for step in steps):
            self._prove_wave = None  # no director sends to them yet, so only probes can prove a wave
        return super().apply(plan)

    def _not_proved(self) -> list[DestinationPlace]:
        """Proves what the directors' steps wait for. Each step that waits for what is not proved is left out, so there
        is nothing to be held back beside."""
        gates = [gate for step in self._gated for gate in (*_gate(step), *step.beside)]
        self._proofs = self._director.prove(list(dict.fromkeys(gates)))
        return []

    def _put(self, name: str, steps: Sequence[Step], *, ready: bool = True) -> bool:
        if not steps:
            return ready
        steps = self._awaited(steps) if ready else steps
        if name == DIRECTOR:
            return self._director.carry_out(steps, ready, self._proofs)
        left = removed(steps)
        first = next((at for at, step in enumerate(steps) if step in left.values()), len(steps))
        ready = self._there(name, steps[:first], ready=ready)
        if first < len(steps) and ready:
            Drain(left, lambda: self._table_of(name), self._tell.draining, self._patience, self._stop).wait()
        return self._there(name, steps[first:], ready=ready)

    def _there(self, name: str, steps: Sequence[Step], *, ready: bool) -> bool:
        mine = [step for step in steps if not (ready and self._held_back(step))]
        return super()._put(name, mine, ready=ready)

    def _held_back(self, step: Step) -> bool:
        """Whether a step on another director waits for what is not proved."""
        for gate in (*_gate(step), *step.beside):
            proof = self._proofs.get(gate, GateProof("it was not proved"))
            refused = proof.refused or self._keep(gate.server)
            if refused:
                self._director.hold(step, gate, refused)
                return True
        return False

    def _awaited(self, steps: Sequence[Step]) -> list[Step]:
        """The steps without VIPs that no proved real server is behind: the director would refuse their clients."""
        mine: list[Step] = []
        for step in steps:
            behind = [one for one in steps if one.vip == step.vip and one.phase == "weight"]
            if step.awaits and behind and not any(map(self._proved_here, behind)):
                self._tell.skip((step,), "no real server behind it is proved")
            else:
                mine.append(step)
        return mine

    def _proved_here(self, step: Step) -> bool:
        return all(not self._proofs[gate].refused for gate in _gate(step) if gate in self._proofs)

    def _settled(self, name: str) -> bool:
        """Looks at a director whose steps are done; another one has said what it sees at their end."""
        done = [one.step for one in self._tell.results.get(name, ()) if one.outcome is Outcome.CHANGED]
        steps = [step for step in self._steps_of.get(name, ()) if step.id in done]

        def lacks() -> str:
            facts = self._director_at(name)
            return "it cannot be looked at" if facts is None else "; ".join(not_taken(steps, facts))

        seen = as_director(self._facts.get(name))
        if isinstance(seen, DirectorFacts) and not not_taken(steps, seen):
            return True
        missing = self._until(lacks, LOOK_SECONDS)
        return self._took(
            name, f"its steps are done, and yet this is not there: {missing}" if missing else "",
            "The directors after it were not touched.",
            "Look for another program that manages IPVS or the addresses there, then apply again.",
        )  # fmt: skip

    def _director_at(self, name: str) -> DirectorFacts | None:
        facts = self._facts_of(name)
        found = as_director(facts) if isinstance(facts, ServerFacts) else facts
        return found if isinstance(found, DirectorFacts) else None

    def _table_of(self, name: str) -> Sequence[VirtualService]:
        facts = self._director_at(name)
        if facts is None or facts.services is None:
            raise LookError(f"The table of {name} could not be read.")
        return facts.services

    def _drain(self, steps: Sequence[Step]) -> None:
        """Each director waits for its own connections, right before it removes the destination."""

    def _forgotten(self, name: str) -> None:
        """A table is as it was written: nobody has to be waited for."""


def kind_of(deployment: Deployment) -> type[Applier]:
    """What carries out a run of this deployment."""
    if deployment.director.spread:
        return SpreadApplier
    return KeepalivedApplier if deployment.director.engine == "keepalived" else Applier


def _gate(step: Step) -> tuple[Gate, ...]:
    return (step.proof,) if step.proof is not None else ()
