"""A healthy farm in memory that tests break: deployed by the planner's own steps, then verified as the engine does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from dsrwizard.core.model.answers import Claim, Connected, Owners, Ping, Probed, Sent, Talked
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.client_view import ClientView
from dsrwizard.core.model.deployment import Deployment, Service, Vip
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Failure, Listener, Observed, Route
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.plan.plan import plan
from dsrwizard.core.ports import Arriving, Hearing, HostKeyQuestion, ProbeTarget, SecretQuestion, WirePort
from dsrwizard.engine.handshakes import Inside
from dsrwizard.engine.verify import verify
from tests.fakes.host import Link
from tests.fakes.server_state import ServerState
from tests.fakes.step_watch import MustWork
from tests.fakes.world import World

VIP = "10.0.0.10"
VIP6 = "fd00::10"
STRANGER = "02:00:00:00:be:ef"
ROUTER = "10.0.0.1"


class Nobody:
    """An operator who answers no question."""

    def secret(self, question: SecretQuestion) -> Secret | None:
        return None

    def accept_key(self, question: HostKeyQuestion) -> bool:
        return False


class Farm:
    """A deployed farm. `verify` looks at it and diagnoses."""

    def __init__(
        self,
        *,
        servers: int = 3,
        services: tuple[Service, ...] = (Service(port=80),),
        addresses: tuple[str, ...] = (VIP,),
        change: Callable[[Deployment], Deployment] = lambda deployment: deployment,
    ) -> None:
        self.world = World.lab(servers, ipv6=any(":" in address for address in addresses))
        vips = tuple(Vip(address=address, services=services) for address in addresses)
        self.deployment = change(msgspec.structs.replace(self.world.deployment(), vips=vips))
        for state in self.world.servers.values():
            state.machine.routes.append(Route(gateway="fd00::1", interface="eth0", family=6))
        for step in plan(self.deployment, self.observed()).steps:
            if step.host == DIRECTOR:
                self.world.director().apply(step)
            else:
                server = self.world.open_server(self.deployment.server(step.host), Nobody())
                server.apply([step], MustWork())

    def observed(self) -> Observed:
        seen, failed = {}, {}
        for server in self.deployment.servers:
            if server.connect == "manual":
                continue
            try:
                seen[server.name] = self.world.open_server(server, Nobody()).observe(self.deployment, closely=True)
            except DsrError as error:
                failed[server.name] = Failure(kind=error.kind, what=error.what, why=error.why, next=error.next)
        return Observed(director=self.world.director().observe(self.deployment), servers=seen, failed=failed)

    def server(self, name: str) -> ServerState:
        return self.world.servers[name]

    def rip(self, name: str) -> str:
        return self.server(name).rips[0]

    def verify(self, *, wire: WirePort | None = None, client: ClientView | Failure | None = None) -> Report:
        return verify(self.deployment, self.observed(), wire or self.world.wire(), client, inside=self.inside())

    def inside(self) -> Inside:
        """The doors into its hosts, to those that open."""
        servers = [server for server in self.deployment.servers if server.connect != "manual"]
        return Inside(
            {server.name: self.world.open_server(server, Nobody()) for server in servers},
            self.world.director().connections,
            lambda lost: self.world.director().look(self.deployment, lost),
            holdings=lambda: self.world.director().holdings(self.deployment),
        )


class Altered:
    """The wire of a farm with some answers replaced, for what the world cannot be made to do."""

    def __init__(
        self,
        farm: Farm,
        *,
        probe: Callable[[Probed], Probed] = lambda probed: probed,
        connect: Callable[[Connected], Connected] = lambda connected: connected,
        ping: Callable[[Ping], Ping] = lambda ping: ping,
        owners: Callable[[Owners], Owners] = lambda owners: owners,
        sent: Callable[[Sent], Sent] = lambda sent: sent,
        talked: Callable[[Talked], Talked] = lambda talked: talked,
    ) -> None:
        self._wire, self._sent, self._talked = farm.world.wire(), sent, talked
        self._probe, self._connect, self._ping, self._owners = probe, connect, ping, owners

    def ping(self, addresses: Sequence[str], deadline: float = 1.0, size: int = 0) -> Mapping[str, Ping]:
        return {address: self._ping(ping) for address, ping in self._wire.ping(addresses, deadline, size).items()}

    def connect(self, targets: Sequence[tuple[str, int]], deadline: float = 2.0) -> Sequence[Connected]:
        return [self._connect(connected) for connected in self._wire.connect(targets, deadline)]

    def owners(self, interface: str, addresses: Sequence[str], deadline: float = 1.0) -> Mapping[str, Owners]:
        return {a: self._owners(found) for a, found in self._wire.owners(interface, addresses, deadline).items()}

    def probe(
        self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 1.0, pace: int = 0
    ) -> Sequence[Probed]:
        return [self._probe(probed) for probed in self._wire.probe(interface, targets, deadline, pace)]

    def offlink(
        self, interface: str, targets: Sequence[ProbeTarget], sources: Mapping[int, str], deadline: float = 1.0
    ) -> Sequence[Sent]:
        return [self._sent(sent) for sent in self._wire.offlink(interface, targets, sources, deadline)]

    def talk(self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 2.0) -> Sequence[Talked]:
        return [self._talked(talked) for talked in self._wire.talk(interface, targets, deadline)]

    def hear(self, interface: str, addresses: Sequence[str], heard: Callable[[Claim], None]) -> Hearing:
        return self._wire.hear(interface, addresses, heard)

    def arrivals(self, interface: str, vips: Sequence[str]) -> Arriving:
        return self._wire.arrivals(interface, vips)


def faults(report: Report) -> list[tuple[str, str]]:
    """(cause, host) of every failing check, sorted."""
    return sorted((check.cause, check.host) for check in report.failures)


def only(report: Report) -> Check:
    """The one failing check."""
    assert len(report.failures) == 1, [f"{c.check} {c.host} {c.cause}: {c.message}" for c in report.failures]
    return report.failures[0]


def find(report: Report, check: str, host: str, vip: str = "", service: str = "") -> Check:
    """The check of that id on that host (about that VIP and service, where given)."""
    found = [
        one
        for one in report.checks
        if one.check == check and one.host == host and vip in ("", one.vip) and service in ("", one.service)
    ]
    assert found, f"no {check} on {host}"
    return found[0]


# -- faults as they happen on a machine; each is named for its cause


def unreachable(farm: Farm, name: str) -> None:
    farm.server(name).reachable = False


def service_down(farm: Farm, name: str) -> None:
    machine = farm.server(name).machine
    machine.listeners = [one for one in machine.listeners if one.port != 80]


def rip_only_listener(farm: Farm, name: str) -> None:
    service_down(farm, name)
    farm.server(name).machine.listeners.append(
        Listener(protocol="tcp", address=farm.rip(name), port=80, process="nginx")
    )


def vip_missing(farm: Farm, name: str) -> None:
    del farm.server(name).machine.links["lo"].addresses[VIP]


def vip_circles(farm: Farm, name: str) -> None:
    vip_missing(farm, name)
    farm.server(name).machine.sysctls["net.ipv4.ip_forward"] = "1"


def vip_prefix(farm: Farm, name: str) -> None:
    farm.server(name).machine.links["lo"].addresses[VIP] = 24


def arp_leak(farm: Farm, name: str) -> None:
    farm.server(name).machine.sysctls["net.ipv4.conf.all.arp_ignore"] = "0"


def arp_leak_by_stray(farm: Farm, name: str) -> None:
    farm.server(name).machine.sysctls["net.ipv4.conf.eth0.arp_ignore"] = "3"


def arp_leak_on_nic(farm: Farm, name: str) -> None:
    links = farm.server(name).machine.links
    del links["lo"].addresses[VIP]
    links["eth0"].addresses[VIP] = 32


def arp_announce(farm: Farm, name: str) -> None:
    farm.server(name).machine.sysctls["net.ipv4.conf.all.arp_announce"] = "0"


def rp_filter(farm: Farm, name: str) -> None:
    machine = farm.server(name).machine
    machine.links["eth1"] = Link("02:00:00:00:01:01", addresses={"192.168.9.5": 24})
    machine.routes[0] = Route(gateway="192.168.9.1", interface="eth1")
    machine.sysctls["net.ipv4.conf.all.rp_filter"] = "1"


def firewall(farm: Farm, name: str) -> None:
    farm.server(name).dropped.add(("tcp", 80))


def gateway(farm: Farm, name: str) -> None:
    farm.server(name).machine.routes[0] = Route(gateway="10.0.0.2", interface="eth0")


def no_gateway(farm: Farm, name: str) -> None:
    del farm.server(name).machine.routes[0]


def not_persistent(farm: Farm, name: str) -> None:
    del farm.server(name).machine.files["/etc/systemd/system/dsrwizard-shop.service"]


def guard_not_persistent(farm: Farm, name: str) -> None:
    del farm.server(name).machine.files["/etc/sysctl.d/zzz-dsrwizard.conf"]


SERVER_FAULTS: dict[str, tuple[Callable[[Farm, str], None], str]] = {
    "unreachable": (unreachable, "unreachable"),
    "service-down": (service_down, "service-down"),
    "rip-only-listener": (rip_only_listener, "rip-only-listener"),
    "vip-missing": (vip_missing, "vip-missing"),
    "vip-missing, forwarding": (vip_circles, "vip-missing"),
    "vip-prefix": (vip_prefix, "vip-prefix"),
    "arp-leak": (arp_leak, "arp-leak"),
    "arp-leak, stray setting": (arp_leak_by_stray, "arp-leak"),
    "arp-leak, VIP on the NIC": (arp_leak_on_nic, "arp-leak"),
    "arp-announce": (arp_announce, "arp-announce"),
    "rp-filter": (rp_filter, "rp-filter"),
    "firewall": (firewall, "firewall"),
    "gateway": (gateway, "gateway"),
    "gateway, none": (no_gateway, "gateway"),
    "not-persistent": (not_persistent, "not-persistent"),
    "not-persistent, guard": (guard_not_persistent, "not-persistent"),
}
"""How each is made, and the cause that must be named."""
