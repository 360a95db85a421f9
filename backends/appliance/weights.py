"""Keeping a server out, letting it in, draining it and its weight: each is one change of a destination."""

from __future__ import annotations

from dsrwizard.core.model.changes import DestinationChange, DestinationState, ServiceKey
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import LookError


class ByWeight:
    """The part of `core.ports.BalancerPort` that weights are for; 0 keeps new clients away."""

    def hold(self, deployment: Deployment, service: ServiceKey, address: str) -> None:
        self._to(deployment, service, address, 0)

    def admit(self, deployment: Deployment, service: ServiceKey, address: str, weight: int) -> None:
        self._to(deployment, service, address, weight)

    def drain(self, deployment: Deployment, service: ServiceKey, address: str) -> None:
        self._to(deployment, service, address, 0)

    def weight(self, deployment: Deployment, service: ServiceKey, address: str, weight: int) -> None:
        self._to(deployment, service, address, weight)

    def _to(self, deployment: Deployment, service: ServiceKey, address: str, weight: int) -> None:
        if deployment.server_at(address) is None:
            raise LookError(f"{address} is no real server of this deployment.")
        new = DestinationState(weight=weight)
        self._weigh(
            deployment, DestinationChange(service=service, address=address, port=service.port, old=None, new=new)
        )

    def _weigh(self, deployment: Deployment, change: DestinationChange) -> None:
        """Carries the change out by what is set there now."""
        raise NotImplementedError
