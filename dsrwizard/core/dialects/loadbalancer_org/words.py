"""What a deployment's parts are called on a Loadbalancer.org appliance, and what they are set to there. Pure.

Source: `lbcli --help` and the JSON templates of LB_API_Library. Every value is pasted into a shell there, so labels
are of few signs.
"""

from __future__ import annotations

import re

from dsrwizard.core.model.balancer_facts import Fields, Ldirectord
from dsrwizard.core.model.changes import ServiceKey, ServiceState
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.products import LOADBALANCER_ORG
from dsrwizard.core.model.values import canonical, parsed

OURS = "dsr_"
HARMLESS_WORD = re.compile(r"[A-Za-z0-9._:-]{1,200}", re.ASCII)
"""What may be sent as a value of an action."""
SETTING = "/"
"""Between the parts of a setting that no scheduler of a deployment stands for."""
_USUAL_TIME = "300"
_ON = frozenset({"on", "yes", "true", "1"})
_RANGE = re.compile(r"(\d{1,5})-(\d{1,5})", re.ASCII)


def virtual_label(deployment: str, key: ServiceKey) -> str:
    """`dsr_shop_10.0.0.10_80`, with `_udp` behind it for UDP."""
    udp = "" if key.protocol == "tcp" else f"_{key.protocol}"
    return f"{OURS}{deployment}_{canonical(key.address)}_{key.port}{udp}"


def key_of(vip: Vip, service: Service) -> ServiceKey:
    return ServiceKey(address=str(vip.ip), protocol=service.protocol, port=service.port)


def settings(state: ServiceState) -> Fields:
    """What a virtual service is set to for a state, in the words of `edit-vip`; a state that no scheduler stands for
    has its parts in it."""
    scheduler, _, forwarding = state.scheduler.partition(SETTING)
    if not forwarding:
        scheduler, forwarding = LOADBALANCER_ORG.methods.get(scheduler, scheduler), "gate"
    fields = {"forwarding": forwarding, "scheduler": scheduler}
    if not state.persistence:
        return fields | {"persistent": "off"}
    return fields | {"persistent": "on", "persist_time": str(state.persistence)}


def have(fields: Fields) -> Fields:
    """The same of a virtual service as it is dumped."""
    on = fields.get("persistent", "").lower() in _ON
    kept = {"persist_time": fields.get("persist_time") or _USUAL_TIME} if on else {}
    return {
        "forwarding": fields.get("forwardingmethod", "").lower(), "scheduler": fields.get("scheduler", "").lower(),
        "persistent": "on" if on else "off", **kept,
    }  # fmt: skip


def state_of(service: Service, fields: Fields) -> ServiceState:
    """What is set there, in the deployment's word where it is what that means."""
    now = have(fields)
    state = ServiceState(scheduler=service.scheduler, persistence=number(now.get("persist_time", "0")))
    wanted = settings(state)
    if all(now[key] == wanted[key] for key in ("forwarding", "scheduler")):
        return state
    return ServiceState(scheduler=f"{now['scheduler']}{SETTING}{now['forwarding']}", persistence=state.persistence)


def virtual_at(config: Ldirectord, deployment: str, key: ServiceKey) -> str:
    """The label of the virtual service for this VIP, protocol and port alone, whoever made it; empty: none."""
    found = [
        label for label, one in config.virtuals.items()
        if same(one.get("server", ""), key.address) and one.get("ports", "") == str(key.port)
        and one.get("protocol", "").lower() == key.protocol
    ]  # fmt: skip
    own = virtual_label(deployment, key)
    return own if own in found else next(iter(found), "")


def in_the_way(config: Ldirectord, deployment: str, key: ServiceKey) -> str:
    """The label of a service that takes this VIP and port as one of several, for both protocols or in layer 7."""
    mine = virtual_at(config, deployment, key)
    for label, one in (*config.virtuals.items(), *config.layer7.items()):
        seventh = label in config.layer7 and one is config.layer7[label]
        if not same(one.get("server", ""), key.address) or (label == mine and not seventh):
            continue
        protocol = "tcp" if seventh else one.get("protocol", "").lower()
        if key.protocol in protocol.replace("ops", "udp") and _takes(one.get("ports", ""), key.port):
            return label
    return ""


def _takes(ports: str, port: int) -> bool:
    """Whether `80`, `80:443`, `80:90-100` has a port."""
    for part in re.split(r"[:,\s]+", ports):
        span = _RANGE.fullmatch(part)
        if part == str(port) or (span and int(span[1]) <= port <= int(span[2])):
            return True
    return ports in ("", "*", "0")


def real_at(config: Ldirectord, virtual: str, rip: str) -> str:
    """The label of the real server with this address behind a virtual service; empty: none."""
    behind = config.reals.get(virtual, {})
    return next((label for label, one in behind.items() if same(one.get("server", ""), rip)), "")


def number(text: str) -> int:
    """A number as the appliance tells it; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def is_address(text: str) -> bool:
    try:
        parsed(text)
    except ValueError:
        return False
    return True


def same(text: str, address: str) -> bool:
    return is_address(text) and parsed(text) == parsed(address)
