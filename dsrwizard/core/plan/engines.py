"""Which deployments can be set up by this version."""

from __future__ import annotations

from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.products import PRODUCTS

_UNBUILT = ("netscaler", "loadbalancer.org")


def refuse_unbuilt(deployment: Deployment) -> None:
    """Raises UsageError for an engine that is described in a file and not set up yet: half of it would be worse than
    none."""
    director = deployment.director
    if director.engine in _UNBUILT:
        product = PRODUCTS[director.engine].name
        raise UsageError(
            f"A {product} cannot be set up from here yet.",
            "This version knows its place in the file, and does not speak its API.",
            'Write engine = "external" and remove [balancer]: the servers are set up, and all of it is proved.',
        )
    if director.bgp is None:
        return
    if director.engine == "keepalived":
        raise UsageError(
            '[director.bgp] cannot be set up with engine = "keepalived".',
            "keepalived gives the VIPs to one director, and each that announces them needs them. There the guard takes "
            "dead real servers out.",
            'Write engine = "netlink" for directors that announce the VIPs.',
        )  # fmt: skip
    if director.peers:
        raise UsageError(
            "Other directors that announce the VIPs cannot be set up from here yet.",
            "This version sets up the director that it runs on.",
            "Remove [[director.peers]], keep [director.bgp], and apply the same file on each director.",
        )  # fmt: skip
