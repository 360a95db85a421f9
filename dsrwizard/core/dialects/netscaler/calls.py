"""The calls of NITRO that carry out a change, from what is there. Pure.

A change says what is to be, in the words of a deployment; the calls follow from the configuration at that moment, so
the same change a second time is no call at all. Order and verbs: the NITRO reference and the payloads of
netscaler.adc's modules. Nothing is bound again to change its weight: that would drop the server for a moment.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

from dsrwizard.core.dialects.netscaler import words
from dsrwizard.core.model.balancer_facts import Box, Fields, NitroCall
from dsrwizard.core.model.changes import Change, DestinationChange, ModeChange, SaveChange, ServiceChange
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import UsageError

DRAIN_SECONDS = 600
"""How long persistent clients may go on with a server that is drained. It has to be said: in DSR the box sees no
connection end, and would wait for that for ever."""
SAVE = NitroCall(method="POST", path="config/nsconfig?action=save", body={"nsconfig": {}})


def path_of(kind: str, name: str, arguments: str = "") -> str:
    """The path of one object. Names are quoted twice, as NITRO takes them apart twice."""
    return f"config/{kind}/{quote(quote(name, safe=''), safe='')}" + (f"?args={arguments}" if arguments else "")


def argument(key: str, name: str) -> str:
    return f"{key}:{quote(quote(name, safe=''), safe='')}"


def calls(change: Change, box: Box, deployment: Deployment, *, leaves: bool = False) -> tuple[NitroCall, ...]:
    """The calls, in order. `leaves`: it takes back what is no longer in the deployment, so that what the deployment
    still has there stays. The box is as it is before, and is left so."""
    work = _Work(box.copy(), deployment, leaves)
    match change:
        case ModeChange(of=of, name=name, new=new):
            if (name in (work.box.features if of == "feature" else work.box.modes)) is not new:
                work.do("POST", f"config/ns{of}?action={'enable' if new else 'disable'}", {f"ns{of}": {of: [name]}})
        case SaveChange():
            work.made.append(SAVE)
        case ServiceChange():
            work.service(change)
        case DestinationChange():
            work.destination(change)
        case _:
            raise UsageError(f"A NetScaler cannot carry out {type(change).__name__}.")
    return tuple(work.made)


class _Work:
    def __init__(self, box: Box, deployment: Deployment, leaves: bool) -> None:
        self.box, self._deployment, self._leaves = box, deployment, leaves
        self.made: list[NitroCall] = []

    def do(self, method: str, path: str, body: dict[str, object] | None = None) -> None:
        call = NitroCall(method=method, path=path, body=body)
        self.made.append(call)
        take(self.box, call)

    def _ours(self, name: str, fields: Fields) -> bool:
        return words.of_ours(self._deployment.name, name, fields)

    # --- the virtual server

    def service(self, change: ServiceChange) -> None:
        key, name = change.service, self._deployment.name
        found = words.vserver_at(self.box, name, key.address, key.port)
        if change.new is None:
            self._without(found, key.address, key.port)
            return
        wanted = words.settings(self._deployment, change.new)
        if not found:
            self.do("POST", "config/lbvserver", {"lbvserver": {
                "name": words.vserver_name(name, key.address, key.port), "servicetype": "ANY", "ipv46": key.address,
                "port": key.port, **_numbers(wanted), "clttimeout": int(words.IDLE), "comment": words.comment(name),
            }})  # fmt: skip
            return
        have = self.box.vservers[found]
        differs = {key: value for key, value in wanted.items() if have.get(key, _USUAL.get(key, "")) != value}
        if differs:
            self.do("PUT", "config/lbvserver", {"lbvserver": {"name": found, **_numbers(differs)}})

    def _monitor(self, port: int) -> None:
        name = words.monitor_name(self._deployment.name, port)
        if name not in self.box.monitors:
            self.do("POST", "config/lbmonitor", {"lbmonitor": {
                "monitorname": name, "type": "TCP", "destport": port, "interval": 5, "resptimeout": 2, "retries": 3,
            }})  # fmt: skip

    def _without(self, found: str, address: str, port: int) -> None:
        if self._wanted(address, port):
            return
        # What a run that was cut off has left, too: nothing else tells of it.
        bound = {service for behind in self.box.bindings.values() for service in behind}
        for service, fields in list(self.box.services.items()):
            at = fields.get("ipaddress", ""), words.number(fields.get("port", ""))
            if self._ours(service, fields) and service not in bound and not self._serves(*at):
                self.do("DELETE", path_of("service", service))
        for server in list(self.box.servers):
            self._without_server(server)
        self._without_monitor(port, found)
        if found and self._ours(found, self.box.vservers[found]):
            self.do("DELETE", path_of("lbvserver", found))  # last: by it a run that was cut off is known

    def _without_monitor(self, port: int, leaving: str = "") -> None:
        monitor = words.monitor_name(self._deployment.name, port)
        used = any(monitor in of for of in self.box.monitored.values())
        if monitor in self.box.monitors and not used and not self._vserver_on(port, leaving):
            self.do("DELETE", path_of("lbmonitor", monitor, "type:TCP"))

    def _wanted(self, address: str, port: int) -> bool:
        """Whether the deployment still has this VIP and port, and goes on."""
        return self._leaves and any(
            str(vip.ip) == address and port in words.ports_of(vip) for vip in self._deployment.vips
        )

    def _serves(self, rip: str, port: int) -> bool:
        """Whether the deployment still has this server behind a port, and goes on."""
        server = self._deployment.server_at(rip) if self._leaves else None
        vips = self._deployment.vips_of(server) if server is not None else ()
        return any(port in words.ports_of(vip) for vip in vips)

    def _vserver_on(self, port: int, leaving: str) -> bool:
        """Whether a virtual server of ours is on a port, beside one that leaves."""
        ours = (one for name, one in self.box.vservers.items() if name != leaving and self._ours(name, one))
        return any(fields.get("port") == str(port) for fields in ours)

    def _without_server(self, server: str) -> None:
        """Removes a server object of ours that nothing uses: the services of one that is removed would go with it."""
        fields = self.box.servers.get(server)
        used = any(one.get("servername") == server for one in self.box.services.values())
        if fields is not None and self._ours(server, fields) and not used and not self.box.groups.get(server):
            self.do("DELETE", path_of("server", server))

    # --- a real server behind it

    def destination(self, change: DestinationChange) -> None:
        key, rip, port = change.service, change.address, change.port
        vserver = words.vserver_at(self.box, self._deployment.name, key.address, key.port)
        server = self._deployment.server_at(rip)
        service = words.service_at(self.box, self._deployment, server, rip, port)
        if change.new is None:
            self._remove(vserver, service)
            self._without_monitor(port)
            self._without_server(words.server_at(self.box, rip))
            return
        weight = change.new.weight
        alone = not words.shared(self._deployment, rip, port)
        if not service:
            service = self._make(server.name if server else canonical_name(rip), rip, port, alone)
        elif not self._ours(service, self.box.services[service]) or self._elsewhere(service, vserver):
            alone = False
        self._watched(service, key.protocol, port)
        self._weigh(vserver, service, weight, alone)

    def _weigh(self, vserver: str, service: str, weight: int, alone: bool) -> None:
        """Weight 0 does not exist: the server is off or, where its service is others', too, not bound."""
        bound = self.box.bindings.get(vserver, {}).get(service)
        on = words.enabled(self.box.services[service])
        if weight == 0:
            if alone and on:
                self._drain(service)
            if alone and bound is None:
                self._bind(vserver, service, 1)
            if not alone and bound is not None:
                self._unbind(vserver, service)
            return
        if bound is None:
            self._bind(vserver, service, weight)
        elif bound != weight:
            body = {"name": vserver, "servicename": service, "weight": weight}
            self.do("PUT", "config/lbvserver", {"lbvserver": body})
        if not on and self._ours(service, self.box.services[service]):
            self.do("POST", "config/service?action=enable", {"service": {"name": service}})

    def _drain(self, service: str) -> None:
        body = {"name": service, "delay": DRAIN_SECONDS, "graceful": "YES"}
        self.do("POST", "config/service?action=disable", {"service": body})

    def _bind(self, vserver: str, service: str, weight: int) -> None:
        body = {"name": vserver, "servicename": service, "weight": weight}
        self.do("PUT", "config/lbvserver_service_binding", {"lbvserver_service_binding": body})

    def _unbind(self, vserver: str, service: str) -> None:
        self.do("DELETE", path_of("lbvserver_service_binding", vserver, argument("servicename", service)))

    def _make(self, name: str, rip: str, port: int, alone: bool) -> str:
        deployment = self._deployment.name
        server = words.server_at(self.box, rip)
        if not server:
            server = words.server_name(deployment, name, rip)
            body = {"name": server, "ipaddress": rip, "comment": words.comment(deployment)}
            self.do("POST", "config/server", {"server": body})
        service = words.service_name(deployment, name, rip, port)
        # `usip` always: left out, it is what a global mode says.
        self.do("POST", "config/service", {"service": {
            "name": service, "servername": server, "servicetype": "ANY", "port": port, "usip": "YES",
            "state": "DISABLED" if alone else "ENABLED", "healthmonitor": "YES", "downstateflush": "DISABLED",
            "svrtimeout": int(words.IDLE), "clttimeout": int(words.IDLE), "comment": words.comment(deployment),
        }})  # fmt: skip
        return service

    def _watched(self, service: str, protocol: str, port: int) -> None:
        """Our own services get a monitor that teaches the NetScaler the server's MAC; others' have theirs."""
        if not self._ours(service, self.box.services[service]):
            return
        monitor = words.monitor_name(self._deployment.name, port) if protocol == "tcp" else "ping"
        if protocol == "tcp":
            self._monitor(port)
        if monitor not in self.box.monitored.get(service, ()):
            self.do("PUT", "config/service_lbmonitor_binding", {
                "service_lbmonitor_binding": {"name": service, "monitor_name": monitor}
            })  # fmt: skip

    def _elsewhere(self, service: str, vserver: str) -> bool:
        return any(service in bound for name, bound in self.box.bindings.items() if name != vserver)

    def _remove(self, vserver: str, service: str) -> None:
        if not service:
            return
        if service in self.box.bindings.get(vserver, {}):
            self._unbind(vserver, service)
        fields = self.box.services[service]
        if self._ours(service, fields) and not self._elsewhere(service, ""):
            self.do("DELETE", path_of("service", service))


_USUAL = {"m": "IP", "lbmethod": "LEASTCONNECTION", "sessionless": "DISABLED", "persistencetype": "NONE"}


def canonical_name(rip: str) -> str:
    """What a server is called that is no longer in the deployment: nobody else is called by an address."""
    return rip.replace(":", ".")


def _numbers(fields: Fields) -> dict[str, object]:
    return {key: int(value) if key == "timeout" else value for key, value in fields.items()}


# --- what a call does ------------------------------------------------------------------------------------------------


def take(box: Box, call: NitroCall) -> None:
    """The configuration after a call that succeeded, as far as further calls depend on it."""
    kind = call.path.removeprefix("config/").partition("?")[0].partition("/")[0]
    body: Any = next(iter((call.body or {}).values()), {})
    text = {key: str(value) for key, value in body.items()} if isinstance(body, dict) else {}
    name = text.get("name", "")
    action = call.path.partition("?action=")[2]
    if call.method == "DELETE":
        _gone(box, kind, *_names(call.path))
    elif kind in ("nsfeature", "nsmode"):
        among = box.features if kind == "nsfeature" else box.modes
        (among.update if action == "enable" else among.difference_update)(body[kind.removeprefix("ns")])
    elif kind == "server":
        box.servers[name] = text
    elif kind == "service" and action:
        box.services[name] |= {"state": "ENABLED" if action == "enable" else "DISABLED", "svrstate": ""}
    elif kind == "service":
        address = box.servers.get(text["servername"], {}).get("ipaddress", "")
        box.services[name] = text | {"ipaddress": address}
    elif kind == "service_lbmonitor_binding":
        box.monitored.setdefault(name, []).append(text["monitor_name"])
    elif kind == "lbmonitor":
        box.monitors[text["monitorname"]] = text["type"]
    elif kind == "lbvserver_service_binding":
        box.bindings.setdefault(name, {})[text["servicename"]] = int(text["weight"])
    elif kind == "lbvserver" and "servicename" in text:
        box.bindings[name][text["servicename"]] = int(text["weight"])
    elif kind == "lbvserver":
        box.vservers[name] = box.vservers.get(name, {}) | text


def _names(path: str) -> tuple[str, str]:
    """The object that a path names, and the one in its arguments."""
    head, _, arguments = path.partition("?args=")
    return unquote(unquote(head.rpartition("/")[2])), unquote(unquote(arguments.partition(":")[2]))


def _gone(box: Box, kind: str, name: str, other: str) -> None:
    if kind == "lbvserver_service_binding":
        box.bindings.get(name, {}).pop(other, None)
    elif kind == "lbvserver":
        box.vservers.pop(name, None)
        box.bindings.pop(name, None)
    elif kind == "service":
        box.services.pop(name, None)
        box.monitored.pop(name, None)
        for bound in box.bindings.values():
            bound.pop(name, None)
    elif kind == "server":
        box.servers.pop(name, None)
    elif kind == "lbmonitor":
        box.monitors.pop(name, None)
