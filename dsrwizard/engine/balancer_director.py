"""An appliance in the director's place: what a run asks of the kernel's director is asked of its API."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial

from dsrwizard.core.dialects.appliances import dialect_of
from dsrwizard.core.model.answers import Arrival
from dsrwizard.core.model.changes import ServiceKey
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.director_facts import DirectorLook
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.facts import Connection, DirectorFacts, VirtualService
from dsrwizard.core.model.guarding import GuardState, Holdings
from dsrwizard.core.model.steps import Step
from dsrwizard.core.ports import Asker, BalancerPort, DirectorPort, ServerPort
from dsrwizard.engine.hosts import Hosts

OpenBalancer = Callable[[Deployment, Asker], BalancerPort]


class Doors:
    """The hosts of all deployments by how whoever balances is reached: this machine by its interface, an appliance for
    each deployment. `of` is told the deployment as its file has it now."""

    def __init__(
        self, local: Callable[[str], DirectorPort], appliance: OpenBalancer | None, asker: Asker,
        open_server: Callable[[RealServer], ServerPort],
    ) -> None:  # fmt: skip
        self._local, self._appliance, self._asker = local, appliance, asker
        self._open_server = open_server
        self._hosts: dict[Hashable, Hosts] = {}
        self._now: dict[Hashable, Deployment] = {}

    def of(self, deployment: Deployment) -> Hosts:
        director = deployment.director
        appliance = self._appliance if director.driven and not director.in_kernel else None
        key = (director.engine, deployment.balancer, deployment.name) if appliance else director.interface
        self._now[key] = deployment
        if key not in self._hosts:
            here = partial(self._local, director.interface)
            door = self._open(key, here, appliance) if appliance else here
            self._hosts[key] = Hosts(door, self._open_server)
        return self._hosts[key]

    def _open(
        self, key: Hashable, here: Callable[[], DirectorPort], open_it: OpenBalancer
    ) -> Callable[[], DirectorPort]:
        def door() -> DirectorPort:
            appliance = open_it(self._now[key], self._asker)
            return BalancerDirector(lambda: self._now[key], here(), appliance)

        return door

    def taken(self) -> list[Hosts]:
        """All that were ever made; from now on others are."""
        hosts, self._hosts = [*self._hosts.values()], {}
        return hosts


class BalancerDirector:
    """DirectorPort over an appliance; this machine's own interfaces are `here`'s. `now`: the whole deployment, where a
    look is at a part of it."""

    def __init__(self, now: Callable[[], Deployment], here: DirectorPort, appliance: BalancerPort) -> None:
        self._now = now
        self._here = here
        self._appliance = appliance

    def observe(self, deployment: Deployment) -> DirectorFacts:
        seen = self._here.observe(deployment)
        facts = self._appliance.observe(self._now())
        return DirectorFacts(
            privileged=seen.privileged, hostname=seen.hostname, kernel=seen.kernel, machine=seen.machine,
            interfaces=seen.interfaces, default_routes=seen.default_routes, module_loaded=True,
            services=dialect_of(deployment).services(self._now(), facts), balancer=facts,
        )  # fmt: skip

    def apply(self, step: Step) -> None:
        self._appliance.apply(self._now(), step)

    def ready(self) -> None:
        """Nothing is loaded for it."""

    def holdings(self, deployment: Deployment) -> Holdings:
        return Holdings()

    def services(self) -> Sequence[VirtualService]:
        return self._appliance.services(self._now())

    def connections(self) -> Sequence[Connection]:
        return ()

    def look(self, deployment: Deployment, lost: Sequence[Arrival] = ()) -> DirectorLook:
        return DirectorLook(problem="The load balancer is another machine.")

    def save(self, deployment: Deployment) -> None:
        if deployment.balancer is not None and deployment.balancer.save:
            self._appliance.save()

    def set_weight(self, service: ServiceKey, address: str, port: int, weight: int) -> None:
        del port  # direct routing changes none
        if weight:
            self._appliance.admit(self._now(), service, address, weight)
        else:
            self._appliance.drain(self._now(), service, address)

    def sign(self, name: str, *, up: bool) -> None:
        raise UsageError("A load balancer of another make announces nothing for dsrwizard.")

    def guard(self, deployment: str) -> GuardState | None:
        return None

    def close(self) -> None:
        self._appliance.close()
