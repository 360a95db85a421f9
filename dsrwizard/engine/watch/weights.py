"""Drain, restore, and any other weight: journaled like every change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from dsrwizard.core.model.changes import ServiceKey
from dsrwizard.core.model.deployment import Deployment, Service, Vip, same_in
from dsrwizard.core.model.errors import DsrError, UsageError
from dsrwizard.core.model.facts import Destination, VirtualService
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.products import PRODUCTS
from dsrwizard.core.model.snapshot import Happening
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.plan.director import key_of
from dsrwizard.core.plan.weight import weight_step
from dsrwizard.core.ports import DirectorPort
from dsrwizard.core.record.timeline import of_journal
from dsrwizard.engine.journal import Journal

HIGHEST = 65535
"""ipvsadm(8)."""


class Weights:
    """Sets weights in IPVS. `hold` gives the right to change hosts, for a block."""

    def __init__(
        self,
        deployment: Deployment,
        director: DirectorPort,
        journal: Journal,
        *,
        read_only: bool,
        hold: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._deployment = deployment
        self._director = director
        self._journal = journal
        self._read_only = read_only
        self._hold = hold

    def set(self, server: str, weight: int | None, vip: str = "", service: str = "") -> list[Happening]:
        """Returns what is to be told. Raises DsrError."""
        wanted = self._checked(server, weight)
        with self._hold():  # before the table is read: another run may be about to change it
            return self._set(server, wanted, vip, service)

    def _set(self, server: str, wanted: int, vip: str, service: str) -> list[Happening]:
        present = {entry.key: entry for entry in self._director.services()}
        endpoints = self._endpoints(server, present, vip, service)
        if not endpoints:
            where = " ".join(filter(None, (vip, service)))
            raise DsrError(
                f"{server} is not in any IPVS service{f' {where}' if where else ''}.",
                "It has no weight there.",
                "Apply puts it back.",
            )
        guarded = self._director.guard(self._deployment.name)
        run = self._journal.begin("weight", self._deployment)
        ok = False
        try:
            for place, of, destination in endpoints:
                if destination.state.weight == wanted and not (
                    guarded and guarded.holds(place.address, of.label, server)
                ):
                    continue  # a drain of what a guard holds out is written down all the same: it is the operator's now
                step = weight_step(server, place, of, destination, wanted, "The operator asked for it.")
                run.intend("local", step)
                try:
                    self._director.apply(step)
                except DsrError as problem:
                    run.result(DIRECTOR, step.id, Outcome.FAILED, str(problem))
                    raise
                run.result(DIRECTOR, step.id, Outcome.CHANGED)
            self._director.save(self._deployment)
            ok = True
        finally:
            run.end(ok)
        mine = [entry for entry in self._journal.entries() if entry.run == run.id]
        return list(of_journal(mine))

    def _checked(self, server: str, weight: int | None) -> int:
        """The weight wanted."""
        if self._read_only:
            raise DsrError(
                "This watch is read-only and changes nothing.",
                "It was started with --read-only.",
                "Start it without --read-only to set weights.",
            )
        if not self._deployment.director.driven:
            raise UsageError(
                "dsrwizard does not set weights here: another product is the load balancer.",
                "",
                "Set it on your load balancer.",
            )
        if self._deployment.director.engine == "keepalived":
            raise UsageError(
                "dsrwizard does not set weights here: keepalived owns the table, and would set its own again.",
                "",
                f"Write {'the weight' if weight is None else f'weight = {weight}'} for {server} in the file, then "
                "apply it: keepalived reads it without losing a connection.",
            )
        found = next((one for one in self._deployment.servers if one.name == server), None)
        if found is None:
            names = ", ".join(one.name for one in self._deployment.servers)
            raise UsageError(f"This deployment has no real server {server}.", "", f"Name one of: {names}.")
        if weight is None:
            return found.weight
        product = PRODUCTS.get(self._deployment.director.engine)
        most = product.heaviest if product is not None and product.heaviest is not None else HIGHEST
        if isinstance(weight, bool) or not isinstance(weight, int) or not 0 <= weight <= most:
            raise UsageError(
                f"{weight} is not a valid weight.",
                f"{product.name if product else 'IPVS'} takes whole numbers from 0 (no new clients) to {most}.",
                "Twice the weight gets twice the clients.",
            )
        return weight

    def _endpoints(
        self, server: str, present: Mapping[ServiceKey, VirtualService], vip: str, service: str
    ) -> list[tuple[Vip, Service, Destination]]:
        """Where the server is in IPVS."""
        found = []
        one = self._deployment.server(server)
        for place in self._deployment.vips_of(one):
            rip = one.rip_for(place)
            if rip is None or (vip and not same_in(place.address, (vip,))):
                continue
            for of in place.services:
                virtual = present.get(key_of(place, of)) if service in ("", of.label) else None
                destination = virtual.destination(rip, of.port) if virtual else None
                if destination is not None:
                    found.append((place, of, destination))
        return found
