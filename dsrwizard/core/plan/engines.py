"""Which deployments can be set up by this version."""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.dialects.netscaler.words import key_at, ports_of
from dsrwizard.core.model.changes import DestinationChange, ServiceChange
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.products import PRODUCTS
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.record.owed import Owed


def refuse_unbuilt(deployment: Deployment) -> None:
    """Raises UsageError for an engine that is described in a file and not set up yet: half of it would be worse than
    none."""
    director = deployment.director
    if director.bgp is None:
        return
    if director.engine == "keepalived":
        raise UsageError(
            '[director.bgp] cannot be set up with engine = "keepalived".',
            "keepalived gives the VIPs to one director, and each that announces them needs them. There the guard takes "
            "dead real servers out.",
            'Write engine = "netlink" for directors that announce the VIPs.',
        )  # fmt: skip


def refuse_other_balancer(deployment: Deployment, before: Deployment | None, owed: Sequence[Owed]) -> None:
    """Raises UsageError where what is owed on the load balancer was made on another one than the file names now: it
    would be looked for where it is not. `before`: the deployment as it was last applied."""
    mine = [item.change for item in owed if item.host == DIRECTOR]
    if before is None or not any(isinstance(change, ServiceChange | DestinationChange) for change in mine):
        return
    was, now = _place(before), _place(deployment)
    product = PRODUCTS.get(deployment.director.engine)
    if now and was == now and product is not None and product.joins:
        keys = {key_at(vip, port) for vip in deployment.vips for port in ports_of(vip)}
        for change in mine:
            other = next(
                (
                    key
                    for key in keys
                    if isinstance(change, ServiceChange)
                    and (key.address, key.port) == (change.service.address, change.service.port)
                ),
                None,
            )
            if other is not None and isinstance(change, ServiceChange) and other != change.service:
                raise UsageError(
                    f"{other.address} port {other.port} was set up for {change.service.protocol} and is for "
                    f"{other.protocol} alone now.",
                    f"Both are one virtual server on the {product.name}, which stays in the books under the first.",
                    "Tear the deployment down with its former file, then apply this one.",
                )  # fmt: skip
    if was == now or (was and was[0] == "kernel" and not now):
        return
    if was and now and was[0] == now[0] and set(was[1:]) & set(now[1:]):
        return
    raise UsageError(
        "The load balancer is another one than the deployment was set up on.",
        f"What was set up there ({', '.join(was[1:]) or 'IPVS of this machine'}) would stay and go on balancing.",
        "Tear the deployment down with its former file, then apply this one.",
    )


def _place(deployment: Deployment) -> tuple[str, ...]:
    """The kind of load balancer and where it is; empty: one that is not driven."""
    if deployment.director.in_kernel:
        return ("kernel",)
    if not deployment.director.driven or deployment.balancer is None:
        return ()
    return (deployment.director.engine, *deployment.balancer.addresses)
