"""What a Loadbalancer.org is set to, from the dump of its configuration: XML turned into JSON, in which one of a kind
is an object, several are a list, and none is an empty list (LBAPIConfig.php of scottweedon/loadbalancerorg-api)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from backends.appliance.https import unreadable
from backends.loadbalancer_org.lbcli import DUMP, FLOATING, Lbcli, walk
from dsrwizard.core.dialects.loadbalancer_org.reading import states
from dsrwizard.core.model.balancer_facts import BalancerFacts, Fields, Ldirectord
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.foreign import one_line

_OWN = ("action", "status", "function")
_VIRTUAL = (
    "label", "server", "ports", "protocol", "forwardingmethod", "scheduler", "persistent", "persist_time",
    "granularity",
)  # fmt: skip
_REAL = ("label", "server", "port", "weight")
_LONGEST = 500


def look(lbcli: Lbcli) -> Ldirectord:
    """The configuration. Raises HostError; AnswerUnreadable where the dump has none, which is never taken for an empty
    one."""
    dump = next((one for one in walk(lbcli.read(DUMP)) if "ldirectord" in one), None)
    if dump is None:
        raise unreadable(lbcli.place, "a configuration without ldirectord", changes=False)
    config = Ldirectord(floating=_floating(lbcli.read(FLOATING)))
    for virtual in _several(_inside(dump["ldirectord"], "virtual")):
        fields = _fields(virtual, _VIRTUAL)
        label = fields["label"]
        if not label or label in config.virtuals:
            continue
        check = _inside(_inside(virtual, "service"), "check")
        fields["check"] = _text(_inside(check, "type"))
        config.virtuals[label] = fields
        behind: dict[str, Fields] = {}
        for real in _several(_inside(virtual, "real")):
            one = _fields(real, _REAL)
            behind.setdefault(one["label"], one)
        config.reals[label] = behind
    for virtual in _several(_inside(dump.get("haproxy"), "virtual")):
        fields = _fields(virtual, ("label", "server", "ports"))
        config.layer7.setdefault(fields["label"], fields)
    return config


def facts_of(lbcli: Lbcli, deployment: Deployment) -> BalancerFacts:
    """The same with what it says of the servers, which is nothing but what asks them."""
    config = look(lbcli)
    others = [
        one for one in (deployment.balancer.addresses if deployment.balancer else ()) if one != lbcli.place.address
    ]
    pair = (
        f"{lbcli.place.address} is taken for the active appliance of the pair: no document says how its API tells.",
    )
    return BalancerFacts(
        product=lbcli.place.host, at=lbcli.place.address, save=False, pair=pair if others else (),
        states=states(deployment, config), ldirectord=config,
    )  # fmt: skip


def _floating(answer: Any) -> set[str] | None:
    """The addresses in an answer, whatever it is made of; None where it has something else alone."""
    found, rest = set[str](), False
    for text in _texts(answer):
        for word in re.split(r"[\s,;/\"'\[\]{}]+", text):
            try:
                found.add(str(ip_address(word)))
            except ValueError:
                rest = rest or bool(word)
    return None if rest and not found else found


def _texts(answer: Any, depth: int = 0) -> Iterator[str]:
    if depth > 24:
        return
    if isinstance(answer, str):
        yield answer[:100_000]
    elif isinstance(answer, dict):
        for key, value in answer.items():
            if key not in _OWN:
                yield from _texts(value, depth + 1)
    elif isinstance(answer, list):
        for value in answer:
            yield from _texts(value, depth + 1)


def _inside(found: Any, key: str) -> Any:
    return found.get(key) if isinstance(found, dict) else None


def _several(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found] if isinstance(found, dict) else []


def _fields(found: Any, names: tuple[str, ...]) -> Fields:
    return {name: _text(_inside(found, name)) for name in names}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return one_line(str(value), _LONGEST).strip() if isinstance(value, str | int | float) else ""
