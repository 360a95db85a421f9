"""Match of the client host's connections with the director's connection table.

Pure. The kernel writes every connection that IPVS passes on into its table, under the client's address and port: so the
table tells to which real server one was given, and that one did not pass the director at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from dsrwizard.core.model.client_view import Tried
from dsrwizard.core.model.facts import Connection
from dsrwizard.core.model.values import parsed

ONE_SERVER = frozenset({"sh", "mh", "dh", "lblc", "lblcr", "fo", "ovf"})
"""Schedulers that give one client's connections to one VIP all to the same real server while nothing changes."""


def by_service(table: Iterable[Connection]) -> dict[tuple[str, int], list[Connection]]:
    """The TCP connections to each VIP and port."""
    found: dict[tuple[str, int], list[Connection]] = {}
    for one in table:
        if one.protocol == "tcp":
            found.setdefault((str(parsed(one.vip)), one.port), []).append(one)
    return found


def match(
    tries: Sequence[Tried], entries: Sequence[Connection], *, whole: bool, counted: int | None
) -> tuple[dict[int, str], frozenset[int]]:
    """`given` and `missing` of a passage.

    `entries`: the director's for that VIP and port; `whole`: the table was read to its end. `counted`: how many new
    connections IPVS has counted for the service meanwhile, None where it did not say. Behind a NAT the client's address
    is another: then only one foreign address that has all the ports is taken for it, and no entry means nothing as long
    as IPVS has counted any connection.
    """
    told = [one for one in tries if one.client_port and one.result != "unknown"]
    own = {str(parsed(one.client)) for one in told if one.client}
    by_client: dict[str, dict[int, str]] = {}
    for entry in entries:
        by_client.setdefault(str(parsed(entry.client)), {})[entry.client_port] = str(parsed(entry.address))
    ports = {one.client_port for one in told}
    given = {port: rip for client in own for port, rip in by_client.get(client, {}).items() if port in ports}
    if given:
        return given, frozenset(ports - set(given)) if whole else frozenset()
    behind = [found for found in by_client.values() if ports and ports <= set(found)]
    if len(behind) == 1 and counted != 0:
        return {port: behind[0][port] for port in ports}, frozenset()
    return {}, frozenset(ports) if whole and counted == 0 else frozenset()


def bound(servers: int, one_server: bool) -> int:
    """How many connections are made at most to see every real server of a service answer."""
    return 1 if one_server else min(64, 4 * servers + 8)


def lacking(wanted: Collection[str], given: Iterable[str]) -> set[str]:
    """RIPs that have been given no connection yet."""
    return {str(parsed(rip)) for rip in wanted} - set(given)
