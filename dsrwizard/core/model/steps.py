"""A step: one purpose on one host, with why, what changes, and what could interrupt."""

from __future__ import annotations

from typing import Literal, Self

import msgspec

from dsrwizard.core.model.changes import Change
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.shown import Shown

Phase = Literal["prepare", "guard", "vip", "service", "destination", "weight", "withdraw"]
"""In the order of safety: guard before address, destination at weight 0 before its probe, weight last."""

Purpose = Literal[
    "", "module", "setting", "guard", "rp-filter", "adapter", "weak-host", "hygiene", "vip", "persistence", "firewall",
    "sites", "service", "destination", "weight", "announce", "guard-service",
    "keepalived", "bgp",
]  # fmt: skip
"""What a step of a plan is for; empty for steps that take something back or strike it out."""

DIRECTOR = "director"
CLIENT = "client"
"""Names of the two hosts that are no real servers, in steps, checks and events."""
UNDO = "undo "
"""What the id of a step begins with that takes back what an earlier run made."""


class Step(Shown, frozen=True, kw_only=True):
    """`changes` are carried out in order; undone in reverse. `proof` names what must be proved before the step runs:
    the VIP answers through this real server."""

    id: str
    """Stable within a host, e.g. `guard`, `vip 10.0.0.10`, `weight 10.0.0.10 tcp/80 web1`."""
    host: str
    phase: Phase
    title: str
    why: str
    changes: tuple[Change, ...]
    purpose: Purpose = ""
    vip: str = ""
    """The VIP it is about; empty where it is about all of them."""
    service: str = ""
    """The service of that VIP it is about (`tcp/80`); empty where it is about all of them."""
    interrupts: str = ""
    proof: Gate | None = None
    server: str = ""
    """The real server a step on the director is about; it waits for that server's own steps."""
    owner: str = ""
    """The deployment whose journal it belongs to, where that is not the one of the run."""
    beside: tuple[Gate, ...] = ()
    """What must be proved as well as `proof`: other protocols that the same change lets in."""
    calls: tuple[str, ...] | None = None
    """What is sent to an appliance, and `undo` what takes it back; None: it is about a host, and has commands."""
    undo: tuple[str, ...] = ()
    awaits: bool = False
    """It puts a VIP up that has no real server yet, and waits until the first one behind it is proved."""

    def inverse(self) -> Self:
        """The step that takes this one back."""
        undone = tuple(change.inverse() for change in reversed(self.changes))
        calls = None if self.calls is None else self.undo
        return msgspec.structs.replace(
            self, changes=undone, proof=None, beside=(), calls=calls, undo=self.calls or (),
            title=f"undo: {self.title}",
        )  # fmt: skip


class Gate(Shown, frozen=True, kw_only=True):
    """The VIP must answer through this server on this port before the step it guards may run."""

    server: str
    rip: str
    vip: str
    protocol: Literal["tcp", "udp"]
    port: int


class HostPlan(Shown, frozen=True, kw_only=True):
    """What is to be done on one host, in order. `problem` says why nothing can be planned for it."""

    host: str
    steps: tuple[Step, ...] = ()
    problem: str = ""
    failure: Failure | None = None
    """The same as its error said it, where it is one: kind, what, why, next. Without a `problem`: a server that has
    left the deployment and does not answer (`core.plan.departed`); nothing is done there, and nothing waits for it."""
    notes: tuple[str, ...] = ()
    """What was found that the operator may not expect: things of others, drift."""


class Stake(Shown, frozen=True, kw_only=True):
    """What is at stake while one real server is changed: the `share` of new clients that it serves now, 0 to 1, the
    largest of its services; None where another product balances. `by_hand`: its operator sets it up."""

    server: str
    share: float | None = None
    by_hand: bool = False


class Wave(Shown, frozen=True, kw_only=True):
    """Real servers that are changed side by side, and proved before the next wave begins. `share` as in `Stake`, of
    all of them together."""

    servers: tuple[str, ...]
    share: float | None = None


class Plan(Shown, frozen=True, kw_only=True):
    """All hosts' steps. The director's steps that concern one server carry that server's name in `Step.proof` or run
    after that server's own steps (phases `destination`, `weight`). What leaves (phase `withdraw`) comes last."""

    deployment: str
    hosts: tuple[HostPlan, ...]
    stakes: tuple[Stake, ...] = ()
    """Of every real server that has steps."""
    waves: tuple[Wave, ...] = ()
    """In their order; without any, all servers are changed at once."""

    @property
    def steps(self) -> tuple[Step, ...]:
        return tuple(step for host in self.hosts for step in host.steps)

    @property
    def empty(self) -> bool:
        """Nothing to do, and nothing stood in the way of knowing that."""
        return not self.steps and not any(host.problem for host in self.hosts)
