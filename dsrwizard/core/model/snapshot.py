"""A snapshot of the live pane: what IPVS counts, what probes and the ARP audit said last, and how old each is."""

from __future__ import annotations

from typing import Literal

import msgspec

from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.guarding import GuardState
from dsrwizard.core.model.history import History
from dsrwizard.core.model.shown import Shown

QUICKLY = 1_000
"""A row whose texts are plain and no longer than this together needs no look at each: there are ten thousand."""
State = Literal["up", "draining", "vip-dead", "leaking", "drifted", "unreachable", "unknown"]
STATE_WORDS: dict[str, str] = {"vip-dead": "VIP dead", "leaking": "LEAKING"}
"""What a sentence and a screen say where the id is no word; every other state is its own."""


# Ten thousand rows come each second. Frozen and made of plain values, they form no cycles: with `gc=False` the garbage
# collector does not walk them, which would hold up a key by tens of milliseconds.


class Rates(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Per second, over the last interval. `None` before there are two readings."""

    connections: float | None = None
    in_packets: float | None = None
    in_bytes: float | None = None


class Totals(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Counted by IPVS since the entry was made. `out_*` are replies that came through the director."""

    connections: int = 0
    in_packets: int = 0
    in_bytes: int = 0
    out_packets: int = 0
    out_bytes: int = 0


class Latency(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Answers to the VIP probe over the last minute, in milliseconds; `lost` of `sent` were not good."""

    minimum: float | None = None
    median: float | None = None
    maximum: float | None = None
    sent: int = 0
    lost: int = 0


class Round(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One round of VIP probes over every (real server, VIP, port): how many, how long a round takes at the set pace,
    and how far the one under way is."""

    pairs: int = 0
    done: int = 0
    seconds: float | None = None
    """How long the last whole round took; None before there was one."""
    budget: int = 0
    """Packets a second."""


class Bypass(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The share of traffic that the director never carried, as the client host counted it at the last verification."""

    request_bytes: int
    reply_bytes: int
    at: float

    @property
    def ratio(self) -> float | None:
        """Reply bytes per request byte."""
        return self.reply_bytes / self.request_bytes if self.request_bytes else None


class FarmFault(Shown, frozen=True, kw_only=True):
    """One thing that a verification found wrong with the director or the network, and so with no real server alone."""

    host: str
    """`director`, `client`, or another host of the network."""
    cause: str
    """Empty: something failed and the cause is not known."""
    vip: str = ""
    service: str = ""
    message: str = ""
    evidence: str = ""
    fix: str = ""
    since: float = 0.0
    """Seconds since the epoch at which it was seen first."""
    age: float = 0.0
    """Seconds since the look that saw it last began."""


class DirectorRow(Shown, frozen=True, kw_only=True):
    """One of several directors that hold the VIPs by turns. `seen`: it answers at its own address (this machine: its
    addresses were looked at), without which an empty `holds` means nothing."""

    name: str
    """`director` is this machine."""
    seen: bool = False
    holds: tuple[str, ...] = ()
    """VIPs that it has now."""
    preempts_in: int = 0
    """In about so many seconds it takes the VIPs back from the other one; 0: it does not, or that is not known."""

    @property
    def words(self) -> str:
        """What it is, in a word or two."""
        if self.preempts_in:
            return f"backup, preempt in progress: has the VIPs in about {self.preempts_in} s"
        return "active" if self.holds else "backup" if self.seen else "not seen"


class DestinationRow(Shown, frozen=True, kw_only=True, gc=False):
    """One real server behind one service. `weight` None: it is not in IPVS."""

    server: str
    address: str
    vip: str
    service: str
    """Label of the service, `tcp/80`."""
    wanted_weight: int
    weight: int | None = None
    active: int = 0
    inactive: int = 0
    rates: Rates = Rates()
    totals: Totals = Totals()
    state: State = "unknown"
    since: float = 0.0
    """Seconds since the epoch at which `state` began."""
    cause: str = ""
    """One of the stable causes (`core.checks.Cause`); empty while the state needs none or none is known."""
    message: str = ""
    """The cause in words."""
    fix: str = ""
    found_age: float | None = None
    """Seconds since the look began that found the cause; None: it is of this moment, or there is none."""
    probe: Probed | None = None
    probe_age: float | None = None
    missed: str = ""
    """The signature of the last probe where it failed, or failed in another way than `probe`, and stands alone so far:
    a second one in a row changes the state. Empty: the last probe is `probe`."""
    missed_at: float = 0.0
    """When that was, seconds since the epoch; 0: there is none."""
    latency: Latency = Latency()
    arp: Literal["silent", "leaks", "unknown"] = "unknown"

    def __post_init__(self) -> None:
        told = f"{self.server}{self.address}{self.vip}{self.service}{self.cause}{self.message}{self.fix}"
        if not (told.isascii() and told.isprintable()) or len(told) > QUICKLY:
            super().__post_init__()


class ServiceRow(Shown, frozen=True, kw_only=True):
    """One service with its totals. `present` None: IPVS could not be read."""

    vip: str
    service: str
    scheduler: str
    persistence: int = 0
    present: bool | None = None
    active: int = 0
    inactive: int = 0
    rates: Rates = Rates()
    totals: Totals = Totals()
    """`totals.out_packets`: replies the director saw, 0 while they bypass it."""
    owner: str = ""
    """`director`, a server's name, or a stranger's MAC; empty while unknown."""
    cause: str = ""
    """What is wrong with the whole service, by its stable id: a second owner of the VIP, another scheduler."""
    message: str = ""
    """The cause in words."""
    fix: str = ""
    rows: tuple[DestinationRow, ...] = ()


class Happening(Shown, frozen=True, kw_only=True):
    """One line of the timeline: a state that changed, or something the operator did (`state` info)."""

    at: float
    host: str
    message: str
    state: State | Literal["info"] = "info"
    before: State | Literal[""] = ""
    """The state it was in; empty: it was not watched before, or nothing changed its state."""
    vip: str = ""
    service: str = ""
    cause: str = ""


class Snapshot(Shown, frozen=True, kw_only=True):
    """Everything at once. `read_at` is when IPVS was last read, seconds since the epoch; `problem` says why the
    numbers are old or missing."""

    deployment: str
    at: float
    read_at: float | None = None
    read_milliseconds: float | None = None
    services: tuple[ServiceRow, ...] = ()
    happenings: tuple[Happening, ...] = ()
    problem: str = ""
    read_problem: str = ""
    """Why IPVS could not be read at the last look; the numbers are then those of `read_at`, or there are none."""
    audit_age: float | None = None
    drift_age: float | None = None
    """Seconds since the real servers' facts were last compared with the deployment; None: not yet."""
    proof_age: float | None = None
    """Seconds since the last whole verification began; None: there was none yet."""
    verdict: Literal["pass", "fail", "unknown", ""] = ""
    """What it came to."""
    faults: tuple[FarmFault, ...] = ()
    """What it found wrong with the director or the network, each once; what is wrong with one real server is in that
    server's rows."""
    unseen: tuple[str, ...] = ()
    """What could not be looked at and why, a sentence each: hosts without login, no raw sockets."""
    round: Round = Round()
    bypass: Bypass | None = None
    guard: GuardState | None = None
    """What this deployment's guard on this director wrote last; None: there has been none since the last boot."""
    directors: tuple[DirectorRow, ...] = ()
    """Where several directors hold the VIPs by turns: each of them, this machine first."""
    history: History = msgspec.field(default_factory=History)
    """Trend lines; not part of the JSON."""
    clock_set: float = 0.0
    """Seconds by which the wall clock was set forward since the watch began, negative: back. All moments here are by
    the clock as it is set now. Not part of the JSON."""

    @property
    def wrong(self) -> bool:
        """Whether something is wrong that is no real server's own."""
        return bool(self.faults) or any(service.cause for service in self.services)
