"""A Loadbalancer.org appliance as the port of a run (`core.ports.BalancerPort`).

No transaction exists, and no status is trusted alone: after the requests of a change the configuration is read again,
as the maker's own code does, and what is missing then is an error. It keeps every change over its reboot by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from backends.appliance import door
from backends.appliance.door import Management, shown_certificate
from backends.appliance.https import AnswerHeard
from backends.appliance.weights import ByWeight
from backends.loadbalancer_org.lbcli import DUMP, LBCLI_API, Lbcli, LbcliRefused
from backends.loadbalancer_org.looking import facts_of, look
from backends.memory import Memory, memory_of
from backends.winrm.trust import Trust, check_certificate
from dsrwizard.core.dialects.loadbalancer_org.calls import RELOAD, calls
from dsrwizard.core.dialects.loadbalancer_org.reading import services
from dsrwizard.core.model.balancer_facts import BalancerFacts, LbcliCall, Ldirectord
from dsrwizard.core.model.changes import Change, DestinationChange, SaveChange
from dsrwizard.core.model.deployment import Balancer, Deployment
from dsrwizard.core.model.errors import ConnectionLost, DsrError, HostError, LoginRefused, LookError
from dsrwizard.core.model.facts import VirtualService
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.model.steps import Step
from dsrwizard.core.plan.order import leaves
from dsrwizard.core.ports import Asker, SecretQuestion

TRIES = 2
"""How often password and key are asked for."""
ROUNDS = 3
"""How often a change is worked out anew where an answer was lost."""
FRESH_SECONDS = 5.0
"""How old what it is set to may be for the live view."""
T = TypeVar("T")


class LoadbalancerOrg(ByWeight):
    """One operator's way to it. Requests are made one at a time."""

    def __init__(
        self, deployment: Deployment, asker: Asker, *, memory: Memory | None = None, heard: AnswerHeard | None = None
    ) -> None:
        self._balancer = deployment.balancer or Balancer()
        self._asker = asker
        self._memory = memory or memory_of(asker)
        self._heard = heard
        self._lock = threading.RLock()
        self._lbcli: Lbcli | None = None
        self._config: tuple[float, Ldirectord] | None = None
        self._over = False

    # --- looking -------------------------------------------------------------------------------------------------

    def observe(self, deployment: Deployment) -> BalancerFacts:
        with self._lock:
            facts = self._get(lambda lbcli: facts_of(lbcli, deployment))
            self._config = (time.monotonic(), facts.ldirectord)
            return facts

    def services(self, deployment: Deployment) -> Sequence[VirtualService]:
        with self._lock:
            known = self._config
            if known is None or time.monotonic() - known[0] > FRESH_SECONDS:
                known = self._config = (time.monotonic(), self._get(look))
            return services(deployment, known[1])

    def farm(self) -> Ldirectord:
        """Every virtual service, whoever made it. Changes nothing."""
        with self._lock:
            return self._get(look)

    # --- changing ------------------------------------------------------------------------------------------------

    def apply(self, deployment: Deployment, step: Step) -> None:
        with self._lock:
            sent: list[LbcliCall] = []
            try:
                for change in step.changes:
                    self._carry_out(deployment, change, leaves(step), sent)
            except DsrError as problem:
                problem.halfway = problem.halfway or bool(sent) or getattr(problem, "begun", False) is True
                raise
            finally:
                self._config = None

    def _carry_out(self, deployment: Deployment, change: Change, leaving: bool, sent: list[LbcliCall]) -> None:
        """Makes the requests that a change needs, and sees that they took; `sent` gets them."""
        if isinstance(change, SaveChange):
            return
        unsure: DsrError | None = None
        done: tuple[LbcliCall, ...] = ()
        for _ in range(ROUNDS):
            todo = calls(change, self._get(look), deployment, leaves=leaving)
            if not todo:
                if unsure is not None:  # what it reads at the end may not have been reached
                    self._open().send([RELOAD])
                return
            if todo == done:
                raise unsure or HostError(
                    f"Loadbalancer.org: {todo[0].text} did not take.",
                    "It refused nothing, and its configuration is as before.",
                    "Look at that service there, and send us what it says (docs: What to send us).",
                )
            unsure = None
            try:
                for call in todo:
                    self._open().send(call.actions)
                    sent.append(call)
                done = todo
            except ConnectionLost as lost:
                unsure = lost
                self._drop()
            except HostError as lost:
                if isinstance(lost, LbcliRefused | LoginRefused):
                    raise
                unsure = lost
        if calls(change, self._get(look), deployment, leaves=leaving):
            raise unsure or HostError(
                "Loadbalancer.org: its configuration changes all the time.", "", "Look at it there."
            )
        if unsure is not None:
            self._open().send([RELOAD])

    def _weigh(self, deployment: Deployment, change: DestinationChange) -> None:
        with self._lock:
            self._config = None
            self._carry_out(deployment, change, False, [])

    def save(self) -> None:
        """It does that by itself."""

    # --- the way there -------------------------------------------------------------------------------------------

    def close(self) -> None:
        with self._lock:
            self._over = True
            self._drop()

    def _drop(self) -> None:
        if self._lbcli is not None:
            self._lbcli.close()
            self._lbcli = None

    def _get(self, work: Callable[[Lbcli], T]) -> T:
        """Reading, once more where the connection has ended."""
        try:
            return work(self._open())
        except ConnectionLost:
            self._drop()
            return work(self._open())

    def _open(self) -> Lbcli:
        if self._over:
            raise LookError("The Loadbalancer.org was not asked: its connection is closed.")
        if self._lbcli is None:
            self._lbcli = self._found()
        return self._lbcli

    def _found(self) -> Lbcli:
        """The first address of the file that answers."""
        problems: list[DsrError] = []
        for address in self._balancer.addresses:
            try:
                place = door.management(LBCLI_API, self._balancer, address)
                trust = check_certificate(place, shown_certificate(place), self._asker)
                return self._let_in(place, trust)
            except LoginRefused:
                raise
            except DsrError as problem:
                problems.append(problem)
        raise problems[0] if problems else LookError("[balancer] has no address.")

    def _let_in(self, place: Management, trust: Trust) -> Lbcli:
        slots = [("loadbalancer.org", what, place.user, self._balancer.addresses) for what in ("password", "key")]
        questions = [
            SecretQuestion(kind="balancer", host=place.host, user=place.user, detail=f"at {place.at}"),
            SecretQuestion(kind="api-key", host=place.host, user=place.user, detail=f"at {place.at}"),
        ]
        wrong: Sequence[Secret | None] = [None, None]
        for _ in range(TRIES):
            given: list[Secret] = []
            for slot, question, failed in zip(slots, questions, wrong, strict=True):
                secret = self._memory.obtain(self._asker, slot, question, failed)
                if secret is None:
                    break
                given.append(secret)
            if len(given) < len(slots):
                break
            lbcli = Lbcli(place, trust, given[0], given[1], self._heard)
            try:
                lbcli.read(DUMP)
            except LoginRefused:
                wrong = given
                lbcli.close()
                continue
            except BaseException:  # ctrl+c, too, leaves no connection open there
                lbcli.close()
                raise
            return lbcli
        for slot, failed in zip(slots, wrong, strict=True):
            self._memory.drop(slot, failed)
        raise LoginRefused(
            f"{place.host}: login as {place.user} at {place.at} was refused.",
            f"Password and key were tried {TRIES} times; it does not say which is wrong."
            if all(wrong) else "No password or no key was given.",
            "Check user under [balancer]. On it: lbcli --action api --function get",
        )  # fmt: skip
