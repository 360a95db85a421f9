"""A farm that a Loadbalancer.org has now, from the dump of its configuration. Sources: LB_API_Library, `lbcli --help`.

`gate` is direct server return; every other forwarding rewrites addresses or goes through a tunnel. Layer 7 never is.
"""

from __future__ import annotations

import re

from dsrwizard.core.dialects.loadbalancer_org import words
from dsrwizard.core.intake import fields
from dsrwizard.core.intake.importers.common import Collector, Imported, not_taken
from dsrwizard.core.intake.importers.farm import Balanced, Behind, taken
from dsrwizard.core.intake.problems import shown
from dsrwizard.core.model.balancer_facts import Fields, Ldirectord

_METHODS = {"gate": "dr", "masq": "nat", "ipip": "tun"}
_SCHEDULERS = ("wlc", "wrr", "dh")
_PROTOCOLS = {"tcp": ("tcp",), "udp": ("udp",), "tcpudp": ("tcp", "udp"), "ops": ("udp",)}
_EACH_CLIENT = ("", "255.255.255.255", "32", "128")
_MOST_PORTS = 64


def live(config: Ldirectord) -> Imported:
    """The services in direct routing. `engine` is set where a deployment can drive all of them. Never raises."""
    found = Collector()
    services: list[Balanced] = []
    undriven: list[str] = []
    for label, one in config.virtuals.items():
        mine = _balanced(label, one, config, found)
        services += mine
        if mine and _METHODS.get(words.have(one)["forwarding"]) == "dr":
            undriven += _undriven(label, one)
    for label in config.layer7:
        found.note(not_taken(_what(label), "it is a layer 7 service, through which every reply passes"))
    if config.virtuals:
        found.note(not_taken("health checks and fallback servers", "they stay with the Loadbalancer.org as they are"))
    result = taken(services, found)
    result.external = True
    names = {_set_up_as(label, one) for label, one in config.virtuals.items()} - {""}
    result.name = names.pop() if len(names) == 1 else ""
    if undriven:
        result.notes.append(f"dsrwizard does not set this Loadbalancer.org up: {undriven[0]}.")
    elif not result.refused:
        result.engine = "loadbalancer.org"
        for vip in result.vips:
            if config.floating is not None and vip.address not in config.floating:
                result.notes.append(f"{vip.address} is no floating IP there: an apply adds it.")
    return result


def _what(label: str) -> str:
    return f"virtual service {shown(label)[1:-1]}"


def _balanced(label: str, one: Fields, config: Ldirectord, found: Collector) -> list[Balanced]:
    """One for each port and protocol that it has."""
    protocol, now = one.get("protocol", "").lower(), words.have(one)
    scheduler = now["scheduler"]
    if scheduler not in _SCHEDULERS:
        found.note(not_taken(f"scheduler {shown(scheduler)[1:-1]} of {_what(label)}", "wlc was set"))
        scheduler = "wlc"
    method = _METHODS.get(now["forwarding"], now["forwarding"])
    behind = tuple(
        Behind(
            address=real.get("server", ""), port=fields.whole_number(real.get("port", "")) or None,
            weight=min(words.number(real.get("weight", "")), 65_535), method=method, name=name,
        )
        for name, real in config.reals.get(label, {}).items()
    )  # fmt: skip
    mark = one.get("server", "") if protocol == "fwm" else ""
    granularity = one.get("granularity", "")
    extras = [f"granularity {shown(granularity)[1:-1]}"] if granularity not in _EACH_CLIENT else []
    return [
        Balanced(
            vip=one.get("server", ""), protocol=name, port=port, mark=mark, scheduler=scheduler,
            persistence=words.number(now.get("persist_time", "0")), behind=behind, place=_what(label), extras=extras,
        )
        for name in _PROTOCOLS.get(protocol, (protocol,)) for port in _ports(one.get("ports", ""))
    ]  # fmt: skip


def _ports(text: str) -> list[int]:
    """Each port of a list; 0, which no deployment has, where it is a range or has none."""
    parts = [part for part in re.split(r"[:,\s]+", text) if part][:_MOST_PORTS]
    return [fields.whole_number(part) or 0 for part in parts] or [0]


def _undriven(label: str, one: Fields) -> list[str]:
    """Why a deployment cannot drive a virtual service as it is, as clauses."""
    what, found = _what(label), []
    if one.get("protocol", "").lower() not in ("tcp", "udp"):
        found.append(f"{what} is for {shown(one.get('protocol', ''))[1:-1]}")
    if len(_ports(one.get("ports", ""))) > 1 or 0 in _ports(one.get("ports", "")):
        found.append(f"{what} is for several ports")
    if words.have(one)["scheduler"] not in _SCHEDULERS:
        found.append(f"the scheduler of {what} is not known")
    if not words.HARMLESS_WORD.fullmatch(label):
        found.append(f"the name of {what} has a sign that its API gives to a shell")
    return found


def _set_up_as(label: str, one: Fields) -> str:
    """The deployment that dsrwizard made a virtual service for; empty: somebody else made it."""
    protocol = one.get("protocol", "").lower()
    udp = "" if protocol == "tcp" else f"_{protocol}"
    end = f"_{one.get('server', '')}_{one.get('ports', '')}{udp}"
    if not label.startswith(words.OURS) or not label.endswith(end):
        return ""
    return label[len(words.OURS) : -len(end)]
