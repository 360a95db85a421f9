"""Which deployments can be set up by this version."""

from __future__ import annotations

from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import UsageError


def refuse_unbuilt(deployment: Deployment) -> None:
    """Raises UsageError for an engine that is described in a file and not set up yet: half of it would be worse than
    none."""
    director = deployment.director
    if director.bgp is not None:
        raise UsageError(
            "[director.bgp] cannot be set up yet.", "This version reads it in a file and checks it, no more.",
            "Remove [director.bgp] and [[director.peers]] for one director.",
        )  # fmt: skip
