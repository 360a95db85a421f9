"""A NetScaler, or the primary of a pair, as the port of a run (`core.ports.BalancerPort`).

Nothing is changed on a secondary: before every call that changes something the role is asked for, and after a failover
the other node is read anew and gets what it still lacks. No transaction exists: a step is as many calls as it needs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from backends.appliance.door import shown_certificate
from backends.appliance.https import AnswerHeard
from backends.appliance.weights import ByWeight
from backends.memory import Memory, memory_of
from backends.netscaler import door
from backends.netscaler.looking import facts_of, farm, look
from backends.netscaler.nitro import EXISTS, MISSING, SAVING, Nitro, NitroRefused, NitroRow, SessionOver
from backends.winrm.trust import check_certificate
from dsrwizard.core.dialects.netscaler.calls import SAVE, calls, take
from dsrwizard.core.dialects.netscaler.reading import services
from dsrwizard.core.model.balancer_facts import BalancerFacts, Box, NitroCall
from dsrwizard.core.model.changes import Change, DestinationChange, SaveChange
from dsrwizard.core.model.deployment import Balancer, Deployment
from dsrwizard.core.model.errors import (
    AnswerUnreadable,
    ConnectionLost,
    DsrError,
    HostError,
    LoginRefused,
    LookError,
    NoPrivilege,
)
from dsrwizard.core.model.facts import VirtualService
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.model.steps import Step
from dsrwizard.core.plan.order import leaves
from dsrwizard.core.ports import Asker, SecretQuestion

TRIES = 2
"""How often a password is asked for."""
SAVE_AGAIN, SAVE_SECONDS = 10.0, 300.0
"""While another session saves, ours is refused: how often it is tried again, and for how long (nsconfig_save of the
Terraform provider)."""
FRESH_SECONDS = 5.0
"""How old what it is set to may be for a look at the counters."""
MOST_SWITCHES = 3
"""Failovers within one step; more is no pair that can be worked on."""
T = TypeVar("T")


class NetScaler(ByWeight):
    """One operator's way to it. Calls are made one at a time."""

    def __init__(
        self, deployment: Deployment, asker: Asker, *, memory: Memory | None = None, save_again: float = SAVE_AGAIN,
        heard: AnswerHeard | None = None,
    ) -> None:  # fmt: skip
        self._balancer = deployment.balancer or Balancer()
        self._asker = asker
        self._memory = memory or memory_of(asker)
        self._save_again = save_again
        self._heard = heard
        self._lock = threading.RLock()
        self._session: Nitro | None = None
        self._box: tuple[float, Box] | None = None
        self._changed = False
        """Something was changed and is not saved."""
        self._others_unsaved: bool | None = None
        """Whether somebody had left something unsaved before we changed anything; None: not asked yet."""
        self._over = False

    # --- looking -------------------------------------------------------------------------------------------------

    def observe(self, deployment: Deployment) -> BalancerFacts:
        with self._lock:
            facts = self._get(lambda nitro: facts_of(nitro, deployment))
            self._box = (time.monotonic(), facts.box)
            return facts

    def services(self, deployment: Deployment) -> Sequence[VirtualService]:
        with self._lock:
            box = self._box
            if box is None or time.monotonic() - box[0] > FRESH_SECONDS:
                box = (time.monotonic(), self._get(lambda nitro: look(nitro, deployment)))
                self._box = box
            rows = self._get(lambda nitro: nitro.get("stat/service"))
            return services(deployment, box[1], {row.get("name", ""): row for row in rows})

    def read_all(self, deployment: Deployment) -> None:
        """Every read of a run, and that of its version."""
        with self._lock:
            with suppress(NitroRefused, NoPrivilege, AnswerUnreadable):
                self._get(lambda nitro: nitro.get("config/nsversion"))
            self.observe(deployment)
            self.services(deployment)

    def farm(self) -> Box:
        """Every virtual server in MAC mode with what is behind it, whoever made it. Changes nothing."""
        with self._lock:
            return self._get(farm)

    # --- changing ------------------------------------------------------------------------------------------------

    def apply(self, deployment: Deployment, step: Step) -> None:
        with self._lock:
            sent = 0
            try:
                for change in step.changes:
                    for _ in self._carried_out(deployment, change, leaves(step)):
                        sent += 1
            except DsrError as problem:
                problem.halfway = problem.halfway or sent > 0 or getattr(problem, "begun", False) is True
                raise
            finally:
                self._box = None

    def _carried_out(self, deployment: Deployment, change: Change, leaving: bool) -> Sequence[NitroCall]:
        """Makes the calls that a change needs, and returns them."""
        if isinstance(change, SaveChange):
            if self._get(_unsaved) is not False:
                self._save()
            return ()
        made: list[NitroCall] = []
        again = 0
        box = self._get(lambda nitro: look(nitro, deployment))
        while todo := calls(change, box, deployment, leaves=leaving):
            call = todo[0]
            nitro, moved = self._primary()
            if moved:
                again = self._once_more(again, None)
                box = self._get(lambda one: look(one, deployment))
                continue
            try:
                self._before_the_first(nitro)
                nitro.send(call.method, call.path, call.body)
            except NitroRefused as refused:
                if refused.code == MISSING and call.method == "DELETE":
                    take(box, call)
                    continue
                if refused.code != EXISTS:
                    raise
                again = self._once_more(again, refused)  # somebody was faster; what is there now may be used
                box = self._get(lambda one: look(one, deployment))
                continue
            except (ConnectionLost, SessionOver) as lost:
                again = self._once_more(again, lost if isinstance(lost, DsrError) else None)
                self._drop()
                box = self._get(lambda one: look(one, deployment))
                continue
            made.append(call)
            self._changed = True
            take(box, call)
        return made

    def _once_more(self, count: int, problem: DsrError | None) -> int:
        if count >= MOST_SWITCHES:
            raise problem or HostError(
                "NetScaler: the node that answered as primary gave that up again and again.", "",
                "Look at the pair (show ha node), then run this again.",
            )  # fmt: skip
        return count + 1

    def _weigh(self, deployment: Deployment, change: DestinationChange) -> None:
        with self._lock:
            self._box = None
            self._carried_out(deployment, change, False)

    def save(self) -> None:
        with self._lock:
            if self._changed and not self._others_unsaved:
                self._save()

    def _save(self) -> None:
        end = time.monotonic() + SAVE_SECONDS
        while True:
            nitro, _ = self._primary()
            try:
                nitro.send(SAVE.method, SAVE.path, SAVE.body)
            except NitroRefused as refused:
                if refused.code != SAVING or time.monotonic() > end:
                    raise
                time.sleep(self._save_again)
                continue
            except SessionOver:
                self._drop()
                continue
            self._changed, self._others_unsaved = False, None
            return

    def _before_the_first(self, nitro: Nitro) -> None:
        if self._others_unsaved is None:
            self._others_unsaved = _unsaved(nitro) is True

    # --- the session ---------------------------------------------------------------------------------------------

    def close(self) -> None:
        with self._lock:
            self._over = True
            self._drop()

    def _drop(self) -> None:
        if self._session is not None:
            session, self._session = self._session, None
            session.close()

    def _get(self, work: Callable[[Nitro], T]) -> T:
        """Reading, once more where the session or the connection has ended."""
        for again in (False, True):
            try:
                return work(self._open())
            except (SessionOver, ConnectionLost):
                self._drop()
                if again:
                    raise LookError(
                        "The NetScaler ends every session at once.", "Its limit of sessions may be reached.",
                        "Look at its sessions: show system session",
                    ) from None  # fmt: skip
        raise AssertionError("unreachable")

    def _primary(self) -> tuple[Nitro, bool]:
        """A session with the node that is primary now, and whether it is another one than before."""
        before = self._session
        for again in (False, True):
            try:
                nitro = self._open()
                if not _stands_by(_role(nitro)):
                    return nitro, before is not None and nitro is not before
            except (SessionOver, ConnectionLost):
                if again:
                    raise
            self._drop()
        return self._open(), True

    def _open(self) -> Nitro:
        if self._over:
            raise LookError("The NetScaler was not asked: its connection is closed.")
        if self._session is None:
            self._session = self._found()
        return self._session

    def _found(self) -> Nitro:
        """A session with the primary: at the addresses of the file, then at the one that a secondary names."""
        todo, seen = [*self._balancer.addresses], set[str]()
        problems: list[DsrError] = []
        standing_by = False
        while todo:
            address = todo.pop(0)
            if address in seen:
                continue
            seen.add(address)
            try:
                nitro = self._logged_in(address)
            except LoginRefused:
                raise
            except DsrError as problem:
                problems.append(problem)
                continue
            try:
                if not _stands_by(_role(nitro)):
                    return nitro
                standing_by = True
                named = [row.get("primaryip", "") for row in nitro.get("config/nsconfig?attrs=primaryip")]
                todo += [one for one in named if one and one != "0.0.0.0"]
            except (SessionOver, DsrError) as problem:
                problems += [problem] if isinstance(problem, DsrError) else []
            nitro.close()
        if problems and not standing_by:
            raise problems[0]
        others = "".join(f" {problem.what}" for problem in problems)
        raise HostError(
            f"NetScaler: no primary answers at {', '.join(sorted(seen))}.",
            f"Nothing is ever changed on a secondary.{others}",
            "Write both addresses of the pair under [balancer]; on it: show ha node",
        )  # fmt: skip

    def _logged_in(self, address: str) -> Nitro:
        place = door.management(self._balancer, address)
        trust = check_certificate(place, shown_certificate(place), self._asker)
        slot = ("netscaler", place.user, self._balancer.addresses)
        question = SecretQuestion(kind="balancer", host=place.host, user=place.user, detail=f"at {place.at}")
        wrong: Secret | None = None
        for _ in range(TRIES):
            secret = self._memory.obtain(self._asker, slot, question, wrong)
            if secret is None:
                break
            nitro = Nitro(place, trust, self._heard)
            try:
                nitro.log_in(secret)
            except LoginRefused:
                wrong = secret
                nitro.close()
                continue
            except BaseException:  # ctrl+c, too, leaves no session open there
                nitro.close()
                raise
            return nitro
        self._memory.drop(slot, wrong)
        raise LoginRefused(
            f"{place.host}: login as {place.user} at {place.at} was refused.",
            f"{TRIES} passwords were tried." if wrong is not None else "No password was given.",
            "Check user under [balancer]; the user needs the command policy network or superuser.",
        )  # fmt: skip


def _role(nitro: Nitro) -> NitroRow:
    return next(iter(nitro.get("stat/hanode")), {})


def _unsaved(nitro: Nitro) -> bool | None:
    """Whether something is not saved; None: it does not say."""
    said = [row["configchanged"] for row in nitro.get("config/nsconfig?attrs=configchanged") if "configchanged" in row]
    return said[0] == "true" if said else None


def _stands_by(row: NitroRow) -> bool:
    """Whether a node is one of a pair and not its primary."""
    return row.get("hacurstatus", "NO").upper() == "YES" and row.get("hacurmasterstate", "").lower() != "primary"
