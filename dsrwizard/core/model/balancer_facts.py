"""What is observed on an appliance that balances, and the calls that change it."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.shown import Harmless, Shown


class NitroCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of NITRO that changes something: method, path below `/nitro/v1/` (names in it quoted twice) and body."""

    method: str
    path: str
    body: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """The call on one line, as it stands in reviews and tickets."""
        body = "" if self.body is None else f" {json.dumps(self.body, separators=(',', ':'))}"
        return one_line(f"{self.method} /nitro/v1/{self.path}{body}")


class LbcliCall(msgspec.Struct, frozen=True, kw_only=True):
    """One request to a Loadbalancer.org appliance: actions of `lbcli`, carried out in order."""

    actions: tuple[dict[str, str], ...]

    @property
    def text(self) -> str:
        """The request on one line, as it stands in reviews and tickets."""
        body = json.dumps({"lbcli": list(self.actions)}, separators=(",", ":"))
        return one_line(f"POST /api/v2/ {body}")


class ApplianceAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What came back for a request that changes nothing, byte for byte. `base`: the path of the API; `path`: what
    follows, names in it quoted as they were sent; `sent`: the request's body. Not to be shown as it is."""

    method: str
    base: str
    path: str
    sent: str | None
    status: int
    body: bytes


Fields = dict[str, str]
"""An object as the appliance tells it, numbers as text."""


class Box(Harmless, msgspec.Struct, kw_only=True):
    """The part of a NetScaler's configuration that a deployment may touch; its texts are harmless as they are read.

    Name → fields; `bindings`: vserver → service → weight; `groups`: server → service groups that it is in; `grouped`:
    vserver → service groups behind it; `monitored`: service → monitors; `monitors`: name → type. `members`: service
    group → its members, where a farm is adopted.
    """

    features: set[str] = set()
    modes: set[str] = set()
    servers: dict[str, Fields] = {}
    services: dict[str, Fields] = {}
    vservers: dict[str, Fields] = {}
    monitors: dict[str, str] = {}
    bindings: dict[str, dict[str, int]] = {}
    groups: dict[str, list[str]] = {}
    grouped: dict[str, list[str]] = {}
    members: dict[str, list[Fields]] = {}
    monitored: dict[str, list[str]] = {}

    def copy(self) -> Box:
        return msgspec.convert(msgspec.to_builtins(self), Box)


class Ldirectord(Harmless, msgspec.Struct, kw_only=True):
    """The part of a Loadbalancer.org's configuration that a deployment may touch; its texts are harmless as they are
    read.

    `virtuals`: label of a layer 4 service → fields; `reals`: label → label of a real server → fields; `layer7`: label
    of a layer 7 service → its address and ports. `floating`: the addresses that it takes, None where it did not say.
    """

    virtuals: dict[str, Fields] = {}
    reals: dict[str, dict[str, Fields]] = {}
    layer7: dict[str, Fields] = {}
    floating: set[str] | None = None

    def copy(self) -> Ldirectord:
        return msgspec.convert(msgspec.to_builtins(self), Ldirectord)


class BoxState(Shown, frozen=True, kw_only=True):
    """What the appliance says of one real server in one service. `state`: UP, DOWN, OUT OF SERVICE, GOING OUT OF
    SERVICE, as it says it, empty for a product that does not say; `monitor` and `said`: the monitor behind that and its
    last answer. `request_bytes` and `response_bytes` are its counters, None where they were not read."""

    vip: str
    service: str
    server: str
    state: str
    monitor: str = ""
    said: str = ""
    learns_mac: bool = True
    """A monitor is bound that teaches the appliance the server's MAC."""
    request_bytes: int | None = None
    response_bytes: int | None = None


class BalancerFacts(Shown, frozen=True, kw_only=True):
    """An appliance. `at`: the address it was read at; `role`: Primary, or empty for one without a peer. `unsaved`: its
    running configuration is not its saved one; None: it does not say. `save`: the deployment wants it saved,
    and it is not by itself. `pair`:
    what stands in the way of its peer's taking over, in sentences. `off`: VIPs whose virtual server is disabled. `box`
    is a NetScaler's configuration, `ldirectord` that of a Loadbalancer.org."""

    product: str
    at: str
    role: str = ""
    unsaved: bool | None = None
    save: bool = True
    pair: tuple[str, ...] = ()
    off: tuple[str, ...] = ()
    states: tuple[BoxState, ...] = ()
    box: Box = msgspec.field(default_factory=Box)
    ldirectord: Ldirectord = msgspec.field(default_factory=Ldirectord)
