"""A farm in memory behind a fake appliance: the real engine, the real driver over TLS on loopback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

import msgspec

from backends.netscaler.port import NetScaler
from dsrwizard.core.model.changes import ServiceKey
from dsrwizard.core.model.deployment import (
    Balancer,
    Client,
    Deployment,
    EngineName,
    RealServer,
    Service,
    Vip,
)
from dsrwizard.core.model.events import Event
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.model.steps import DIRECTOR, Plan, Step
from dsrwizard.core.ports import Asker, BalancerPort, Connector, HostKeyQuestion, SecretQuestion
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journals
from tests.fakes.https_box import FakeBox
from tests.fakes.netscaler import PASSWORD, USER, FakeNetScaler, Manners
from tests.fakes.world import World
from tests.windows.certificates import issue

VIP = "10.0.0.10"


class Operator:
    """Knows the password and accepts the certificate; `asked` has every question."""

    def __init__(self, *passwords: str, key: str = "") -> None:
        self._passwords = list(passwords or (PASSWORD,))
        self._key = key
        self.asked: list[SecretQuestion | HostKeyQuestion] = []
        self.accepts = True

    def secret(self, question: SecretQuestion) -> Secret | None:
        self.asked.append(question)
        if question.kind == "api-key":
            return Secret(self._key)
        return Secret(self._passwords.pop(0) if len(self._passwords) > 1 else self._passwords[0])

    def accept_key(self, question: HostKeyQuestion) -> bool:
        self.asked.append(question)
        return self.accepts


B = TypeVar("B", bound=FakeBox)


class ApplianceShop(Generic[B]):
    """Three servers behind one VIP of an appliance that also has a service of others, which nobody may touch."""

    engine_name: ClassVar[EngineName]
    user: ClassVar[str]
    scheduler: ClassVar[str]

    def __init__(self, folder: Path, box: B, operator: Operator, *, by_hand: bool = False, servers: int = 3) -> None:
        self.folder = folder
        self.world = World.lab(servers)
        self.by_hand = by_hand
        self.box = box
        self.operator = operator
        self.events: list[Event] = []
        self.world.box = box.sends_to
        self.foreign()
        if by_hand:
            for state in self.world.servers.values():
                state.machine.links["lo"].addresses[VIP] = 32
                state.machine.links["lo"].addresses["10.0.0.20"] = 32
        self.engine = self.fresh()

    def foreign(self) -> None:
        """What others have there."""
        raise NotImplementedError

    def open_balancer(self, deployment: Deployment, asker: Asker) -> BalancerPort:
        raise NotImplementedError

    def ours(self) -> list[str]:
        """Names of all that is ours there."""
        raise NotImplementedError

    def fresh(self) -> Engine:
        """A new engine over the same journals, as after a restart."""
        operator = self.operator
        return Engine(
            director=lambda interface: self.world.director(), wire=self.world.wire(),
            connect=self.world_connect, asker=operator, journals=Journals(self.folder / "journal"),
            open_server=lambda server: self.world.open_server(server, operator),
            open_balancer=self.open_balancer,
        )  # fmt: skip

    def world_connect(self, host: str, target: RealServer | Client, asker: Asker) -> Connector:
        raise AssertionError("no connector in this test")

    def deployment(
        self, *services: Service, vips: tuple[str, ...] = (VIP,),
        change: Callable[[RealServer], RealServer] | None = None, **balancer: object,
    ) -> Deployment:  # fmt: skip
        made = self.world.deployment(engine=self.engine_name)
        connect = "manual" if self.by_hand else "ssh"
        servers = tuple(
            msgspec.structs.replace(server, connect=connect, user=None if self.by_hand else "root")
            for server in made.servers
        )
        if change is not None:
            servers = tuple(map(change, servers))
        given = services or (Service(port=80, scheduler=self.scheduler),)
        of = Balancer(addresses=self.box.addresses, user=self.user, port=self.box.port, **balancer)  # type: ignore[arg-type]
        return msgspec.structs.replace(
            made, vips=tuple(Vip(address=vip, services=given) for vip in vips), servers=servers, balancer=of
        )

    def plan(self, deployment: Deployment) -> Plan:
        return self.engine.plan(deployment, self.engine.observe(deployment))

    def apply(self, deployment: Deployment) -> RunResult:
        return self.engine.apply(deployment, self.plan(deployment), self.events.append)

    def teardown(self, deployment: Deployment) -> RunResult:
        return self.engine.teardown(deployment, self.engine.teardown_plan(deployment), self.events.append)

    def close(self) -> None:
        self.engine.close()
        self.box.close()

    # --- what is so

    def served(self, vip: str = VIP, port: int = 80) -> list[str]:
        """The servers that answer clients of a VIP: what the NetScaler sends there, and who answers it."""
        key = ServiceKey(vip, "tcp", port)
        return sorted(filter(None, (self.world._answers(rip, key) for rip in self.box.sends_to(vip, port))))


class BoxShop(ApplianceShop[FakeNetScaler]):
    """A NetScaler."""

    engine_name = "netscaler"
    user = USER
    scheduler = "sh"

    def __init__(
        self, folder: Path, *, manners: Manners | None = None, nodes: int = 1, by_hand: bool = False, servers: int = 3
    ) -> None:
        certificate = issue(folder / "box.pem", "ns.example").file
        box = FakeNetScaler(certificate, certificate, nodes=nodes, manners=manners)
        super().__init__(folder, box, Operator(), by_hand=by_hand, servers=servers)

    def foreign(self) -> None:
        config = self.box.running
        config.servers["mail 1"] = {"name": "mail 1", "ipaddress": "10.0.9.1", "comment": "theirs"}
        config.servers["Web-Two"] = {"name": "Web-Two", "ipaddress": "10.0.0.102", "comment": "theirs"}
        config.services["mail/25"] = {
            "name": "mail/25", "servername": "mail 1", "servicetype": "TCP", "port": 25, "ordered": "ENABLED",
            "usip": "NO",
        }  # fmt: skip
        config.services["two_ssl"] = {
            "name": "two_ssl", "servername": "Web-Two", "servicetype": "SSL", "port": 80, "ordered": "ENABLED",
            "usip": "NO",
        }  # fmt: skip
        config.vservers["mail"] = {
            "name": "mail", "servicetype": "TCP", "ipv46": "10.0.9.10", "port": 25, "m": "IP", "state": "ENABLED",
        }  # fmt: skip
        config.bindings.append(("mail", "mail/25", 7))
        config.monitored.append(("mail/25", "tcp"))
        self.box.keep()

    def open_balancer(self, deployment: Deployment, asker: Asker) -> BalancerPort:
        return NetScaler(deployment, asker, save_again=0.01)

    def ours(self) -> list[str]:
        """Names of all that is ours there."""
        config = self.box.running
        every = (*config.servers, *config.services, *config.vservers, *config.monitors)
        return sorted(name for name in every if name.startswith("dsr_"))


def on_box(plan: Plan) -> tuple[Step, ...]:
    return next((host.steps for host in plan.hosts if host.host == DIRECTOR), ())
