"""The check `client.size`: whether requests and replies of full size pass between the client host and each server.

Small packets pass where large ones are lost: a tunnel, a switch port or a filter on the way carries less than the hosts
believe. One server that fails so, twice, while others do not has it on its own way; where all fail, it lies outside.
A reply that begins and does not end is lost on its way, where another server's comes whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.diagnosis.answering import TWICE
from dsrwizard.core.diagnosis.found import Fault
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.client_view import Tried

if TYPE_CHECKING:
    from dsrwizard.core.diagnosis.client_answers import Served

FULL = 1400
"""Payload from which a reply needs a packet of full size."""


def cut_off(of: Mapping[str, Sequence[Tried]]) -> frozenset[str]:
    """The RIPs (`of`: the connections with large requests that each was given) none of whose replies came, or came
    whole, though another server's did."""
    full = any((one.received or 0) >= FULL for tries in of.values() for one in tries)
    lost = frozenset(rip for rip, tries in of.items() if tries and not any(_passed(one, full) for one in tries))
    return lost if len(lost) < len(of) else frozenset()


def sizes(served: Served) -> list[Check]:
    """One for the service, or one for each server whose large packets are lost; none where nobody tried."""
    # A connection that did not open is no question of size.
    tries = [one for one in served.seen.large if one.port == served.service.port and one.result == "open" and one.sent]
    given: dict[str, list[Tried]] = {}
    for one in tries:
        if one.client_port in served.passage.given:
            given.setdefault(served.passage.given[one.client_port], []).append(one)
    where = served.where("client.size")
    if not given:
        return []
    full = any((one.received or 0) >= FULL for one in tries)
    lost = {rip: told for rip, told in given.items() if not any(_passed(one, full) for one in told)}
    small = {rip for rip in lost if any(one.first_byte is not None for one in served.of(rip))}
    if not lost:
        most = max((one.received or 0 for one in tries), default=0)
        back = f"replies of up to {most} bytes" if most >= FULL else f"no reply was larger than {most} bytes"
        return [
            where.passed(
                f"Large requests to {served.target} are answered.", f"requests of {_size(tries)} bytes; {back}"
            )
        ]
    if len(lost) == len(given):
        if not small:
            return []
        return [
            served.faults.doubt(
                where.unknown(
                    f"Large requests to {served.target} are not answered by any server, small ones are.",
                    f"requests of {_size(tries)} bytes: {len(tries)} of {len(tries)} without an answer",
                    "From the client host: ping -M do with sizes up to 1472 shows what the path carries, to "
                    f"{served.vip.address} and from a real server back.",
                )
            )
        ]  # fmt: skip
    return [_of(served, rip, lost[rip], rip in small) for rip in lost]


def _passed(one: Tried, full: bool) -> bool:
    """`full`: a reply of full size has come on some connection, so that one which stays open after less is cut off."""
    return one.first_byte is not None and (not full or one.ended or (one.received or 0) >= FULL)


def _size(tries: list[Tried]) -> int:
    return max(one.sent or 0 for one in tries)


def _of(served: Served, rip: str, told: list[Tried], small: bool) -> Check:
    name = served.name(rip)
    view = next((one for one in served.views if one.name == name), None)
    where = served.where("client.size", name if view else "client")
    begun = max((one.received or 0 for one in told), default=0)
    what = f"with no more than {begun} bytes of their reply" if begun else "without an answer"
    seen = f"{len(told)} requests of {_size(told)} bytes to {name} {what}; other servers answered theirs"
    known = served.known_of(rip)
    if known is not None:
        return where.follows(known, evidence=seen)
    if view is None or not small or len(told) < TWICE:
        return served.faults.doubt(
            where.unknown(f"Large requests to {served.target} are not answered by {name}.", seen,
                          f"Send {served.target} a large request from a client until {name} has answered.")
        )  # fmt: skip
    talked = view.talked(served.vip, served.service)
    arrives = talked is not None and talked.large is True
    message = sentences.large_lost_between(name) if arrives else sentences.large_lost(name, FULL)
    return served.faults.fail(
        where, Fault(host=name, cause="path-mtu"), message, f"{seen}; small ones were answered",
        sentences.find_mtu(name), shared=True,
    )  # fmt: skip
