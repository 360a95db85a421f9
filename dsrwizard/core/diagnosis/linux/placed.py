"""Where a Linux server has a VIP: on an interface that answers for it, with two prefixes, or by translation alone."""

from __future__ import annotations

from dsrwizard.core.diagnosis.found import Found, Where
from dsrwizard.core.diagnosis.linux.filters import first_packet, into, known
from dsrwizard.core.diagnosis.linux.settings import leak_fault, leak_reason
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Vip


def translated(view: ServerView, vip: Vip) -> str:
    """How the server takes the VIP's packets without an address: a rule that redirects them, or a local route."""
    if any(link.up for link, _ in view.entries(vip)):
        return ""
    for service in vip.services if known(view) else ():
        away = into(view, first_packet(view, vip, service)).away
        if away is not None:
            return f"takes it by a rule: {away.text}"
    return "takes it by a local route (ip route show table local)" if view.local(vip.address) else ""


def misplaced(view: ServerView, faults: Found, vip: Vip, where: Where, seen: str) -> Check | None:
    """A VIP with another prefix on the interface to the director is there at all: one fault, and one cure."""
    if view.on_nic(vip) is None:
        return None
    reason, command = leak_reason(view, vip)
    return faults.fail(
        where, leak_fault(view, vip),
        f"{vip.address} is on the interface of {view.name} to the director, where it answers ARP for it.",
        "; ".join(filter(None, (reason, seen))), f"On {view.name}: {command}",
    )  # fmt: skip
