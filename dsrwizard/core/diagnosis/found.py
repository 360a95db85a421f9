"""The faults found so far: each is reported once, and other checks that show it are listed as its consequences."""

from __future__ import annotations

import msgspec

from dsrwizard.core.model.causes import Cause
from dsrwizard.core.model.checks import Check, CheckOutcome
from dsrwizard.core.model.steps import DIRECTOR

_ASTRAY = ("not-on-link", "director-neighbour")
"""Causes by which the director's own packets do not get to a real server."""


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong on one host. `vip` and `service` are empty where it is about all of them, `family` (4, 6)
    is 0 where it is about both; `server` tells faults of the director's table apart that concern one real server each.
    `aside`: clients feel nothing of it, so it explains no other fault.
    """

    host: str
    cause: Cause
    vip: str = ""
    service: str = ""
    server: str = ""
    family: int = 0
    aside: bool = False

    def touches(self, vip: str, service: str = "") -> bool:
        """Whether it can be felt at this VIP and service (empty: at any)."""
        if self.aside and (vip or service):
            return False
        if vip and not (self.vip in ("", vip) and self.family in (0, 6 if ":" in vip else 4)):
            return False
        return not service or self.service in ("", service)


class Where(msgspec.Struct, frozen=True, kw_only=True):
    """The question of a check: its id, the host it is about, and what of it; `server` as in `Check`."""

    check: str
    host: str
    vip: str = ""
    service: str = ""
    server: str = ""

    def result(self, outcome: CheckOutcome, message: str, evidence: str = "", fix: str = "") -> Check:
        return Check(
            check=self.check, outcome=outcome, host=self.host, vip=self.vip, service=self.service, message=message,
            evidence=evidence, fix=fix, server=self.server,
        )  # fmt: skip

    def passed(self, message: str, evidence: str = "") -> Check:
        return self.result("pass", message, evidence)

    def unknown(self, message: str, evidence: str = "", fix: str = "") -> Check:
        """It could not be seen; `fix` says what would make it visible."""
        return self.result("unknown", message, evidence, fix)

    def skipped(self, message: str, evidence: str = "") -> Check:
        return self.result("skipped", message, evidence)

    def follows(self, fault: Fault, message: str = "", evidence: str = "") -> Check:
        """A consequence of another fault."""
        on = "" if fault.host == self.host else f" on {fault.host}"
        text = f"Follows from {fault.cause}{on}{': ' + message if message else '.'}"
        return msgspec.structs.replace(self.skipped(text, evidence), consequence_of=fault.cause)


class Found:
    """Every fault, in the order found. Thousands of faults cost no more than a look-up each."""

    def __init__(self) -> None:
        self._faults: dict[str, dict[Fault, None]] = {}
        self._implied: dict[Fault, Fault] = {}
        self.doubts: list[Check] = []
        """Checks that are unknown and after which clients may well fail: with one, no verdict is a pass."""

    @property
    def every(self) -> tuple[Fault, ...]:
        return tuple(fault for found in self._faults.values() for fault in found)

    def of(self, host: str) -> tuple[Fault, ...]:
        """The faults of one host."""
        return tuple(self._faults.get(host, ()))

    def find(self, host: str, *causes: Cause, vip: str = "", service: str = "") -> Fault | None:
        """The first fault of these causes (any, without) on a host that touches the VIP and service given."""
        for fault in self._faults.get(host, ()):
            if causes and fault.cause not in causes:
                continue
            if fault.touches(vip, service):
                return fault
        return None

    def out_of_reach(self, host: str) -> Fault | None:
        """The fault that keeps everything on a real server from being looked at."""
        return self.find(host, "unreachable", "not-on-link", "duplicate-rip")

    def _hiding(self, fault: Fault) -> Fault | None:
        """The fault behind which another is not told: where two machines have one address, nobody knows of which of
        them anything was seen."""
        if fault.cause == "duplicate-rip":
            return None
        if fault.cause == "director-neighbour":
            return self.find(fault.server, "duplicate-rip")
        return self.find(fault.host, "duplicate-rip")

    def doubt(self, check: Check) -> Check:
        """The check, which is unknown, as one that keeps the verdict from being a pass."""
        self.doubts.append(check)
        return check

    def cut_off(self, host: str) -> Fault | None:
        """The fault that keeps the director from logging in to a real server: its own, or one of the director's way."""
        astray = (fault for fault in self.of(DIRECTOR) if fault.server == host and fault.cause in _ASTRAY)
        return self.out_of_reach(host) or next(astray, None) or self.find(DIRECTOR, "vip-as-source")

    def imply(self, fault: Fault, by: Fault) -> None:
        """Enters what follows from another fault, and is no failure of its own, so that what it hides is explained."""
        self._faults.setdefault(fault.host, {})[fault] = None
        self._implied[fault] = by

    def retold(self, check: Check) -> Check:
        """A consequence of a fault that was only implied as one of the fault behind it."""
        for fault, by in self._implied.items():
            told = f"Follows from {fault.cause}" + ("" if fault.host == check.host else f" on {fault.host}")
            if check.consequence_of == fault.cause and check.message.startswith(told):
                message = f"Follows from {by.cause} on {by.host}{check.message[len(told) :]}"
                return msgspec.structs.replace(check, consequence_of=by.cause, message=message)
        return check

    def fail(self, where: Where, fault: Fault, message: str, evidence: str, fix: str, *, shared: bool = False) -> Check:
        """The failing check of a fault; its consequence where the fault is known already.

        `shared`: one thing on the host is behind every place where this cause shows (one rule, one binding), so only
        the first is a failure.
        """
        hiding = self._hiding(fault)
        if hiding is not None:
            return where.follows(hiding, message, evidence)
        found = self._faults.setdefault(fault.host, {})
        known = fault if fault in found else self.find(fault.host, fault.cause) if shared else None
        found[fault] = None
        if known:
            return where.follows(known, message, evidence)
        return msgspec.structs.replace(where.result("fail", message, evidence, fix), cause=fault.cause)
