"""What a run of keepalived's steps has proved, and what it has not: which destinations get clients, what is missing.
Pure."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address

import msgspec

from dsrwizard.core.dialects.keepalived import writer
from dsrwizard.core.dialects.keepalived.checks import leaving_from
from dsrwizard.core.dialects.keepalived.reading import nobody_in
from dsrwizard.core.model.changes import Change, FileChange, KeepalivedChange
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.guarding import DestinationPlace
from dsrwizard.core.model.keepalived import KeepalivedFacts, is_services_file, services_file, services_of
from dsrwizard.core.model.steps import Step
from dsrwizard.core.plan.keepalived import is_held, places_of


def without(step: Step, deployment: Deployment, places: Collection[DestinationPlace]) -> Step:
    """The step with weight 0 for these destinations, in what is checked and in what is written; those that get clients
    already keep them."""
    path = services_file(deployment.name)
    for change in step.changes:
        if isinstance(change, FileChange) and change.path == path and change.old is not None:
            before = change.old.content
            places = [place for place in places if is_held(deployment, before, place)]
    changes: list[Change] = []
    for change in step.changes:
        if isinstance(change, FileChange) and change.path == path and change.new is not None:
            new = msgspec.structs.replace(change.new, content=_drained(deployment, change.new.content, places))
            changes.append(msgspec.structs.replace(change, new=new))
        elif isinstance(change, KeepalivedChange) and change.files:
            texts = tuple(
                (name, _drained(deployment, text, places) if name == path else text) for name, text in change.files
            )
            changes.append(msgspec.structs.replace(change, files=texts))
        else:
            changes.append(change)
    return msgspec.structs.replace(step, changes=tuple(changes))


def _drained(deployment: Deployment, text: str, places: Collection[DestinationPlace]) -> str:
    already = {place for place in places_of(deployment) if is_held(deployment, text, place)}
    guarded = "track_file" in text
    return writer.services_text(deployment, already | set(places), leaving_from(text, deployment), guarded=guarded)


def nobody_behind(step: Step) -> tuple[str, ...]:
    """The services that a step would write without any real server that gets clients: keepalived takes no such file."""
    return tuple(
        label
        for change in step.changes
        if isinstance(change, FileChange) and is_services_file(change.path) and change.new is not None
        for label in nobody_in(change.new.content)
    )


def unfinished(deployment: Deployment, seen: KeepalivedFacts | None) -> str:
    """What the table lacks of the deployment after keepalived has read its files; empty: it has all of it, directly
    routed."""
    if seen is None or not seen.running:
        return "keepalived does not run"
    table = {(one.address, one.protocol, one.port): one for one in seen.table or ()}
    for vip, service in services_of(deployment):
        label = f"{vip.address} {service.label}"
        found = table.get((str(vip.ip), service.protocol, service.port))
        if found is None:
            return f"the table has no service {label}"
        if found.scheduler != service.scheduler:
            return f"{label} has the scheduler {found.scheduler}"
        there = {one.address: one for one in found.entries}
        for server in deployment.servers_of(vip):
            rip = server.rip_for(vip)
            if rip is None:
                continue
            entry = there.get(str(ip_address(rip)))
            if entry is None:
                return f"{server.name} is not behind {label}"
            if entry.weight not in (0, server.weight):  # 0: keepalived has found it dead, or it is not proved
                return f"{server.name} behind {label} has the weight {entry.weight}"
            if entry.method != "dr":
                return f"{server.name} behind {label} has the method {entry.method}"
    return ""
