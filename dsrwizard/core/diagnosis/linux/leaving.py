"""The packet filter that drops a Linux real server's own replies from the VIP, and the command that lets them out.

Asked only where replies are known to be made and lost: the rule convicts because both are seen.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.diagnosis.filter_fix import releasing, undo
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.linux.filters import Sieve, first_packet, known, listed, out_of
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip


def stopped(
    view: ServerView, faults: Found, vip: Vip, service: Service, where: Where, seen: str, clients: Sequence[str] = ()
) -> Check | None:
    """The fault of a server whose own filter drops its replies from the VIP to these clients (none: to one that no rule
    names), or a doubt where its rules do not decide that; None: they let them out, or could not be read."""
    if known(view) is None:
        return None
    name, target = view.name, f"{vip.address} {service.label}"
    found = [dropped(view, vip, service, client) for client in clients or ("",)]
    sure = next((one for one in found if one.hits), None)
    if (
        sure is not None
        and clients
        and all(view.evidence.near(one) for one in clients)
        and not _for_all(view, vip, service)
    ):
        return where.unknown(
            f"A firewall on {name} drops its replies from {target} to the director's network. By its rules those to "
            "clients elsewhere get out, which the probe could not prove.",
            f"{seen}; {listed(sure.hits)}", view.advice.see_handshakes(vip, service),
        )  # fmt: skip
    if sure is not None:
        fixes = list(dict.fromkeys(releasing(hit, sure.packet) for hit in sure.hits))
        return faults.fail(
            where, Fault(host=name, cause="firewall", vip=vip.address, service=service.label),
            f"A firewall on {name} drops its own replies from {target}.",
            f"{seen}; {listed(sure.hits)}", f"On {name}: {' && '.join(fixes)}{undo(fixes)}", shared=True,
        )  # fmt: skip
    perhaps = next((one for one in found if one.perhaps), None)
    if perhaps is None:
        return None
    return faults.doubt(
        where.unknown(
            f"{name} answers for {target}, but its answers are lost. Whether its own firewall drops them or the "
            "network could not be decided.",
            f"{seen}; {listed(perhaps.perhaps)}", view.advice.see_handshakes(vip, service),
        )
    )  # fmt: skip


def _for_all(view: ServerView, vip: Vip, service: Service) -> bool:
    """Whether the reply to a client that no rule names may be dropped, too."""
    anybody = dropped(view, vip, service)
    return bool(anybody.hits or anybody.perhaps)


def dropped(view: ServerView, vip: Vip, service: Service, client: str = "") -> Sieve:
    """What becomes of the reply to a client."""
    way = view.way(vip.ip.version, vip)
    near = client and view.evidence.near(client)
    interface = view.nic.name if view.nic and (near or way is None) else way.interface if way else ""
    return out_of(view, first_packet(view, vip, service, client), interface)
