"""What the close look prints on a machine in memory, by its sections."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from ipaddress import ip_address

from dsrwizard.core.model.doc_addresses import SOMEWHERE
from dsrwizard.core.model.facts import Route
from tests.fakes.host import Machine

UNREACHABLE = "RTNETLINK answers: Network is unreachable"


def close_look(machine: Machine, vips: Iterable[str], clients: Iterable[str] = ()) -> dict[str, list[str]]:
    """Sections by their names, each as its lines."""
    found = {
        "neighbours": machine.neighbours,
        "local": [
            f"local {address} dev {name}"
            for name, link in machine.links.items()
            if link.up
            for address in link.addresses
        ],
        "balancer": ["none"],
        **_boot(machine),
    }
    for vip in vips:
        family = ip_address(vip).version
        for client in (*(one for one in clients if ip_address(one).version == family), SOMEWHERE[family]):
            found[f"way:{vip}>{client}"], off = _way(machine, vip, client)
            if off:
                found[f"off:{vip}>{client}"] = off
    return found | machine.told


def route(route: Route) -> dict[str, object]:
    return {**({"gateway": route.gateway} if route.gateway else {}), "dev": route.interface, "flags": []}


def _way(machine: Machine, vip: str, client: str) -> tuple[list[str], list[str]]:
    if client in machine.ways_off:
        said, behind = machine.ways_off[client]
        return [said], [behind]
    way = machine.way(vip)
    if machine.holds(vip) is None or way is None:
        return [UNREACHABLE], ["0:	from all lookup local"]
    table = {"table": "200"} if vip in machine.policy else {}
    return [json.dumps([{"dst": client, "from": vip} | route(way) | table | {"uid": 0, "cache": []}])], []


def _boot(machine: Machine) -> dict[str, list[str]]:
    texts = {path: file.content.splitlines() for path, file in machine.files.items() if file.target is None}
    settings = [path for path in texts if path.endswith(".conf") and "sysctl" in path]
    links = [path for path, file in machine.files.items() if file.target is not None]
    return {
        "sysctl_files": settings,
        "sysctl_lines": [f"{path}:{line}" for path in settings for line in texts[path] if SETS.match(line)],
        "enabled": [*links, *(path for path, file in machine.files.items() if path in RUN and file.mode & 0o111)],
        "boot": [],
        "boot_files": (read := [path for path in texts if path not in settings]),
        "boot_lines": [f"{path}:{line}" for path in read for line in texts[path]],
    }


SETS = re.compile(r"\s*-?\s*(net[./]|[*?[])")
RUN = ("/etc/rc.local", "/sbin/ifup")
