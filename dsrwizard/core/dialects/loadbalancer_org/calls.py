"""The requests to a Loadbalancer.org's API that carry out a change, from what is there. Pure.

The dump of its configuration has a server's weight and not whether the server is halted or drained. So weight 0 goes
with both, is set before the one and taken away after the other, and tells of them. Nothing is in force before
`reload-ldirectord`, as far as anybody knows: it goes with the last action of a change, in the same request, so that
neither comes without the other. `restart-ldirectord` interrupts and is never sent, nor is `services`, which spreads an
action over every virtual service with a real server of that name (`lbcli --help`).
"""

from __future__ import annotations

from dsrwizard.core.dialects.loadbalancer_org import words
from dsrwizard.core.model.balancer_facts import Fields, LbcliCall, Ldirectord
from dsrwizard.core.model.changes import Change, DestinationChange, ModeChange, ServiceChange
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import UsageError

RELOAD = {"action": "reload-ldirectord"}
HEARTBEAT = {"action": "reload-heartbeat"}
CHECK_TYPES = {"tcp": "connect", "udp": "ping"}


def calls(change: Change, config: Ldirectord, deployment: Deployment, *, leaves: bool = False) -> tuple[LbcliCall, ...]:
    """The requests, in order. `leaves`: it takes back what is no longer in the deployment, so that what the deployment
    still has there stays. The configuration is as it is before, and is left so."""
    work = _LbWork(config.copy(), deployment, leaves)
    match change:
        case ModeChange(of="floating IP", name=address, new=new):
            if config.floating is not None and (address in config.floating) is not new:
                work.do({"action": "add-floating-ip" if new else "delete-floating-ip", "ip": address}, HEARTBEAT)
        case ServiceChange():
            work.service(change)
        case DestinationChange():
            work.destination(change)
        case _:
            raise UsageError(f"A Loadbalancer.org cannot carry out {type(change).__name__}.")
    return tuple(work.made)


class _LbWork:
    def __init__(self, config: Ldirectord, deployment: Deployment, leaves: bool) -> None:
        self.config, self._deployment, self._leaves = config, deployment, leaves
        self.made: list[LbcliCall] = []

    def do(self, *actions: Fields) -> None:
        call = LbcliCall(actions=actions)
        self.made.append(call)
        take(self.config, call)

    def service(self, change: ServiceChange) -> None:
        key = change.service
        own = words.virtual_label(self._deployment.name, key)
        found = words.virtual_at(self.config, self._deployment.name, key)
        if change.new is None:
            if found == own and not self._wanted(change):
                self.do({"action": "delete-vip", "vip": own}, RELOAD)
            return
        wanted = words.settings(change.new)
        if found:
            now = words.have(self.config.virtuals[found])
            differs = {name: value for name, value in wanted.items() if now.get(name) != value}
            if differs:
                self.do({"action": "edit-vip", "vip": found, **differs}, RELOAD)
            return
        check = {"check_type": CHECK_TYPES[key.protocol]}
        if key.protocol == "tcp":
            check["check_port"] = str(key.port)
        self.do(
            {"action": "add-vip", "layer": "4", "vip": own, "ip": key.address, "ports": str(key.port),
             "forwarding": "gate", "protocol": key.protocol},
            {"action": "edit-vip", "vip": own, **wanted, **check}, RELOAD,
        )  # fmt: skip

    def _wanted(self, change: ServiceChange) -> bool:
        """Whether the deployment still has this service, and goes on."""
        return self._leaves and any(
            words.key_of(vip, service) == change.service for vip in self._deployment.vips for service in vip.services
        )

    def destination(self, change: DestinationChange) -> None:
        virtual = words.virtual_at(self.config, self._deployment.name, change.service)
        if not virtual:
            if change.new is None:
                return
            raise UsageError(f"There is no virtual service for {change.service.address} port {change.service.port}.")
        real = words.real_at(self.config, virtual, change.address)
        where = {"vip": virtual, "rip": real}
        if change.new is None:
            if real:
                self.do({"action": "delete-rip", **where}, RELOAD)
            return
        if not real:
            server = self._deployment.server_at(change.address)
            where["rip"] = server.name if server else change.address
            self.do({"action": "add-rip", **where, "ip": change.address, "weight": "0"}, {"action": "halt", **where},
                    RELOAD)  # fmt: skip
        before = words.number(self.config.reals[virtual][where["rip"]].get("weight", ""))
        weight = change.new.weight
        if before == weight:
            return
        edit = {"action": "edit-rip", **where, "weight": str(weight)}
        if weight == 0:
            self.do(edit, {"action": "drain", **where}, RELOAD)
            return
        if before == 0:
            self.do({"action": "online", **where})  # alone: a weight that stands says that this was done
        self.do(edit, RELOAD)


def take(config: Ldirectord, call: LbcliCall) -> None:
    """The configuration after a request that succeeded, as far as further ones depend on it."""
    for action in call.actions:
        virtual, real = action.get("vip", ""), action.get("rip", "")
        match action["action"]:
            case "add-vip":
                config.virtuals[virtual] = {
                    "label": virtual, "server": action["ip"], "ports": action["ports"], "protocol": action["protocol"],
                    "forwardingmethod": action["forwarding"],
                }  # fmt: skip
                config.reals[virtual] = {}
            case "edit-vip" if virtual in config.virtuals:
                told = {"forwardingmethod" if name == "forwarding" else name: text for name, text in action.items()}
                config.virtuals[virtual] |= told
            case "add-rip":
                config.reals.setdefault(virtual, {})[real] = {"server": action["ip"], "weight": action["weight"]}
            case "edit-rip":
                config.reals[virtual][real]["weight"] = action["weight"]
            case "delete-rip":
                config.reals.get(virtual, {}).pop(real, None)
            case "delete-vip":
                config.virtuals.pop(virtual, None)
                config.reals.pop(virtual, None)
            case "add-floating-ip" if config.floating is not None:
                config.floating.add(action["ip"])
            case "delete-floating-ip" if config.floating is not None:
                config.floating.discard(action["ip"])
