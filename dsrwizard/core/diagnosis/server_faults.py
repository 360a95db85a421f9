"""The faults of a real server that several checks may find: VIP missing or with a wrong prefix, no listener."""

from __future__ import annotations

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.causes import Cause
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.values import endpoint

NO_VIP: tuple[Cause, ...] = ("vip-missing", "windows-adapter", "address-conflict")
"""Causes for which the VIP is not on the server."""


def vip_missing(view: ServerView, faults: Found, vip: Vip, where: Where, message: str, seen: str) -> Check:
    """The fault vip-missing, with where the VIP is to be put, or what lies behind it, where that is seen."""
    behind = view.platform.vip_gone(view, faults, vip, where, seen)
    if behind is not None:
        return behind
    state = ""
    for link, entry in view.entries(vip):
        state = f"; {vip.address} is on {link.name}, " + ("not usable yet" if entry.tentative else "which is down")
    if view.facts is not None and not state:
        state = f"; no interface of {view.name} has {vip.address}"
        state += f". {' '.join(view.facts.undo.told)}" if view.facts.undo.reverted else ""
    return faults.fail(
        where, Fault(host=view.name, cause="vip-missing", vip=vip.address), message, (seen + state).strip("; "),
        f"On {view.name}: {view.advice.bring_vip(vip)}",
    )  # fmt: skip


def vip_prefix(view: ServerView, faults: Found, vip: Vip, where: Where, seen: str, prefixes: list[int]) -> Check:
    """The fault vip-prefix, with the commands that put it right."""
    misplaced = view.platform.misplaced(view, faults, vip, where, seen)
    if misplaced is not None:
        return misplaced
    wrong = [(link.name, entry.prefix) for link, entry in view.entries(vip) if entry.prefix != vip.prefix]
    wrong = wrong or [(view.server.vip_interface, prefixes[0])]
    place, prefix = wrong[0]
    commands = [view.advice.take_vip(vip, *one) for one in wrong]
    if vip.prefix not in prefixes:
        commands.append(view.advice.put_vip(vip, place))
    return faults.fail(
        where, Fault(host=view.name, cause="vip-prefix", vip=vip.address),
        f"{vip.address} is on {view.name} as /{prefix}, not /{vip.prefix}: it treats its neighbours as itself.",
        f"{vip.address}/{prefix} on {place}" + (f"; {seen}" if seen else ""),
        f"On {view.name}: {view.advice.in_turn(*commands)}",
    )  # fmt: skip


def service_down(view: ServerView, faults: Found, service: Service, where: Where, seen: str) -> Check:
    """The fault service-down: one per host and port, on however many VIPs it shows."""
    state = ""
    if view.facts is not None and view.facts.listeners is not None:
        bound = ", ".join(one.address for one in view.listeners(service))
        state = f"; {service.label} listens on {bound} only" if bound else f"; no socket listens on {service.label}"
    # A refused datagram is all there is to see of UDP from outside: elsewhere on the host it may listen.
    blind = service.protocol == "udp" and (view.facts is None or view.facts.listeners is None)
    least = f", at least not on {where.vip}" if blind and where.vip else ""
    return faults.fail(
        where, Fault(host=view.name, cause="service-down", service=service.label),
        f"Nothing listens on {service.label} of {view.name}{least}.", (seen + state).strip("; "),
        sentences.start_service(view.name, service),
    )  # fmt: skip


def rip_only(view: ServerView, faults: Found, vip: Vip, service: Service, where: Where, seen: str) -> Check:
    """The fault rip-only-listener, with the addresses it listens on."""
    known = faults.find(view.name, "rip-only-listener", service=service.label)
    bound = ", ".join(
        f"{endpoint(one.address, one.port)}{f' ({one.process})' if one.process else ''}"
        for one in view.listeners(service)
    )
    return faults.fail(
        where, Fault(host=view.name, cause="rip-only-listener", vip=vip.address, service=service.label),
        f"The application for {service.label} on {view.name} listens on its own address but not on {vip.address}.",
        (f"{seen}; listening: {bound}" if bound else seen).strip("; "),
        sentences.listen_on(view.name, vip.address, service),
        shared=known is not None,
    )  # fmt: skip
