"""The director's steps of a run: one at a time, each proved where it must be; before a destination goes, its
connections are waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from dsrwizard.core.api import Patience
from dsrwizard.core.diagnosis.probe_verdict import judge
from dsrwizard.core.model.changes import DestinationChange
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Failure, ServerFacts
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.steps import DIRECTOR, Gate, Step
from dsrwizard.core.ports import ProbeTarget, WirePort
from dsrwizard.engine.draining import DestinationKey, Drain, removed
from dsrwizard.engine.hosts import Hosts
from dsrwizard.engine.telling import Telling

PROBE_TRIES = 3


class GateProof(NamedTuple):
    """What the probes of one gate came to. `refused`: empty when the VIP answers through that server, otherwise what
    was seen instead; `blind`: nothing was, for no packet could be sent."""

    refused: str = ""
    blind: bool = False


Proofs = Mapping[Gate, GateProof]


class DirectorSide:
    """`facts` are the servers', as they were last seen; they help to judge a probe. `keep` tells a proved server to
    keep what was changed, and says why it does not."""

    def __init__(
        self,
        deployment: Deployment,
        *,
        hosts: Hosts,
        wire: WirePort,
        telling: Telling,
        facts: Mapping[str, ServerFacts],
        stop: threading.Event,
        patience: Patience,
        keep: Callable[[str], str],
    ) -> None:
        self._deployment = deployment
        self._keep = keep
        self._hosts = hosts
        self._wire = wire
        self._tell = telling
        self._facts = facts
        self._stop = stop
        self._patience = patience
        self._one_at_a_time = threading.Lock()

    def carry_out(self, steps: Sequence[Step], ready: bool = True, proofs: Proofs | None = None) -> bool:
        """True when all of them worked; a step held back by its proof is no failure of the director. `proofs`: what is
        known already."""
        fine = ready
        left = removed(steps) if fine else {}
        cut: dict[str, int] = {}
        for step in steps:
            if not fine or self._stop.is_set():
                self._tell.skip((step,), "stopped before it" if fine else "an earlier step failed")
                continue
            if step in left.values():
                cut |= self._drained(left)
                left = {}
                if self._stop.is_set():
                    self._tell.skip((step,), "stopped before it")
                    continue
            if step.proof is not None and self._held_back(step, (step.proof, *step.beside), proofs or {}):
                continue
            fine = self._change(step, _cut(cut.get(step.id, 0)))
        return fine and not self._stop.is_set()

    def _held_back(self, step: Step, gates: Sequence[Gate], proofs: Proofs) -> bool:
        """Whether one of the gates is not proved, or the server does not keep what was changed."""
        for gate in gates:
            proof = proofs[gate] if gate in proofs else self.prove((gate,))[gate]
            refused = proof.refused or self._keep(gate.server)
            if refused:
                self.hold(step, gate, refused)
                return True
        return False

    def _drained(self, leaving: Mapping[DestinationKey, Step]) -> dict[str, int]:
        drain = Drain(leaving, self._hosts.director.services, self._tell.draining, self._patience, self._stop)
        return drain.wait()

    def hold(self, step: Step, gate: Gate, refused: str) -> None:
        """The step is left out for what was seen in place of its proof, and the real server is told of."""
        self._tell.result(step, Outcome.HELD, refused)
        self._tell.failures.setdefault(
            gate.server,
            Failure(
                kind="held",
                what=f"{gate.server} stays at weight {_weight(step)} in {place(gate)}: {refused}",
                why="A server gets clients only after the VIP has answered through it.",
                next="Run verify to find the cause, fix it, then apply again.",
            ),
        )

    def _change(self, step: Step, detail: str = "") -> bool:
        self._tell.started(DIRECTOR, step)
        self._tell.run.intend("local", step)
        try:
            with self._one_at_a_time:
                self._hosts.director.apply(step)
        except DsrError as problem:
            self._tell.result(step, Outcome.UNKNOWN if problem.halfway else Outcome.FAILED, str(problem))
            self._tell.fail(DIRECTOR, problem)
            return False
        self._tell.result(step, Outcome.CHANGED, detail)
        return True

    def save(self) -> None:
        """What a boot of the director brings back is what this run leaves."""
        try:
            with self._one_at_a_time:
                self._hosts.director.save(self._deployment)
        except DsrError as problem:
            self._tell.fail(DIRECTOR, problem)

    def prove(self, gates: Sequence[Gate]) -> dict[Gate, GateProof]:
        """Whether the VIPs answer through these servers, asked side by side, three times where one does not."""
        targets = {
            gate: ProbeTarget.of(gate.rip, gate.vip, self._deployment.service(gate.vip, gate.protocol, gate.port))
            for gate in gates
        }
        found: dict[Gate, GateProof] = {}
        for _ in range(PROBE_TRIES):
            again = [gate for gate in gates if gate not in found or (found[gate].refused and not found[gate].blind)]
            if not again or (found and self._stop.is_set()):
                break
            answers = self._wire.probe(self._deployment.director.interface, [targets[gate] for gate in again])
            for gate, answer in zip(again, answers, strict=True):
                refused = judge(answer, self._facts.get(gate.server))
                found[gate] = GateProof(refused, bool(refused) and answer.signature == "unknown")
        return found


def place(gate: Gate) -> str:
    return f"{gate.vip} {gate.protocol}/{gate.port}"


def _cut(count: int) -> str:
    """What a removal did to the connections that were left."""
    return f"{count} connection{' was' if count == 1 else 's were'} cut" if count else ""


def _weight(step: Step) -> int:
    """The weight a step that was held back leaves in place."""
    return next((c.old.weight for c in step.changes if isinstance(c, DestinationChange) and c.old is not None), 0)
