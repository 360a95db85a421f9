"""What is asked of every appliance that is driven from here, whatever its make. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from dsrwizard.core.dialects.loadbalancer_org import calls as org_calls
from dsrwizard.core.dialects.loadbalancer_org import reading as org_reading
from dsrwizard.core.dialects.loadbalancer_org import words as org_words
from dsrwizard.core.dialects.netscaler import calls as nitro_calls
from dsrwizard.core.dialects.netscaler import reading as nitro_reading
from dsrwizard.core.dialects.netscaler import words as nitro_words
from dsrwizard.core.model.balancer_facts import BalancerFacts, Box, Ldirectord
from dsrwizard.core.model.changes import Change, DestinationChange, ServiceChange, ServiceKey
from dsrwizard.core.model.deployment import Deployment, Service, Vip
from dsrwizard.core.model.facts import VirtualService


class Trial(Protocol):
    """A copy of an appliance's configuration that changes are tried on; equal to another one where all is equal."""

    def copy(self) -> Trial: ...

    def carry_out(self, change: Change, deployment: Deployment, *, leaves: bool = False) -> list[str]:
        """Makes the change, and tells the calls that it takes."""
        ...


class ApplianceDialect(Protocol):
    """How one make says what a deployment says. `noun`: what a service is called there."""

    noun: str

    def key_at(self, vip: Vip, service: Service) -> ServiceKey:
        """Which of its services is this one: a product may have one for several."""
        ...

    def label(self, deployment: str, key: ServiceKey) -> str:
        """What it is called there, where dsrwizard makes it."""
        ...

    def services(self, deployment: Deployment, facts: BalancerFacts) -> tuple[VirtualService, ...]: ...

    def for_every_protocol(
        self, deployment: Deployment, found: tuple[VirtualService, ...]
    ) -> tuple[VirtualService, ...]:
        """The same for each service of the deployment, for whoever shows or counts, and changes nothing."""
        ...

    def trial(self, facts: BalancerFacts) -> Trial: ...

    def made_by_us(self, deployment: Deployment, facts: BalancerFacts, change: Change) -> bool:
        """Whether what a change is about carries the deployment's name there."""
        ...

    def unnamed(self, deployment: Deployment, facts: BalancerFacts) -> list[str]:
        """What stays where only names tell what is ours, in sentences: it carries none."""
        ...


@dataclass
class _BoxTrial:
    box: Box

    def copy(self) -> _BoxTrial:
        return _BoxTrial(self.box.copy())

    def carry_out(self, change: Change, deployment: Deployment, *, leaves: bool = False) -> list[str]:
        made = nitro_calls.calls(change, self.box, deployment, leaves=leaves)
        for call in made:
            nitro_calls.take(self.box, call)
        return [call.text for call in made]


@dataclass
class _LdirectordTrial:
    config: Ldirectord

    def copy(self) -> _LdirectordTrial:
        return _LdirectordTrial(self.config.copy())

    def carry_out(self, change: Change, deployment: Deployment, *, leaves: bool = False) -> list[str]:
        made = org_calls.calls(change, self.config, deployment, leaves=leaves)
        for call in made:
            org_calls.take(self.config, call)
        return [call.text for call in made]


class _NetScalerDialect:
    noun = "virtual server"

    def key_at(self, vip: Vip, service: Service) -> ServiceKey:
        return nitro_words.key_at(vip, service.port)

    def label(self, deployment: str, key: ServiceKey) -> str:
        return nitro_words.vserver_name(deployment, key.address, key.port)

    def services(self, deployment: Deployment, facts: BalancerFacts) -> tuple[VirtualService, ...]:
        return nitro_reading.services(deployment, facts.box)

    def for_every_protocol(
        self, deployment: Deployment, found: tuple[VirtualService, ...]
    ) -> tuple[VirtualService, ...]:
        return nitro_reading.for_every_protocol(deployment, found)

    def trial(self, facts: BalancerFacts) -> Trial:
        return _BoxTrial(facts.box.copy())

    def made_by_us(self, deployment: Deployment, facts: BalancerFacts, change: Change) -> bool:
        box = facts.box
        if not isinstance(change, ServiceChange | DestinationChange):
            return False
        vserver = nitro_words.vserver_at(box, deployment.name, change.service.address, change.service.port)
        if vserver and nitro_words.of_ours(deployment.name, vserver, box.vservers[vserver]):
            return True
        if isinstance(change, ServiceChange):
            return False
        server = deployment.server_at(change.address)
        service = nitro_words.service_at(box, deployment, server, change.address, change.port)
        return bool(service) and nitro_words.of_ours(deployment.name, service, box.services[service])

    def unnamed(self, deployment: Deployment, facts: BalancerFacts) -> list[str]:
        on = [what for what, there in (("LB", facts.box.features), ("MBF", facts.box.modes)) if what in there]
        return [f"{' and '.join(on)} stay{'s' if len(on) == 1 else ''} on."] if on else []


class _LoadbalancerOrgDialect:
    noun = "virtual service"

    def key_at(self, vip: Vip, service: Service) -> ServiceKey:
        return org_words.key_of(vip, service)

    def label(self, deployment: str, key: ServiceKey) -> str:
        return org_words.virtual_label(deployment, key)

    def services(self, deployment: Deployment, facts: BalancerFacts) -> tuple[VirtualService, ...]:
        return org_reading.services(deployment, facts.ldirectord)

    def for_every_protocol(
        self, deployment: Deployment, found: tuple[VirtualService, ...]
    ) -> tuple[VirtualService, ...]:
        del deployment
        return found

    def trial(self, facts: BalancerFacts) -> Trial:
        return _LdirectordTrial(facts.ldirectord.copy())

    def made_by_us(self, deployment: Deployment, facts: BalancerFacts, change: Change) -> bool:
        if not isinstance(change, ServiceChange | DestinationChange):
            return False
        own = org_words.virtual_label(deployment.name, change.service)
        return org_words.virtual_at(facts.ldirectord, deployment.name, change.service) == own

    def unnamed(self, deployment: Deployment, facts: BalancerFacts) -> list[str]:
        floating = facts.ldirectord.floating or set()
        return [f"{vip.address} stays a floating IP." for vip in deployment.vips if str(vip.ip) in floating]


_DIALECTS: Mapping[str, ApplianceDialect] = {
    "netscaler": _NetScalerDialect(),
    "loadbalancer.org": _LoadbalancerOrgDialect(),
}


def dialect_of(deployment: Deployment) -> ApplianceDialect:
    """Raises KeyError for a deployment whose load balancer is no appliance that is driven."""
    return _DIALECTS[deployment.director.engine]
