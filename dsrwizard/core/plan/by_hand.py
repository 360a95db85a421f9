"""What is said of a load balancer that dsrwizard does not change."""

from __future__ import annotations

from dsrwizard.core.model.products import PRODUCTS


def set_up_by_hand(engine: str) -> str:
    """Who sets it up, and where the steps are."""
    product = PRODUCTS.get(engine)
    box, name = ("The load balancer", "other") if product is None else (product.name, engine)
    return f"{box} is set up by hand: see dsrwizard runbook FILE --balancer {name}. dsrwizard proves that it works."
