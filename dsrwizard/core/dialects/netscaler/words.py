"""What a deployment's parts are called on a NetScaler, and what they are set to there. Pure.

Sources: the NITRO reference of `lbvserver`, `service` and `lbmonitor`; CTX110501 for DSR; for `sessionless`, which
balances each packet alone and so needs a method that chooses by the client, the reference of `lbvserver`.
"""

from __future__ import annotations

import hashlib
from ipaddress import ip_address

from dsrwizard.core.model.balancer_facts import Box, Fields
from dsrwizard.core.model.changes import ServiceKey, ServiceState
from dsrwizard.core.model.deployment import Deployment, RealServer, Service, Vip
from dsrwizard.core.model.products import NETSCALER
from dsrwizard.core.model.values import canonical

OURS = "dsr_"
_LONGEST, _LONGEST_MONITOR = 127, 31
BY_CLIENT = frozenset({"SOURCEIPHASH", "SRCIPSRCPORTHASH", "SRCIPDESTIPHASH"})
"""Methods with which every packet of a client goes to one server: `sessionless` is for these alone."""
IDLE = "120"
"""Seconds until a connection that says nothing is forgotten: the box never sees its end (CTX110501)."""
SCRIPTED = frozenset({"CITRIX-WI-EXTENDED", "FTP", "LDAP", "MYSQL", "NNTP", "POP3", "RADIUS", "SMTP", "SNMP", "USER"})
"""Monitors that do not teach the NetScaler the server's MAC: with them alone every packet comes back to it
(CTX138969)."""
LEARN = "/"
"""Between the parts of a setting that no scheduler of a deployment stands for."""


def _named(text: str, longest: int = _LONGEST) -> str:
    if len(text) <= longest:
        return text
    return f"{text[: longest - 9]}_{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def vserver_name(deployment: str, vip: str, port: int) -> str:
    return _named(f"{OURS}{deployment}_{canonical(vip)}_{port}")


def service_name(deployment: str, server: str, rip: str, port: int) -> str:
    six = "_6" if ":" in rip else ""
    return _named(f"{OURS}{deployment}_{server}{six}_{port}")


def server_name(deployment: str, server: str, rip: str) -> str:
    return _named(f"{OURS}{deployment}_{server}{'_6' if ':' in rip else ''}")


def monitor_name(deployment: str, port: int) -> str:
    return _named(f"{OURS}{deployment}_tcp_{port}", _LONGEST_MONITOR)


def comment(deployment: str) -> str:
    return f"dsrwizard {deployment}"


def of_ours(deployment: str, name: str, fields: Fields) -> bool:
    """Whether an object was made for this deployment: its name begins as ours do, and it says so itself. Others' are
    used and never deleted."""
    return name.startswith(_named(f"{OURS}{deployment}")[:100]) and fields.get("comment", "") == comment(deployment)


def one_of(vip: Vip, port: int) -> Service:
    """The service that stands for all of a VIP's port: a virtual server of type ANY takes TCP and UDP alike."""
    mine = sorted((service for service in vip.services if service.port == port), key=lambda one: one.protocol)
    return mine[0]


def key_at(vip: Vip, port: int) -> ServiceKey:
    return ServiceKey(address=str(vip.ip), protocol=one_of(vip, port).protocol, port=port)


def ports_of(vip: Vip) -> tuple[int, ...]:
    return tuple(dict.fromkeys(service.port for service in vip.services))


def method_of(deployment: Deployment, scheduler: str) -> str:
    own = deployment.balancer.method if deployment.balancer is not None else None
    return own or NETSCALER.methods.get(scheduler, "")


def settings(deployment: Deployment, state: ServiceState) -> Fields:
    """What a virtual server is set to for a state; one that no scheduler stands for has its parts in it."""
    method, _, rest = state.scheduler.partition(LEARN)
    mode, _, sessionless = rest.partition(LEARN)
    if not rest:
        method, mode = method_of(deployment, state.scheduler), "MAC"
        sessionless = "ENABLED" if method in BY_CLIENT else "DISABLED"
    fields = {"m": mode, "lbmethod": method, "sessionless": sessionless}
    if not state.persistence:
        return fields | {"persistencetype": "NONE"}
    return fields | {"persistencetype": "SOURCEIP", "timeout": str(state.persistence // 60)}


def state_of(deployment: Deployment, service: Service, fields: Fields) -> ServiceState:
    """The same the other way round: what is set there, in the deployment's word where it is what that means."""
    keeps = fields.get("persistencetype", "NONE") == "SOURCEIP"
    persistence = 60 * (number(fields.get("timeout", "")) or 2) if keeps else 0
    state = ServiceState(scheduler=service.scheduler, persistence=persistence)
    wanted = settings(deployment, state)
    have = {key: fields.get(key, _DEFAULTS[key]) for key in ("m", "lbmethod", "sessionless")}
    if all(have[key] == wanted[key] for key in have):
        return state
    return ServiceState(scheduler=LEARN.join(have[key] for key in ("lbmethod", "m", "sessionless")),
                        persistence=persistence)  # fmt: skip


_DEFAULTS = {"m": "IP", "lbmethod": "LEASTCONNECTION", "sessionless": "DISABLED"}


def vserver_at(box: Box, deployment: str, address: str, port: int) -> str:
    """The virtual server that has this VIP and port, whoever made it; empty: none."""
    found = [name for name, one in box.vservers.items() if _at(one, "ipv46", address, port)]
    own = vserver_name(deployment, address, port)
    return own if own in found else next(iter(found), "")


def service_at(box: Box, deployment: Deployment, server: RealServer | None, rip: str, port: int) -> str:
    """The service of type ANY for this RIP and port: ours, or anybody's; empty: none."""
    found = [
        name for name, one in box.services.items()
        if one.get("servicetype") == "ANY" and _at(one, "ipaddress", rip, port)
    ]  # fmt: skip
    own = service_name(deployment.name, server.name, rip, port) if server is not None else ""
    ours = [name for name in found if of_ours(deployment.name, name, box.services[name])]
    return own if own in found else next(iter((*ours, *found)), "")


def server_at(box: Box, rip: str) -> str:
    """The server object for this RIP, by whatever name; empty: none."""
    return next((name for name, one in box.servers.items() if _same(one.get("ipaddress", ""), rip)), "")


def _at(fields: Fields, key: str, address: str, port: int) -> bool:
    return fields.get("port", "") == str(port) and fields.get("td", "0") in ("", "0") and _same(
        fields.get(key, ""), address
    )  # fmt: skip


def number(text: str) -> int:
    """A number as the appliance tells it; 0 for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _same(text: str, address: str) -> bool:
    try:
        return ip_address(text) == ip_address(address)
    except ValueError:
        return False


def shared(deployment: Deployment, rip: str, port: int) -> bool:
    """Whether several VIPs have this port on this server: one service stands behind all of them, so it cannot be off
    for one and on for another, and a server is kept out of a VIP by not being bound to it."""
    server = deployment.server_at(rip)
    vips = deployment.vips_of(server) if server is not None else ()
    return sum(port in ports_of(vip) for vip in vips) > 1


def enabled(fields: Fields) -> bool:
    """Whether a service takes new clients, by what was ordered; whether it can is another question."""
    return fields.get("state", "ENABLED") != "DISABLED" and "OUT OF SERVICE" not in fields.get("svrstate", "")
