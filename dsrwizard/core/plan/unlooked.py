"""The plan for a host that nobody could look at. Pure."""

from __future__ import annotations

from dsrwizard.core.model.facts import Observed
from dsrwizard.core.model.steps import HostPlan


def unseen(host: str, observed: Observed) -> HostPlan:
    """The plan for a host that could not be looked at."""
    failure = observed.failed.get(host)
    return HostPlan(host=host, problem=failure.text if failure else "It was not checked.", failure=failure)
