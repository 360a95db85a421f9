"""A NetScaler, or a pair of them: NITRO over TLS on loopback, with state, refusals and what its packets would do.

Bodies and refusals are those of the NITRO reference. What nobody could verify without an appliance is a switch
(`Manners`), and the driver has to do well whichever way it stands.
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.fakes.https_box import FakeBox, HttpsNodes, Line, Place, Reply

Fields = dict[str, Any]
USER, PASSWORD = "nsroot", "a-Secret/of:the\\box"
BY_CLIENT = {"SOURCEIPHASH", "SRCIPSRCPORTHASH", "SRCIPDESTIPHASH"}
IPVS_METHODS = {
    "ROUNDROBIN": "wrr", "LEASTCONNECTION": "wlc", "SOURCEIPHASH": "sh", "SRCIPSRCPORTHASH": "sh",
    "SRCIPDESTIPHASH": "sh", "DESTINATIONIPHASH": "dh",
}  # fmt: skip
SCRIPTED = {"LDAP", "FTP", "SNMP", "USER", "RADIUS"}


@dataclass
class Manners:
    """Behaviour that is not verified."""

    own_status: int = 599
    """HTTP status of NITRO's own errors."""
    one_per_address: bool = True
    """A second object for the same address, port and type is refused as one of the same name is."""
    text_numbers: bool = True
    state_follows: bool = True
    """`state` of a service says what was ordered last; otherwise `svrstate` alone does."""
    lists: bool = True
    """One object is in a list; otherwise it stands alone."""
    capitals: bool = False
    """Keys of answers in another case."""
    reverse: bool = True
    """It has lists from a part to what it is in."""
    server_takes_services: bool = True
    sessions_end: bool = True
    """A failover ends the sessions of both nodes; otherwise they go on, with a secondary, too."""


class Refusal(Exception):
    def __init__(self, code: int, message: str, status: int) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass
class Config:
    features: set[str] = field(default_factory=lambda: {"LB"})
    modes: set[str] = field(default_factory=set)
    servers: dict[str, Fields] = field(default_factory=dict)
    services: dict[str, Fields] = field(default_factory=dict)
    vservers: dict[str, Fields] = field(default_factory=dict)
    monitors: dict[str, Fields] = field(default_factory=lambda: {
        "ping": {"monitorname": "ping", "type": "PING"}, "tcp": {"monitorname": "tcp", "type": "TCP"},
    })  # fmt: skip
    bindings: list[tuple[str, str, int]] = field(default_factory=list)
    monitored: list[tuple[str, str]] = field(default_factory=list)
    grouped: dict[str, list[str]] = field(default_factory=dict)
    """vserver → service groups."""
    members: dict[str, list[str]] = field(default_factory=dict)
    """Server → service groups."""
    in_groups: dict[str, list[Fields]] = field(default_factory=dict)
    """Service group → rows of its members."""


class FakeNetScaler(FakeBox):
    """`log` has (node, method, path, body) of every request; `changed` those that changed something. `nodes`: one, or
    two of which `primary` is the first."""

    def __init__(
        self,
        certificate: Path,
        key: Path,
        *,
        nodes: int = 1,
        manners: Manners | None = None,
        place: Place | None = None,
    ) -> None:
        self.manners = manners or Manners()
        self.running, self.saved = Config(), Config()
        self.unsaved = False
        self.pair = nodes > 1
        self.primary = 0
        self.log: list[tuple[int, str, str, Any]] = []
        self.changed: list[tuple[int, str, str, Any]] = []
        self.sessions: set[str] = set()
        self.version = "NetScaler NS14.1: Build 73.37.nc, Date: Jun 05 2026, 02:11:47   (64-bit)"
        self.most_sessions = 20
        self.others = 0
        """Sessions of other people."""
        self.read_only = False
        self.saving = 0
        """So many saves are refused, because another session saves."""
        self.states: dict[str, str] = {}
        """RIP → what its monitor says; UP unless told."""
        self.counters: dict[str, Fields] = {}
        self.forwards_as_ip = False
        """It says MAC, and writes the RIP over the VIP all the same."""
        self.lets_none_in: set[str] = set()
        """Services that it calls UP and sends nothing."""
        self.on_change: Callable[[str, str, Any], None] = lambda method, path, body: None
        """Called before a change, and again (with the method in lower case) once it took effect."""
        self.faults: list[tuple[Callable[[str, str], bool], str]] = []
        """The next request that fits: `drop` (after it took effect), `refuse` (before), `busy`, `cut`, `page`,
        `expire`, `failover` (before it)."""
        self.errors: list[str] = []
        self._lock = threading.RLock()
        self._count = 0
        self._nodes = HttpsNodes(
            certificate, key, nodes, self._reply, b"<html><body>Citrix NetScaler: log in</body></html>", place
        )  # fmt: skip
        self.port = self._nodes.port
        self.addresses = self._nodes.addresses

    def _reply(self, node: int, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> Reply:
        token = unquote(headers.get("Cookie", "").partition("NITRO_AUTH_TOKEN=")[2])
        body = json.loads(raw) if raw else None
        status, document, fault = self.answer(node, method, path.removeprefix("/nitro/v1/"), body, token)
        return Reply(status, json.dumps(document).encode(), fault)

    def close(self) -> None:
        self._nodes.close()

    # --- what a test does to it

    def reboot(self) -> None:
        """What was not saved is gone, and so are the sessions."""
        self.running, self.unsaved = copy.deepcopy(self.saved), False
        self.sessions.clear()

    def keep(self) -> None:
        self.saved, self.unsaved = copy.deepcopy(self.running), False

    def failover(self) -> None:
        self.primary = 1 - self.primary
        if self.manners.sessions_end:
            self.sessions.clear()

    def snapshot(self) -> tuple[Config, Config, bool]:
        return copy.deepcopy((self.running, self.saved, self.unsaved))

    def restore(self, taken: tuple[Config, Config, bool]) -> None:
        self.running, self.saved, self.unsaved = copy.deepcopy(taken)

    def holds(self) -> set[str]:
        return {str(one["ipv46"]) for one in self.running.vservers.values()}

    def lines(self) -> list[Line]:
        """Type ANY is both protocols. Without LB nothing is balanced, without MBF nothing leaves in MAC mode."""
        config, found = self.running, []
        for name, one in config.vservers.items():
            mac = one.get("m", "IP") == "MAC"
            dead = "LB" not in config.features or (mac and "MBF" not in config.modes) or self._per_packet(one)
            if dead or one.get("state", "ENABLED") == "DISABLED":
                continue
            behind = []
            for vserver, service, weight in config.bindings:
                if vserver == name and (self._takes(service) or self._drains(service)):
                    there = config.services[service]
                    behind.append((self._address(there), int(there["port"]), weight if self._takes(service) else 0))
            port = int(one["port"]) % 65_535
            keeps = 60 * int(one.get("timeout", 2)) if one.get("persistencetype", "NONE") == "SOURCEIP" else 0
            method = IPVS_METHODS[one.get("lbmethod", "LEASTCONNECTION")]
            how = "gate" if mac and not self.forwards_as_ip else "masq"
            for protocol in ("tcp", "udp") if one["servicetype"] == "ANY" else (str(one["servicetype"]).lower(),):
                found.append(Line(protocol, str(one["ipv46"]), port, method, keeps, how, tuple(behind)))
        return found

    def _drains(self, service: str) -> bool:
        """Whether it keeps the clients that it has."""
        return "delay" in self.running.services[service] and self.running.services[service]["ordered"] == "DISABLED"

    def _per_packet(self, vserver: Fields) -> bool:
        """Each packet goes to another server: no TCP connection comes about."""
        return vserver.get("sessionless") == "ENABLED" and vserver.get("lbmethod") not in BY_CLIENT

    def _takes(self, service: str) -> bool:
        one = self.running.services[service]
        monitors = [name for of, name in self.running.monitored if of == service]
        types = {self.running.monitors[name]["type"].upper() for name in monitors}
        learnt = not monitors or bool(types - SCRIPTED)
        up = self.states.get(self._address(one), "UP") == "UP"
        checked = one.get("healthmonitor", "YES") == "YES"
        return one["ordered"] == "ENABLED" and up and learnt and checked and service not in self.lets_none_in

    def _address(self, service: Fields) -> str:
        return str(self.running.servers[service["servername"]]["ipaddress"])

    # --- requests

    def answer(self, node: int, method: str, path: str, body: Any, token: str) -> tuple[int, Any, str]:
        """HTTP status, document, and a fault of the wire."""
        with self._lock:
            self.log.append((node, method, path, body))
            fault = ""
            for place, (fits, kind) in enumerate(self.faults):
                if fits(method, path):
                    fault = kind
                    del self.faults[place]
                    break
            if fault == "failover":
                self.failover()
            if fault == "expire":
                self.sessions.clear()
            if fault in ("refuse", "busy", "page"):
                return (503 if fault == "busy" else 200), {"errorcode": 0}, fault
            try:
                status, document = self._served(node, method, path, body, token)
            except Refusal as refusal:
                return refusal.status, {
                    "errorcode": refusal.code, "message": refusal.message, "severity": "ERROR"
                }, fault  # fmt: skip
            except (KeyError, ValueError, TypeError) as error:
                self.errors.append(f"{method} {path} {body}: {error!r}")
                return 500, {"errorcode": 1, "message": repr(error), "severity": "ERROR"}, fault
            return status, {"errorcode": 0, "message": "Done", "severity": "NONE"} | document, fault

    def _refused(self, code: int, message: str) -> Refusal:
        return Refusal(code, message, {258: 404, 273: 409, 354: 401, 444: 401}.get(code, self.manners.own_status))

    def _served(self, node: int, method: str, path: str, body: Any, token: str) -> tuple[int, Fields]:
        head, _, query = path.partition("?")
        area, kind, *rest = head.split("/")
        if kind == "login":
            return self._login(body["login"])
        if token not in self.sessions:
            raise self._refused(444, "The session has expired or is not valid")
        if kind == "logout":
            self.sessions.discard(token)
            return 201, {}
        name = unquote(unquote(rest[0])) if rest else ""
        if method == "GET":
            return 200, self._got(node, area, kind, name)
        if self.read_only:
            raise self._refused(2138, f"Not authorized to execute this command [{method} {kind}]")
        if self.pair and node != self.primary:
            self.errors.append(f"a secondary was written to: {method} {path}")
        self.on_change(method, path, body)
        status = self._change(method, kind, name, query, (body or {}).get(kind, {}))
        self.changed.append((node, method, path, body))
        if "action=save" not in query:
            self.unsaved = True
        self.on_change(method.lower(), path, body)
        return status, {}

    def _login(self, given: Fields) -> tuple[int, Fields]:
        if (given.get("username"), given.get("password")) != (USER, PASSWORD):
            raise self._refused(354, "Invalid username or password")
        if len(self.sessions) + self.others >= self.most_sessions:
            raise self._refused(1027, "Connection limit to CFE exceeded")
        self._count += 1
        token = f"##{self._count:04}/session+of=ours"
        self.sessions.add(token)
        return 201, {"sessionid": token}

    def _got(self, node: int, area: str, kind: str, name: str) -> Fields:
        config = self.running
        rows: list[Fields]
        match area, kind:
            case "stat", "hanode":
                state = "Primary" if node == self.primary else "Secondary"
                rows = [{"hacurstatus": "YES" if self.pair else "NO", "hacurstate": "UP", "hacurmasterstate": state,
                         "haerrsyncfailure": "0"}]  # fmt: skip
            case "stat", "service":
                rows = [{"name": one, **self.counters.get(one, {})} for one in config.services]
            case "config", "nsversion":
                return {kind: {"version": self.version, "mode": "1"}}
            case "config", "hanode":
                rows = [{"id": "0", "hasync": "ENABLED", "haprop": "ENABLED"}]
            case "config", "nsconfig":
                rows = [{"configchanged": self.unsaved, "primaryip": self.addresses[self.primary]}]
            case "config", "nsfeature":
                rows = [{"feature": sorted(config.features), "lb": "LB" in config.features}]
            case "config", "nsmode":
                rows = [{"mode": sorted(config.modes), "mbf": "MBF" in config.modes}]
            case "config", "server":
                rows = [*config.servers.values()]
            case "config", "service":
                rows = [self._service_row(one) for one in config.services.values()]
            case "config", "lbvserver":
                rows = [*config.vservers.values()]
            case "config", "lbmonitor":
                rows = [*config.monitors.values()]
            case "config", "lbvserver_service_binding":
                rows = [{"name": v, "servicename": s, "weight": w} for v, s, w in config.bindings if v == name]
            case "config", "lbvserver_servicegroup_binding":
                rows = [{"name": name, "servicegroupname": one} for one in config.grouped.get(name, [])]
            case "config", "service_lbmonitor_binding":
                rows = [{"name": s, "monitor_name": m, "lastresponse": "Success - TCP syn+ack received."}
                        for s, m in config.monitored if s == name]  # fmt: skip
            case "config", ("svcbindings" | "server_servicegroup_binding") if not self.manners.reverse:
                raise self._refused(1, "Invalid object name")
            case "config", "servicegroup_servicegroupmember_binding":
                rows = [{"servicegroupname": name, **one} for one in config.in_groups.get(name, [])]
            case "config", "svcbindings":
                rows = [{"servicename": s, "vservername": v} for v, s, _ in config.bindings if s == name]
            case "config", "server_servicegroup_binding":
                rows = [{"name": name, "servicegroupname": one} for one in config.members.get(name, [])]
            case _:
                raise self._refused(1, f"Invalid object name [{kind}]")
        if not rows:
            return {}  # no empty list: the key is missing
        shown = [{self._key(key): self._value(value) for key, value in row.items()} for row in rows]
        return {kind: shown if self.manners.lists or len(shown) > 1 or area == "config" else shown[0]}

    def _key(self, key: str) -> str:
        return key.upper() if self.manners.capitals else key

    def _value(self, value: Any) -> Any:
        number = isinstance(value, int) and not isinstance(value, bool)
        return str(value) if number and self.manners.text_numbers else value

    def _service_row(self, one: Fields) -> Fields:
        row = {key: value for key, value in one.items() if key not in ("ordered", "delay")}
        up = self.states.get(self._address(one), "UP")
        row |= {"ipaddress": self._address(one), "svrstate": up if one["ordered"] == "ENABLED" else "OUT OF SERVICE"}
        row["state"] = one["ordered"] if self.manners.state_follows else "ENABLED"
        return row

    # --- changes

    def _change(self, method: str, kind: str, name: str, query: str, body: Any) -> int:
        action = query.partition("action=")[2]
        arguments = dict(part.split(":", 1) for part in query.partition("args=")[2].split(",") if ":" in part)
        arguments = {key: unquote(unquote(value)) for key, value in arguments.items()}
        if {"servicename", "servicegroupname"} <= {*arguments, *(body if isinstance(body, dict) else ())}:
            raise self._refused(1092, "Arguments cannot both be specified [serviceName, serviceGroupName]")
        made = getattr(self, f"_{kind}", None)
        if made is None:
            raise self._refused(1, f"Invalid object name [{kind}]")
        made(method, name, action, arguments, body)
        return 201 if method == "POST" and not action else 200

    def _nsfeature(self, method: str, name: str, action: str, arguments: Fields, body: Fields) -> None:
        among = self.running.features
        (among.update if action == "enable" else among.difference_update)(body["feature"])

    def _nsmode(self, method: str, name: str, action: str, arguments: Fields, body: Fields) -> None:
        among = self.running.modes
        (among.update if action == "enable" else among.difference_update)(body["mode"])

    def _nsconfig(self, method: str, name: str, action: str, arguments: Fields, body: Fields) -> None:
        if self.saving:
            self.saving -= 1
            raise self._refused(293, "Save config already in progress by another session")
        self.keep()

    def _known(self, objects: dict[str, Fields], name: str) -> Fields:
        if name not in objects:
            raise self._refused(258, f"No such resource [{name}]")
        return objects[name]

    def _new(self, objects: dict[str, Fields], name: str, same: Callable[[Fields], bool]) -> None:
        if name in objects or (self.manners.one_per_address and any(same(one) for one in objects.values())):
            raise self._refused(273, "Resource already exists")

    def _server(self, method: str, name: str, action: str, arguments: Fields, body: Fields) -> None:
        if method == "DELETE":
            self._known(self.running.servers, name)
            for service, one in list(self.running.services.items()):
                if one["servername"] == name and self.manners.server_takes_services:
                    self._without_service(service)
            del self.running.servers[name]
            return
        self._new(self.running.servers, body["name"], lambda one: one["ipaddress"] == body["ipaddress"])
        self.running.servers[body["name"]] = dict(body)

    def _service(self, method: str, name: str, action: str, arguments: Fields, body: Fields) -> None:
        services = self.running.services
        if method == "DELETE":
            self._known(services, name)
            self._without_service(name)
        elif action in ("enable", "disable"):
            one = self._known(services, body["name"])
            one["ordered"] = "ENABLED" if action == "enable" else "DISABLED"
            one.pop("delay", None)
            if action == "disable" and "delay" in body:
                one["delay"] = body["delay"]
        elif method == "PUT":
            if {"servicetype", "port", "servername", "td"} & body.keys():
                raise self._refused(278, "Invalid argument [port]")
            self._known(services, body["name"]).update(body)
        else:
            self._known(self.running.servers, body["servername"])
            place = (body["servername"], int(body["port"]), body["servicetype"])
            self._new(services, body["name"],
                      lambda one: (one["servername"], int(one["port"]), one["servicetype"]) == place)  # fmt: skip
            services[body["name"]] = dict(body) | {"ordered": body.get("state", "ENABLED")}

    def _without_service(self, name: str) -> None:
        config = self.running
        del config.services[name]
        config.bindings = [one for one in config.bindings if one[1] != name]
        config.monitored = [one for one in config.monitored if one[0] != name]

    def _lbmonitor(self, method: str, name: str, action: str, arguments: Fields, body: Fields) -> None:
        if method == "DELETE":
            self._known(self.running.monitors, name)
            if any(monitor == name for _, monitor in self.running.monitored):
                raise self._refused(278, "Monitor is bound to a service")
            del self.running.monitors[name]
            return
        if len(body["monitorname"]) > 31:
            raise self._refused(278, "Invalid argument [monitorname]")
        self._new(self.running.monitors, body["monitorname"], lambda one: False)
        self.running.monitors[body["monitorname"]] = dict(body)

    def _service_lbmonitor_binding(self, method: str, name: str, action: str, arguments: Fields, body: Fields) -> None:
        self._known(self.running.services, body["name"])
        self._known(self.running.monitors, body["monitor_name"])
        pair = (body["name"], body["monitor_name"])
        if pair in self.running.monitored:
            raise self._refused(273, "Resource already exists")
        self.running.monitored.append(pair)

    def _lbvserver(self, method: str, name: str, action: str, arguments: Fields, body: Fields) -> None:
        vservers = self.running.vservers
        if method == "DELETE":
            self._known(vservers, name)
            del vservers[name]
            self.running.bindings = [one for one in self.running.bindings if one[0] != name]
        elif method == "PUT" and "servicename" in body:
            self._known(vservers, body["name"])
            self._weighed(body)
        elif method == "PUT":
            if {"servicetype", "port", "range", "td"} & body.keys():
                raise self._refused(278, "Invalid argument [servicetype]")
            self._known(vservers, body["name"]).update(body)
        else:
            place = (body["ipv46"], int(body["port"]), body["servicetype"])
            self._new(vservers, body["name"],
                      lambda one: (one["ipv46"], int(one["port"]), one["servicetype"]) == place)  # fmt: skip
            vservers[body["name"]] = dict(body) | {"state": "ENABLED"}

    def _weighed(self, body: Fields) -> None:
        weight = int(body["weight"])
        if not 1 <= weight <= 100:
            raise self._refused(278, "Invalid argument [weight]")
        for place, (vserver, service, _) in enumerate(self.running.bindings):
            if (vserver, service) == (body["name"], body["servicename"]):
                self.running.bindings[place] = (vserver, service, weight)
                return
        raise self._refused(258, "No such resource [servicename]")

    def _lbvserver_service_binding(self, method: str, name: str, action: str, arguments: Fields, body: Fields) -> None:
        config = self.running
        if method == "DELETE":
            gone = [one for one in config.bindings if one[:2] == (name, arguments["servicename"])]
            if not gone:
                raise self._refused(258, "No such resource [servicename]")
            config.bindings.remove(gone[0])
            return
        self._known(config.vservers, body["name"])
        self._known(config.services, body["servicename"])
        if any(one[:2] == (body["name"], body["servicename"]) for one in config.bindings):
            raise self._refused(273, "Resource already exists")
        config.bindings.append((body["name"], body["servicename"], int(body["weight"])))
        try:
            self._weighed(body)
        except Refusal:
            config.bindings.pop()
            raise
