"""Validation of what the load balancer cannot say: each value at its own key, with the nearest that the product has.

Nothing is replaced silently: a deployment that passes here means the same on the product (`core.model.products`).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import gcd

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import Draft, DraftServer, DraftService, DraftVip
from dsrwizard.core.intake.problems import Problem, Refusal, shown
from dsrwizard.core.model.deployment import SCHEDULERS, Address
from dsrwizard.core.model.products import KEEP, PRODUCTS, WEIGHTED, Product

_USUAL_PERSISTENCE = 300
_LISTED = 6


def product_problems(draft: Draft) -> Iterator[Problem]:
    """The problems of a draft whose balancer is a product; none where it is the kernel, or a product without a name.
    What is no valid value at all is reported elsewhere."""
    product = PRODUCTS.get(draft.engine)
    if product is None:
        return
    for number, vip in enumerate(draft.vips):
        key = f"vips[{number}]"
        ip = fields.parsed(vip.address)
        if not product.ipv6 and ip is not None and ip.version == 6:
            yield Refusal(
                f"{product.name}'s configuration has no documented form for an IPv6 address, such as {ip}.",
                'Write an IPv4 VIP, or engine = "external" and set the load balancer up by hand.',
            ).at(f"{key}.address")
        for place, service in enumerate(vip.services):
            yield from _service(product, service, f"{key}.services[{place}]")
        if product.joins:
            yield from _joined(product, vip, key)
    weights = [fields.whole_number(server.weight) for server in draft.servers]
    for number, weight in enumerate(weights):
        if weight is not None and product.heaviest is not None and product.heaviest < weight <= fields.MAX_WEIGHT:
            yield Refusal(
                f"{product.name} takes weights from 1 to {product.heaviest}, not {weight}.",
                _scaled(draft.servers, weights, number, product.heaviest),
            ).at(f"servers[{number}].weight")
    yield from _unweighted(product, draft, weights)


def _service(product: Product, service: DraftService, key: str) -> Iterator[Problem]:
    if service.scheduler in SCHEDULERS and service.scheduler not in product.methods:
        nearest = product.nearest[service.scheduler]
        hint = f'Write scheduler = "{nearest}", the nearest that it has.'
        if nearest == KEEP:
            given = fields.whole_number(service.persistence) or 0
            keep = "its persistence" if given > 0 else f"persistence = {_USUAL_PERSISTENCE}"
            hint = f'Write scheduler = "wlc" with {keep}: that keeps a client at its server, too.'
        yield Refusal(f"{product.name} has no scheduler {service.scheduler}.", hint).at(f"{key}.scheduler")
    seconds = fields.whole_number(service.persistence)
    if seconds is None or not 0 < seconds <= fields.MAX_PERSISTENCE:
        return
    if product.persistence_most is not None and seconds > product.persistence_most:
        yield Refusal(
            f"{product.name} keeps a client for {product.persistence_most} seconds at most, not {seconds}.",
            f"Write persistence = {product.persistence_most}.",
        ).at(f"{key}.persistence")
    elif seconds % product.persistence_step:
        step = product.persistence_step
        minutes = "minutes" if step == 60 else f"steps of {step} seconds"
        yield Refusal(
            f"{product.name} counts persistence in {minutes}, and {seconds} seconds is no whole number of them.",
            f"Write persistence = {(seconds // step + 1) * step}.",
        ).at(f"{key}.persistence")


def _joined(product: Product, vip: DraftVip, key: str) -> Iterator[Problem]:
    """Two protocols on one port are one service there; it has one scheduler and one persistence."""
    first: dict[str, DraftService] = {}
    for place, service in enumerate(vip.services):
        port = service.port.strip()
        there = first.setdefault(port, service)
        if there.protocol == service.protocol:
            continue
        for name in ("scheduler", "persistence"):
            one, other = getattr(there, name).strip(), getattr(service, name).strip()
            if one == other:
                continue
            written = one if name == "persistence" else f'"{one}"'
            yield Refusal(
                f"{product.name} joins tcp and udp on port {shown(port)[1:-1]} in one virtual server of type ANY, and "
                f"it has one {name}: {shown(one)[1:-1]} and {shown(other)[1:-1]} cannot both be had.",
                f"Write {name} = {shown(written)[1:-1]} for both.",
            ).at(f"{key}.services[{place}].{name}")


def _unweighted(product: Product, draft: Draft, weights: list[int | None]) -> Iterator[Problem]:
    """Different weights behind a scheduler that does not heed them. A server at 0 is held, which all of them can."""
    told: set[int] = set()
    for vip in draft.vips:
        ip = fields.parsed(vip.address)
        mine = [
            number for number, server in enumerate(draft.servers) if _serves(server, ip) and (weights[number] or 0) > 0
        ]
        for service in vip.services if mine else ():
            word = product.methods.get(service.scheduler)
            if word is None or service.scheduler not in product.unweighted:
                continue
            first = mine[0]
            for number in mine[1:]:
                if weights[number] == weights[first] or number in told:
                    continue
                told.add(number)
                weighted = WEIGHTED.get(service.scheduler, "wrr")
                yield Refusal(
                    f"With {service.scheduler} ({word}) on {product.name}, weights do nothing or mean another "
                    f"scheduler: {shown(draft.servers[first].name.strip())} has {weights[first]}, this server "
                    f"{weights[number]}.",
                    f'Write weight = {weights[first]}, or scheduler = "{weighted}" for '
                    f"{shown(f'{service.protocol}/{service.port.strip()}')[1:-1]} of {ip}.",
                ).at(f"servers[{number}].weight")


def _serves(server: DraftServer, vip: Address | None) -> bool:
    return vip is not None and (server.vips is None or any(fields.parsed(text) == vip for text in server.vips))


def _scaled(servers: list[DraftServer], weights: list[int | None], number: int, most: int) -> str:
    """All weights in the same ratio, as far as whole numbers can, within what the product takes."""
    given = [weight or 0 for weight in weights]
    common = gcd(*given)
    plain = [weight // common for weight in given]
    heaviest = max(plain)
    if heaviest > most:
        plain = [max(1, round(weight * most / heaviest)) if weight else 0 for weight in plain]
    listed = ", ".join(f"{shown(server.name.strip())[1:-1]} {plain[at]}" for at, server in enumerate(servers[:_LISTED]))
    more = f" and so on for {len(servers) - _LISTED} more" if len(servers) > _LISTED else ""
    return f"Write weight = {plain[number]}; the same ratio for all: {listed}{more}."
