"""Validation of `[balancer]`: where an appliance that balances is managed, and as whom. Its password is asked for."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import Draft, DraftBalancer
from dsrwizard.core.intake.problems import Problem, Refusal, shown
from dsrwizard.core.model.deployment import DRIVEN, METHODS, WEIGHTED_METHODS, Address
from dsrwizard.core.model.products import PRODUCTS

MOST_ADDRESSES = 2
"""A pair has two."""


def balancer_problems(draft: Draft, vips: Collection[Address]) -> Iterator[Problem]:
    """The problems of `[balancer]`, with their keys. `vips`: the valid VIPs."""
    known, given = PRODUCTS.get(draft.engine), draft.balancer
    product = known.name if known is not None else None
    if product is None:
        if given is not None:
            names = " or ".join(f'"{name}"' for name in PRODUCTS)
            yield Refusal(
                "[balancer] is for an appliance that balances, and the engine names none.",
                f"Remove [balancer], or write engine = {names} under [director].",
            ).at("balancer")
        return
    if given is None:
        if draft.engine in DRIVEN:
            yield Refusal(
                f"The {product} is set up from here, and nothing says where it is.",
                'Add [balancer] and below it addresses = ["10.1.0.5"], its management address, and user.',
            ).at("balancer")
        return
    yield from _addresses(draft, given, vips, product)
    user = fields.user(given.user)
    if user is None and not given.user.strip() and draft.engine in DRIVEN:
        hint = "Write who dsrwizard logs in as. It asks for the password; never write it here."
        user = Refusal("The user is missing.", hint)
    port = fields.connection_port(given.port)
    if port is not None and given.port.strip():
        port = Refusal(port.message, "Write the port of its HTTPS management, or leave it out for the usual one.")
    elif fields.whole_number(given.port) == 80:
        port = Refusal("Port 80 is HTTP: it would carry the password in clear text.", "Write the port of HTTPS.")
    for field, fault in (
        ("user", user), ("port", port), ("ca_file", fields.ca_file(given.ca_file)),
        ("method", _method(given.method, draft.engine)),
    ):  # fmt: skip
        if fault is not None:
            yield fault.at(f"balancer.{field}")
    weights = {weight for server in draft.servers if (weight := fields.whole_number(server.weight))}
    if given.method in METHODS and given.method not in WEIGHTED_METHODS and len(weights) > 1:
        yield Refusal(
            f"With {given.method} weights do nothing, and the servers' weights differ.",
            f'Give them the same weight, or write method = "{WEIGHTED_METHODS[0]}".',
        ).at("balancer.method")


def _addresses(draft: Draft, given: DraftBalancer, vips: Collection[Address], product: str) -> Iterator[Problem]:
    key = "balancer.addresses"
    if not given.addresses and (draft.engine in DRIVEN or given.user.strip()):
        hint = 'Write addresses = ["10.1.0.5"], or both addresses of a pair.'
        yield Refusal(f"The management address of the {product} is missing.", hint).at(key)
    if len(given.addresses) > MOST_ADDRESSES:
        yield Refusal(f"There are {len(given.addresses)} addresses; a pair has two.", "Write one or two.").at(key)
    taken = dict.fromkeys(vips, "the VIP")
    for server in draft.servers:
        for text in (server.address, server.address6):
            if (ip := fields.parsed(text)) is not None:
                taken.setdefault(ip, f"server {shown(server.name.strip())}")
    for number, text in enumerate(given.addresses):
        here = f"{key}[{number}]"
        ip = fields.parsed(text)
        fault = fields.address(text)
        if fault is None and ip in taken:
            hint = "Write an address at which it is managed (NetScaler: its NSIP)."
            fault = Refusal(f"{ip} is {taken[ip]}, not the management of the {product}.", hint)
        if fault is not None:
            yield fault.at(here)
        elif ip is not None:
            taken[ip] = "listed already"


def _method(text: str, engine: str) -> Refusal | None:
    if not text:
        return None
    if engine != "netscaler":
        return Refusal("method is for a NetScaler.", "Remove it: the scheduler of each service says how to balance.")
    if text in METHODS:
        return None
    upper = text.upper()
    meant = upper if upper in METHODS else fields.suggestion(upper, list(METHODS))
    hint = f'Did you mean "{meant}"?' if meant else f"Write one of {', '.join(METHODS)}."
    return Refusal(f"{shown(text)} is no method that direct server return works with.", hint)
