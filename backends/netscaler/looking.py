"""What a NetScaler is set to and says, read over NITRO: as few calls as possible, whatever the number of servers."""

from __future__ import annotations

from collections.abc import Collection

from backends.netscaler.nitro import MISSING, Nitro, NitroRefused, NitroRow
from dsrwizard.core.dialects.netscaler import words
from dsrwizard.core.dialects.netscaler.calls import path_of
from dsrwizard.core.dialects.netscaler.reading import members, states
from dsrwizard.core.model.balancer_facts import BalancerFacts, Box
from dsrwizard.core.model.deployment import Deployment, Vip
from dsrwizard.core.model.errors import DsrError

_VSERVER = "name,servicetype,ipv46,port,m,lbmethod,sessionless,persistencetype,timeout,state,curstate,td,comment"
_MONITORS = "config/lbmonitor?attrs=monitorname,type"
_SERVICE = "name,servername,ipaddress,port,servicetype,state,svrstate,healthmonitor,usip,td,comment"


def look(nitro: Nitro, deployment: Deployment) -> Box:
    """The configuration that a deployment may touch, and what others have on the same addresses. Raises HostError."""
    return _look(nitro, deployment)[0]


def facts_of(nitro: Nitro, deployment: Deployment) -> BalancerFacts:
    """The same with what it says of itself, of its peer and of the servers."""
    box, said = _look(nitro, deployment)
    role = next(iter(nitro.get("stat/hanode")), {})
    config = next(iter(nitro.get("config/nsconfig?attrs=primaryip,configchanged")), {})
    rows = nitro.get("stat/service")
    changed = config.get("configchanged")
    pair = role.get("hacurstatus", "NO").upper() == "YES"
    return BalancerFacts(
        product="NetScaler", at=nitro.place.address, role=role.get("hacurmasterstate", "") if pair else "",
        unsaved=None if changed is None else changed == "true",
        save=deployment.balancer is None or deployment.balancer.save,
        pair=_pair(nitro, role) if pair else (),
        off=tuple(vip.address for vip in deployment.vips if _off(deployment, box, vip)),
        states=states(deployment, box, said, {row.get("name", ""): row for row in rows}),
        box=box,
    )  # fmt: skip


def farm(nitro: Nitro) -> Box:
    """Every virtual server, with what is behind those in MAC mode. Raises HostError."""
    box = Box(
        vservers=_named(nitro.get(f"config/lbvserver?attrs={_VSERVER},connfailover")),
        servers=_named(nitro.get("config/server?attrs=name,ipaddress,state,comment")),
        services=_named(nitro.get(f"config/service?attrs={_SERVICE}")),
    )
    for name, vserver in box.vservers.items():
        if vserver.get("m", "").upper() != "MAC":
            continue
        bound = _of(nitro, "lbvserver_service_binding", name)
        box.bindings[name] = {row.get("servicename", ""): _weight(row) for row in bound}
        box.grouped[name] = [
            row.get("servicegroupname", "") for row in _of(nitro, "lbvserver_servicegroup_binding", name)
        ]
    for group in dict.fromkeys(group for groups in box.grouped.values() for group in groups):
        box.members[group] = _of(nitro, "servicegroup_servicegroupmember_binding", group)
    return box


def _look(nitro: Nitro, deployment: Deployment) -> tuple[Box, dict[str, tuple[str, str]]]:
    box = Box(
        features=_on(nitro.get("config/nsfeature"), "feature", "lb"),
        modes=_on(nitro.get("config/nsmode"), "mode", "mbf"),
        vservers=_named(nitro.get(f"config/lbvserver?attrs={_VSERVER}")),
        servers=_named(nitro.get("config/server?attrs=name,ipaddress,comment")),
        services=_named(nitro.get(f"config/service?attrs={_SERVICE}")),
        monitors={row.get("monitorname", ""): row.get("type", "") for row in nitro.get(_MONITORS)},
    )  # fmt: skip
    for name, service in box.services.items():
        if not service.get("ipaddress"):
            service["ipaddress"] = box.servers.get(service.get("servername", ""), {}).get("ipaddress", name)
    vips = {str(vip.ip) for vip in deployment.vips}
    for name, vserver in box.vservers.items():
        if vserver.get("ipv46", "") in vips or words.of_ours(deployment.name, name, vserver):
            bound = _of(nitro, "lbvserver_service_binding", name)
            box.bindings[name] = {row.get("servicename", ""): _weight(row) for row in bound}
            groups = _of(nitro, "lbvserver_servicegroup_binding", name)
            if groups:
                box.grouped[name] = [row.get("servicegroupname", "") for row in groups]
    said: dict[str, tuple[str, str]] = {}
    for name in _watched(deployment, box):
        rows = _of(nitro, "service_lbmonitor_binding", name)
        box.monitored[name] = [row.get("monitor_name", "") for row in rows]
        if rows:
            said[name] = rows[0].get("monitor_name", ""), rows[0].get("lastresponse", "")
        _elsewhere(nitro, box, name)
    for name, server in box.servers.items():
        if words.of_ours(deployment.name, name, server):
            groups = _of(nitro, "server_servicegroup_binding", name)
            if groups:
                box.groups[name] = [row.get("servicegroupname", "") for row in groups]
    return box, said


def _watched(deployment: Deployment, box: Box) -> Collection[str]:
    """Services of the deployment's servers on its ports, and all that are ours."""
    found = dict.fromkeys(
        name for name, service in box.services.items() if words.of_ours(deployment.name, name, service)
    )
    for vip in deployment.vips:
        for port in words.ports_of(vip):
            for server, rip in members(deployment, vip):
                name = words.service_at(box, deployment, server, rip, port)
                if name:
                    found[name] = None
    return [*found]


_REVERSE = ("svcbindings", "server_servicegroup_binding")
"""Lists from a part to what it is in."""


def _elsewhere(nitro: Nitro, box: Box, service: str) -> None:
    """Notes virtual servers of others that a service is behind, too."""
    for row in _of(nitro, "svcbindings", service):
        vserver = row.get("vservername", "")
        if vserver and vserver not in box.bindings:
            box.bindings[vserver] = {}
        if vserver:
            box.bindings[vserver].setdefault(service, 1)


def _of(nitro: Nitro, kind: str, name: str) -> list[NitroRow]:
    """What is bound to an object: nothing where it is not there, or where an older version has no such list."""
    try:
        return nitro.get(path_of(kind, name))
    except NitroRefused as refused:
        if refused.code == MISSING or kind in _REVERSE:
            return []
        raise


def _pair(nitro: Nitro, role: NitroRow) -> tuple[str, ...]:
    try:
        nodes = nitro.get("config/hanode")
    except DsrError:
        nodes = []
    found = []
    if role.get("haerrsyncfailure", "0") not in ("", "0"):
        found.append(f"The peer failed to take over the configuration {role['haerrsyncfailure']} times.")
    found += [
        f"Node {node.get('id', '?')} of the pair has {key} {node[key]}: it would fail over without the VIPs."
        for node in nodes for key in ("hasync", "haprop") if node.get(key, "ENABLED").upper() != "ENABLED"
    ]  # fmt: skip
    return tuple(found)


def _off(deployment: Deployment, box: Box, vip: Vip) -> bool:
    names = (words.vserver_at(box, deployment.name, str(vip.ip), port) for port in words.ports_of(vip))
    return any(box.vservers.get(name, {}).get("state") == "DISABLED" for name in names if name)


def _on(rows: list[NitroRow], listed: str, key: str) -> set[str]:
    row = next(iter(rows), {})
    found = {word.upper() for word in row.get(listed, "").split()}
    if row.get(key) == "true":
        found.add(key.upper())
    elif row.get(key) == "false":
        found.discard(key.upper())
    return found


def _named(rows: list[NitroRow]) -> dict[str, NitroRow]:
    return {row["name"]: row for row in rows if row.get("name")}


def _weight(row: NitroRow) -> int:
    return min(words.number(row.get("weight", "1")) or 1, 100)
