"""What differs between a deployment and the text that was copied from ALOHA's LB Layer4 tab. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dsrwizard.core.dialects.aloha.writer import check_of
from dsrwizard.core.intake import fields
from dsrwizard.core.intake.importers.aloha import (
    DEFAULT_BALANCE,
    DEFAULT_MODE,
    AlohaDirector,
    AlohaServer,
    read_config,
)
from dsrwizard.core.intake.problems import shown
from dsrwizard.core.model.deployment import Deployment, Service, Vip
from dsrwizard.core.model.products import ALOHA
from dsrwizard.core.model.shown import Shown


class TextDifference(Shown, frozen=True, kw_only=True):
    """One difference. `service` is `10.0.0.10 tcp/80`, empty where it is about none; `line` of the text,
    0 where nothing stands there; `fix` is what to write."""

    service: str = ""
    message: str
    fix: str
    line: int = 0


def text_differences(deployment: Deployment, text: str) -> tuple[TextDifference, ...]:
    """All differences; none where the box, as far as its text says, does what the deployment says. Directors of others
    are left alone, unless they have a VIP of the deployment. Needs a deployment that ALOHA can express."""
    config = read_config(text)
    found = [
        TextDifference(message=problem, fix="Correct the line, or take it out.", line=0) for problem in config.problems
    ]
    ours: list[AlohaDirector] = []
    for vip in deployment.vips:
        for service in vip.services:
            mine = [one for one in config.directors if _is(one, vip, service)]
            ours += mine
            found += _of_service(deployment, vip, service, mine)
        for one in config.directors:
            if fields.parsed(one.vip) == vip.ip and one.port is None:
                found.append(
                    TextDifference(
                        message=f"{one.place} has {vip.address} without a port: it takes every service of the VIP.",
                        fix=f"Write its port, as in {vip.address}:80.", line=one.line,
                    )
                )  # fmt: skip
    for one in ours:
        found += [
            TextDifference(message=problem, fix="Correct the line.", line=one.line)
            for problem in one.problems
            if not problem.startswith(f"{one.name} has no mode")
        ]
    return tuple(found)


def _is(one: AlohaDirector, vip: Vip, service: Service) -> bool:
    return fields.parsed(one.vip) == vip.ip and (one.protocol, one.port) == (service.protocol, service.port)


def _of_service(
    deployment: Deployment, vip: Vip, service: Service, mine: list[AlohaDirector]
) -> Iterator[TextDifference]:
    label = f"{vip.address} {service.label}"
    if not mine:
        fix = "Add its section from the text of the runbook."
        yield TextDifference(service=label, message=f"There is no director for {label}.", fix=fix)
        return
    first, *more = mine
    for one in more:
        message = f"{one.place} is a second one for {label}; the first is in line {first.line}."
        yield TextDifference(service=label, message=message, fix="Keep one of them.", line=one.line)
    mode = first.mode or DEFAULT_MODE
    if mode != "gateway":
        why = "" if first.mode else " (none is written)"
        yield TextDifference(
            service=label, line=first.line, fix="Write mode gateway.",
            message=f"The mode of {first.name} is {mode}{why}: replies would have to pass the ALOHA.",
        )  # fmt: skip
    balance = first.balance or DEFAULT_BALANCE
    wanted = ALOHA.methods[service.scheduler]
    if balance != wanted:
        yield TextDifference(
            service=label, line=first.line, fix=f"Write balance {wanted}.",
            message=f"{first.name} balances by {balance}; the deployment has {service.scheduler}, which is {wanted}.",
        )  # fmt: skip
    if first.persistence != service.persistence or first.netmask:
        had = "with a timeout that is not written" if first.persistence is None else f"of {first.persistence} s"
        had += f" with the netmask {shown(first.netmask)}" if first.netmask else ""
        line = f"option persistence timeout {service.persistence}s"
        yield TextDifference(
            service=label, line=first.line,
            message=f"{first.name} has a persistence {had}; the deployment has {service.persistence} s.",
            fix=f"Write {line}." if service.persistence else "Take option persistence out.",
        )  # fmt: skip
    if not first.checks:
        yield TextDifference(
            service=label, line=first.line, message=f"{first.name} has no check: a dead server keeps its clients.",
            fix=f"Write option {check_of(service)}.",
        )  # fmt: skip
    yield from _servers(deployment, vip, service, first, label)


def _servers(
    deployment: Deployment, vip: Vip, service: Service, one: AlohaDirector, label: str
) -> Iterator[TextDifference]:
    there: dict[object, AlohaServer] = {}
    for server in one.servers:
        ip = fields.parsed(server.address)
        if ip in there:
            yield _server(label, server, f"{server.address} stands twice in {one.name}.", "Keep one of the lines.")
        elif not server.sorry:
            there[ip] = server
    equal = service.scheduler in ALOHA.unweighted
    serving = {entry.weight for entry in there.values() if entry.weight > 0}
    for real in deployment.servers_of(vip):
        rip = real.rip_for(vip) or ""
        found = there.pop(fields.parsed(rip), None)
        if found is None:
            if real.weight:
                weight = 1 if equal else real.weight
                yield TextDifference(
                    service=label, message=f"{real.name} ({rip}) is missing in {one.name}.", line=one.line,
                    fix=f"Write server {real.name} {rip}:{service.port} weight {weight} check.",
                )  # fmt: skip
            continue
        if found.port not in (None, service.port):
            yield _server(
                label, found, f"{real.name} has port {found.port}; direct routing cannot change ports.",
                f"Write {rip}:{service.port}.",
            )  # fmt: skip
        if equal and real.weight and found.weight > 0:
            if len(serving) > 1:
                yield _server(
                    label, found, f"{real.name} has weight {found.weight}, others have another one; "
                    f"{service.scheduler} needs the same for all.", "Write weight 1.",
                )  # fmt: skip
        elif found.weight != real.weight:
            fix = (
                f"Write weight {1 if equal else real.weight}."
                if real.weight
                else "Take the line out: that holds the server."
            )
            yield _server(
                label, found, f"{real.name} has weight {found.weight}; the deployment has {real.weight}.", fix
            )
        if not found.check:
            yield _server(label, found, f"{real.name} is not checked.", "Write check at the end of the line.")
    for other in there.values():
        yield _server(
            label, other, f"{shown(other.name)} ({shown(other.address)[1:-1]}) is no real server of {vip.address} in "
            "the deployment.", "Take the line out, or add the server to the deployment file.",
        )  # fmt: skip


def _server(label: str, server: AlohaServer, message: str, fix: str) -> TextDifference:
    return TextDifference(service=label, message=message, fix=fix, line=server.line)
