"""The live judgement, drawn from five sources: counters, probes, the ARP audit, drift, and verification. Pure."""

from __future__ import annotations
