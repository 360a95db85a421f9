"""Connections from the client host, made in rounds until every real server that takes new clients has had one.

Over its one connection; the first round also pings and reads the neighbour entries. Between the rounds the director's
connection table is read: it alone tells to which real server a connection was given.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Protocol

import msgspec

from dsrwizard.core.diagnosis.client_large import cut_off
from dsrwizard.core.diagnosis.client_mute import mute
from dsrwizard.core.diagnosis.connection_match import ONE_SERVER, bound, by_service, lacking, match
from dsrwizard.core.dialects.client.parse import parse
from dsrwizard.core.dialects.client.shell import ConnectTo, script
from dsrwizard.core.model.client_view import ClientView, ClientVip, Passage, Tried
from dsrwizard.core.model.deployment import Deployment, Service, Vip
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Connection, VirtualService
from dsrwizard.core.model.first_words import HTTP_PORTS
from dsrwizard.core.model.values import canonical
from dsrwizard.core.ports import Connector

ROUNDS = 3
AT_ONCE = 512
"""Connections of one round at most, of all services together; each service gets one at least."""
COUNTING_SECONDS = 2.2
"""The kernel brings its counters up to date every two seconds (net/netfilter/ipvs/ip_vs_est.c)."""
SECONDS_EACH = 2.0
"""What each connection adds to the deadline of a run; the host makes them side by side, so it is never used up."""
MOST_SECONDS = 300.0
READING_SECONDS = 0.8
"""A table that takes as long to read as this may have been left before its end, as one with so many entries."""
MANY = 100_000
EXTERNAL = "Another product balances, and its connections are not told."


class IpvsTable(Protocol):
    """What the director's IPVS tells. Raises DsrError."""

    def services(self) -> Sequence[VirtualService]: ...

    def connections(self) -> Sequence[Connection]: ...


def look(
    deployment: Deployment,
    connector: Connector,
    director: IpvsTable | None = None,
    deadline: float = 30.0,
    counting: float = COUNTING_SECONDS,
) -> ClientView:
    """Asks the client host about every VIP, `director` (None: another product balances) to whom its connections were
    given. `deadline` of a run without connections (each adds to it) and `counting` (until IPVS' counters are up to
    date) in seconds. Raises HostError and its kinds.
    """
    return _Look(deployment, connector, director, deadline, counting).view()


class _Look:
    def __init__(
        self, deployment: Deployment, connector: Connector, director: IpvsTable | None, deadline: float, counting: float
    ) -> None:
        self._deployment, self._connector, self._director = deployment, connector, director
        self._deadline, self._counting = deadline, counting
        self._problem = EXTERNAL if director is None else ""
        self._targets: dict[ConnectTo, tuple[Vip, Service]] = {
            (canonical(vip.address), service.port): (vip, service)
            for vip in deployment.vips
            for service in vip.services
            if service.protocol == "tcp"
        }
        self._whole = True
        self._table: dict[ConnectTo, list[Connection]] = {}

    def view(self) -> ClientView:
        before = self._services()
        wanted = {target: self._wanted(target, before) for target in self._targets}
        share = max(1, AT_ONCE // max(1, len(self._targets)))
        plan = {target: min(share, len(rips) + 2, self._bound(target, rips)) for target, rips in wanted.items()}
        vips = {canonical(seen.vip): seen for seen in self._ask(plan, all_=True)}
        asked = dict(plan)
        passages = self._passages(vips, before, None)
        for number in range(2, ROUNDS + 1):
            plan = {}
            for target, rips in wanted.items():
                passage, left = passages.get(target), self._bound(target, rips) - asked[target]
                told = passage is not None and not passage.problem and bool(passage.given) and not passage.missing
                if passage and told and left > 0 and lacking(rips, passage.given.values()):
                    plan[target] = min(share, left if number == ROUNDS else 2 * len(rips) + 2, left)
            if not plan:
                break
            try:
                more = self._ask(plan, all_=False)
            except DsrError:
                break  # what the first round saw is worth telling
            for target, count in plan.items():
                asked[target] += count
            vips = {canonical(seen.vip): _joined(vips[canonical(seen.vip)], seen) for seen in more}
            passages = self._passages(vips, before, None)
        vips, passages = self._patiently(vips, before, passages, wanted)
        vips, passages = self._largely(vips, before, passages, wanted)
        passages = self._counted(vips, before, passages)
        return ClientView(
            vips=tuple(
                msgspec.structs.replace(
                    seen, passages={port: found for (vip, port), found in passages.items() if vip == address}
                )
                for address, seen in vips.items()
            ),
            at=time.time(),
        )

    def _patiently(
        self,
        vips: dict[str, ClientVip],
        before: dict[ConnectTo, VirtualService],
        passages: dict[ConnectTo, Passage],
        wanted: dict[ConnectTo, set[str]],
    ) -> tuple[dict[str, ClientVip], dict[ConnectTo, Passage]]:
        """Services of which one real server took connections and said nothing while others did are asked once more,
        and get more time for their first byte: an application may only be slow."""
        plan = {}
        for target, rips in wanted.items():
            passage = passages.get(target)
            if passage is not None and mute(_of(vips[target[0]].tries, target[1], passage)):
                plan[target] = 2 * len(rips) + 2
        if not plan:
            return vips, passages
        try:
            more = self._ask(plan, all_=False, patient=True)
        except DsrError:
            return vips, passages
        vips = {canonical(seen.vip): _joined(vips[canonical(seen.vip)], seen) for seen in more}
        return vips, self._passages(vips, before, None)

    def _largely(
        self,
        vips: dict[str, ClientVip],
        before: dict[ConnectTo, VirtualService],
        passages: dict[ConnectTo, Passage],
        wanted: dict[ConnectTo, set[str]],
    ) -> tuple[dict[str, ClientVip], dict[ConnectTo, Passage]]:
        """Requests that fill several packets, to services that speak HTTP and answer small ones; once more where one
        server leaves them unanswered, for a frame may get lost."""
        plan = {
            target: self._bound(target, rips) if self._bound(target, rips) == 1 else len(rips) + 2
            for target, rips in wanted.items()
            if target[1] in HTTP_PORTS and passages.get(target, Passage()).given and _heard(vips[target[0]], target[1])
        }
        for patient in (False, True):
            if not plan:
                break
            try:
                more = self._ask(plan, all_=False, patient=patient, large=True)
            except DsrError:
                break
            vips = {canonical(seen.vip): _joined(vips[canonical(seen.vip)], seen) for seen in more}
            passages = self._passages(vips, before, None)
            plan = {
                target: 2 * count
                for target, count in plan.items()
                if cut_off(_of(vips[target[0]].large, target[1], passages[target]))
            }
        return vips, passages

    def _ask(
        self, plan: dict[ConnectTo, int], *, all_: bool, patient: bool = False, large: bool = False
    ) -> tuple[ClientVip, ...]:
        nonce = f"dsr{secrets.token_hex(8)}"
        text = script(self._deployment, nonce, plan, all_=all_, patient=patient, large=large)
        # A loaded machine takes long for each, and one that is gone says so by its connection.
        deadline = min(MOST_SECONDS, self._deadline + SECONDS_EACH * sum(plan.values()))
        seen = parse(self._deployment, nonce, self._connector.run(text, deadline=deadline).stdout)
        self._read_table()
        return seen

    # -- the director's side

    def _services(self) -> dict[ConnectTo, VirtualService]:
        if self._director is None or self._problem:
            return {}
        try:
            services = self._director.services()
        except DsrError as error:
            self._problem = f"{error.what} {error.why}".strip()
            return {}
        return {(canonical(one.key.address), one.key.port): one for one in services if one.key.protocol == "tcp"}

    def _read_table(self) -> None:
        if self._director is None or self._problem:
            return
        begun = time.monotonic()
        try:
            table = self._director.connections()
        except DsrError as error:
            self._problem = f"{error.what} {error.why}".strip()
            return
        self._whole = time.monotonic() - begun < READING_SECONDS and len(table) < MANY
        self._table = by_service(table)

    def _wanted(self, target: ConnectTo, services: dict[ConnectTo, VirtualService]) -> set[str]:
        """The RIPs that are to be seen: as IPVS has them, else as the deployment says."""
        if target in services:
            return {canonical(one.address) for one in services[target].destinations if one.state.weight > 0}
        vip, _ = self._targets[target]
        servers = [server for server in self._deployment.servers_of(vip) if server.weight > 0]
        return {canonical(rip) for server in servers if (rip := server.rip_for(vip)) is not None}

    def _bound(self, target: ConnectTo, rips: set[str]) -> int:
        _, service = self._targets[target]
        return bound(len(rips), service.persistence > 0 or service.scheduler in ONE_SERVER)

    def _passages(
        self,
        vips: dict[str, ClientVip],
        before: dict[ConnectTo, VirtualService],
        after: dict[ConnectTo, VirtualService] | None,
    ) -> dict[ConnectTo, Passage]:
        """`after` None: the counters were not read again yet."""
        found = {}
        for vip, port in self._targets:
            if self._problem:
                found[vip, port] = Passage(problem=self._problem)
                continue
            tries = [one for one in (*vips[vip].tries, *vips[vip].large) if one.port == port]
            old, new = before.get((vip, port)), (after or {}).get((vip, port))
            counted = new.stats.connections - old.stats.connections if old and new else None
            given, missing = match(tries, self._table.get((vip, port), ()), whole=self._whole, counted=counted)
            earlier = {canonical(one.address): one.stats.out_packets for one in old.destinations} if old else {}
            later = {canonical(one.address): one.stats.out_packets for one in new.destinations} if new else {}
            found[vip, port] = Passage(
                given=given,
                missing=missing,
                able=old is not None and any(one.state.weight > 0 for one in old.destinations),
                replies=later,
                grown={rip: count - earlier[rip] for rip, count in later.items() if rip in earlier},
            )
        return found

    def _counted(
        self, vips: dict[str, ClientVip], before: dict[ConnectTo, VirtualService], passages: dict[ConnectTo, Passage]
    ) -> dict[ConnectTo, Passage]:
        """With the counters read again: at once where connections were found in the table, else when the kernel has
        brought them up to date, for then they alone can tell that none came."""
        if self._problem:
            return passages
        lost = any(
            not passages[target].given and passages[target].able and _told(vips[target[0]].tries, target[1])
            for target in self._targets
        )
        if lost:
            time.sleep(self._counting)
        return self._passages(vips, before, self._services())


def _heard(seen: ClientVip, port: int) -> bool:
    """Whether an application behind a service was heard, by tools that count."""
    return any(one.port == port and one.first_byte is not None and one.sent for one in seen.tries)


def _of(tries: Sequence[Tried], port: int, passage: Passage) -> dict[str, list[Tried]]:
    """The connections that each real server was given."""
    found: dict[str, list[Tried]] = {}
    for one in tries:
        if one.port == port and one.client_port in passage.given:
            found.setdefault(passage.given[one.client_port], []).append(one)
    return found


def _told(tries: Sequence[Tried], port: int) -> bool:
    return any(one.port == port and one.client_port and one.result != "unknown" for one in tries)


def _joined(first: ClientVip, more: ClientVip) -> ClientVip:
    """The first round's view with the connections of a later one."""
    connects = {one.port: one for one in more.connects if one.result == "open"}
    return msgspec.structs.replace(
        first,
        connects=tuple(one if one.result == "open" else connects.get(one.port, one) for one in first.connects),
        tries=(*first.tries, *more.tries),
        large=(*first.large, *more.large),
        untapped=first.untapped or more.untapped if more.tries else first.untapped,
    )
