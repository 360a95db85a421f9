"""Applications that took the client host's connections and said nothing: judged by comparison within one look.

A handshake is the kernel's; a first byte is the application's. Where no server says one, the application may wait for a
request that is not known here; where one server says none and others do, it hangs there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.diagnosis.answering import TWICE
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.client_view import Tried
from dsrwizard.core.model.deployment import Service


def mute(of: Mapping[str, Sequence[Tried]]) -> frozenset[str]:
    """The RIPs (`of`: the connections that each was given) that took all connections and answered none by a byte, while
    another answered."""
    heard = {rip for rip, tries in of.items() if any(one.first_byte is not None for one in tries)}
    return frozenset(
        rip
        for rip, tries in of.items()
        if heard and rip not in heard and tries and all(one.result == "open" and one.sent is not None for one in tries)
    )


def hung(
    faults: Found, where: Where, service: Service, tries: Sequence[Tried], seen: str, *, server: bool = True
) -> Check:
    """The check of one that did so (`server`: it is one of the deployment's, and `where` is on it)."""
    name = where.host
    message = sentences.service_hung(name, service)
    if len(tries) < TWICE or not server:
        decide = f"Open {where.vip} {service.label} from a client until {name} has answered."
        return faults.doubt(where.unknown(message, seen, decide))
    return faults.fail(
        where, Fault(host=name, cause="service-hung", service=service.label), message,
        f"{seen}, no byte came; others answered the client host in the same round",
        sentences.restart_service(name, service),
    )  # fmt: skip


def unheard(
    faults: Found, where: Where, who: str, target: str, tries: Sequence[Tried], seen: str, *, lives: bool
) -> Check | None:
    """The check where all answered the handshake and no application said anything (`lives`: though it is known to be
    there); None: some did, or nobody could have heard it."""
    opened = [one for one in tries if one.result == "open"]
    if any(one.first_byte is not None or one.sent is None for one in opened):
        return None
    if lives or not any(one.sent for one in opened):
        return where.passed(
            f"{who} of {target} accepted the client host's connections; the application had no words for it.",
            seen,
        )
    return faults.doubt(
        where.unknown(
            f"{who} of {target} accepted the client host's connections and said nothing: it may be another protocol, "
            "or hang.", seen, f"Open {target} from a client as its users do.",
        )
    )  # fmt: skip
