"""IPVS readings: which two to compare, rates per second, and totals."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dsrwizard.core.model.facts import Stats, VirtualService
from dsrwizard.core.model.guarding import GuardState
from dsrwizard.core.model.snapshot import Rates, Totals

KERNEL_SECONDS = 2.0
"""The kernel brings the counters up to date this often (net/netfilter/ipvs/ip_vs_est.c): between two readings that are
closer, they stand still or jump."""

RowPlace = tuple[str, str, str]
"""(VIP, service label, server name)."""
NO_RATES = Rates()


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One dump of IPVS; `at` in seconds since the epoch. `services` None: another product balances, or no look.
    `guard`: what the deployment's guard wrote last, None where there is none."""

    at: float
    services: Sequence[VirtualService] | None = None
    guard: GuardState | None = None


def compared(readings: Sequence[Reading], at: float) -> Reading | None:
    """The reading to compare one made `at` with: two of the kernel's updates earlier where there is one, else one."""
    for distance in (2 * KERNEL_SECONDS, KERNEL_SECONDS):
        old = [reading for reading in readings if at - reading.at >= distance - 0.05]
        if old:
            return old[-1]
    return None


def rates(before: Stats | None, now: Stats, seconds: float) -> Rates:
    """Per second between two readings; a counter that went back (the entry was made anew) gives no rate."""
    if before is None or seconds <= 0:
        return NO_RATES
    connections = now.connections - before.connections
    packets = now.in_packets - before.in_packets
    size = now.in_bytes - before.in_bytes
    if connections < 0 or packets < 0 or size < 0:
        return NO_RATES
    return Rates(connections=connections / seconds, in_packets=packets / seconds, in_bytes=size / seconds)


def totals(stats: Stats) -> Totals:
    """The counters of an entry of IPVS."""
    return Totals(
        connections=stats.connections,
        in_packets=stats.in_packets,
        in_bytes=stats.in_bytes,
        out_packets=stats.out_packets,
        out_bytes=stats.out_bytes,
    )
