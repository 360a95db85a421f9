"""Barracuda Load Balancer ADC over its REST API v2: `read_barracuda` looks, and nothing here can write."""

from __future__ import annotations

from typing import Any

from dsrwizard.core.model.deployment import Balancer
from dsrwizard.core.ports import Asker


def read_barracuda(balancer: Balancer, asker: Asker) -> Any:
    """Logs in and gets everything that it has about services, as JSON. Raises DsrError. The password is kept in memory
    for as long as the asker lives."""
    from backends.barracuda.rest import read

    return read(balancer, asker)
