"""The password: asked for when it is needed, tried on one host at a time until Windows has taken it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from backends.memory import Memory
from backends.winrm.accounts import SHORT
from backends.winrm.place import WinrmListener
from backends.winrm.problems import login_refused
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import Asker, SecretQuestion

TRIES = 2
"""How often a password is asked for. Fewer than with SSH: Windows locks accounts, some after three wrong ones."""
T = TypeVar("T")


class WrongPassword(Exception):
    """The host did not take it."""


@dataclass(slots=True)
class _Account:
    """What is known of one account's passwords. `refused` with the time of each, as time.monotonic()."""

    taken: Secret | None = None
    refused: list[tuple[float, Secret]] = field(default_factory=list)

    def refuse(self, secret: Secret) -> None:
        self.taken = None
        self.refused.append((time.monotonic(), secret))

    def is_refused(self, secret: Secret) -> bool:
        return any(secret is one for _, one in self.refused)

    def is_the_same(self, secret: Secret, since: float) -> bool:
        """Whether that very password was refused, under another name for it."""
        return any(when >= since and secret.reveal() == one.reveal() for when, one in self.refused)

    def is_enough(self, since: float) -> bool:
        return sum(when >= since for when, _ in self.refused) >= TRIES


def log_in(place: WinrmListener, asker: Asker, memory: Memory, attempt: Callable[[Secret], T]) -> T:
    """What `attempt` returns with the first password that works; it raises WrongPassword for one that does not.

    A domain account is the same on all hosts: until one of them has taken the password the others wait, so that twenty
    hosts do not lock it with one typing error. Raises LoginRefused, and whatever else `attempt` raises.
    """
    user = place.user.lower()
    is_domain = "\\" in user.removeprefix(".\\") or "@" in user
    slot = ("winrm", user) if is_domain else ("winrm", user, place.address, place.port)
    shared = memory.shared(slot)
    with shared.lock:
        account: _Account = shared.link or _Account()
        shared.link = account
    unnamed = "" if place.user_given else "; no user is set, and on servers in other languages it has another name"
    detail = f"for WinRM at {place.at}{unnamed}"
    question = SecretQuestion(kind="windows", host=place.host, user=place.user, detail=detail)
    once_more = SecretQuestion(
        kind="windows", host=place.host, user=place.user, detail=f"for WinRM at {place.at}. {SHORT}"
    )
    came, wrong = time.monotonic(), None
    while not account.is_enough(came):
        secret = memory.obtain(asker, slot, once_more if wrong else question, wrong)
        if secret is None:
            raise login_refused(place, "No password was given.")
        # A password that worked is used by all hosts at once; one that nobody has tried yet, by one at a time.
        with contextlib.nullcontext() if account.taken is secret else shared.lock:
            if account.is_enough(came):
                break
            if account.is_refused(secret):
                wrong = secret
                continue
            if account.is_the_same(secret, came):
                memory.drop(slot, secret)
                raise login_refused(place, "The same password was given again, and not sent a second time.")
            try:
                result = attempt(secret)
            except WrongPassword:
                account.refuse(secret)
                wrong = secret
                continue
            account.taken = secret
            return result
    memory.drop(slot, wrong)
    raise login_refused(place, f"{TRIES} passwords were tried; more might lock the account.")
