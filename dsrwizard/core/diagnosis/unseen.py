"""What a verification did not see, in plain sentences: the limits of its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsrwizard.core.diagnosis.client_large import FULL
from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.client_view import ClientView
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical

_SHOWN = 4
MOST = 12
"""Sentences at most: a list that nobody reads to its end tells nothing."""


def not_seen(evidence: Evidence, views: Sequence[ServerView]) -> tuple[str, ...]:
    """What matters to clients and was not looked at, the largest gap first."""
    return tuple(dict.fromkeys((*_clients(evidence, views), *_hosts(evidence, views), *_services(evidence, views))))[
        :MOST
    ]


def _names(views: Sequence[ServerView] | Sequence[str]) -> str:
    names = [one if isinstance(one, str) else one.name for one in views]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _clients(evidence: Evidence, views: Sequence[ServerView]) -> Iterator[str]:
    client = evidence.client
    if client is None:
        met = [view for view in views if view.server.weight and _met(view)]
        if met and len(met) == sum(view.server.weight > 0 for view in views):
            yield (
                "No client host is named: of clients only the connections that IPVS has were seen, not what they get."
            )
        else:
            yield ("No client host is named, so the way to and from clients was not seen.")
        return
    if isinstance(client, Failure):
        yield f"The client host could not be asked, so nothing was seen from where clients stand: {client.what}"
        return
    yield from _untried(evidence, client, views)


def _met(view: ServerView) -> bool:
    return any(view.met(vip, service) for vip in view.vips for service in vip.services)


def _untried(evidence: Evidence, client: ClientView, views: Sequence[ServerView]) -> Iterator[str]:
    """Servers that the client host was never sent to."""
    for vip in evidence.deployment.vips:
        seen = client.of(vip)
        if seen is None:
            yield f"Nothing was seen of {vip.address} from the client host."
            continue
        for service in vip.services:
            if service.protocol != "tcp":
                continue
            passage = seen.passages.get(service.port)
            given = {canonical(rip) for rip in passage.given.values()} if passage else set()
            left = [one for one in _serving(views, vip) if canonical(one.rip_for(vip) or "") not in given]
            if left and given:
                yield f"The client host was not sent to {_names(left)} for {vip.address} {service.label}."
            elif left:
                yield f"It is not known which servers the client host was sent to for {vip.address} {service.label}."
        if seen.on_link:
            yield (
                f"The client host is in the servers' own network: the way that clients elsewhere take to {vip.address} "
                "was not seen."
            )


def _serving(views: Sequence[ServerView], vip: Vip) -> list[ServerView]:
    return [one for one in views if one.server.weight and one.rip_for(vip) is not None]


def _hosts(evidence: Evidence, views: Sequence[ServerView]) -> Iterator[str]:
    outside = [view for view in views if view.facts is None]
    if outside:
        yield (
            f"{_names(outside)} could not be looked at from within: the way back, the filters and what a reboot leaves "
            "there were not seen."
        )
    closed: dict[str, list[ServerView]] = {}
    for view in views:
        looked = view.facts.linux if view.facts is not None else None
        if looked is not None and looked.chains is None:
            closed.setdefault(looked.chains_problem, []).append(view)
    for why, hidden in closed.items():
        yield f"What the packet filter of {_names(hidden)} does to clients was not seen. {why}".rstrip()
    if not evidence.deployment.director.in_kernel:
        yield "Another product balances: to whom it gives clients' connections was not seen."
    elif evidence.observed.director is None:
        failure = evidence.observed.failed.get(DIRECTOR)
        yield f"The director's own settings were not seen{f': {failure.what}' if failure else '.'}"
    elif evidence.traffic_problem:
        yield f"Clients' own connections were not seen: {evidence.traffic_problem}"
    if evidence.hearing_problem:
        yield f"Nobody listened for machines that announce a VIP: {evidence.hearing_problem}"


def _services(evidence: Evidence, views: Sequence[ServerView]) -> Iterator[str]:
    for vip in evidence.deployment.vips:
        unheard: dict[Service, list[ServerView]] = {}
        sizes: list[ServerView] = []
        for view in _serving(views, vip):
            for service in vip.services:
                talked = view.talked(vip, service)
                if not view.good(vip, service) and service.protocol == "tcp":
                    continue  # a check tells it
                if service.protocol == "udp":
                    if not view.good(vip, service):
                        unheard.setdefault(service, []).append(view)
                    continue
                if talked is None or talked.result != "answered":
                    unheard.setdefault(service, []).append(view)
                if (talked is None or talked.large is None) and view not in sizes:
                    sizes.append(view)
        for service, silent in unheard.items():
            yield f"No answer of the application behind {vip.address} {service.label} was heard from {_names(silent)}."
        if sizes:
            yield f"Whether packets of full size reach {_names(sizes)} for {vip.address} was not seen."
    client = evidence.client
    if not isinstance(client, ClientView) or not any(
        (one.received or 0) >= FULL for seen in client.vips for one in seen.large
    ):
        yield "Whether replies of full size reach clients was not seen."
