"""The live judgement, drawn from four sources: IPVS counters, VIP probes, the ARP audit, and drift. Pure."""

from __future__ import annotations
